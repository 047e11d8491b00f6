// outcome.h - who is told when a tasklet ends, and what.
#ifndef TL_OUTCOME_H
#define TL_OUTCOME_H

#include "sched.h"

// How tasklets wait for the end of another.
extern const struct tl_wait_kind tl_outcome_wait;

// Record how t ended, with result or exc (both stolen, one may be NULL), wake who waits
// for it and call the callbacks. Returns exc if it still has to go to main or run().
// Switch: may, in a callback.
PyObject *tl_outcome_settle(TaskletObject *t, PyObject *result, PyObject *exc);

// t's thread is gone and t with it: nobody is to wait for it.
void tl_outcome_abandon(TaskletObject *t);

// Wait for the end of t. Returns 0, or -1 with an exception set.
// Switch: may.
int tl_outcome_join(struct tl_sched *s, TaskletObject *t);

// Let go of those who wait for t, which is being deallocated.
void tl_outcome_release_waiters(TaskletObject *t);

#endif // TL_OUTCOME_H
