// callback_list.h - a list of functions that are called once when something has happened.
#ifndef TL_CALLBACK_LIST_H
#define TL_CALLBACK_LIST_H

#include "cpython/compat.h"

// Add func to a list, made if it is NULL. Returns 0, or -1 with an exception set.
int tl_callback_list_add(PyObject **list, PyObject *func);

// Remove func itself, once, from a list that may be NULL. Does not call into Python.
void tl_callback_list_discard(PyObject *list, PyObject *func);

// What remove_done_callback(func) returns, with a list that may be NULL: a new reference, or
// NULL with the exception of a comparison set.
PyObject *tl_callback_list_remove(PyObject *list, PyObject *func);

#endif // TL_CALLBACK_LIST_H
