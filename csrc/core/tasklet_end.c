// tasklet_end.c - the end of a tasklet: unreachable ones are killed, results delivered.
#include "core/tasklet_end.h"
#include "core/errors.h"
#include "core/interrupt.h"
#include "core/leftover.h"
#include "core/outcome.h"
#include "cpython/gil.h"
#include "base/stress.h"

// Whether t has frames that a kill could unwind. A runnable one is reachable.
static bool
needs_end(TaskletObject *t)
{
    struct tl_state *state = t->home->state;
    return t->life == TL_STARTED && !t->is_main && !t->home->dead && !state->ending &&
           t->place != TL_RUNNABLE && !Py_IsFinalizing();
}

// Another thread may run a revived tasklet before the collector has looked which
// objects were revived, and it may block in the same garbage: keep a reference until
// the collection ends. Returns 0, or -1 with MemoryError set.
static int
keep_while_collecting(struct tl_state *state, TaskletObject *t)
{
    if (state->collector == 0) {
        return 0;
    }
    if (state->nkept == state->kept_room) {
        Py_ssize_t room = state->kept_room ? 2 * state->kept_room : TL_STRESS_OR(16, 1);
        PyObject **grown = PyMem_Realloc(state->kept, (size_t)room * sizeof *grown);
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        state->kept = grown;
        state->kept_room = room;
    }
    state->kept[state->nkept++] = Py_NewRef((PyObject *)t);
    return 0;
}

// Kill t when its thread next switches. Returns 0, or -1 with an exception set.
static int
end_later(TaskletObject *t)
{
    struct tl_state *state = t->home->state;
    if (keep_while_collecting(state, t) < 0) {
        return -1;
    }
    PyObject *old = tl_interrupt_force(t, tl_interrupt_kill(state));
    if (t->place == TL_WAITING) {
        tl_task_end_wait(t); // the queue's reference goes to the ring
    } else {
        Py_INCREF(t);
    }
    t->revived = true;
    tl_sched_ready(t);
    Py_XDECREF(old);
    return 0;
}

// Kill t now, up to ten times if it catches TaskletExit. Returns 0, or -1 with an
// exception set.
// Switch: yes.
static int
end_now(struct tl_sched *s, TaskletObject *t)
{
    for (int i = 0; i < 10 && needs_end(t) && t->place == TL_FLOATING; i++) {
        if (tl_sched_prepare(s, t) < 0) {
            return -1;
        }
        PyObject *bomb = tl_interrupt_kill(s->state);
        if (!needs_end(t) || t->place != TL_FLOATING) {
            Py_DECREF(bomb); // making it has run Python code, which has ended or run t
            break;
        }
        tl_sched_drop_later(s, tl_interrupt_force(t, bomb));
        // A value may be on its way to the current tasklet: the jump must not return
        // it.
        TaskletObject *me = s->current;
        PyObject *kept = tl_task_swap(me, NULL);
        PyObject *result = tl_sched_jump(s, t, false);
        if (tl_sched_mine == s && me->tempval == NULL) {
            me->tempval = kept;
        } else {
            Py_XDECREF(kept); // the thread has ended: me may be freed
        }
        if (result == NULL) {
            tl_errors_unraisable(s->state, (PyObject *)t);
        }
        Py_XDECREF(result);
    }
    t->revived = t->life == TL_STARTED;
    if (!needs_end(t) || t->place != TL_FLOATING) {
        return 0;
    }
    // It did not end: keep it in gc.garbage, as the collector does.
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *garbage = gc ? tl_getattr(gc, "garbage") : NULL;
    int result = garbage ? PyList_Append(garbage, (PyObject *)t) : -1;
    Py_XDECREF(garbage);
    Py_XDECREF(gc);
    return result;
}

void
tl_tasklet_finalize(TaskletObject *self)
{
    if (!needs_end(self)) {
        // Another finalizer may have revived it: its own has to run again then.
        self->revived |= self->life == TL_STARTED;
        if (self->life == TL_STARTED && !self->is_main &&
            keep_while_collecting(self->home->state, self) < 0) {
            PyErr_Clear();
        }
        return;
    }
    struct tl_sched *s = tl_sched_mine;
    PyObject *exc = PyErr_GetRaisedException();
    if (TL_UNLIKELY(self->stopped)) {
        tl_leftover_dropped(self);
        if (!needs_end(self)) { // the warning may run Python code, which has ended it
            PyErr_SetRaisedException(exc);
            return;
        }
    }
    bool now = s == self->home && self->place == TL_FLOATING && !tl_sched_is_held(s) &&
               s->trap == 0 && s->current->place == TL_RUNNABLE &&
               s->current == s->head && !tl_gil_is_collecting();
    if ((now ? end_now(s, self) : end_later(self)) < 0) {
        Py_INCREF(self); // leak it: its stack is in use and cannot be freed
        tl_errors_unraisable(self->home->state, (PyObject *)self);
    }
    PyErr_SetRaisedException(exc);
}

