// lock_cycle.h - deadlocks of locks whose owners wait for each other.
#ifndef TL_LOCK_CYCLE_H
#define TL_LOCK_CYCLE_H

#include "sync/lock.h"

// Check that me may wait for lock: that its owner does not wait for a lock whose owner
// waits for another, and so on, up to a lock that me owns. Returns 0, or -1 with
// DeadlockError (or the error of its report) set. A cycle that is only reported is a
// RuntimeWarning, which may run Python code.
int tl_lock_cycle_check(struct tl_state *state, LockObject *lock, struct tl_holder *me);

#endif // TL_LOCK_CYCLE_H
