// outcome.h - who is told when a tasklet ends, and what.
#ifndef TL_OUTCOME_H
#define TL_OUTCOME_H

#include "core/sched.h"

// How tasklets wait for the end of another.
extern const struct tl_wait_kind tl_outcome_wait;

// Record how t ended, with result (stolen, may be NULL) or exc (borrowed, may be NULL).
// Returns whether anybody waits for the outcome, who gets the error then.
bool tl_outcome_record(TaskletObject *t, PyObject *result, PyObject *exc);

// What of exc (stolen), which somebody waited for, goes to main or run() all the same:
// exc, or NULL.
PyObject *tl_outcome_rest(struct tl_state *state, PyObject *exc);

// Wake who waits for the end of t, and call the callbacks.
// Switch: may, in a callback.
void tl_outcome_tell(TaskletObject *t);

// t, of the calling thread, which is about to end, will not come to its end: call the
// callbacks. Who waits in another way is told by tl_outcome_abandon().
// Switch: may, in a callback.
void tl_outcome_give_up(TaskletObject *t);

// t's thread is gone and t with it: nobody is to wait for it.
void tl_outcome_abandon(TaskletObject *t);

// Wait for the end of t. Returns 1; 0 if the deadline, as in struct tl_leave, came first;
// or -1 with an exception set.
// Switch: may.
int tl_outcome_join(struct tl_sched *s, TaskletObject *t, int64_t deadline);

// Whether t has come to its end, or never will because its thread has ended.
bool tl_outcome_is_over(const TaskletObject *t);

// Add a done callback. Returns 0; 1 if t has ended, and func is not called; or -1 with an
// exception set.
int tl_outcome_listen(TaskletObject *t, PyObject *func);

// Let go of those who wait for t, which is being deallocated.
void tl_outcome_release_waiters(TaskletObject *t);

#endif // TL_OUTCOME_H
