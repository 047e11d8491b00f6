#include "condition.h"

const struct tl_wait_kind tl_condition_wait_kind = {
    .verb = "be notified by", .patient = true, .lapsed = tl_block_lapsed};

#ifndef NDEBUG
static void
check_waiter(const ConditionObject *cond, struct tl_link *link)
{
    const struct tl_wait *wait = &TL_CONTAINER(link, struct tl_waiter, link)->wait;
    TL_CHECK("I1", "condition", cond,
             tl_wait_is_armed(wait) && wait->queue == &cond->waiters);
    TL_CHECK("I1", "condition", cond, !tl_lock_is_wait(wait->kind));
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

// A wait that releases the lock when nothing can come in between any more.
struct release {
    struct tl_block block;
    LockObject *lock;
    unsigned long count; // how often it was acquired; 0: it has not been released
    bool is_lost;        // it is not the caller's any more, or not the condition's
};

static bool
release(struct tl_block *block)
{
    struct release *wait = TL_CONTAINER(block, struct release, block);
    ConditionObject *cond = (ConditionObject *)block->on;
    if (cond->own != wait->lock || !tl_lock_is_owned(wait->lock)) {
        wait->is_lost = true;
        return true;
    }
    wait->count = wait->lock->count;
    tl_lock_free(wait->lock);
    return false;
}

// Release the lock once for those who wait for it.
static int
let_others(struct tl_state *state, LockObject *lock, struct tl_holder *me)
{
    unsigned long count = lock->count;
    tl_lock_free(lock);
    int result = tl_lock_regain(state, lock, me, 0);
    if (lock->property.owner == me) {
        lock->count = count;
    }
    return result;
}

static int
wait_for(struct tl_state *state, ConditionObject *cond, LockObject *lock,
         int64_t deadline)
{
    struct tl_holder *me = tl_native_holder(Py_TYPE(lock));
    if (me == NULL) {
        return -1;
    }
    if (deadline < 0) {
        return let_others(state, lock, me);
    }
    struct release wait = {.block = {.kind = &tl_condition_wait_kind,
                                     .on = (PyObject *)cond,
                                     .queue = &cond->waiters,
                                     .deadline = deadline,
                                     .has_come = release},
                           .lock = lock};
    int result = tl_block(state, &wait.block);
    unsigned char given = wait.block.given;
    tl_condition_check(cond);
    if (wait.is_lost && result == 0) {
        PyErr_SetString(PyExc_RuntimeError, TL_CONDITION_NOT_OWNED);
    }
    if (wait.count == 0) {
        return -1;
    }
    if (TL_UNLIKELY(!(given & TL_GIVEN_PROPERTY))) {
        result = tl_lock_regain(state, lock, me, given) < 0 ? -1 : result;
    }
    if (TL_LIKELY(lock->property.owner == me)) {
        lock->count = wait.count;
    }
    // If the condition has got another lock meanwhile, nobody waits with this one.
    if (result < 0 && (given & TL_GIVEN_NOTICE) && cond->own == lock) {
        tl_condition_notify(cond, 1);
    }
    return result < 0 ? -1 : !(given & TL_GIVEN_LAPSED);
}

int
tl_condition_wait(struct tl_state *state, ConditionObject *cond, int64_t deadline)
{
    // Once notified one waits for the lock, and the condition may get another one.
    LockObject *lock = (LockObject *)Py_NewRef(cond->own);
    int result = wait_for(state, cond, lock, deadline);
    Py_DECREF(lock);
    return result;
}

void
tl_condition_notify(ConditionObject *cond, Py_ssize_t count)
{
    LockObject *lock = cond->own;
    struct tl_waiter *waiter;
    while (count-- > 0 && ((waiter = tl_block_heir(&cond->waiters)) != NULL ||
                           (waiter = tl_block_first(&cond->waiters)) != NULL)) {
        tl_block_move(waiter, &tl_lock_wait, (PyObject *)lock, &lock->waiters,
                      TL_GIVEN_NOTICE);
    }
    if (lock->count == 0) {
        tl_lock_give(lock); // the caller could not acquire it again
    }
    tl_condition_check(cond);
    tl_lock_check(lock);
}

int
tl_condition_wait_alone(struct tl_state *state, PyObject *on, struct tl_link *queue,
                        int64_t deadline)
{
    struct tl_block how = {.kind = &tl_condition_wait_kind,
                           .on = on,
                           .queue = queue,
                           .deadline = deadline};
    int result = deadline < 0 ? 0 : tl_block(state, &how);
    if (result < 0 && (how.given & TL_GIVEN_NOTICE)) {
        tl_block_wake_many(queue, 1, TL_GIVEN_NOTICE);
    }
    return result < 0 ? -1 : (how.given & TL_GIVEN_NOTICE) != 0;
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
