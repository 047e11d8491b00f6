// condition.h - Condition and NLCondition: waiting to be notified. condition.c has the
// protocol.
#ifndef TL_CONDITION_H
#define TL_CONDITION_H

#include "sync/lock.h"

// Invariants
// I1: own is lock if that is exactly a Lock or RLock of this module; then a waiter is
//     in waiters until it is notified, and in the lock's queue from then on. Both are
//     NULL before __init__().
// I2: with any other lock, tokens has one acquired Lock per waiter, in FIFO order. A
//     program that finds one through gc.get_objects() can release it.
typedef struct ConditionObject {
    PyObject_HEAD
    PyObject *lock;
    LockObject *own;        // borrowed
    struct tl_link waiters; // a queue of wait_queue.h
    PyObject *tokens;       // list, or NULL
    PyObject *weakrefs;
} ConditionObject;

// Locks: the GIL.
TL_CHECKER(tl_condition_check, const ConditionObject *cond);

// The text of the RuntimeError that wait() raises.
#define TL_CONDITION_NOT_OWNED "cannot wait on un-acquired lock"

// Waiting to be notified.
extern const struct tl_wait_kind tl_condition_wait_kind;

// Release own, which the caller owns, wait to be notified, and re-acquire own with the
// count it had, also after an exception. If deadline is PAST: release and re-acquire
// without a wait.
// Switch: yes.
enum tl_waited tl_condition_wait(struct tl_state *state, ConditionObject *cond,
                                 tl_deadline deadline);

// Move the first count waiters to the queue of own, which is normally held.
void tl_condition_notify(ConditionObject *cond, Py_ssize_t count);

// Wait for TL_GIVEN_NOTIFICATION in queue, of an object on that has no lock.
// Switch: may.
enum tl_waited tl_condition_wait_alone(struct tl_state *state, PyObject *on,
                                       struct tl_link *queue, tl_deadline deadline);

// The number of waiters in queue.
Py_ssize_t tl_condition_count(const struct tl_link *queue);

#endif // TL_CONDITION_H
