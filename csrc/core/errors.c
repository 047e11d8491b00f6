// errors.c - deadlock messages, the errors of traps, and exceptions without a caller.
#include "core/errors.h"
#include "core/interrupt.h"
#include "cpython/gil.h"

// The number of tasklets that a deadlock's message lists: there may be thousands.
enum { MAX_LINES = 50 };

// The number of notes that an exception gets: a program may raise one instance
// repeatedly.
enum { MAX_NOTES = 32 };

// ---- KeyboardInterrupt and SystemExit

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

// Run by the interpreter as a pending call, between two bytecodes of the main thread.
// If the main tasklet runs there, raise the exception that ends the program.
static int
raise_in_main(void *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_mine;
    if (s == NULL || s->current != s->main || tl_sched_is_held(s) ||
        s->main->pending == NULL ||
        ((BombObject *)s->main->pending)->rank < TL_RANK_EXIT) {
        return 0;
    }
    return tl_sched_check_thrown(s);
}

// Make t runnable, and the next to run after the current tasklet.
static void
make_next(struct tl_sched *s, TaskletObject *t)
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
    tl_interrupt_rated(state, bomb);
    if (main == s->current && main->place == TL_RUNNABLE) {
        // Raised at its next operation that may wait, if not by the pending call.
        tl_sched_drop_later(s, tl_interrupt_add(main, bomb));
        (void)Py_AddPendingCall(raise_in_main, NULL);
    } else {
        tl_sched_drop_later(s, tl_interrupt_force(main, bomb));
        make_next(s, main);
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

// A line about a waiting tasklet, or NULL with an exception set.
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
    TaskletObject *refused; // already listed
    int lines, left_out;
};

static int
list_one(struct listing *listing, TaskletObject *t)
{
    if (t->place != TL_WAITING || t == listing->refused) {
        return 0;
    }
    if (listing->lines == MAX_LINES) {
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

// A line about the operation that was refused to the tasklet `who`. NULL with an
// exception set.
static PyObject *
describe_refused(TaskletObject *who, const struct tl_wait_kind *kind, PyObject *on)
{
    PyObject *name = tl_task_name(who);
    PyObject *wait = kind != NULL
                         ? tl_task_describe_wait(who->home->state, kind, on)
                         : PyUnicode_FromString("pauses itself: schedule_remove()");
    PyObject *line =
        name && wait
            ? PyUnicode_FromFormat("\n  refused: tasklet '%U' %U, of thread %lu", name,
                                   wait, who->home->ident)
            : NULL;
    Py_XDECREF(wait);
    Py_XDECREF(name);
    return line;
}

// The exception for who. Its message is text (stolen, may be NULL), followed by the
// refused operation and a list of the other tasklets that wait.
static PyObject *
with_waiting(TaskletObject *who, const struct tl_wait_kind *kind, PyObject *on,
             bool classic, PyObject *text)
{
    struct tl_state *state = who->home->state;
    struct listing listing = {.text = text, .refused = who};
    if (!classic && listing.text != NULL) {
        PyUnicode_AppendAndDel(&listing.text, describe_refused(who, kind, on));
    }
    if (!classic && listing.text != NULL) {
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
    PyObject *type = classic ? PyExc_RuntimeError : state->deadlock_error;
    PyObject *exc = PyObject_CallOneArg(type, listing.text);
    Py_DECREF(listing.text);
    return exc != NULL ? exc : PyErr_GetRaisedException();
}

PyObject *
tl_errors_deadlock(TaskletObject *who, const struct tl_wait_kind *kind, PyObject *on,
                   bool classic)
{
    return with_waiting(
        who, kind, on, classic,
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
    return with_waiting(waiter, waiter->wait.kind, waiter->wait.on, classic,
                        PyUnicode_FromString(text));
}

// ---- notes

static PyObject *
text_of_note(TaskletObject *t, PyObject *name)
{
    const struct tl_outcome *outcome = t->outcome;
    PyObject *text = name != NULL ? PyUnicode_FromFormat("in tasklet '%U'", name)
                                  : PyUnicode_FromString("in a tasklet");
    if (text != NULL && outcome != NULL && outcome->code != NULL) {
        PyCodeObject *code = (PyCodeObject *)outcome->code;
        PyUnicode_AppendAndDel(
            &text, PyUnicode_FromFormat(", spawned at %U:%d", code->co_filename,
                                        PyCode_Addr2Line(code, outcome->lasti)));
    }
    return text;
}

// As BaseException.add_note(), but without calling a method that the program has
// overridden.
static int
add_note(PyObject *exc, PyObject *text)
{
    PyObject **dict = &((PyBaseExceptionObject *)exc)->dict;
    if (*dict == NULL && (*dict = PyDict_New()) == NULL) {
        return -1;
    }
    PyObject *key = PyUnicode_InternFromString("__notes__");
    PyObject *notes = key ? PyDict_GetItemWithError(*dict, key) : NULL;
    int result = key == NULL || (notes == NULL && PyErr_Occurred()) ? -1 : 0;
    if (result == 0 && notes == NULL) {
        PyObject *list = PyList_New(0);
        result = list == NULL || PyList_Append(list, text) < 0
                     ? -1
                     : PyDict_SetItem(*dict, key, list);
        Py_XDECREF(list);
    } else if (result == 0 && PyList_Check(notes) &&
               PyList_GET_SIZE(notes) < MAX_NOTES) {
        result = PyList_Append(notes, text);
    }
    Py_XDECREF(key);
    return result;
}

void
tl_errors_note(TaskletObject *t, PyObject *name, PyObject *exc)
{
    PyObject *text = text_of_note(t, name);
    if (text == NULL || add_note(exc, text) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(text);
}

// ---- whether the current tasklet may wait

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
