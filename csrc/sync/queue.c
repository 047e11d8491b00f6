// queue.c - Queue, LifoQueue and PriorityQueue: the methods, waiting and waking.
//
// The mutex. A call that cannot run Python code relies on the GIL and leaves the free
// mutex alone; any other call holds it, as described in queue.h. A caller that has to
// wait releases the mutex, if it holds it, as the last step before the wait
// (release_or_look()), and takes it again after the wait only if it needs it.
//
// Waiting. A getter waits in the queue of not_empty, a putter in not_full, a joiner in
// all_tasks_done, with a kind of this file. The program may call wait() of the same
// conditions: is_method_waiter() tells the two apart.
//
// Waking. A call that has put an item wakes the first getter; a call that has taken one
// wakes the first putter. The item or the free slot is not reserved: another caller may
// get there first. The woken waiter that finds nothing has lost a race. It waits again,
// at the head of the queue. After MAX_LOST_RACES it sets the must_hand_off flag of its
// side, and the next call that would wake it makes it the owner of the mutex, which
// keeps all others out until it has run. A woken waiter that leaves with an exception
// wakes the next instead.
//
// If the program calls notify() of a condition, condition.c moves a waiter of this file
// to the queue of the mutex. The waiter then returns from the wait as the owner of the
// mutex or with TL_GIVEN_RETRY, and acquires the mutex as Condition.wait() does.
#include "sync/queue.h"
#include "core/timer.h"
#include "sync/queue_items.h"
#include "base/stress.h"

#include <float.h>
#include <math.h>

// After a woken waiter has found nothing this many times, the next call that wakes it
// hands it the mutex. As in lock.c: the smaller, the fairer and the slower.
enum { MAX_LOST_RACES = TL_STRESS_OR(2, 1) };

// The three kinds of caller that wait.
enum side { GET, PUT, JOIN };

// By side: for the first wait, and after a lost race.
static const struct tl_wait_kind kinds[][2] = {
    [GET] = {{.verb = "get from",
              .exempt = true,
              .on_timeout = tl_wait_queue_timed_out},
             {.verb = "get from",
              .exempt = true,
              .on_timeout = tl_wait_queue_timed_out,
              .joined = tl_wait_queue_to_head}},
    [PUT] = {{.verb = "put to", .exempt = true, .on_timeout = tl_wait_queue_timed_out},
             {.verb = "put to",
              .exempt = true,
              .on_timeout = tl_wait_queue_timed_out,
              .joined = tl_wait_queue_to_head}},
    [JOIN] = {{.verb = "join", .exempt = true, .on_timeout = tl_wait_queue_timed_out}},
};

// Whether waiter waits in a method of the queue, and not in a condition's wait().
static bool
is_method_waiter(const struct tl_waiter *waiter)
{
    uintptr_t kind = (uintptr_t)waiter->wait.kind;
    return kind >= (uintptr_t)kinds && kind < (uintptr_t)kinds + sizeof kinds;
}

#ifndef NDEBUG
static void
check_waiter(const QueueObject *q, struct tl_link *queue, struct tl_link *link,
             const ConditionObject *cond)
{
    const struct tl_waiter *waiter = TL_CONTAINER(link, struct tl_waiter, link);
    PyObject *on = waiter->wait.on;
    TL_CHECK("I4", "queue", q,
             link == queue ||
                 on == (is_method_waiter(waiter) ? (PyObject *)q : (PyObject *)cond));
}

static void
check_condition(const QueueObject *q, ConditionObject *cond)
{
    TL_CHECK("I1", "queue", q, (cond == NULL) == (q->mutex == NULL));
    if (cond != NULL) {
        check_waiter(q, &cond->waiters, cond->waiters.next, cond);
        check_waiter(q, &cond->waiters, cond->waiters.prev, cond);
    }
}

void
tl_queue_check(const QueueObject *q)
{
    check_condition(q, q->not_empty);
    check_condition(q, q->not_full);
    check_condition(q, q->all_tasks_done);
    tl_queue_check_items(q);
    TL_CHECK("I3", "queue", q,
             q->type_version == 0 || q->type_version != Py_TYPE(q)->tp_version_tag ||
                 !q->is_patched || (q->is_hooked && q->is_routed));
}
#endif

// ---- one call of a method

struct visit {
    QueueObject *q;
    enum side side;
    struct tl_holder *me; // the caller, as an owner of locks
    // me has acquired the mutex for this call. Python code may have released it since:
    // a method of a subclass, or any other, because a Lock may be released by all.
    bool is_held;
    bool is_notified; // woken, and has not used that: to wake the next if it fails
};

static ConditionObject *
condition_of(QueueObject *q, enum side side)
{
    return side == GET ? q->not_empty : side == PUT ? q->not_full : q->all_tasks_done;
}

