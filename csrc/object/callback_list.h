// callback_list.h - a list of functions that are called when an outcome is known.
#ifndef TL_CALLBACK_LIST_H
#define TL_CALLBACK_LIST_H

#include "cpython/compat.h"

// Append func to the list, which is created if it is NULL. Returns 0, or -1 with an
// exception set. May run Python code, in a collection.
int tl_callback_list_add(PyObject **list, PyObject *func);

// Remove one entry that is func itself from a list that may be NULL. Does not call into
// Python.
void tl_callback_list_discard(PyObject *list, PyObject *func);

// Remove all entries that are equal to func, as remove_done_callback() does, from a
// list that may be NULL. Returns their number, a new reference, or NULL with the
// exception of a comparison set. May run Python code.
PyObject *tl_callback_list_remove(PyObject *list, PyObject *func);

#endif // TL_CALLBACK_LIST_H
