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

// What became of the wish to be called when something is done.
enum tl_listening {
    TL_LISTENING_FAILED = -1, // an exception is set
    TL_LISTENING_ADDED = 0,   // the callback will be called
    TL_LISTENING_LATE = 1,    // it is done already: the callback will not be called
    TL_LISTENING_INDIRECT = 2 // only the object's own add_done_callback() can add it
};

#endif // TL_CALLBACK_LIST_H
