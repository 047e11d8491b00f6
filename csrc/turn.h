// turn.h - where the GIL cannot be governed, atomic sections at least exclude one
// another: one at a time has the turn, in order of arrival.
#ifndef TL_TURN_H
#define TL_TURN_H

#include <stdbool.h>

// Take the turn if it is free. Returns whether owner has it now; owner stands for a
// thread, and is only compared.
bool tl_turn_try(const void *owner);

// Wait for it.  Thread: without the GIL.
void tl_turn_take(const void *owner);

// Let the next one have it, if owner has it.
void tl_turn_give(const void *owner);

// Around a fork: hold the mutex. In the child only heir, the calling thread's owner, may
// have kept the turn, and nobody waits for it.
void tl_turn_hold(void);
void tl_turn_release(bool in_child, const void *heir);

#endif // TL_TURN_H
