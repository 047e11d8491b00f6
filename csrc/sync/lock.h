// lock.h - Lock and RLock: ownership, and what a release does for the waiters.
//
// The owner is a tasklet or, for a main tasklet and on threads without tasklets, the OS
// thread. An uncontended acquire or release changes count and the owner, and no more.
// With waiters, a release does one of two things:
//
// - Hand-off: the first waiter becomes the owner, and nobody can get in between. This
//   is done for a tasklet of the releasing thread, which can run at once, and for a
//   waiter that has lost too many races (below).
// - Barging: the lock becomes free, and the first waiter is woken to try again. A
//   waiter of another thread needs microseconds until it runs. Until then any caller of
//   acquire() may take the lock, so a thread that releases and acquires in a loop does
//   not pay for a thread switch each time.
//
// A woken waiter that finds the lock taken again has lost a race. It waits again, at
// the head of the queue. After MAX_LOST_RACES it sets must_hand_off, and the next
// release hands the lock over: barging cannot starve a waiter.
//
// At most one woken waiter is on its way: woken_at says since when. Further releases
// wake nobody until it has arrived, or is overdue by WAKE_GRACE_NS. A woken waiter that
// leaves with an exception offers the lock to the next one.
//
// The lock of an import (is_strict) is never handed over: a release wakes all waiters,
// and each decides anew how to wait, because that depends on which thread owns the lock
// next.
#ifndef TL_LOCK_H
#define TL_LOCK_H

#include "core/stress_points.h"
#include "sync/wait_queue.h"

// Invariants
// I1: count is 0 iff the lock is free; then owner is NULL.
// I2: owner is NULL in a lock that is not free if no owner is known: the owner has gone
//     away, or the lock was made in the acquired state, as the token of a condition.
// I3: while the lock is free and tl_wait_queue_first_active() finds a waiter, a waiter
//     has been woken (woken_at is set).
typedef struct LockObject {
    PyObject_HEAD
    struct tl_ownership ownership; // the owner
    struct tl_link waiters;        // a queue of wait_queue.h
    int64_t woken_at;    // when a waiter was woken that has not arrived; 0: none
    unsigned long count; // number of acquires by the owner that were not released
    unsigned forks;      // state->forks at woken_at: a fork leaves that waiter behind
    bool reentrant;      // an RLock
    bool released_by_other; // at least once: the owner may not be the one to release it
    bool must_hand_off; // the first waiter has lost MAX_LOST_RACES: hand it the lock
    bool is_strict;     // an import's: a cycle is an error even inside timeout()
    PyObject *weakrefs;
} LockObject;

// Locks: the GIL.
TL_CHECKER(tl_lock_check, const LockObject *lock);

// Waiting for a lock for the first time.
extern const struct tl_wait_kind tl_lock_wait;

// Make me the owner of a free lock.
static inline void
tl_lock_take(LockObject *lock, struct tl_holder *me)
{
    lock->count = 1;
    tl_os_thread_own(me, &lock->ownership);
    tl_lock_check(lock);
}

// The lock has become free: hand it to the first waiter, or wake that, or do nothing.
void tl_lock_pass_on(LockObject *lock);

// Release the lock, whatever its count. Does not call into Python.
// Thread: any.
static inline void
tl_lock_release_all(LockObject *lock)
{
    if (TL_LIKELY(lock->ownership.owner != NULL)) {
        tl_os_thread_disown(&lock->ownership);
    }
    lock->count = 0;
    if (TL_UNLIKELY(!tl_link_is_single(&lock->waiters))) {
        tl_lock_pass_on(lock);
    }
    tl_lock_check(lock);
}

// Whether the caller may call a Condition's methods: it owns the RLock, or the
// Lock is acquired, no matter by whom.
static inline bool
tl_lock_is_owned(const LockObject *lock)
{
    return lock->reentrant ? lock->ownership.owner != NULL &&
                                 lock->ownership.owner == tl_os_thread_seen_holder()
                           : lock->count > 0;
}

// Slow path of acquire: wait for a lock that is held, and that the caller, me, cannot
// re-enter. deadline is not PAST. Fails with DeadlockError if the wait would close a
// cycle of owners.
// Switch: yes.
enum tl_waited tl_lock_wait_for(struct tl_state *state, LockObject *lock,
                                struct tl_holder *me, tl_deadline deadline);

// Re-acquire the lock unconditionally, after a wait that ended with given. An exception
// that is set on entry, or occurs during the call, is raised in the end, as by
// tl_reacquire(): returns 0, or -1 with an exception set. The caller owns the
// lock in both cases, except after RuntimeError "could not be re-acquired": that is
// raised after MAX_FAILED_WAITS waits that could not begin, for lack of memory or
// because the owner is a tasklet of this thread that cannot run now.
// Switch: may.
int tl_lock_regain(struct tl_state *state, LockObject *lock, struct tl_holder *me,
                   unsigned char given);

// Release the lock once, on behalf of the caller. Returns 0, or -1 with RuntimeError
// set.
int tl_lock_release(LockObject *lock);

// A new lock, free. NULL with MemoryError set.
LockObject *tl_lock_new(PyTypeObject *type, bool reentrant);

// Make the lock free without regard to its owner, and forget the waiter that was woken:
// for the child of a fork, and for a lock whose owner is lost.
void tl_lock_reset(LockObject *lock);

// If the lock is an import's and its owner has no thread any more, free it, which wakes
// its waiters. Returns whether that was so.
bool tl_lock_free_if_lost(LockObject *lock);

// Acquire a lock that is not free. If deadline is PAST it does not wait.
// Switch: may.
enum tl_waited tl_lock_acquire_slow(LockObject *lock, struct tl_holder *me,
                                    tl_deadline deadline);

// Acquire any lock. Fails with MemoryError, too, if there is no memory for the thread's
// first lock.
// Switch: may.
static inline enum tl_waited
tl_lock_acquire(LockObject *lock, tl_deadline deadline)
{
    struct tl_holder *me = tl_os_thread_holder(Py_TYPE(lock));
    if (TL_UNLIKELY(me == NULL)) {
        return TL_WAITED_FAILED;
    }
    bool may_wait = TL_STRESSED && deadline != TL_DEADLINE_PAST && !lock->is_strict &&
                    !(lock->reentrant && lock->ownership.owner == me);
    if (may_wait && tl_stress_before_wait() < 0) {
        return TL_WAITED_FAILED;
    }
    if (TL_LIKELY(lock->count == 0) && !(may_wait && tl_waits_anyway())) {
        tl_lock_take(lock, me);
        return TL_WAITED_DONE;
    }
    return tl_lock_acquire_slow(lock, me, deadline);
}

// The methods release() and __exit__(): None, or NULL with RuntimeError set.
static inline PyObject *
tl_lock_leave(LockObject *lock)
{
    struct tl_holder *owner = lock->ownership.owner;
    if (TL_LIKELY(lock->count == 1 && owner != NULL &&
                  owner == tl_os_thread_seen_holder() &&
                  tl_link_is_single(&lock->waiters))) {
        tl_os_thread_disown(&lock->ownership);
        lock->count = 0;
        tl_lock_check(lock);
        Py_RETURN_NONE;
    }
    return tl_lock_release(lock) < 0 ? NULL : Py_NewRef(Py_None);
}

#endif // TL_LOCK_H
