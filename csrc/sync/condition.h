// condition.h - Condition and NLCondition: those who wait to be notified.
#ifndef TL_CONDITION_H
#define TL_CONDITION_H

#include "sync/lock.h"

// Invariants
// I1: own is lock if that is exactly a Lock or RLock of ours; then who waits is in waiters
//     until it is notified, and in the lock's queue from then on. Both are NULL before
//     __init__().
// I2: with another lock, tokens has a locked Lock for each who waits, the longest first. A
//     program that finds one in the collector's lists can release it.
typedef struct ConditionObject {
    PyObject_HEAD
    PyObject *lock;
    LockObject *own; // borrowed
    struct tl_link waiters;
    PyObject *tokens; // list, or NULL
    PyObject *weakrefs;
} ConditionObject;

// Locks: the GIL.
TL_CHECKER(tl_condition_check, const ConditionObject *cond);

// Of the RuntimeError that wait() raises.
#define TL_CONDITION_NOT_OWNED "cannot wait on un-acquired lock"

// How one waits to be notified.
extern const struct tl_wait_kind tl_condition_wait_kind;

// Release own, which the caller owns, wait to be notified, and acquire own again as often
// as before, in any case. deadline as in struct tl_queued_wait, and negative: it has passed.
// Returns 1, 0 if the time was up, or -1 with an exception set.
// Switch: yes.
int tl_condition_wait(struct tl_state *state, ConditionObject *cond, int64_t deadline);

// Have the first count of those who wait wait for own, which somebody has.
void tl_condition_notify(ConditionObject *cond, Py_ssize_t count);

// Wait for TL_GIVEN_NOTICE in the queue of one that has no lock. Returns as above.
int tl_condition_wait_alone(struct tl_state *state, PyObject *on, struct tl_link *queue,
                            int64_t deadline);

// How many are in a queue.
Py_ssize_t tl_condition_count(const struct tl_link *queue);

#endif // TL_CONDITION_H
