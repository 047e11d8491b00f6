// lock_common.h - shared by the Python types of the locks.
#ifndef TL_LOCK_COMMON_H
#define TL_LOCK_COMMON_H

#include "object/callback_list.h"
#include "sync/lock.h"

// wait_for(predicate, timeout=None) by calling wait. May run Python code.
// Switch: may.
PyObject *tl_lock_wait_for_predicate(PyObject *self, PyObject *const *args,
                                     Py_ssize_t nargs, PyObject *kwnames,
                                     enum tl_waited (*wait)(PyObject *self,
                                                            tl_deadline deadline));

// Parse the argument of notify(n=1). Returns 0, or -1 with an exception set. May run
// Python code.
int tl_lock_count_arg(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                      Py_ssize_t *count);

// "module.Class" of an object: a new reference, or NULL with an exception set. May run
// Python code.
PyObject *tl_lock_type_name(PyObject *self);

// Add a callback to an Event.
enum tl_listening tl_event_listen(PyObject *event, PyObject *func);

// Remove a callback from an Event.
void tl_event_forget(PyObject *event, PyObject *func);

#endif // TL_LOCK_COMMON_H
