// channel_buffer.c - growing the circular buffer of a channel.
#include "sync/channel_buffer.h"

int
tl_channel_reserve(ChannelObject *ch, Py_ssize_t room)
{
    if (room <= ch->room) {
        return 0;
    }
    PyObject **grown = PyMem_New(PyObject *, room);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < ch->count; i++) {
        grown[i] = ch->items[(ch->first + i) % ch->room];
    }
    PyMem_Free(ch->items);
    ch->items = grown;
    ch->room = room;
    ch->first = 0;
    return 0;
}
