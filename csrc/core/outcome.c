// outcome.c - the outcome of a tasklet, and what its end notifies.
#include "core/outcome.h"
#include "core/errors.h"
#include "object/callback_list.h"

static PyObject *
timed_out(struct tl_wait *Py_UNUSED(wait))
{
    return Py_NewRef(Py_False);
}

const struct tl_wait_kind tl_outcome_wait = {.verb = "join", .on_timeout = timed_out};

struct tl_outcome *
tl_outcome_of(TaskletObject *t)
{
    if (t->outcome == NULL) {
        t->outcome = PyMem_Calloc(1, sizeof *t->outcome);
        if (t->outcome == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        tl_link_init(&t->outcome->waiters);
    }
    return t->outcome;
}

void
tl_outcome_free(struct tl_outcome *outcome)
{
    if (outcome == NULL) {
        return;
    }
    assert(tl_link_is_single(&outcome->waiters));
    Py_XDECREF(outcome->name);
    Py_XDECREF(outcome->code);
    Py_XDECREF(outcome->value);
    Py_XDECREF(outcome->exc);
    Py_XDECREF(outcome->callbacks);
    PyMem_Free(outcome);
}

void
tl_outcome_release_waiters(TaskletObject *t)
{
    struct tl_outcome *outcome = t->outcome;
    while (!tl_link_is_single(&outcome->waiters)) {
        TaskletObject *waiter = tl_task_of(outcome->waiters.next);
        tl_task_end_wait(waiter);
        tl_sched_ready(waiter);
    }
}

static void
call_callbacks(TaskletObject *t)
{
    PyObject *callbacks = t->outcome->callbacks;
    t->outcome->callbacks = NULL;
    for (Py_ssize_t i = 0; callbacks != NULL && i < PyList_GET_SIZE(callbacks); i++) {
        PyObject *callback = Py_NewRef(PyList_GET_ITEM(callbacks, i));
        PyObject *result = PyObject_CallOneArg(callback, (PyObject *)t);
        if (result == NULL) {
            tl_errors_unraisable(t->home->state, callback);
        }
        Py_XDECREF(result);
        Py_DECREF(callback);
    }
    Py_XDECREF(callbacks);
}

bool
tl_outcome_record(TaskletObject *t, PyObject *result, PyObject *exc)
{
    struct tl_outcome *outcome = t->outcome;
    PyObject *exit_type = t->home->state->tasklet_exit;
    PyObject *callbacks = outcome->callbacks;
    bool is_delivered = (callbacks != NULL && PyList_GET_SIZE(callbacks) > 0) ||
                        (outcome->keep && !tl_link_is_single(&outcome->waiters)) ||
                        outcome->member != NULL;
    outcome->cancelled = exc != NULL && PyErr_GivenExceptionMatches(exc, exit_type);
    if (outcome->keep) {
        outcome->value = result;
        outcome->exc = outcome->cancelled ? NULL : Py_XNewRef(exc);
    } else {
        Py_XDECREF(result);
    }
    return is_delivered;
}

PyObject *
tl_outcome_rest(struct tl_state *state, PyObject *exc)
{
    if (!tl_errors_always_go_to_main(state, exc)) {
        Py_CLEAR(exc);
    }
    return exc;
}

static void
tell_group(TaskletObject *t)
{
    struct tl_member *member = t->outcome->member;
    if (member != NULL) {
        member->ended(member);
    }
}

void
tl_outcome_notify(TaskletObject *t)
{
    t->outcome->done = true;
    tl_outcome_release_waiters(t);
    tell_group(t);
    call_callbacks(t);
}

void
tl_outcome_give_up(TaskletObject *t)
{
    if (t->outcome == NULL ||
        (t->outcome->callbacks == NULL && t->outcome->member == NULL)) {
        return;
    }
    if (t->life == TL_STARTED) {
        t->outcome->done = t->outcome->cancelled = true;
        tl_outcome_release_waiters(t);
    }
    tell_group(t);
    call_callbacks(t);
}

void
tl_outcome_abandon(TaskletObject *t)
{
    if (t->outcome != NULL && !t->outcome->done) {
        t->outcome->done = t->outcome->cancelled = true;
        tl_outcome_release_waiters(t);
    }
}

bool
tl_outcome_is_over(const TaskletObject *t)
{
    return (t->outcome != NULL && t->outcome->done) || t->ended || t->home->dead;
}

enum tl_listening
tl_outcome_listen(TaskletObject *t, PyObject *func)
{
    if (tl_outcome_is_over(t)) {
        return TL_LISTENING_LATE;
    }
    struct tl_outcome *outcome = tl_outcome_of(t);
    return outcome == NULL || tl_callback_list_add(&outcome->callbacks, func) < 0
               ? TL_LISTENING_FAILED
               : TL_LISTENING_ADDED;
}

static bool
has_ended(const struct tl_leave *how)
{
    return tl_outcome_is_over((TaskletObject *)how->on);
}

enum tl_waited
tl_outcome_join(struct tl_sched *s, TaskletObject *t, tl_deadline deadline)
{
    if (t == s->current) {
        PyErr_SetString(PyExc_RuntimeError, "a tasklet cannot wait for its own end");
        return TL_WAITED_FAILED;
    }
    if (tl_errors_block_trap(s)) {
        return TL_WAITED_FAILED;
    }
    struct tl_outcome *outcome = tl_outcome_of(t);
    if (outcome == NULL) {
        return TL_WAITED_FAILED;
    }
    if (deadline == TL_DEADLINE_PAST) {
        return TL_WAITED_TIMED_OUT;
    }
    struct tl_leave how = {.kind = &tl_outcome_wait,
                           .on = (PyObject *)t,
                           .queue = &outcome->waiters,
                           .deadline = deadline,
                           .last_check = has_ended};
    PyObject *value = tl_sched_leave(s, &how);
    enum tl_waited result = value == NULL       ? TL_WAITED_FAILED
                            : value == Py_False ? TL_WAITED_TIMED_OUT
                                                : TL_WAITED_DONE;
    Py_XDECREF(value);
    return result;
}
