// lock.c - Lock and RLock: acquiring, waking and handing over. lock.h has the protocol.
#include "sync/lock.h"
#include "core/errors.h"
#include "core/timer.h"
#include "object/live_counts.h"
#include "sync/lock_cycle.h"
#include "sync/reacquire.h"
#include "base/clock.h"
#include "base/stress.h"

// A woken waiter that has found the lock taken this many times gets it by hand-off. The
// smaller the number, the fairer the lock, and the more thread switches it costs when
// threads compete for it.
enum { MAX_LOST_RACES = TL_STRESS_OR(2, 1) };

// How long a woken waiter may take to arrive before a release wakes another one, in
// nanoseconds: far longer than a thread needs to wake up. A waiter that is later may be
// a tasklet whose thread does not switch.
enum { WAKE_GRACE_NS = TL_STRESS_OR(1000000, 0) };

// Give up re-acquiring after this many waits that failed before they began: for want of
// memory, or because the owner is a tasklet of this thread that cannot run.
enum { MAX_FAILED_WAITS = 100 };

const struct tl_wait_kind tl_lock_wait = {.verb = "acquire",
                                          .exempt = true,
                                          .is_lock = true,
                                          .on_timeout = tl_wait_queue_timed_out};

static const struct tl_wait_kind requeue_wait = {.verb = "acquire",
                                                 .exempt = true,
                                                 .is_lock = true,
                                                 .on_timeout = tl_wait_queue_timed_out,
                                                 .joined = tl_wait_queue_to_head};

// Another thread is running the import, and will end this wait: run(wait=True) goes on.
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
                                                .exempt = true,
                                                .is_lock = true,
                                                .on_timeout = tl_wait_queue_timed_out,
                                                .joined = import_joined,
                                                .left = import_left};

#ifndef NDEBUG
void
tl_lock_check(const LockObject *lock)
{
    TL_CHECK("I1", "lock", lock, lock->count > 0 || lock->ownership.owner == NULL);
    tl_ownership_check(&lock->ownership); // I2: an owner that goes away disowns it
    TL_CHECK("I3", "lock", lock,
             lock->count > 0 || lock->woken_at != 0 ||
                 tl_wait_queue_first_active((struct tl_link *)&lock->waiters) == NULL);
}
#endif

// ---- waking and handing over

// Wake waiter to try again, unless a waiter that was woken before is still expected.
TL_COLD static void
wake_to_retry(LockObject *lock, struct tl_waiter *waiter)
{
    const struct tl_state *state = tl_state_of_object((PyObject *)lock);
    int64_t now = tl_clock_now();
    if (lock->woken_at == 0 || lock->forks != state->forks ||
        now - lock->woken_at >= WAKE_GRACE_NS) {
        lock->woken_at = now;
        lock->forks = state->forks;
        tl_wait_queue_wake(waiter, TL_GIVEN_RETRY);
    }
}

void
tl_lock_pass_on(LockObject *lock)
{
    struct tl_waiter *waiter = tl_wait_queue_first_active(&lock->waiters);
    if (waiter == NULL) {
        return;
    }
    if (TL_UNLIKELY(lock->is_strict)) {
        // Each waiter decides anew how to wait, which depends on the next owner's
        // thread.
        tl_wait_queue_wake_many(&lock->waiters, PY_SSIZE_T_MAX, TL_GIVEN_RETRY);
        return;
    }
    if (tl_wait_queue_is_mine(waiter) || lock->must_hand_off) {
        lock->must_hand_off = false;
        tl_lock_take(lock, tl_os_thread_holder_of(waiter));
        tl_wait_queue_wake(waiter, TL_GIVEN_OWNERSHIP);
    } else {
        // Until the other thread runs, the lock is free for any caller.
        wake_to_retry(lock, waiter);
    }
}

// The woken waiter has arrived. If it leaves with an exception, it offers a free lock
// to the next waiter.
static void
woken_waiter_arrived(LockObject *lock, bool leaves)
{
    lock->woken_at = 0;
    if (leaves && lock->count == 0) {
        tl_lock_pass_on(lock);
        tl_lock_check(lock);
    }
}

int
tl_lock_release(LockObject *lock)
{
    struct tl_holder *me = tl_os_thread_seen_holder();
    bool mine = lock->ownership.owner == me && me != NULL;
    if (lock->reentrant && !mine) {
        PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
        return -1;
    }
    if (lock->count == 0) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return -1;
    }
    if (!mine) {
        lock->released_by_other = true;
    }
    if (--lock->count == 0) {
        tl_lock_release_all(lock);
    }
    tl_lock_check(lock);
    return 0;
}

// ---- acquiring

static bool
is_free(struct tl_queued_wait *how)
{
    return ((LockObject *)how->on)->count == 0;
}

// Whether the owner of the lock is the calling thread or one of its tasklets. s is the
// thread's scheduler.
static bool
is_owned_here(struct tl_sched *s, LockObject *lock)
{
    struct tl_holder *owner = lock->ownership.owner;
    return owner->native ? s->native != NULL && owner == &s->native->holder
                         : TL_CONTAINER(owner, TaskletObject, holder)->home == s;
}

