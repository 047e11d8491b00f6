// callbacks.h - a list of functions that are called once when something has happened.
#ifndef TL_CALLBACKS_H
#define TL_CALLBACKS_H

#include "compat.h"

// Add func to a list, made if it is NULL. Returns 0, or -1 with an exception set.
int tl_callbacks_add(PyObject **list, PyObject *func);

// Remove func itself, once, from a list that may be NULL. Does not call into Python.
void tl_callbacks_discard(PyObject *list, PyObject *func);

// What remove_done_callback(func) returns, with a list that may be NULL: a new reference, or
// NULL with the exception of a comparison set.
PyObject *tl_callbacks_remove(PyObject *list, PyObject *func);

#endif // TL_CALLBACKS_H
