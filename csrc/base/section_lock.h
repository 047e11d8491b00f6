// section_lock.h - a process-wide lock for atomic sections, used where the GIL cannot
// be governed: sections then exclude each other, but not code outside of sections.
//
// The lock is FIFO: it is handed to the thread that has waited longest. An owner stands
// for a thread, and is only compared: it is the address of the thread's struct
// tl_guard.
#ifndef TL_SECTION_LOCK_H
#define TL_SECTION_LOCK_H

#include <stdbool.h>

// Acquire the lock if it is free. Returns whether owner has it now.
bool tl_section_lock_try(const void *owner);

// Acquire the lock, unless owner has it already. Blocks.
// Thread: owner's, without the GIL.
void tl_section_lock_take(const void *owner);

// Release the lock, if owner has it, and hand it to the first waiter.
// Thread: any.
void tl_section_lock_give(const void *owner);

// Around a fork: take the mutex. In the child heir, the calling thread's owner (may be
// NULL), keeps the lock if it had it; other owners and waiters do not exist there.
void tl_section_lock_hold(void);
void tl_section_lock_release(bool in_child, const void *heir);

#endif // TL_SECTION_LOCK_H