static bool *
hand_off_flag_of(QueueObject *q, enum side side)
{
    return side == GET   ? &q->must_hand_off_to_getter
           : side == PUT ? &q->must_hand_off_to_putter
                         : NULL;
}

void
tl_queue_raise_bare(QueueObject *q)
{
    PyErr_Format(PyExc_RuntimeError, "%.100s.__init__() was not called",
                 Py_TYPE(q)->tp_name);
}

// Acquire the mutex. Returns 0, or -1 with an exception set.
static int
hold(struct visit *visit)
{
    QueueObject *q = visit->q;
    if (q->mutex == NULL) {
        tl_queue_raise_bare(q);
        return -1;
    }
    visit->me = tl_os_thread_holder(Py_TYPE(q->mutex));
    if (visit->me == NULL) {
        return -1;
    }
    if (q->mutex->count == 0) {
        tl_lock_take(q->mutex, visit->me);
    } else if (tl_lock_wait_for(q->state, q->mutex, visit->me, TL_DEADLINE_NEVER) < 0) {
        return -1;
    }
    visit->is_held = true;
    return 0;
}

// Begin, or go on after a wait: acquire the mutex if the call needs it or another owns
// it. Returns 0, or -1 with an exception set.
static int
enter(struct visit *visit)
{
    return visit->is_held || tl_queue_is_open(visit->q) ? 0 : hold(visit);
}

// The same for a call that does not look at the items: it never needs the mutex itself.
static int
enter_any(struct visit *visit)
{
    LockObject *mutex = visit->q->mutex;
    return visit->is_held || (mutex != NULL && mutex->count == 0) ? 0 : hold(visit);
}

static void
leave(struct visit *visit)
{
    if (visit->is_held) {
        visit->is_held = false;
        // Unless a method of a subclass has released it.
        if (visit->q->mutex->ownership.owner == visit->me) {
            tl_lock_release_all(visit->q->mutex);
        }
    }
    tl_queue_check(visit->q);
}

// Wake waiter, the first one of cond. No call holds the mutex for that.
static void
wake(ConditionObject *cond, struct tl_waiter *waiter)
{
    if (is_method_waiter(waiter) || cond->own == NULL) {
        tl_wait_queue_wake(waiter, TL_GIVEN_NOTIFICATION);
    } else {
        tl_condition_notify(cond, 1);
    }
}

// Leave, and wake the first waiter on side. If it has lost too many races, hand it the
// mutex that the caller holds, or that is free.
static void
leave_and_wake(struct visit *visit, enum side side)
{
    QueueObject *q = visit->q;
    ConditionObject *cond = condition_of(q, side);
    struct tl_waiter *waiter = tl_wait_queue_first_active(&cond->waiters);
    bool *must_hand_off = hand_off_flag_of(q, side);
    if (waiter == NULL) {
        leave(visit);
        waiter = tl_wait_queue_first(&cond->waiters);
        if (waiter != NULL) {
            wake(cond, waiter);
        }
        return;
    }
    struct tl_ownership *ownership = &q->mutex->ownership;
    bool mine = visit->is_held && ownership->owner == visit->me;
    if (must_hand_off != NULL && *must_hand_off && is_method_waiter(waiter) &&
        (mine || q->mutex->count == 0)) {
        *must_hand_off = false;
        if (mine) {
            visit->is_held = false;
            tl_os_thread_disown(ownership);
        }
        tl_lock_take(q->mutex, tl_os_thread_holder_of(waiter));
        tl_wait_queue_wake(waiter, TL_GIVEN_NOTIFICATION | TL_GIVEN_OWNERSHIP);
        tl_queue_check(q);
        return;
    }
    leave(visit);
    wake(cond, waiter);
}

static void
wake_all(ConditionObject *cond)
{
    struct tl_waiter *waiter;
    while ((waiter = tl_wait_queue_first(&cond->waiters)) != NULL) {
        wake(cond, waiter);
    }
}

void
tl_queue_wake(QueueObject *q, bool getter)
{
    struct visit visit = {.q = q};
    leave_and_wake(&visit, getter ? GET : PUT);
}

// Leave with an exception set.
static void
fail(struct visit *visit)
{
    if (visit->is_notified) {
        visit->is_notified = false;
        leave_and_wake(visit, visit->side);
    } else {
        leave(visit);
    }
}

// ---- waiting

static Py_ssize_t
size(QueueObject *q)
{
    tl_queue_know_type(q);
    return q->is_hooked ? tl_queue_hook_size(q) : tl_queue_items_size(q);
}

