#include "queue.h"
#include "stress.h"
#include "timer.h"

#include <float.h>
#include <math.h>

// One that was woken finds nothing so often before the next one is woken with the mutex,
// which keeps all others out.
enum { LATE_MOST = TL_STRESS_OR(2, 1) };

// For one that was woken, and has come too late.
static void
to_the_front(struct tl_wait *wait)
{
    struct tl_waiter *waiter = TL_CONTAINER(wait, struct tl_waiter, wait);
    tl_link_remove(&waiter->link);
    tl_link_insert_before(&waiter->link, wait->queue->next);
}

// What one waits for, and how: first, and after it has come too late.
enum side { GET, PUT, JOIN };

static const struct tl_wait_kind kinds[][2] = {
    [GET] = {{.verb = "get from", .patient = true, .lapsed = tl_block_lapsed},
             {.verb = "get from",
              .patient = true,
              .lapsed = tl_block_lapsed,
              .joined = to_the_front}},
    [PUT] = {{.verb = "put to", .patient = true, .lapsed = tl_block_lapsed},
             {.verb = "put to",
              .patient = true,
              .lapsed = tl_block_lapsed,
              .joined = to_the_front}},
    [JOIN] = {{.verb = "join", .patient = true, .lapsed = tl_block_lapsed}},
};

// Whether waiter waits in one of our methods, and not in a condition's wait().
static bool
is_ours(const struct tl_waiter *waiter)
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
                 on == (is_ours(waiter) ? (PyObject *)q : (PyObject *)cond));
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
    bool is_exact =
        q->items != NULL &&
        (q->order == TL_QUEUE_FIFO ? Py_IS_TYPE(q->items, q->state->queue.deque)
                                   : PyList_CheckExact(q->items));
    TL_CHECK("I2", "queue", q, q->is_exact == is_exact);
    TL_CHECK("I3", "queue", q,
             q->type_version == 0 || q->type_version != Py_TYPE(q)->tp_version_tag ||
                 !q->is_patched || (q->is_hooked && q->is_routed));
}
#endif

// ---- one visit of a queue

// Invariants
// I1: is_held iff the mutex is me's, for this visit; but a method of a subclass may have
//     released it.
struct visit {
    QueueObject *q;
    enum side side;
    struct tl_holder *me;
    bool is_held;
    bool is_noticed; // was woken, and may still have to wake another instead
};

static ConditionObject *
condition_of(QueueObject *q, enum side side)
{
    return side == GET ? q->not_empty : side == PUT ? q->not_full : q->all_tasks_done;
}

static bool *
hurry_of(QueueObject *q, enum side side)
{
    return side == GET ? &q->get_hurries : side == PUT ? &q->put_hurries : NULL;
}

void
tl_queue_raise_bare(QueueObject *q)
{
    PyErr_Format(PyExc_RuntimeError, "%.100s.__init__() was not called",
                 Py_TYPE(q)->tp_name);
}

// Get the mutex. Returns 0, or -1 with an exception set.
static int
hold(struct visit *visit)
{
    QueueObject *q = visit->q;
    if (q->mutex == NULL) {
        tl_queue_raise_bare(q);
        return -1;
    }
    visit->me = tl_native_holder(Py_TYPE(q->mutex));
    if (visit->me == NULL) {
        return -1;
    }
    if (q->mutex->count == 0) {
        tl_lock_take(q->mutex, visit->me);
    } else if (tl_lock_wait_for(q->state, q->mutex, visit->me, 0) < 0) {
        return -1;
    }
    visit->is_held = true;
    TL_CHECK("I1", "visit", visit, q->mutex->property.owner == visit->me);
    return 0;
}

// Begin, or go on after a wait: get the mutex if it is needed or another's.
static int
enter(struct visit *visit)
{
    return visit->is_held || tl_queue_is_open(visit->q) ? 0 : hold(visit);
}

// The same for what needs no look at the items.
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
        if (visit->q->mutex->property.owner == visit->me) {
            tl_lock_free(visit->q->mutex);
        }
    }
    tl_queue_check(visit->q);
}

// Wake waiter, the first of a condition; the mutex is not held for a visit.
static void
wake(ConditionObject *cond, struct tl_waiter *waiter)
{
    if (is_ours(waiter) || cond->own == NULL) {
        tl_block_wake(waiter, TL_GIVEN_NOTICE);
    } else {
        tl_condition_notify(cond, 1);
    }
}

