// select_ops.h - what the face of select() is made of.
#ifndef TL_SELECT_OPS_H
#define TL_SELECT_OPS_H

#include "select.h"

// What recv(channel), or with a value send(channel, value), returns.
PyObject *tl_case_new(struct tl_state *state, ChannelObject *channel, PyObject *value);

// As tl_select(), of all kinds of cases.
Py_ssize_t tl_select_mixed(struct tl_sched *s, PyObject *const *args, Py_ssize_t count,
                           int64_t deadline, bool no_wait, PyObject **value);

#endif // TL_SELECT_OPS_H
