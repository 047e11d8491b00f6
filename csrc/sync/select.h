// select.h - select(): wait for the first of several channel operations.
#ifndef TL_SELECT_H
#define TL_SELECT_H

#include "sync/channel.h"

// One operation: receive from a channel, or send value to it.
typedef struct {
    PyObject_HEAD
    ChannelObject *channel;
    PyObject *value; // NULL: receive
} CaseObject;

// Do an operation that can be done now, searching from a random index on. If there is
// none, wait for the first, until deadline. Returns its index, with *value set to the
// received value (a new reference) or None; or -1 with an exception set. With no_wait,
// -2 if none can be done now.
// Switch: may.
Py_ssize_t tl_select(struct tl_sched *s, CaseObject *const *cases, Py_ssize_t count,
                     tl_deadline deadline, bool no_wait, PyObject **value);

#endif // TL_SELECT_H
