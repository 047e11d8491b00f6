// wait_queue.c - waiting in a queue, and waking.
#include "sync/wait_queue.h"
#include "core/errors.h"
#include "core/interrupt.h"
#include "core/stress_points.h"
#include "core/timer.h"
#include "object/args.h"
#include "base/clock.h"

// ---- waiting

PyObject *
tl_wait_queue_timed_out(struct tl_wait *wait)
{
    wait->given |= TL_GIVEN_TIMED_OUT;
    return NULL;
}

void
tl_wait_queue_to_head(struct tl_wait *wait)
{
    struct tl_waiter *waiter = TL_CONTAINER(wait, struct tl_waiter, wait);
    tl_link_remove(&waiter->link);
    tl_link_insert_before(&waiter->link, wait->queue->next);
}

static bool
run_last_check(struct tl_queued_wait *how)
{
    how->asked = true;
    return how->last_check != NULL && how->last_check(how);
}

static int
block_thread(struct tl_state *state, struct tl_queued_wait *how)
{
    struct tl_sched *s = tl_sched_mine;
    struct tl_sleeper *sleeper = tl_os_thread_begin(state, tl_os_thread_seen_holder());
    if (sleeper == NULL) {
        return -1;
    }
    tl_deadline deadline = how->deadline;
    if (deadline != TL_DEADLINE_NEVER && s != NULL && s->fake_clock) {
        deadline += tl_clock_now() - tl_timer_now(s);
    }
    int result = 0;
    if (!run_last_check(how)) {
        struct tl_waiter *waiter = &sleeper->waiter;
        tl_wait_arm(&waiter->wait, how->kind, how->on, &waiter->link, how->queue);
        result = tl_os_thread_sleep(state, sleeper, deadline);
        how->given = waiter->wait.given;
    }
    tl_os_thread_end(sleeper);
    return result;
}

// The last check of a tasklet's wait, as the scheduler wants it.
struct question {
    struct tl_leave leave;
    struct tl_queued_wait *how;
};

static bool
ask(const struct tl_leave *leave)
{
    // Python code that ran since the wait was begun may have waited for something else.
    tl_sched_mine->current->wait.given = 0;
    return run_last_check(TL_CONTAINER(leave, struct question, leave)->how);
}

