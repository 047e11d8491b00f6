#include "tasklet_end.h"
#include "errors.h"
#include "gil.h"
#include "interrupt.h"
#include "leftover.h"
#include "outcome.h"
#include "stress.h"

static bool
needs_end(TaskletObject *t)
{
    struct tl_state *state = t->home->state;
    return t->life == TL_STARTED && !t->is_main && !t->abandoned && !t->home->dead &&
           !state->ending && t->place != TL_RUNNABLE && !Py_IsFinalizing();
}

// Another thread may run the revived before the collector has looked who was, and have
// it block in the same garbage: keep a reference until the collection ends.
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

// Have it killed when its thread next switches.
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

// Kill it here and now, up to ten times while it refuses.
static int
end_now(struct tl_sched *s, TaskletObject *t)
{
    for (int i = 0; i < 10 && needs_end(t) && t->place == TL_FLOATING; i++) {
        if (tl_sched_prepare(s, t) < 0) {
            return -1;
        }
        PyObject *bomb = tl_interrupt_kill(s->state);
        if (!needs_end(t) || t->place != TL_FLOATING) {
            Py_DECREF(bomb); // making it let others act
            break;
        }
        tl_sched_drop_later(s, tl_interrupt_force(t, bomb));
        // The value that is on its way to the current tasklet is not for us.
        TaskletObject *me = s->current;
        PyObject *kept = tl_task_swap(me, NULL);
        PyObject *result = tl_sched_jump(s, t, false);
        if (tl_sched_mine == s && me->tempval == NULL) {
            me->tempval = kept;
        } else {
            Py_XDECREF(kept); // or all is over, and me may be gone
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
    // It refuses to end: keep it, where the collector keeps what it cannot free.
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
        // Another finalizer may have revived it; ask it again the next time.
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
        if (!needs_end(self)) { // the warning has run Python code
            PyErr_SetRaisedException(exc);
            return;
        }
    }
    bool now = s == self->home && self->place == TL_FLOATING && !tl_sched_is_held(s) &&
               s->trap == 0 && s->current->place == TL_RUNNABLE &&
               s->current == s->head && !tl_gil_is_collecting();
    if ((now ? end_now(s, self) : end_later(self)) < 0) {
        Py_INCREF(self); // rather keep it than free a stack in use
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

// What remains to be told to main or run() of exc (stolen): NULL if nothing does.
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

// What the tasklet ends with is an exit: return what is reported in its place, or exc. A
// kill that came during the clean-up after KeyboardInterrupt does not replace that, and
// the interruption of a block is an error outside the block. exc is stolen.
static PyObject *
look_behind(struct tl_sched *s, TaskletObject *t, PyObject *exc)
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
        exc = look_behind(s, t, exc);
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
        tl_outcome_tell(t);
    }
    return exc;
}
