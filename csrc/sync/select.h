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

// Results of tl_select() that are not an index.
enum {
    TL_SELECT_FAILED = -1, // an exception is set
    TL_SELECT_NONE = -2    // no operation can be done now
};

// Do an operation that can be done now, searching from a random index on. If there is
// none, wait for the first, until deadline. Returns its index, with *value set to the
// received value (a new reference) or None; or TL_SELECT_FAILED. With no_wait, also
// TL_SELECT_NONE.
// Switch: may.
Py_ssize_t tl_select(struct tl_sched *s, CaseObject *const *cases, Py_ssize_t count,
                     tl_deadline deadline, bool no_wait, PyObject **value);

#endif // TL_SELECT_H
