// condition_ops.h - a Condition with a lock that is not ours: threading's, a subclass.
#ifndef TL_CONDITION_OPS_H
#define TL_CONDITION_OPS_H

#include "condition.h"

// Call a method of the lock.
PyObject *tl_condition_call(ConditionObject *cond, const char *name,
                            PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

// Whether the caller owns the lock: 1, 0, or -1 with an exception set.
int tl_condition_is_owned(ConditionObject *cond);

// The lock's own, or release() and acquire() if it has none.
PyObject *tl_condition_release_save(ConditionObject *cond);
int tl_condition_acquire_restore(ConditionObject *cond, PyObject *saved);

// tl_condition_wait() and tl_condition_notify() with any lock. Return -1 with an exception
// set, too, if it raises one: then the lock may not be acquired.
int tl_condition_wait_with(ConditionObject *cond, int64_t deadline);
int tl_condition_notify_with(ConditionObject *cond, Py_ssize_t count);

// Finish the type.
void tl_condition_ready(PyTypeObject *type);

#endif // TL_CONDITION_OPS_H
