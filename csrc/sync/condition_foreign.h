// condition_foreign.h - a Condition with any other lock: threading's, a subclass's, a
// program's own.
#ifndef TL_CONDITION_FOREIGN_H
#define TL_CONDITION_FOREIGN_H

#include "sync/condition.h"

// Call the lock's method of that name. Returns a new reference, or NULL with an
// exception set.
// Switch: may.
PyObject *tl_condition_call(ConditionObject *cond, const char *name,
                            PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

// Whether the caller owns the lock: 1, 0, or -1 with an exception set.
// Switch: may.
int tl_condition_is_owned(ConditionObject *cond);

// Call _release_save() or _acquire_restore(), or release() or acquire() if the lock
// does not have these. The caller holds a reference to lock.
// tl_condition_acquire_restore() returns as tl_reacquire().
// Switch: may.
PyObject *tl_condition_release_save(PyObject *lock);
int tl_condition_acquire_restore(struct tl_state *state, PyObject *lock,
                                 PyObject *saved);

// tl_condition_wait() and tl_condition_notify() with any lock. Return -1 with an
// exception set, too, if the lock's methods raise one. After tl_condition_wait_with()
// the caller holds the lock, except for RuntimeError: the lock could not be
// re-acquired.
// Switch: may.
enum tl_waited tl_condition_wait_with(ConditionObject *cond, tl_deadline deadline);
int tl_condition_notify_with(ConditionObject *cond, Py_ssize_t count);

#endif // TL_CONDITION_FOREIGN_H