static int
block_tasklet(struct tl_sched *s, struct tl_queued_wait *how)
{
    TaskletObject *me = s->current;
    if (!how->is_mandatory && tl_errors_block_trap(s)) {
        return -1;
    }
    // A reference of its own: if the tasklet is killed during the wait, it must still
    // pass on what it was given. own_refs lets the collector see through that
    // reference, or a tasklet that nothing else refers to would never be found to be
    // garbage.
    Py_INCREF(me);
    me->own_refs++;
    if (how->is_mandatory) {
        tl_interrupt_hold(me);
    }
    PyObject *value;
    bool came = false;
    me->left_waiting = false;
    if (tl_sched_is_plain(s) && how->deadline == TL_DEADLINE_NEVER &&
        !tl_takes_detour()) {
        me->wait.given = 0;
        came = run_last_check(how);
        value = came ? Py_NewRef(Py_None)
                     : tl_sched_wait(s, how->kind, how->on, how->queue, NULL);
    } else {
        struct question question = {.leave = {.kind = how->kind,
                                              .on = how->on,
                                              .queue = how->queue,
                                              .deadline = how->deadline,
                                              .comes = how->comes,
                                              .last_check = ask,
                                              .came = &came},
                                    .how = how};
        me->wait.given = 0;
        value = tl_sched_leave(s, &question.leave);
    }
    how->given = came ? 0 : me->wait.given;
    me->wait.given = 0;
    if (how->is_mandatory) {
        tl_interrupt_release(me);
    }
    me->own_refs--;
    Py_DECREF(me);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

int
tl_wait_queue_wait(struct tl_state *state, struct tl_queued_wait *how)
{
    struct tl_sched *s = tl_sched_mine;
    assert(how->deadline > 0);
    how->given = 0;
    how->asked = false;
    return s == NULL || tl_sched_is_held(s) ? block_thread(state, how)
                                            : block_tasklet(s, how);
}

// ---- waking

void
tl_wait_queue_wake(struct tl_waiter *waiter, unsigned char given)
{
    waiter->wait.given |= given;
    if (waiter->wait.native) {
        tl_wait_end(&waiter->wait, &waiter->link);
        tl_os_thread_wake(tl_os_thread_sleeper_of(waiter)->native);
    } else {
        TaskletObject *t = tl_task_of_waiter(waiter);
        tl_task_end_wait(t);
        tl_sched_ready(t);
    }
}

void
tl_wait_queue_move(struct tl_waiter *waiter, const struct tl_wait_kind *kind,
                   PyObject *on, struct tl_link *queue, unsigned char given)
{
    waiter->wait.given |= given;
    if (!waiter->wait.native) {
        TaskletObject *t = tl_task_of_waiter(waiter);
        if (tl_timer_is_set(&t->timer)) {
            tl_task_stop_timer(t);
        }
    }
    tl_wait_end(&waiter->wait, &waiter->link);
    tl_wait_arm(&waiter->wait, kind, on, &waiter->link, queue);
}

struct tl_waiter *
tl_wait_queue_first(struct tl_link *queue)
{
    for (struct tl_link *i = queue->next; i != queue; i = i->next) {
        struct tl_waiter *waiter = TL_CONTAINER(i, struct tl_waiter, link);
        if (waiter->wait.native || TL_LIKELY(!tl_task_of_waiter(waiter)->home->dead)) {
            return waiter;
        }
    }
    return NULL;
}

struct tl_waiter *
tl_wait_queue_first_active(struct tl_link *queue)
{
    for (struct tl_link *i = queue->next; i != queue; i = i->next) {
        struct tl_waiter *waiter = TL_CONTAINER(i, struct tl_waiter, link);
        const TaskletObject *t = waiter->wait.native ? NULL : tl_task_of_waiter(waiter);
        if (t == NULL || TL_LIKELY(!t->home->dead && !t->left_waiting)) {
            return waiter;
        }
    }
    return NULL;
}

Py_ssize_t
tl_wait_queue_wake_many(struct tl_link *queue, Py_ssize_t max, unsigned char given)
{
    Py_ssize_t woken = 0;
    struct tl_waiter *waiter;
    while (woken < max &&
           (waiter = given & TL_GIVEN_OWNERSHIP ? tl_wait_queue_first_active(queue)
                                                : tl_wait_queue_first(queue)) != NULL) {
        tl_wait_queue_wake(waiter, given);
        woken++;
    }
    return woken;
}

int
tl_wait_queue_traverse(const struct tl_link *queue, visitproc visit, void *arg)
{
    for (const struct tl_link *i = queue->next; i != queue; i = i->next) {
        struct tl_waiter *waiter = TL_CONTAINER(i, struct tl_waiter, link);
        if (!waiter->wait.native) {
            Py_VISIT(tl_task_of_waiter(waiter));
        }
    }
    return 0;
}

// ---- arguments

int
tl_wait_queue_acquire_args(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                           tl_deadline *deadline)
{
    static const char *const names[] = {"blocking", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "acquire", .names = names, .maxpos = 2};
    PyObject *argv[2];
    double timeout = -1;
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return -1;
    }
    int blocking = argv[0] == NULL ? 1 : PyObject_IsTrue(argv[0]);
    if (blocking < 0 ||
        (argv[1] != NULL && (tl_timer_seconds(argv[1], "timeout", &timeout) < 0 ||
                             tl_timer_check_longest(timeout) < 0))) {
        return -1;
    }
    if (!blocking && timeout != -1) {
        PyErr_SetString(PyExc_ValueError,
                        "can't specify a timeout for a non-blocking call");
        return -1;
    }
    if (timeout < 0 && timeout != -1) {
        PyErr_SetString(PyExc_ValueError,
                        "timeout value must be a non-negative number");
        return -1;
    }
    *deadline = !blocking       ? TL_DEADLINE_PAST
                : timeout == -1 ? TL_DEADLINE_NEVER
                                : tl_timer_after(tl_timer_ns_of(timeout));
    return 0;
}
