// lock_ops.h - what the faces of the locks have in common.
#ifndef TL_LOCK_OPS_H
#define TL_LOCK_OPS_H

#include "lock.h"
#include "stress_points.h"

// Acquire a lock that is not free. Returns as tl_lock_wait_for(), and 0 if deadline is
// negative.
// Switch: may.
int tl_lock_acquire_slow(LockObject *lock, struct tl_holder *me, int64_t deadline);

// The same for any. -1, too, if there is no memory for the thread's first lock.
static inline int
tl_lock_acquire(LockObject *lock, int64_t deadline)
{
    struct tl_holder *me = tl_native_holder(Py_TYPE(lock));
    if (TL_UNLIKELY(me == NULL)) {
        return -1;
    }
    bool may_wait = TL_STRESSED && deadline >= 0 && !lock->is_strict &&
                    !(lock->reentrant && lock->property.owner == me);
    if (may_wait && tl_stress_before_wait() < 0) {
        return -1;
    }
    if (TL_LIKELY(lock->count == 0) && !(may_wait && tl_waits_anyway())) {
        tl_lock_take(lock, me);
        return 1;
    }
    return tl_lock_acquire_slow(lock, me, deadline);
}

// What release() and __exit__() return.
static inline PyObject *
tl_lock_leave(LockObject *lock)
{
    struct tl_holder *owner = lock->property.owner;
    if (TL_LIKELY(lock->count == 1 && owner != NULL &&
                  owner == tl_native_seen_holder() &&
                  tl_link_is_single(&lock->waiters))) {
        tl_native_disown(&lock->property);
        lock->count = 0;
        tl_lock_check(lock);
        Py_RETURN_NONE;
    }
    return tl_lock_release(lock) < 0 ? NULL : Py_NewRef(Py_None);
}

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

#endif // TL_LOCK_OPS_H
