// channel_buffer.h - the circular buffer of a channel's stored values.
#ifndef TL_CHANNEL_BUFFER_H
#define TL_CHANNEL_BUFFER_H

#include "sync/channel.h"
#include "base/stress.h"

// Reserve slots for room stored values. Returns 0, or -1 with MemoryError set.
int tl_channel_reserve(ChannelObject *ch, Py_ssize_t room);

// Reserve a slot for one more value. Returns 0, or -1 with MemoryError set.
static inline int
tl_items_reserve(ChannelObject *ch)
{
    return TL_LIKELY(ch->count < ch->room)
               ? 0
               : tl_channel_reserve(ch, ch->room ? 2 * ch->room : TL_STRESS_OR(8, 1));
}

// Append value. Returns 0, or -1 with MemoryError set, which is impossible if a slot
// was reserved.
static inline int
tl_items_push(ChannelObject *ch, PyObject *value)
{
    if (tl_items_reserve(ch) < 0) {
        return -1;
    }
    ch->items[(ch->first + ch->count++) % ch->room] = Py_NewRef(value);
    return 0;
}

// Take the first value, of which there is at least one: a new reference.
static inline PyObject *
tl_items_pop(ChannelObject *ch)
{
    PyObject *value = ch->items[ch->first];
    ch->first = (ch->first + 1) % ch->room;
    ch->count--;
    ch->buffered = ch->is_queue || ch->count > 0;
    return value;
}

// Put value (stolen) before the first. A slot was reserved.
static inline void
tl_items_put_back(ChannelObject *ch, PyObject *value)
{
    ch->first = (ch->first + ch->room - 1) % ch->room;
    ch->items[ch->first] = value;
    ch->count++;
    ch->buffered = true;
}

#endif // TL_CHANNEL_BUFFER_H