// Leave, and wake the first who waits on that side. If it should hurry, it gets the mutex
// that is held, or nobody has.
static void
leave_and_wake(struct visit *visit, enum side side)
{
    QueueObject *q = visit->q;
    ConditionObject *cond = condition_of(q, side);
    struct tl_waiter *waiter = tl_block_heir(&cond->waiters);
    bool *hurry = hurry_of(q, side);
    if (waiter == NULL) {
        leave(visit);
        waiter = tl_block_first(&cond->waiters);
        if (waiter != NULL) {
            wake(cond, waiter);
        }
        return;
    }
    struct tl_property *property = &q->mutex->property;
    bool mine = visit->is_held && property->owner == visit->me;
    if (hurry != NULL && *hurry && is_ours(waiter) && (mine || q->mutex->count == 0)) {
        *hurry = false;
        if (mine) {
            visit->is_held = false;
            tl_native_disown(property);
        }
        tl_lock_take(q->mutex, tl_native_holder_of(waiter));
        tl_block_wake(waiter, TL_GIVEN_NOTICE | TL_GIVEN_PROPERTY);
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
    while ((waiter = tl_block_first(&cond->waiters)) != NULL) {
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
    if (visit->is_noticed) {
        visit->is_noticed = false;
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

// Whether one need not wait: 1, 0, or -1 with an exception set, which is ShutDown if one
// must not.
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

// One wait, which gives the mutex away, if it is held, when nothing can come in between.
struct queue_wait {
    struct tl_block block;
    struct visit *visit;
    bool was_held;
};

static bool
has_come(struct tl_block *block)
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
    // Somebody may have come meanwhile, even one who made the queue another's.
    return q->is_shutdown || !q->is_exact || q->is_hooked ||
           (visit->side == GET ? tl_queue_items_size(q) > 0
                               : q->limit <= 0 || tl_queue_items_size(q) < q->limit);
}

// Wait to be woken; afterwards the mutex is held or not. Returns what was given, or -1 with
// an exception set.
static int
wait_once(struct visit *visit, int64_t deadline, bool again)
{
    QueueObject *q = visit->q;
    ConditionObject *cond = condition_of(q, visit->side);
    visit->me = tl_native_holder(Py_TYPE(q->mutex));
    if (visit->me == NULL) {
        return -1;
    }
    struct queue_wait wait = {.block = {.kind = &kinds[visit->side][again],
                                        .on = (PyObject *)q,
                                        .queue = &cond->waiters,
                                        .deadline = deadline,
                                        .has_come = has_come},
                              .visit = visit,
                              .was_held = visit->is_held};
    visit->is_noticed = false;
    int result = tl_block(q->state, &wait.block);
    unsigned char given = wait.block.given;
    visit->is_noticed = (given & TL_GIVEN_NOTICE) != 0;
    tl_queue_check(q);
    if ((given & (TL_GIVEN_CALL | TL_GIVEN_PROPERTY)) == TL_GIVEN_CALL &&
        tl_lock_regain(q->state, q->mutex, visit->me, given) < 0) {
        // The condition's notify() had made it wait for the mutex.
        result = -1;
    }
    if (given & (TL_GIVEN_CALL | TL_GIVEN_PROPERTY)) {
        visit->is_held = q->mutex->property.owner == visit->me;
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
    if (tl_timer_seconds(timeout, seconds) < 0) {
        return -1;
    }
    if (*seconds == INFINITY) {
        *seconds = DBL_MAX;
    }
    return 0;
}

int
tl_queue_deadline(double seconds, int64_t *deadline)
{
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
        return -1;
    }
    if (seconds > TL_BLOCK_LONGEST && seconds != INFINITY) {
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
        return -1;
    }
    *deadline = tl_block_deadline_in(seconds);
    return 0;
}

// Wait until ready. Returns 0 with the mutex held if it has to be, or -1 with an exception
// set.
static int
wait_for(struct visit *visit, bool block, double seconds)
{
    QueueObject *q = visit->q;
    enum side side = visit->side;
    bool has_lapsed = !block, has_waited = false;
    int64_t deadline = 0;
    int late = 0;
    for (;;) {
        int ready = is_ready(q, side);
        if (ready < 0) {
            return -1;
        }
        // A timeout that is too long for a wait matters only if there is one.
        if (!has_waited && (!ready || seconds < 0) &&
            tl_queue_deadline(seconds, &deadline) < 0) {
            return -1;
        }
        if (ready) {
            return 0;
        }
        if (has_lapsed || deadline < 0) {
            visit->is_noticed = false;
            PyErr_SetNone(side == GET ? q->state->queue.empty : q->state->queue.full);
            return -1;
        }
        late += visit->is_noticed;
        if (late >= LATE_MOST && side != JOIN) {
            *hurry_of(q, side) = true;
        }
        int given = wait_once(visit, deadline, late > 0 && side != JOIN);
        has_waited = true;
        has_lapsed = given > 0 && (given & TL_GIVEN_LAPSED);
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
    if (wait_for(&visit, block, seconds) < 0 ||
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
    if (wait_for(&visit, block, seconds) == 0) {
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
    if (wait_for(&visit, true, INFINITY) < 0) {
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
    // Items go when all is done: their finalizers may use the queue.
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
            Py_DECREF(t); // its finalizer ends it
            i = queue->next;
        }
    }
}
