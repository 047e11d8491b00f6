// outcome.h - the outcome of a tasklet, and what its end notifies: waiters in
// join(), its TaskGroup, and done callbacks.
#ifndef TL_OUTCOME_H
#define TL_OUTCOME_H

#include "core/sched.h"
#include "object/callback_list.h"

// Waiting for the end of a tasklet.
extern const struct tl_wait_kind tl_outcome_wait;

// t's outcome record, made if it has none. NULL with MemoryError set.
struct tl_outcome *tl_outcome_of(TaskletObject *t);
void tl_outcome_free(struct tl_outcome *outcome);

// Record how t, which has an outcome, ended: with result (stolen, may be NULL) or exc
// (borrowed, may be NULL). Returns whether a waiter, a callback or a group gets the
// outcome, and so the error.
bool tl_outcome_record(TaskletObject *t, PyObject *result, PyObject *exc);

// exc (stolen) is delivered as an outcome. Returns it if it must be raised in the main
// tasklet or run() nevertheless, else NULL.
PyObject *tl_outcome_rest(struct tl_state *state, PyObject *exc);

// t has ended: wake its waiters, notify its group and call its callbacks.
// Switch: may, in a callback.
void tl_outcome_notify(TaskletObject *t);

// The calling thread ends, and its tasklet t will not reach its end: notify t's group
// and call its callbacks. If t has neither, tl_outcome_abandon() wakes its waiters
// later.
// Switch: may, in a callback.
void tl_outcome_give_up(TaskletObject *t);

// t's thread has ended, and t with it: wake its waiters, who find t cancelled.
void tl_outcome_abandon(TaskletObject *t);

// Wait for the end of t until deadline.
// Switch: may.
enum tl_waited tl_outcome_join(struct tl_sched *s, TaskletObject *t,
                               tl_deadline deadline);

// Whether t has ended, or never will because its thread has.
bool tl_outcome_is_over(const TaskletObject *t);

// Add a done callback.
enum tl_listening tl_outcome_listen(TaskletObject *t, PyObject *func);

// Wake the waiters of t, which has an outcome.
void tl_outcome_release_waiters(TaskletObject *t);

#endif // TL_OUTCOME_H
