// select.h - a tasklet waits for the first of several channels.
#ifndef TL_SELECT_H
#define TL_SELECT_H

#include "sync/channel.h"

// One way to go on: receive from a channel, or send value to it.
typedef struct {
    PyObject_HEAD
    ChannelObject *channel;
    PyObject *value; // NULL: receive
} CaseObject;

// Do the first that can be done, none having a right to be first, or wait for it with a
// deadline as in struct tl_leave. Returns which, with *value set to what was received
// (new) or None; -1 with an exception set. With no_wait, -2 if none can be done now.
// Switch: may.
Py_ssize_t tl_select(struct tl_sched *s, CaseObject *const *cases, Py_ssize_t count,
                     int64_t deadline, bool no_wait, PyObject **value);

#endif // TL_SELECT_H
