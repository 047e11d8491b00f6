#include "block.h"
#include "args.h"
#include "clock.h"
#include "errors.h"
#include "interrupt.h"
#include "stress_points.h"
#include "timer.h"

#include <math.h>

// ---- waiting

PyObject *
tl_block_lapsed(struct tl_wait *wait)
{
    wait->given |= TL_GIVEN_LAPSED;
    return NULL;
}

static bool
has_come(struct tl_block *how)
{
    how->asked = true;
    return how->has_come != NULL && how->has_come(how);
}

static int
block_thread(struct tl_state *state, struct tl_block *how)
{
    struct tl_sched *s = tl_sched_mine;
    struct tl_sleeper *sleeper = tl_native_begin(state, tl_native_seen_holder());
    if (sleeper == NULL) {
        return -1;
    }
    int64_t deadline = how->deadline;
    if (deadline > 0 && s != NULL && s->fake_clock) {
        deadline += tl_clock_now() - tl_timer_now(s);
    }
    int result = 0;
    if (!has_come(how)) {
        struct tl_waiter *waiter = &sleeper->waiter;
        tl_wait_arm(&waiter->wait, how->kind, how->on, &waiter->link, how->queue);
        result = tl_native_sleep(state, sleeper, deadline);
        how->given = waiter->wait.given;
    }
    tl_native_end(sleeper);
    return result;
}

// What the scheduler asks last.
struct question {
    struct tl_leave leave;
    struct tl_block *how;
};

static bool
ask(const struct tl_leave *leave)
{
    // Other code that ran since it set out may have made it wait for something else.
    tl_sched_mine->current->wait.given = 0;
    return has_come(TL_CONTAINER(leave, struct question, leave)->how);
}

static int
block_tasklet(struct tl_sched *s, struct tl_block *how)
{
    TaskletObject *me = s->current;
    if (!how->insists && tl_errors_block_trap(s)) {
        return -1;
    }
    // Should it end in here, what it was given is still to be passed on. The collector
    // is told, or nobody could ever find that only the tasklet knows itself.
    Py_INCREF(me);
    me->own_refs++;
    if (how->insists) {
        tl_interrupt_hold(me);
    }
    PyObject *value;
    bool came = false;
    me->left = false;
    if (tl_sched_is_plain(s) && how->deadline == 0 && !tl_takes_detour()) {
        me->wait.given = 0;
        came = has_come(how);
        value = came ? Py_NewRef(Py_None)
                     : tl_sched_wait(s, how->kind, how->on, how->queue, NULL);
    } else {
        struct question question = {.leave = {.kind = how->kind,
                                              .on = how->on,
                                              .queue = how->queue,
                                              .deadline = how->deadline,
                                              .comes = how->comes,
                                              .has_come = ask,
                                              .came = &came},
                                    .how = how};
        me->wait.given = 0;
        value = tl_sched_leave(s, &question.leave);
    }
    how->given = came ? 0 : me->wait.given;
    me->wait.given = 0;
    if (how->insists) {
        tl_interrupt_release(me);
    }
    me->own_refs--;
    Py_DECREF(me);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

int
tl_block(struct tl_state *state, struct tl_block *how)
{
    struct tl_sched *s = tl_sched_mine;
    assert(how->deadline >= 0);
    how->given = 0;
    how->asked = false;
    return s == NULL || tl_sched_is_held(s) ? block_thread(state, how)
                                            : block_tasklet(s, how);
}

// ---- waking

void
tl_block_wake(struct tl_waiter *waiter, unsigned char given)
{
    waiter->wait.given |= given;
    if (waiter->wait.native) {
        tl_wait_end(&waiter->wait, &waiter->link);
        tl_native_wake(tl_native_sleeper_of(waiter)->native);
    } else {
        TaskletObject *t = tl_task_of_waiter(waiter);
        tl_task_end_wait(t);
        tl_sched_ready(t);
    }
}

void
tl_block_move(struct tl_waiter *waiter, const struct tl_wait_kind *kind, PyObject *on,
              struct tl_link *queue, unsigned char given)
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
tl_block_first(struct tl_link *queue)
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
tl_block_heir(struct tl_link *queue)
{
    for (struct tl_link *i = queue->next; i != queue; i = i->next) {
        struct tl_waiter *waiter = TL_CONTAINER(i, struct tl_waiter, link);
        const TaskletObject *t = waiter->wait.native ? NULL : tl_task_of_waiter(waiter);
        if (t == NULL || TL_LIKELY(!t->home->dead && !t->left)) {
            return waiter;
        }
    }
    return NULL;
}

Py_ssize_t
tl_block_wake_many(struct tl_link *queue, Py_ssize_t most, unsigned char given)
{
    Py_ssize_t woken = 0;
    struct tl_waiter *waiter;
    while (woken < most &&
           (waiter = given & TL_GIVEN_PROPERTY ? tl_block_heir(queue)
                                               : tl_block_first(queue)) != NULL) {
        tl_block_wake(waiter, given);
        woken++;
    }
    return woken;
}

int
tl_block_traverse(const struct tl_link *queue, visitproc visit, void *arg)
{
    for (const struct tl_link *i = queue->next; i != queue; i = i->next) {
        struct tl_waiter *waiter = TL_CONTAINER(i, struct tl_waiter, link);
        if (!waiter->wait.native) {
            Py_VISIT(tl_task_of_waiter(waiter));
        }
    }
    return 0;
}

// ---- deadlines

int64_t
tl_block_deadline(int64_t nanoseconds)
{
    struct tl_sched *s = tl_sched_mine;
    if (nanoseconds <= 0) {
        return -1;
    }
    return (s != NULL ? tl_timer_now(s) : tl_clock_now()) + nanoseconds;
}

// Returns 0, or -1 with an exception set.
static int
parse_seconds(PyObject *arg, double *seconds)
{
    if (tl_timer_seconds(arg, seconds) < 0) {
        return -1;
    }
    if (*seconds > TL_BLOCK_LONGEST) {
        PyErr_Format(PyExc_OverflowError,
                     "a timeout must not exceed threading.TIMEOUT_MAX, %R does", arg);
        return -1;
    }
    return 0;
}

int64_t
tl_block_deadline_in(double seconds)
{
    if (seconds <= 0) {
        return -1;
    }
    return seconds < TL_TIMER_LONGEST ? tl_block_deadline((int64_t)ceil(seconds * 1e9))
                                      : 0;
}

int
tl_block_deadline_of(PyObject *seconds, int64_t *deadline)
{
    double value;
    *deadline = 0;
    if (seconds == NULL || seconds == Py_None) {
        return 0;
    }
    if (parse_seconds(seconds, &value) < 0) {
        return -1;
    }
    *deadline = tl_block_deadline_in(value);
    return 0;
}

int
tl_block_acquire_args(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                      int64_t *deadline)
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
    if (blocking < 0 || (argv[1] != NULL && parse_seconds(argv[1], &timeout) < 0)) {
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
    *deadline = !blocking ? -1 : timeout == -1 ? 0 : tl_block_deadline_in(timeout);
    return 0;
}
