// condition.c - Condition with a Lock or RLock of this module. condition_foreign.c has
// the rest.
//
// Who releases and re-acquires the lock:
//
// 1. The caller of wait() owns the lock. It releases it itself, in release(), which is
//    the last check before its wait. A notify() that needs the lock therefore finds it
//    in the queue.
// 2. The caller of notify() owns the lock, too. It does not wake the waiter, which
//    could not have the lock yet, but moves it to the end of the lock's queue. From
//    then on the waiter waits for the lock, without a deadline.
// 3. When the lock is released, the waiter is treated like any other in its queue
//    (lock.h): it is made the owner, or woken to try again.
// 4. Back in wait(), the waiter re-acquires the lock unless it is the owner already,
//    and sets its count. It does so, too, after a timeout or an exception, and holds
//    off interruptions until it has the lock.
// 5. A waiter that was notified but leaves with an exception notifies the next one,
//    with the lock acquired.
#include "sync/condition.h"

const struct tl_wait_kind tl_condition_wait_kind = {
    .verb = "be notified by", .exempt = true, .on_timeout = tl_wait_queue_timed_out};

#ifndef NDEBUG
static void
check_waiter(const ConditionObject *cond, struct tl_link *link)
{
    const struct tl_wait *wait = &TL_CONTAINER(link, struct tl_waiter, link)->wait;
    TL_CHECK("I1", "condition", cond,
             tl_wait_is_armed(wait) && wait->queue == &cond->waiters);
    TL_CHECK("I1", "condition", cond, !wait->kind->is_lock);
}

void
tl_condition_check(const ConditionObject *cond)
{
    TL_CHECK("I1", "condition", cond,
             cond->own == NULL || (PyObject *)cond->own == cond->lock);
    if (!tl_link_is_single(&cond->waiters)) {
        check_waiter(cond, cond->waiters.next);
        check_waiter(cond, cond->waiters.prev);
    }
    TL_CHECK("I2", "condition", cond,
             cond->tokens == NULL || PyList_CheckExact(cond->tokens));
}
#endif

// A wait that releases the lock in its last check.
struct release {
    struct tl_queued_wait block;
    LockObject *lock;
    unsigned long count; // the lock's count before the release; 0: not released
    bool is_lost;        // the caller has lost the lock, or the condition has another
};

static bool
release(struct tl_queued_wait *block)
{
    struct release *wait = TL_CONTAINER(block, struct release, block);
    ConditionObject *cond = (ConditionObject *)block->on;
    if (cond->own != wait->lock || !tl_lock_is_owned(wait->lock)) {
        wait->is_lost = true;
        return true;
    }
    wait->count = wait->lock->count;
    tl_lock_release_all(wait->lock);
    return false;
}

// Release the lock, which gives its waiters a chance, and re-acquire it.
static enum tl_waited
yield_lock(struct tl_state *state, LockObject *lock, struct tl_holder *me)
{
    unsigned long count = lock->count;
    tl_lock_release_all(lock);
    int result = tl_lock_regain(state, lock, me, 0);
    if (lock->ownership.owner == me) {
        lock->count = count;
    }
    return result < 0 ? TL_WAITED_FAILED : TL_WAITED_TIMED_OUT;
}

static enum tl_waited
wait_and_reacquire(struct tl_state *state, ConditionObject *cond, LockObject *lock,
                   tl_deadline deadline)
{
    struct tl_holder *me = tl_os_thread_holder(Py_TYPE(lock));
    if (me == NULL) {
        return TL_WAITED_FAILED;
    }
    if (deadline == TL_DEADLINE_PAST) {
        return yield_lock(state, lock, me);
    }
    struct release wait = {.block = {.kind = &tl_condition_wait_kind,
                                     .on = (PyObject *)cond,
                                     .queue = &cond->waiters,
                                     .deadline = deadline,
                                     .last_check = release},
                           .lock = lock};
    int result = tl_wait_queue_wait(state, &wait.block);
    unsigned char given = wait.block.given;
    tl_condition_check(cond);
    if (wait.is_lost && result == 0) {
        PyErr_SetString(PyExc_RuntimeError, TL_CONDITION_NOT_OWNED);
    }
    if (wait.count == 0) {
        return TL_WAITED_FAILED;
    }
    if (TL_UNLIKELY(!(given & TL_GIVEN_OWNERSHIP))) {
        result = tl_lock_regain(state, lock, me, given) < 0 ? -1 : result;
    }
    if (TL_LIKELY(lock->ownership.owner == me)) {
        lock->count = wait.count;
    }
    // If __init__() has given the condition another lock, its waiters use that one.
    if (result < 0 && (given & TL_GIVEN_NOTIFICATION) && cond->own == lock) {
        tl_condition_notify(cond, 1);
    }
    return result < 0                     ? TL_WAITED_FAILED
           : (given & TL_GIVEN_TIMED_OUT) ? TL_WAITED_TIMED_OUT
                                          : TL_WAITED_DONE;
}

enum tl_waited
tl_condition_wait(struct tl_state *state, ConditionObject *cond, tl_deadline deadline)
{
    // A notified waiter still needs this lock when __init__() gives the condition
    // another.
    LockObject *lock = (LockObject *)Py_NewRef(cond->own);
    enum tl_waited result = wait_and_reacquire(state, cond, lock, deadline);
    Py_DECREF(lock);
    return result;
}

void
tl_condition_notify(ConditionObject *cond, Py_ssize_t count)
{
    LockObject *lock = cond->own;
    struct tl_waiter *waiter;
    while (count-- > 0 &&
           ((waiter = tl_wait_queue_first_active(&cond->waiters)) != NULL ||
            (waiter = tl_wait_queue_first(&cond->waiters)) != NULL)) {
        tl_wait_queue_move(waiter, &tl_lock_wait, (PyObject *)lock, &lock->waiters,
                           TL_GIVEN_NOTIFICATION);
    }
    if (lock->count == 0) {
        tl_lock_pass_on(lock); // the caller could not re-acquire it: no release follows
    }
    tl_condition_check(cond);
    tl_lock_check(lock);
}

enum tl_waited
tl_condition_wait_alone(struct tl_state *state, PyObject *on, struct tl_link *queue,
                        tl_deadline deadline)
{
    struct tl_queued_wait how = {.kind = &tl_condition_wait_kind,
                                 .on = on,
                                 .queue = queue,
                                 .deadline = deadline};
    int result = deadline == TL_DEADLINE_PAST ? 0 : tl_wait_queue_wait(state, &how);
    if (result < 0 && (how.given & TL_GIVEN_NOTIFICATION)) {
        tl_wait_queue_wake_many(queue, 1, TL_GIVEN_NOTIFICATION);
    }
    return result < 0                            ? TL_WAITED_FAILED
           : (how.given & TL_GIVEN_NOTIFICATION) ? TL_WAITED_DONE
                                                 : TL_WAITED_TIMED_OUT;
}

Py_ssize_t
tl_condition_count(const struct tl_link *queue)
{
    Py_ssize_t count = 0;
    for (const struct tl_link *i = queue->next; i != queue; i = i->next) {
        count++;
    }
    return count;
}
