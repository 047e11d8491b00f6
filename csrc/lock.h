// lock.h - Lock and RLock: who has it, and who is next.
#ifndef TL_LOCK_H
#define TL_LOCK_H

#include "block.h"

// Invariants
// I1: count is 0 iff the lock is free; then owner is NULL.
// I2: owner is NULL in a lock that is not free if nobody is known to have it: the owner has
//     gone away, or the lock is a signal that was never acquired.
// I3: while the lock is free and somebody waits who is expected to run, as
//     tl_block_heir() tells, a waiter has been called.
typedef struct LockObject {
    PyObject_HEAD
    struct tl_property property;
    struct tl_link waiters;
    int64_t called;      // when a waiter was called that has not come yet; 0: none
    unsigned long count; // how often owner has acquired it
    unsigned forks;      // of state, when that waiter was called
    bool reentrant;
    bool is_signal; // somebody else than its owner has released it before
    bool hurry;     // the next to be called has been too late often enough
    bool is_strict; // a cycle is an error even if a timeout() would end it
    PyObject *weakrefs;
} LockObject;

// Locks: the GIL.
TL_CHECKER(tl_lock_check, const LockObject *lock);

// How one waits for a lock that it has not, or has no more.
extern const struct tl_wait_kind tl_lock_wait;

// Take a lock that is free.
static inline void
tl_lock_take(LockObject *lock, struct tl_holder *me)
{
    lock->count = 1;
    tl_native_own(me, &lock->property);
    tl_lock_check(lock);
}

// Give the lock away, however often it was acquired.
void tl_lock_give(LockObject *lock);

static inline void
tl_lock_free(LockObject *lock)
{
    if (TL_LIKELY(lock->property.owner != NULL)) {
        tl_native_disown(&lock->property);
    }
    lock->count = 0;
    if (TL_UNLIKELY(!tl_link_is_single(&lock->waiters))) {
        tl_lock_give(lock);
    }
    tl_lock_check(lock);
}

// Whether Condition's methods may be called.
static inline bool
tl_lock_is_owned(const LockObject *lock)
{
    return lock->reentrant ? lock->property.owner != NULL &&
                                 lock->property.owner == tl_native_seen_holder()
                           : lock->count > 0;
}

// Acquire the lock, which is not free nor me's to acquire again, for me, the calling one.
// deadline as in struct tl_block. Returns 1, 0 if the time was up, or -1 with an exception
// set: DeadlockError if others wait for each other and at last for me.
// Switch: yes.
int tl_lock_wait_for(struct tl_state *state, LockObject *lock, struct tl_holder *me,
                     int64_t deadline);

// Acquire it unconditionally, after a wait for it that ended with given. What is set on
// entry, and comes meanwhile, is raised in the end, as by tl_reacquire(): returns 0, or -1
// with an exception set. It is not acquired only where the owner can never release it,
// because the thread must not leave the current tasklet: RuntimeError.
// Switch: may.
int tl_lock_regain(struct tl_state *state, LockObject *lock, struct tl_holder *me,
                   unsigned char given);

// Release it for the calling one. Returns 0, or -1 with RuntimeError set.
int tl_lock_release(LockObject *lock);

// Whether a wait of this kind is one for a lock.
bool tl_lock_is_wait(const struct tl_wait_kind *kind);

// A new one, free.
LockObject *tl_lock_new(PyTypeObject *type, bool reentrant);

// After a fork, or for one that nobody waits for: it is free.
void tl_lock_reset(LockObject *lock);

// If the lock is an import's, and its owner is gone with a fork: the next waiter gets it.
// Returns whether it is.
bool tl_lock_free_if_lost(LockObject *lock);

// ---- cycle.c

// Whether me would wait for ever for the lock, because its owner waits for another one, and
// so on, and at last for one of me's. Returns 0, or -1 with DeadlockError set. Other code
// may have run.
int tl_cycle_check(struct tl_state *state, LockObject *lock, struct tl_holder *me);

#endif // TL_LOCK_H