// Whether the caller can go on without waiting: 1, 0, or -1 with an exception set:
// ShutDown if it must not wait either.
static int
is_ready(QueueObject *q, enum side side)
{
    if (side == JOIN) {
        return q->unfinished == 0;
    }
    if (side == PUT && q->is_shutdown) {
        PyErr_SetNone(q->state->queue.shut_down);
        return -1;
    }
    if (side == PUT && q->limit <= 0) {
        return 1;
    }
    Py_ssize_t count = size(q);
    if (side == GET && count == 0 && q->is_shutdown) {
        PyErr_SetNone(q->state->queue.shut_down);
        return -1;
    }
    return count < 0 ? -1 : side == PUT ? count < q->limit : count > 0;
}

// One wait. If the caller holds the mutex, it is released in the last check before the
// wait.
struct queue_wait {
    struct tl_queued_wait block;
    struct visit *visit;
    bool was_held;
};

static bool
release_or_look(struct tl_queued_wait *block)
{
    struct queue_wait *wait = TL_CONTAINER(block, struct queue_wait, block);
    struct visit *visit = wait->visit;
    QueueObject *q = visit->q;
    if (wait->was_held) {
        leave(visit);
        return false;
    }
    if (visit->side == JOIN) {
        return q->unfinished == 0;
    }
    // Since the caller looked, Python code may have changed the items, and even
    // replaced the container or made the type a subclass's.
    return q->is_shutdown || !q->is_exact || q->is_hooked ||
           (visit->side == GET ? tl_queue_items_size(q) > 0
                               : q->limit <= 0 || tl_queue_items_size(q) < q->limit);
}

// Wait to be woken. visit->is_held says afterwards whether the caller holds the mutex.
// Returns what was given, or -1 with an exception set.
static int
wait_once(struct visit *visit, tl_deadline deadline, bool again)
{
    QueueObject *q = visit->q;
    ConditionObject *cond = condition_of(q, visit->side);
    visit->me = tl_os_thread_holder(Py_TYPE(q->mutex));
    if (visit->me == NULL) {
        return -1;
    }
    struct queue_wait wait = {.block = {.kind = &kinds[visit->side][again],
                                        .on = (PyObject *)q,
                                        .queue = &cond->waiters,
                                        .deadline = deadline,
                                        .last_check = release_or_look},
                              .visit = visit,
                              .was_held = visit->is_held};
    visit->is_notified = false;
    int result = tl_wait_queue_wait(q->state, &wait.block);
    unsigned char given = wait.block.given;
    visit->is_notified = (given & TL_GIVEN_NOTIFICATION) != 0;
    tl_queue_check(q);
    if ((given & (TL_GIVEN_RETRY | TL_GIVEN_OWNERSHIP)) == TL_GIVEN_RETRY &&
        tl_lock_regain(q->state, q->mutex, visit->me, given) < 0) {
        // The condition's notify() had moved it to the queue of the mutex.
        result = -1;
    }
    if (given & (TL_GIVEN_RETRY | TL_GIVEN_OWNERSHIP)) {
        visit->is_held = q->mutex->ownership.owner == visit->me;
    }
    return result < 0 ? -1 : given;
}

int
tl_queue_read_timeout(PyObject *timeout, double *seconds)
{
    *seconds = INFINITY;
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    if (tl_timer_seconds(timeout, "timeout", seconds) < 0) {
        return -1;
    }
    if (*seconds == INFINITY) {
        *seconds = DBL_MAX;
    }
    return 0;
}

int
tl_queue_deadline(double seconds, tl_deadline *deadline)
{
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
        return -1;
    }
    if (seconds != INFINITY && tl_timer_check_longest(seconds) < 0) {
        return -1;
    }
    *deadline = tl_timer_after(tl_timer_ns_of(seconds));
    return 0;
}

// Wait until the caller can go on, for seconds at most, or not at all unless block.
// Returns 0 with the mutex held if the call needs it, or -1 with an exception set.
static int
wait_until_ready(struct visit *visit, bool block, double seconds)
{
    QueueObject *q = visit->q;
    enum side side = visit->side;
    bool has_timed_out = !block, has_waited = false;
    tl_deadline deadline = TL_DEADLINE_NEVER;
    int lost_races = 0;
    for (;;) {
        int ready = is_ready(q, side);
        if (ready < 0) {
            return -1;
        }
        // A timeout that is too long is an error only for a call that has to wait.
        if (!has_waited && (!ready || seconds < 0) &&
            tl_queue_deadline(seconds, &deadline) < 0) {
            return -1;
        }
        if (ready) {
            return 0;
        }
        if (has_timed_out || deadline == TL_DEADLINE_PAST) {
            visit->is_notified = false;
            PyErr_SetNone(side == GET ? q->state->queue.empty : q->state->queue.full);
            return -1;
        }
        lost_races += visit->is_notified;
        if (lost_races >= MAX_LOST_RACES && side != JOIN) {
            *hand_off_flag_of(q, side) = true;
        }
        int given = wait_once(visit, deadline, lost_races > 0 && side != JOIN);
        has_waited = true;
        has_timed_out = given > 0 && (given & TL_GIVEN_TIMED_OUT);
        if (given < 0 || (side == JOIN ? enter_any(visit) : enter(visit)) < 0) {
            return -1;
        }
    }
}

