// mod_select.h - what the face of select() is made of.
#ifndef TL_MOD_SELECT_H
#define TL_MOD_SELECT_H

#include "sync/select.h"

// What recv(channel), or with a value send(channel, value), returns.
PyObject *tl_case_new(struct tl_state *state, ChannelObject *channel, PyObject *value);

// As tl_select(), of all kinds of cases.
Py_ssize_t tl_select_mixed(struct tl_sched *s, PyObject *const *args, Py_ssize_t count,
                           int64_t deadline, bool no_wait, PyObject **value);

#endif // TL_MOD_SELECT_H
