// lock_cycle.h - locks whose owners wait for each other.
#ifndef TL_LOCK_CYCLE_H
#define TL_LOCK_CYCLE_H

#include "sync/lock.h"

// Whether me would wait for ever for the lock, because its owner waits for another one, and
// so on, and at last for one of me's. Returns 0, or -1 with DeadlockError set. Other code
// may have run.
int tl_lock_cycle_check(struct tl_state *state, LockObject *lock, struct tl_holder *me);

#endif // TL_LOCK_CYCLE_H