// Where the current tasklet must not be left, the whole thread sleeps for a lock.
// Returns 0, or -1 with RuntimeError set if the owner is on this thread and could never
// release it.
static int
check_owner(LockObject *lock)
{
    struct tl_sched *s = tl_sched_mine;
    struct tl_holder *owner = lock->ownership.owner;
    if (s == NULL || !tl_sched_is_held(s) || owner == NULL || lock->released_by_other) {
        return 0;
    }
    if (is_owned_here(s, lock)) {
        tl_errors_no_switch(s);
        return -1;
    }
    return 0;
}

// Whether the lock of an import is held by a thread that is gone, normally since a
// fork. The import must then begin anew.
static bool
is_abandoned(const LockObject *lock)
{
    const struct tl_holder *owner = lock->ownership.owner;
    return lock->is_strict && lock->count > 0 &&
           (owner == NULL ||
            (!owner->native && TL_CONTAINER(owner, TaskletObject, holder)->home->dead));
}

// A waiter with that result has found the lock held. If it was woken and another was
// faster, it has lost a race.
static void
note_lost_race(LockObject *lock, unsigned char given, int *lost_races)
{
    if ((given & TL_GIVEN_RETRY) && ++*lost_races >= MAX_LOST_RACES) {
        lock->must_hand_off = true;
    }
}

enum tl_waited
tl_lock_wait_for(struct tl_state *state, LockObject *lock, struct tl_holder *me,
                 tl_deadline deadline)
{
    int lost_races = 0;
    for (;;) {
        if (tl_lock_free_if_lost(lock) && lock->count == 0) {
            tl_lock_take(lock, me);
            return TL_WAITED_DONE;
        }
        if (deadline == TL_DEADLINE_NEVER &&
            (check_owner(lock) < 0 || tl_lock_cycle_check(state, lock, me) < 0)) {
            return TL_WAITED_FAILED;
        }
        struct tl_sched *s = lock->is_strict ? tl_sched_mine : NULL;
        bool elsewhere =
            s != NULL && lock->ownership.owner != NULL && !is_owned_here(s, lock);
        struct tl_queued_wait how = {.kind = elsewhere        ? &import_wait
                                             : lost_races > 0 ? &requeue_wait
                                                              : &tl_lock_wait,
                                     .on = (PyObject *)lock,
                                     .queue = &lock->waiters,
                                     .deadline = deadline,
                                     .last_check = is_free,
                                     .comes = elsewhere};
        int result = tl_wait_queue_wait(state, &how);
        if (how.given & TL_GIVEN_OWNERSHIP) {
            if (result < 0) {
                tl_lock_release_all(lock);
            }
            return result < 0 ? TL_WAITED_FAILED : TL_WAITED_DONE;
        }
        if (how.given & TL_GIVEN_RETRY) {
            woken_waiter_arrived(lock, result < 0);
        }
        if (result < 0) {
            return TL_WAITED_FAILED;
        }
        if (lock->count == 0) {
            tl_lock_take(lock, me);
            return TL_WAITED_DONE;
        }
        if (how.given & TL_GIVEN_TIMED_OUT) {
            return TL_WAITED_TIMED_OUT;
        }
        note_lost_race(lock, how.given, &lost_races);
    }
}

int
tl_lock_regain(struct tl_state *state, LockObject *lock, struct tl_holder *me,
               unsigned char given)
{
    int lost_races = (given & TL_GIVEN_NOTIFICATION)
                         ? 1
                         : 0; // it was in the queue: back to its head
    int failed = 0;
    struct tl_kept kept = {.exc = PyErr_GetRaisedException()};
    while (!(given & TL_GIVEN_OWNERSHIP)) {
        if (given & TL_GIVEN_RETRY) {
            woken_waiter_arrived(lock, false);
        }
        if (lock->count == 0) {
            tl_lock_take(lock, me);
            break;
        }
        note_lost_race(lock, given, &lost_races);
        struct tl_queued_wait how = {.kind =
                                         lost_races > 0 ? &requeue_wait : &tl_lock_wait,
                                     .on = (PyObject *)lock,
                                     .queue = &lock->waiters,
                                     .deadline = TL_DEADLINE_NEVER,
                                     .last_check = is_free,
                                     .is_mandatory = true};
        failed += check_owner(lock) < 0 ||
                  (tl_wait_queue_wait(state, &how) < 0 && !how.asked);
        (void)tl_kept_add(&kept); // its limits do not count: the lock is not to blame
        if (failed > MAX_FAILED_WAITS) {
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
        tl_link_init(&lock->ownership.held);
        tl_link_init(&lock->waiters);
        lock->reentrant = reentrant;
    }
    return lock;
}

void
tl_lock_reset(LockObject *lock)
{
    lock->woken_at = 0;
    lock->must_hand_off = lock->released_by_other = false;
    tl_lock_release_all(lock);
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

enum tl_waited
tl_lock_acquire_slow(LockObject *self, struct tl_holder *me, tl_deadline deadline)
{
    if (self->reentrant && self->ownership.owner == me) {
        if (self->count == ULONG_MAX) {
            PyErr_SetString(PyExc_OverflowError, "internal lock count overflowed");
            return TL_WAITED_FAILED;
        }
        self->count++;
        return TL_WAITED_DONE;
    }
    return deadline == TL_DEADLINE_PAST
               ? TL_WAITED_TIMED_OUT
               : tl_lock_wait_for(tl_state_of_object((PyObject *)self), self, me,
                                  deadline);
}
