#include "lock.h"
#include "clock.h"
#include "errors.h"
#include "live.h"
#include "reacquire.h"
#include "stress.h"
#include "timer.h"

// One that was called comes too late so often before it is given the lock; and so long
// others rely on its coming, in nanoseconds.
enum { LATE_MOST = TL_STRESS_OR(2, 1), TRUST = TL_STRESS_OR(1000000, 0) };

// So often a wait may not even begin, before the lock is given up by one who should have it
// back.
enum { FAILURES_MOST = 100 };

const struct tl_wait_kind tl_lock_wait = {
    .verb = "acquire", .patient = true, .lapsed = tl_block_lapsed};

// For one that was called, and has come too late.
static void
to_the_front(struct tl_wait *wait)
{
    struct tl_waiter *waiter = TL_CONTAINER(wait, struct tl_waiter, wait);
    tl_link_remove(&waiter->link);
    tl_link_insert_before(&waiter->link, wait->queue->next);
}

static const struct tl_wait_kind again_wait = {.verb = "acquire",
                                               .patient = true,
                                               .lapsed = tl_block_lapsed,
                                               .joined = to_the_front};

// For a lock of an import that another thread is at: run(wait=True) waits, too.
static void
count_import(struct tl_wait *wait, int n)
{
    if (!wait->native) {
        struct tl_sched *s = tl_task_of_wait(wait)->home;
        s->awaited += n;
        s->import_waits += n;
        tl_timer_expect(s);
    }
}

static void
import_joined(struct tl_wait *wait)
{
    count_import(wait, 1);
}

static void
import_left(struct tl_wait *wait)
{
    count_import(wait, -1);
}

static const struct tl_wait_kind import_wait = {.verb = "acquire",
                                                .patient = true,
                                                .lapsed = tl_block_lapsed,
                                                .joined = import_joined,
                                                .left = import_left};

#ifndef NDEBUG
void
tl_lock_check(const LockObject *lock)
{
    TL_CHECK("I1", "lock", lock, lock->count > 0 || lock->property.owner == NULL);
    tl_property_check(&lock->property); // I2: an owner that goes away disowns it
    TL_CHECK("I3", "lock", lock,
             lock->count > 0 || lock->called != 0 ||
                 tl_block_heir((struct tl_link *)&lock->waiters) == NULL);
}
#endif

bool
tl_lock_is_wait(const struct tl_wait_kind *kind)
{
    return kind == &tl_lock_wait || kind == &again_wait || kind == &import_wait;
}

// ---- giving

// Unless one that was called is still on its way, as far as one knows: after a fork it is
// not.
TL_COLD static void
call(LockObject *lock, struct tl_waiter *waiter)
{
    const struct tl_state *state = tl_state_of_object((PyObject *)lock);
    int64_t now = tl_clock_now();
    if (lock->called == 0 || lock->forks != state->forks ||
        now - lock->called >= TRUST) {
        lock->called = now;
        lock->forks = state->forks;
        tl_block_wake(waiter, TL_GIVEN_CALL);
    }
}

void
tl_lock_give(LockObject *lock)
{
    struct tl_waiter *waiter = tl_block_heir(&lock->waiters);
    if (waiter == NULL) {
        return;
    }
    if (TL_UNLIKELY(lock->is_strict)) {
        // Each waits anew: how depends on whose the lock is next.
        tl_block_wake_many(&lock->waiters, PY_SSIZE_T_MAX, TL_GIVEN_CALL);
        return;
    }
    if (tl_block_is_mine(waiter) || lock->hurry) {
        lock->hurry = false;
        tl_lock_take(lock, tl_native_holder_of(waiter));
        tl_block_wake(waiter, TL_GIVEN_PROPERTY);
    } else {
        // Another thread is long in coming: meanwhile whoever runs may have the lock.
        call(lock, waiter);
    }
}

// Whoever was called is here. If the lock is not for it, another is called.
static void
come(LockObject *lock, bool leaves)
{
    lock->called = 0;
    if (leaves && lock->count == 0) {
        tl_lock_give(lock);
        tl_lock_check(lock);
    }
}

int
tl_lock_release(LockObject *lock)
{
    struct tl_holder *me = tl_native_seen_holder();
    bool mine = lock->property.owner == me && me != NULL;
    if (lock->reentrant && !mine) {
        PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
        return -1;
    }
    if (lock->count == 0) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return -1;
    }
    if (!mine) {
        lock->is_signal = true;
    }
    if (--lock->count == 0) {
        tl_lock_free(lock);
    }
    tl_lock_check(lock);
    return 0;
}

// ---- acquiring

static bool
is_free(struct tl_block *how)
{
    return ((LockObject *)how->on)->count == 0;
}

// Whether the owner of the lock is of the calling thread, whose scheduler is s.
static bool
is_owned_here(struct tl_sched *s, LockObject *lock)
{
    struct tl_holder *owner = lock->property.owner;
    return owner->native ? s->native != NULL && owner == &s->native->holder
                         : TL_CONTAINER(owner, TaskletObject, holder)->home == s;
}

