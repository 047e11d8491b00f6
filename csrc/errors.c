#include "errors.h"
#include "gil.h"
#include "timeout.h"

enum { LINES_MOST = 50 };

// ---- interrupts of the program

bool
tl_errors_always_go_to_main(struct tl_state *state, PyObject *exc)
{
    if (PyErr_GivenExceptionMatches(exc, state->tasklet_exit)) {
        return false;
    }
    return PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt) ||
           (PyErr_GivenExceptionMatches(exc, PyExc_SystemExit) &&
            tl_gil_is_main_thread());
}

// A pending call of the interpreter: it runs between two bytecodes of the main thread. If
// that is in the main tasklet, raise what was posted for it.
static int
raise_in_main(void *Py_UNUSED(arg))
{
    struct tl_sched *s = tl_sched_mine;
    TaskletObject *me = s != NULL ? s->current : NULL;
    if (me == NULL || me != s->main || !me->thrown || me->tempval == NULL ||
        !tl_bomb_check(s->state, me->tempval) || tl_sched_is_held(s)) {
        return 0; // it has come out already, or does when main next switches
    }
    return tl_sched_check_thrown(s);
}

// Make t runnable, the next one if a tasklet runs.
static void
hurry(struct tl_sched *s, TaskletObject *t)
{
    bool running = s->head != NULL && s->head == s->current;
    if (t->place == TL_RUNNABLE) {
        if (!running || t == s->head) {
            return;
        }
        tl_ring_remove(s, t);
    } else if (t->place == TL_WAITING) {
        tl_task_end_wait(t);
    } else {
        Py_INCREF(t);
    }
    if (running) {
        tl_ring_behind_head(s, t);
    } else {
        tl_ring_append(s, t);
    }
}

bool
tl_errors_interrupt_main(struct tl_state *state)
{
    struct tl_sched *s = tl_sched_mine;
    PyObject *exc = PyErr_Occurred(); // its type
    if (s == NULL || exc == NULL || !tl_gil_is_main_thread() || state->ending ||
        state->main_has_ended || !tl_errors_always_go_to_main(state, exc)) {
        return false;
    }
    PyObject *bomb = tl_bomb_of(state, PyErr_GetRaisedException());
    if (bomb == NULL) {
        return false; // MemoryError is set
    }
    TaskletObject *main = s->main;
    PyObject *old = tl_task_swap(main, bomb);
    tl_timeout_displaced(main, old);
    tl_sched_drop_later(s, old);
    if (main == s->current && main->place == TL_RUNNABLE) {
        main->thrown = true; // raised at its next operation, at the latest
        (void)Py_AddPendingCall(raise_in_main, NULL);
    } else {
        hurry(s, main);
    }
    return true;
}

void
tl_errors_unraisable(struct tl_state *state, PyObject *where)
{
    if (!tl_errors_interrupt_main(state)) {
        PyErr_WriteUnraisable(where);
    }
}

// ---- traps

void
tl_errors_no_switch(struct tl_sched *s)
{
    if (tl_sched_is_held(s)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot switch tasklets inside a callback, a signal handler or "
                        "a finalizer called by the collector: let it return, or use "
                        "insert() or a pending throw()");
    } else {
        PyErr_SetString(s->classic_trap ? PyExc_RuntimeError
                                        : s->state->switch_trap_error,
                        "switch_trap");
    }
}

bool
tl_errors_block_trap(struct tl_sched *s)
{
    if (s->current->block_trap) {
        PyErr_SetString(s->state->block_trap_error,
                        "this tasklet does not like to be blocked.");
        return true;
    }
    return false;
}

// One line on a waiting tasklet.
static PyObject *
describe(TaskletObject *t)
{
    PyObject *text = tl_task_describe(t);
    PyObject *line =
        text ? PyUnicode_FromFormat("\n  %U, of thread %lu", text, t->home->ident)
             : NULL;
    Py_XDECREF(text);
    return line;
}

struct listing {
    PyObject *text;
    int lines, left_out;
};

static int
list_one(struct listing *listing, TaskletObject *t)
{
    if (t->place != TL_WAITING) {
        return 0;
    }
    if (listing->lines == LINES_MOST) {
        listing->left_out++;
        return 0;
    }
    listing->lines++;
    PyObject *line = describe(t);
    if (line == NULL) {
        return -1;
    }
    PyUnicode_AppendAndDel(&listing->text, line);
    return listing->text == NULL ? -1 : 0;
}

static int
list_waiting(struct tl_state *state, struct listing *listing)
{
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        if (list_one(listing, s->main) < 0) {
            return -1;
        }
        for (struct tl_link *j = s->started.next; j != &s->started; j = j->next) {
            if (list_one(listing, TL_CONTAINER(j, TaskletObject, started)) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

// An exception of type with text, and after it all waiting tasklets.
static PyObject *
with_waiting(struct tl_state *state, PyObject *type, bool list, PyObject *text)
{
    struct listing listing = {.text = text};
    if (list && listing.text != NULL) {
        if (list_waiting(state, &listing) < 0) {
            Py_CLEAR(listing.text);
        } else if (listing.left_out > 0) {
            PyUnicode_AppendAndDel(
                &listing.text,
                PyUnicode_FromFormat("\n  and %d more", listing.left_out));
        }
    }
    if (listing.text == NULL) {
        return PyErr_GetRaisedException();
    }
    PyObject *exc = PyObject_CallOneArg(type, listing.text);
    Py_DECREF(listing.text);
    return exc != NULL ? exc : PyErr_GetRaisedException();
}

PyObject *
tl_errors_deadlock(struct tl_state *state, bool classic)
{
    return with_waiting(
        state, classic ? PyExc_RuntimeError : state->deadlock_error, !classic,
        PyUnicode_FromString("Deadlock: the last runnable tasklet cannot be blocked."));
}

PyObject *
tl_errors_stranded(struct tl_state *state, TaskletObject *waiter)
{
    bool classic = waiter->wait.on != NULL &&
                   PyObject_TypeCheck(waiter->wait.on, state->classic_channel_type);
    const char *text = waiter->sending > 0
                           ? "the main tasklet is sending without a receiver available."
                       : waiter->sending < 0
                           ? "the main tasklet is receiving without a sender available."
                           : "the main tasklet waits for a tasklet that cannot end.";
    return with_waiting(state, classic ? PyExc_RuntimeError : state->deadlock_error,
                        !classic, PyUnicode_FromString(text));
}

int
tl_errors_check_may_wait(struct tl_sched *s)
{
    if (tl_sched_check_thrown(s) < 0) {
        return -1;
    }
    if (s->trap != 0 || tl_sched_is_held(s)) {
        tl_errors_no_switch(s);
        return -1;
    }
    return tl_errors_block_trap(s) ? -1 : 0;
}
