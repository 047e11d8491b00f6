// lock_common.h - what the faces of the locks have in common.
#ifndef TL_LOCK_COMMON_H
#define TL_LOCK_COMMON_H

#include "sync/lock.h"

// wait_for(predicate, timeout=None) over a wait of self's, which returns 1, 0 if the time
// was up, or -1 with an exception set.
PyObject *tl_lock_wait_for_predicate(PyObject *self, PyObject *const *args,
                                     Py_ssize_t nargs, PyObject *kwnames,
                                     int (*wait)(PyObject *self, int64_t deadline));

// Read the argument of notify(n=1). Returns 0, or -1 with an exception set.
int tl_lock_count_arg(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                      Py_ssize_t *count);

// "module.Class" of an object: a new reference.
PyObject *tl_lock_type_name(PyObject *self);

// Add a callback to an Event. Returns 0; 1 if it is set, and func is not called; or -1 with
// an exception set.
int tl_event_listen(PyObject *event, PyObject *func);

// Remove a callback from an Event. Does not call into Python.
void tl_event_forget(PyObject *event, PyObject *func);

// __reduce__ of all of them: refuses.
PyObject *tl_lock_reduce(PyObject *self, PyObject *Py_UNUSED(ignored));

// Finish the types.
void tl_lock_ready(PyTypeObject *lock, PyTypeObject *rlock);
void tl_semaphore_ready(PyTypeObject *plain, PyTypeObject *bounded);
void tl_event_ready(PyTypeObject *event, PyTypeObject *nl_condition);

#endif // TL_LOCK_COMMON_H
