#include "timeout.h"
#include "timer.h"

// The time of a block is up. A tasklet that waits is interrupted; one that has got what
// it waited for, or runs, is when it is about to wait.
static void
time_is_up(struct tl_timer *timer)
{
    TimeoutObject *timeout = TL_CONTAINER(timer, TimeoutObject, timer);
    TaskletObject *t = timeout->who;
    struct tl_sched *s = t->home;
    bool waits = t->place == TL_WAITING;
    bool runs = t == s->current && !s->waiting;
    if (!waits && (t->place == TL_RUNNABLE || runs)) {
        timeout->state = TL_TIMEOUT_DUE;
        t->thrown = true;
        return;
    }
    timeout->state = TL_TIMEOUT_SENT;
    PyObject *bomb = Py_NewRef(s->state->interrupted);
    tl_sched_drop_later(s, tl_task_swap(t, bomb));
    if (waits) {
        tl_task_end_wait(t);
    } else {
        Py_INCREF(t);
    }
    tl_sched_ready(t);
}

static int
set(struct tl_sched *s, TimeoutObject *timeout)
{
    if (timeout->when == 0) {
        return 0;
    }
    if (timeout->when <= tl_timer_now(s)) {
        timeout->state = TL_TIMEOUT_DUE;
        timeout->who->thrown = true;
        return 0;
    }
    if (tl_timer_reserve(s) < 0) {
        return -1;
    }
    timeout->timer.fire = time_is_up;
    tl_timer_set(s, &timeout->timer, timeout->when);
    return 0;
}

// Take it out of its tasklet's list.
static void
unlist(TimeoutObject *timeout)
{
    TimeoutObject **place = &timeout->who->timeouts;
    while (*place != timeout) {
        place = &(*place)->outer;
    }
    *place = timeout->outer;
    timeout->outer = NULL;
    if (tl_timer_is_set(&timeout->timer)) {
        tl_timer_cancel(timeout->who->home, &timeout->timer);
    }
    timeout->state = TL_TIMEOUT_IDLE;
}

int
tl_timeout_enter(struct tl_sched *s, TimeoutObject *timeout)
{
    if (timeout->state != TL_TIMEOUT_IDLE) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this timeout has been entered: each block needs its own");
        return -1;
    }
    TaskletObject *me = s->current;
    timeout->who = (TaskletObject *)Py_NewRef(me);
    timeout->outer = me->timeouts;
    me->timeouts = timeout;
    timeout->state = TL_TIMEOUT_ACTIVE;
    timeout->expired = false;
    if (timeout->relative) {
        timeout->when = timeout->after == 0  ? 0
                        : timeout->after < 0 ? 1
                                             : tl_timer_now(s) + timeout->after;
    }
    if (set(s, timeout) < 0) {
        unlist(timeout);
        Py_CLEAR(timeout->who);
        return -1;
    }
    return 0;
}

static void
raise_instead(TimeoutObject *timeout, PyObject *interrupt)
{
    PyObject *exc = timeout->exc;
    if (exc == NULL) {
        PyErr_SetString(PyExc_TimeoutError, "timed out");
    } else if (PyExceptionClass_Check(exc)) {
        PyErr_SetNone(exc);
    } else {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (raised != interrupt) {
        PyException_SetCause(raised, Py_NewRef(interrupt));
    }
    PyErr_SetRaisedException(raised);
}

int
tl_timeout_exit(struct tl_sched *s, TimeoutObject *timeout, PyObject *exc)
{
    if (timeout->who == NULL || timeout->who != s->current) {
        PyErr_SetString(PyExc_RuntimeError,
                        timeout->who == NULL
                            ? "this timeout was not entered"
                            : "a timeout can only be left by the tasklet that entered "
                              "it");
        return -1;
    }
    bool sent = timeout->state == TL_TIMEOUT_SENT;
    timeout->expired = sent;
    unlist(timeout);
    tl_sched_drop_later(s, (PyObject *)timeout->who);
    timeout->who = NULL;
    if (sent && PyErr_GivenExceptionMatches(exc, s->state->interrupt)) {
        raise_instead(timeout, exc);
        return -1;
    }
    return 0;
}

int
tl_timeout_move(struct tl_sched *s, TimeoutObject *timeout, int64_t when)
{
    if (timeout->state == TL_TIMEOUT_SENT) {
        PyErr_SetString(PyExc_RuntimeError, "this timeout has expired");
        return -1;
    }
    timeout->relative = false;
    timeout->when = when < 0 ? 1 : when;
    if (timeout->state == TL_TIMEOUT_IDLE) {
        return 0;
    }
    if (tl_timer_is_set(&timeout->timer)) {
        tl_timer_cancel(timeout->who->home, &timeout->timer);
    }
    timeout->state = TL_TIMEOUT_ACTIVE;
    return set(s, timeout);
}

void
tl_timeout_forget(TimeoutObject *timeout)
{
    if (timeout->who != NULL) {
        unlist(timeout);
        Py_CLEAR(timeout->who);
    }
}

int
tl_timeout_check(struct tl_sched *s)
{
    TimeoutObject *due = NULL, *i = s->current->timeouts;
    int count = 0;
    for (; i != NULL; i = i->outer) {
        if (i->state == TL_TIMEOUT_DUE) {
            due = i; // the outermost comes first
            count++;
        }
    }
    if (due == NULL) {
        return 0;
    }
    s->current->thrown = count > 1;
    due->state = TL_TIMEOUT_SENT;
    tl_bomb_raise(Py_NewRef(s->state->interrupted));
    return -1;
}