// Whether the thread may sleep until the lock is free, where the current tasklet must not
// be left. Returns 0, or -1 with RuntimeError set if the owner could never release it.
static int
check_owner(LockObject *lock)
{
    struct tl_sched *s = tl_sched_mine;
    struct tl_holder *owner = lock->property.owner;
    if (s == NULL || !tl_sched_is_held(s) || owner == NULL || lock->is_signal) {
        return 0;
    }
    if (is_owned_here(s, lock)) {
        tl_errors_no_switch(s);
        return -1;
    }
    return 0;
}

// Whether the lock of an import is held by a thread that is gone: by a fork, as a rule,
// whose child is to begin that import anew.
static bool
is_abandoned(const LockObject *lock)
{
    const struct tl_holder *owner = lock->property.owner;
    return lock->is_strict && lock->count > 0 &&
           (owner == NULL ||
            (!owner->native && TL_CONTAINER(owner, TaskletObject, holder)->home->dead));
}

int
tl_lock_wait_for(struct tl_state *state, LockObject *lock, struct tl_holder *me,
                 int64_t deadline)
{
    int late = 0;
    for (;;) {
        // Even so, a waiter may get it.
        if (tl_lock_free_if_lost(lock) && lock->count == 0) {
            tl_lock_take(lock, me);
            return 1;
        }
        if (deadline == 0 &&
            (check_owner(lock) < 0 || tl_cycle_check(state, lock, me) < 0)) {
            return -1;
        }
        struct tl_sched *s = lock->is_strict ? tl_sched_mine : NULL;
        bool elsewhere =
            s != NULL && lock->property.owner != NULL && !is_owned_here(s, lock);
        struct tl_block how = {.kind = elsewhere  ? &import_wait
                                       : late > 0 ? &again_wait
                                                  : &tl_lock_wait,
                               .on = (PyObject *)lock,
                               .queue = &lock->waiters,
                               .deadline = deadline,
                               .has_come = is_free,
                               .comes = elsewhere};
        int result = tl_block(state, &how);
        if (how.given & TL_GIVEN_PROPERTY) {
            if (result < 0) {
                tl_lock_free(lock);
            }
            return result < 0 ? -1 : 1;
        }
        if (how.given & TL_GIVEN_CALL) {
            come(lock, result < 0);
        }
        if (result < 0) {
            return -1;
        }
        if (lock->count == 0) {
            tl_lock_take(lock, me);
            return 1;
        }
        if (how.given & TL_GIVEN_LAPSED) {
            return 0;
        }
        if ((how.given & TL_GIVEN_CALL) && ++late >= LATE_MOST) {
            lock->hurry = true;
        }
    }
}

int
tl_lock_regain(struct tl_state *state, LockObject *lock, struct tl_holder *me,
               unsigned char given)
{
    int late = (given & TL_GIVEN_NOTICE) ? 1 : 0; // it has been in the queue before
    int failed = 0;
    struct tl_kept kept = {.exc = PyErr_GetRaisedException()};
    while (!(given & TL_GIVEN_PROPERTY)) {
        if (given & TL_GIVEN_CALL) {
            come(lock, false);
        }
        if (lock->count == 0) {
            tl_lock_take(lock, me);
            break;
        }
        if ((given & TL_GIVEN_CALL) && ++late >= LATE_MOST) {
            lock->hurry = true;
        }
        struct tl_block how = {.kind = late > 0 ? &again_wait : &tl_lock_wait,
                               .on = (PyObject *)lock,
                               .queue = &lock->waiters,
                               .has_come = is_free,
                               .insists = true};
        failed += check_owner(lock) < 0 || (tl_block(state, &how) < 0 && !how.asked);
        (void)tl_kept_add(&kept); // only waits that do not begin are counted
        if (failed > FAILURES_MOST) {
            return tl_kept_give_up(&kept);
        }
        given = how.given;
    }
    return tl_kept_raise(&kept);
}

// ---- the object

LockObject *
tl_lock_new(PyTypeObject *type, bool reentrant)
{
    LockObject *lock = (LockObject *)type->tp_alloc(type, 0); // zeroed
    if (lock != NULL) {
        tl_live_add(TL_LIVE_LOCK, 1);
        tl_link_init(&lock->property.held);
        tl_link_init(&lock->waiters);
        lock->reentrant = reentrant;
    }
    return lock;
}

void
tl_lock_reset(LockObject *lock)
{
    lock->called = 0;
    lock->hurry = lock->is_signal = false;
    tl_lock_free(lock);
}

bool
tl_lock_free_if_lost(LockObject *lock)
{
    bool is_lost = is_abandoned(lock);
    if (is_lost) {
        tl_lock_reset(lock);
    }
    return is_lost;
}
