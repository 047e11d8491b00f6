// section_lock.h - where the GIL cannot be governed, atomic sections at least exclude one
// another: one at a time has the turn, in order of arrival.
#ifndef TL_SECTION_LOCK_H
#define TL_SECTION_LOCK_H

#include <stdbool.h>

// Take the turn if it is free. Returns whether owner has it now; owner stands for a
// thread, and is only compared.
bool tl_section_lock_try(const void *owner);

// Wait for it.  Thread: without the GIL.
void tl_section_lock_take(const void *owner);

// Let the next one have it, if owner has it.
void tl_section_lock_give(const void *owner);

// Around a fork: hold the mutex. In the child only heir, the calling thread's owner, may
// have kept the turn, and nobody waits for it.
void tl_section_lock_hold(void);
void tl_section_lock_release(bool in_child, const void *heir);

#endif // TL_SECTION_LOCK_H
