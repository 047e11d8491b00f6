// mod_select.h - shared by the files behind select().
#ifndef TL_MOD_SELECT_H
#define TL_MOD_SELECT_H

#include "sync/select.h"

// A new Case of recv(channel), or with a value of send(channel, value).
static inline PyObject *
tl_case_new(struct tl_state *state, ChannelObject *channel, PyObject *value)
{
    PyTypeObject *type = state->case_type;
    CaseObject *self = (CaseObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->channel = (ChannelObject *)Py_NewRef(channel);
        self->value = Py_XNewRef(value);
    }
    return (PyObject *)self;
}

// Like tl_select(), for all kinds of cases. May run Python code.
// Switch: may.
Py_ssize_t tl_select_mixed(struct tl_sched *s, PyObject *const *args, Py_ssize_t count,
                           tl_deadline deadline, bool no_wait, PyObject **value);

#endif // TL_MOD_SELECT_H
