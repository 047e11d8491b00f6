// condition_foreign.h - a Condition with a lock that is not ours: threading's, a subclass.
#ifndef TL_CONDITION_FOREIGN_H
#define TL_CONDITION_FOREIGN_H

#include "sync/condition.h"

// Call a method of the lock.
PyObject *tl_condition_call(ConditionObject *cond, const char *name,
                            PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

// Whether the caller owns the lock: 1, 0, or -1 with an exception set.
int tl_condition_is_owned(ConditionObject *cond);

// The methods that a lock has for a Condition, or release() and acquire() if it has none.
// The caller holds the lock object. tl_condition_acquire_restore() returns as
// tl_reacquire().
PyObject *tl_condition_release_save(PyObject *lock);
int tl_condition_acquire_restore(struct tl_state *state, PyObject *lock,
                                 PyObject *saved);

// tl_condition_wait() and tl_condition_notify() with any lock. Return -1 with an exception
// set, too, if its methods raise one. Only if the lock refuses to be acquired again,
// which a RuntimeError tells, it is not held after tl_condition_wait_with().
int tl_condition_wait_with(ConditionObject *cond, int64_t deadline);
int tl_condition_notify_with(ConditionObject *cond, Py_ssize_t count);

// Finish the type.
void tl_condition_ready(PyTypeObject *type);

#endif // TL_CONDITION_FOREIGN_H
