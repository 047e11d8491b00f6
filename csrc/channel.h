// channel.h - tasklets meet here and hand each other values one at a time.
#ifndef TL_CHANNEL_H
#define TL_CHANNEL_H

#include "sched.h"

// A tasklet that waits for the first of several channels, and its part in one of them.
struct tl_selection;
struct tl_case {
    struct tl_link link; // in channel->receivers or senders
    struct tl_selection *of;
    struct ChannelObject *channel;
    PyObject *value; // borrowed: to be sent; NULL: it is to receive
};

// Invariants
// I1: the tasklet waits in queue, and has one reference for each case that is linked.
// I2: linked counts these cases; each is in the list of its channel.
struct tl_selection {
    TaskletObject *who;
    struct tl_link queue;
    Py_ssize_t count, linked;
    unsigned char source; // the surest of its channels
    Py_ssize_t chosen;    // set by whoever ends the wait with a value
    struct tl_case cases[];
};

// Who sends into a channel of ours that stands for something else.
enum tl_source {
    TL_FROM_TASKLETS,
    TL_FROM_THREADS,  // for a future: a thread without tasklets
    TL_FROM_HANDLERS, // for an event: such a thread, or a signal handler of this one
    TL_FROM_WORKERS
};

// Invariants
// I1: all in queue wait in one direction; waiting counts them, senders positive,
//     receivers negative.
// I2: items is a circular buffer of room slots, count of them filled from first on. In a
//     channel that is no QueueChannel they are values that came back from receivers
//     that were killed, and buffered iff there are any.
// I3: in a QueueChannel receivers wait only while count is 0, but for those of threads that
//     are gone; senders only while count is maxsize or, with values that came back from
//     receivers that were killed, more.
// I4: selected counts the cases in receivers and senders.
// I5: source stays as it is while somebody waits to receive.
typedef struct ChannelObject {
    PyObject_HEAD
    struct tl_link queue;
    struct tl_link receivers, senders; // cases of those that wait for others, too
    Py_ssize_t selected;
    PyObject *weakrefs;
    Py_ssize_t waiting;
    signed char preference; // -1 the receiver, 1 the sender, 0 neither runs at once
    bool schedule_all, closing;
    bool buffered; // an operation has to look at items
    bool is_queue; // a QueueChannel, where sends store values
    bool classic;
    unsigned char source; // enum tl_source
    PyObject *name;       // a str, for people; NULL: none
    PyObject **items;
    Py_ssize_t first, count, room, maxsize; // maxsize <= 0: no limit
#ifndef NDEBUG
    size_t changes; // since the queue and the cases were last walked over
#endif
} ChannelObject;

// Locks: the GIL.
TL_CHECKER(tl_channel_check, ChannelObject *ch);
TL_CHECKER(tl_selection_check, const struct tl_selection *sel);

// The two directions, with a deadline as in struct tl_leave. Each returns a new reference,
// or NULL with an exception set; for a send that is what the receiver left there, as a
// rule None.  Switch: may.
PyObject *tl_channel_send(ChannelObject *ch, PyObject *value, int64_t deadline);
PyObject *tl_channel_receive(ChannelObject *ch, int64_t deadline);

// As tl_channel_receive(), but NULL without an exception at the end of a closed one.
PyObject *tl_channel_next(ChannelObject *ch);

// The home of t, which waits for what does not come from a tasklet, counts it. n: 1 or -1.
void tl_channel_count_outside(TaskletObject *t, int source, int n);

// Take a case out of its channel.
void tl_case_unlink(struct tl_case *one);

// Without blocking. try_send: 1 if delivered, 0 if not, -1 with an exception set.
// try_receive: NULL without an exception set if there is nothing.
int tl_channel_try_send(ChannelObject *ch, PyObject *value);
PyObject *tl_channel_try_receive(ChannelObject *ch);

// Whether an operation would not block now: it can be done, or fails.
static inline bool
tl_channel_is_ready(const ChannelObject *ch, bool sends)
{
    if (sends) {
        bool room = ch->maxsize <= 0 || ch->count < ch->maxsize;
        return (ch->waiting < 0) | ch->closing |
               (ch->is_queue && ch->waiting == 0 && room) |
               (ch->selected > 0 && !tl_link_is_single(&ch->receivers));
    }
    return (ch->waiting > 0) | (ch->count > 0) | ch->closing |
           (ch->selected > 0 && !tl_link_is_single(&ch->senders));
}

// Make room for that many stored values. Returns 0, or -1 with MemoryError set.
int tl_channel_reserve(ChannelObject *ch, Py_ssize_t room);

// Give value to the first waiting receiver of a QueueChannel, or store it. There is room.
// Does not call into Python.
// Thread: any.
void tl_channel_put(ChannelObject *ch, PyObject *value);

// The same, and then tell the channel callback. An error of that is reported.
void tl_channel_deliver(ChannelObject *ch, PyObject *value);

// How a selection waits.
extern const struct tl_wait_kind tl_selection_wait;

// Senders and stored values positive, receivers negative.
static inline Py_ssize_t
tl_channel_balance(const ChannelObject *ch)
{
    return ch->waiting + ch->count;
}

// Forbid blocking; wake: those that wait to receive get ChannelClosed, or the end of
// their iteration. Returns 0, or -1 with MemoryError set and nobody woken.
int tl_channel_close(ChannelObject *ch, bool wake);

// Put value (stolen), which a receiver of ch was handed and did not come to take, at the
// front: the next receiver gets it. Runs no Python code.
void tl_channel_take_back(PyObject *ch, PyObject *value);

// Drop all waiters and values. The room of the buffer stays.
void tl_channel_clear(ChannelObject *ch);

#endif // TL_CHANNEL_H