// ---- the methods

int
tl_queue_put(QueueObject *q, PyObject *item, bool block, PyObject *timeout)
{
    struct visit visit = {.q = q, .side = PUT};
    double seconds = INFINITY;
    if ((block && q->limit > 0 && tl_queue_read_timeout(timeout, &seconds) < 0) ||
        enter(&visit) < 0) {
        return -1;
    }
    if (wait_until_ready(&visit, block, seconds) < 0 ||
        (q->is_hooked ? tl_queue_hook_put(q, item) : tl_queue_items_put(q, item)) < 0) {
        fail(&visit);
        return -1;
    }
    q->unfinished++;
    leave_and_wake(&visit, GET);
    return 0;
}

PyObject *
tl_queue_get(QueueObject *q, bool block, PyObject *timeout)
{
    struct visit visit = {.q = q, .side = GET};
    double seconds = INFINITY;
    if ((block && tl_queue_read_timeout(timeout, &seconds) < 0) || enter(&visit) < 0) {
        return NULL;
    }
    PyObject *item = NULL;
    if (wait_until_ready(&visit, block, seconds) == 0) {
        item = q->is_hooked ? tl_queue_hook_get(q) : tl_queue_items_get(q);
    }
    if (item == NULL) {
        fail(&visit);
    } else {
        leave_and_wake(&visit, PUT);
    }
    return item;
}

int
tl_queue_task_done(QueueObject *q)
{
    struct visit visit = {.q = q, .side = JOIN};
    if (enter_any(&visit) < 0) {
        return -1;
    }
    bool too_many = q->unfinished <= 0, all_done = q->unfinished == 1;
    q->unfinished -= !too_many;
    leave(&visit);
    if (all_done) {
        wake_all(q->all_tasks_done);
    }
    if (too_many) {
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
    }
    return too_many ? -1 : 0;
}

int
tl_queue_join(QueueObject *q)
{
    struct visit visit = {.q = q, .side = JOIN};
    if (enter_any(&visit) < 0) {
        return -1;
    }
    if (wait_until_ready(&visit, true, INFINITY) < 0) {
        fail(&visit);
        return -1;
    }
    leave(&visit);
    return 0;
}

Py_ssize_t
tl_queue_size(QueueObject *q)
{
    struct visit visit = {.q = q};
    tl_queue_know_type(q);
    if ((q->is_exact && !q->is_hooked ? enter_any(&visit) : hold(&visit)) < 0) {
        return -1;
    }
    Py_ssize_t count = size(q);
    leave(&visit);
    return count;
}

// Take all items into list. Returns 0, or -1 with an exception set.
static int
drain(QueueObject *q, PyObject *list)
{
    Py_ssize_t count;
    while ((count = size(q)) > 0) {
        PyObject *item = q->is_hooked ? tl_queue_hook_get(q) : tl_queue_items_get(q);
        if (item == NULL) {
            return -1;
        }
        int result = PyList_Append(list, item);
        Py_DECREF(item);
        if (result < 0) {
            return -1;
        }
        q->unfinished -= q->unfinished > 0;
    }
    return count < 0 ? -1 : 0;
}

int
tl_queue_shutdown(QueueObject *q, bool immediate)
{
    struct visit visit = {.q = q};
    // The items are dropped last: their finalizers may use the queue.
    PyObject *items = PyList_New(0);
    if (items == NULL || (immediate ? hold(&visit) : enter_any(&visit)) < 0) {
        Py_XDECREF(items);
        return -1;
    }
    q->is_shutdown = true;
    int result = immediate ? drain(q, items) : 0;
    leave(&visit);
    if (immediate) {
        wake_all(q->all_tasks_done);
    }
    wake_all(q->not_empty);
    wake_all(q->not_full);
    PyObject *exc = PyErr_GetRaisedException();
    Py_DECREF(items);
    PyErr_SetRaisedException(exc);
    return result;
}

// ---- the end

static TaskletObject *
tasklet_of(struct tl_link *link, PyObject *on)
{
    struct tl_waiter *waiter = TL_CONTAINER(link, struct tl_waiter, link);
    return waiter->wait.native || waiter->wait.on != on ? NULL
                                                        : tl_task_of_waiter(waiter);
}

void
tl_queue_forget(struct tl_link *queue, PyObject *on)
{
    struct tl_link *i = queue->next;
    while (i != queue) {
        TaskletObject *t = tasklet_of(i, on);
        i = i->next;
        if (t != NULL) {
            tl_task_end_wait(t);
            Py_DECREF(t); // its finalizer kills it
            i = queue->next;
        }
    }
}
