#include "timeout.h"
#include "timer.h"

// What is raised inside the block: a bomb, borrowed.
static PyObject *
interruption(const TimeoutObject *timeout)
{
    return timeout->bomb != NULL ? timeout->bomb
                                 : timeout->who->home->state->interrupted;
}

// Its interruption is on its way now. One of a block inside it has passed, or gives way.
static void
note_sent(TimeoutObject *timeout)
{
    TimeoutObject *i = timeout->who->timeouts;
    for (; i != timeout; i = i->outer) {
        i->overtaken = true;
        if (i->state == TL_TIMEOUT_SENT) {
            i->state = TL_TIMEOUT_PAST;
        }
    }
    timeout->state = TL_TIMEOUT_SENT;
}

// The interruption of timeout ends here. If it took the place of an outer block's, that
// one comes again.
static void
send_again(TimeoutObject *timeout)
{
    TimeoutObject *i = timeout->overtaken ? timeout->outer : NULL;
    for (; i != NULL; i = i->outer) {
        if (i->state == TL_TIMEOUT_SENT) {
            i->state = TL_TIMEOUT_DUE;
            i->expired = true;
            i->who->thrown = true;
        }
    }
}

// The time of a block is up. A tasklet that waits is interrupted; one that has got what
// it waited for, or runs, is when it is about to wait. One that has ended is current until
// another is: what runs then may enter blocks, but cannot wait.
static void
time_is_up(struct tl_timer *timer)
{
    TimeoutObject *timeout = TL_CONTAINER(timer, TimeoutObject, timer);
    TaskletObject *t = timeout->who;
    struct tl_sched *s = t->home;
    bool waits = t->place == TL_WAITING;
    bool runs = (t == s->current && !s->waiting) || t->stopped || t->life != TL_STARTED;
    if (!waits && (t->place == TL_RUNNABLE || runs)) {
        timeout->state = TL_TIMEOUT_DUE;
        t->thrown = true;
        return;
    }
    note_sent(timeout);
    tl_sched_drop_later(s, tl_task_swap(t, Py_NewRef(interruption(timeout))));
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
    if (timeout->when < 0 || timeout->when <= tl_timer_now(s)) {
        time_is_up(&timeout->timer);
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

// The block is over. No other code runs.
static void
leave(TimeoutObject *timeout)
{
    TaskletObject *who = timeout->who;
    timeout->expired |= timeout->state >= TL_TIMEOUT_SENT;
    unlist(timeout);
    timeout->who = NULL;
    tl_sched_drop_later(who->home, (PyObject *)who);
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
    timeout->expired = timeout->overtaken = timeout->outlived = false;
    if (timeout->relative) {
        timeout->when =
            timeout->after <= 0 ? timeout->after : tl_timer_now(s) + timeout->after;
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
    if (timeout->outlived) {
        timeout->outlived = false;
        return 0;
    }
    if (timeout->who == NULL || timeout->who != s->current) {
        PyErr_SetString(PyExc_RuntimeError,
                        timeout->who == NULL
                            ? "this timeout was not entered"
                            : "a timeout can only be left by the tasklet that entered "
                              "it");
        return -1;
    }
    bool sent = timeout->state == TL_TIMEOUT_SENT;
    PyObject *own = ((BombObject *)interruption(timeout))->type;
    bool ends = sent && PyErr_GivenExceptionMatches(exc, own);
    if (ends) {
        send_again(timeout);
    }
    leave(timeout);
    if (ends) {
        raise_instead(timeout, exc);
        return -1;
    }
    return 0;
}

int
tl_timeout_move(struct tl_sched *s, TimeoutObject *timeout, int64_t when)
{
    if (timeout->state >= TL_TIMEOUT_SENT) {
        PyErr_SetString(PyExc_RuntimeError, "this timeout has expired");
        return -1;
    }
    timeout->relative = false;
    timeout->when = when;
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

void
tl_timeout_end(TaskletObject *t, const TimeoutObject *outer)
{
    while (t->timeouts != NULL && t->timeouts != outer) {
        t->timeouts->outlived = true;
        leave(t->timeouts);
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
    note_sent(due);
    tl_bomb_raise(Py_NewRef(interruption(due)));
    return -1;
}

void
tl_timeout_displaced(TaskletObject *t, PyObject *old)
{
    TimeoutObject *i = t->timeouts;
    while (i != NULL && i->state != TL_TIMEOUT_SENT) {
        i = i->outer;
    }
    if (i != NULL && old != NULL && interruption(i) == old) {
        i->state = TL_TIMEOUT_DUE;
        t->thrown = true;
    }
}