bool
tl_tasklet_is_resurrected(TaskletObject *self)
{
    if (!needs_end(self)) {
        return false;
    }
    // Not PyObject_CallFinalizerFromDealloc(): that calls a finalizer only once, and a
    // tasklet may survive several.
    Py_SET_REFCNT((PyObject *)self, 1);
    tl_tasklet_finalize(self);
    Py_SET_REFCNT((PyObject *)self, Py_REFCNT(self) - 1);
    return Py_REFCNT(self) > 0;
}

// ---- its function has returned

// exc (stolen) has left a tasklet that has no waiters: drop it if it is an exit,
// else call the error handler. Returns what main or run() must still raise, or NULL.
static PyObject *
ask_error_handler(struct tl_sched *s, PyObject *exc)
{
    struct tl_state *state = s->state;
    if (PyErr_GivenExceptionMatches(exc, state->tasklet_exit) ||
        (PyErr_GivenExceptionMatches(exc, PyExc_SystemExit) &&
         !tl_gil_is_main_thread())) {
        Py_DECREF(exc);
        return NULL;
    }
    if (state->error_handler == NULL ||
        PyErr_GivenExceptionMatches(exc, PyExc_SystemExit)) {
        return exc;
    }
    PyObject *handler = Py_NewRef(state->error_handler);
    PyObject *traceback = PyException_GetTraceback(exc);
    PyObject *result = PyObject_CallFunctionObjArgs(
        handler, (PyObject *)Py_TYPE(exc), exc, traceback ? traceback : Py_None, NULL);
    Py_XDECREF(traceback);
    Py_DECREF(exc);
    Py_DECREF(handler);
    if (result != NULL) {
        Py_DECREF(result);
        return NULL;
    }
    if (PyErr_ExceptionMatches(state->tasklet_exit)) {
        PyErr_Clear();
    }
    return PyErr_GetRaisedException();
}

// Return the exception to report for a tasklet that ends with exc (stolen). Only exits
// are replaced: a kill that came during the clean-up after KeyboardInterrupt by that
// KeyboardInterrupt, and the interruption of a block that was left by a RuntimeError.
static PyObject *
exception_to_report(struct tl_sched *s, TaskletObject *t, PyObject *exc)
{
    bool killed = (PyObject *)Py_TYPE(exc) == s->state->tasklet_exit;
    if (!killed && !PyErr_GivenExceptionMatches(exc, s->state->tasklet_exit)) {
        return exc;
    }
    PyObject *context = PyException_GetContext(exc);
    Py_XDECREF(context); // exc holds it
    if (killed && context == NULL) {
        return exc;
    }
    int strength = tl_interrupt_strength(t, exc);
    PyObject *other = tl_interrupt_replaced(t, exc, NULL, strength);
    if (other == NULL && !killed) {
        other = tl_interrupt_escaped(s->state, exc);
    }
    if (other != NULL) {
        Py_SETREF(exc, other);
    }
    return exc;
}

TL_COLD PyObject *
tl_tasklet_settle(struct tl_sched *s, TaskletObject *t, PyObject *result, PyObject *exc,
                  PyObject *name)
{
    bool heard = false;
    if (exc != NULL) {
        exc = exception_to_report(s, t, exc);
        if (!PyErr_GivenExceptionMatches(exc, s->state->tasklet_exit)) {
            tl_errors_note(t, name, exc);
        }
    }
    if (t->outcome != NULL) {
        heard = tl_outcome_record(t, result, exc);
    } else {
        Py_XDECREF(result);
    }
    if (exc != NULL) {
        exc = heard ? tl_outcome_rest(s->state, exc) : ask_error_handler(s, exc);
    }
    if (t->outcome != NULL) {
        tl_outcome_notify(t);
    }
    return exc;
}
