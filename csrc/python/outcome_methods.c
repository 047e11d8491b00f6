// outcome_methods.c - methods of tasklet that wait for its end or give its result.
#include "core/errors.h"
#include "core/outcome.h"
#include "core/thread.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/callback_list.h"
#include "python/types.h"

// ---- the end of a tasklet

// The arguments of a method that only has a timeout.
struct timed {
    PyObject *const *args;
    Py_ssize_t nargs;
    PyObject *kwnames;
};

static enum tl_waited
wait_for_end(TaskletObject *t, const char *fname, const struct timed *call)
{
    static const char *const names[] = {"timeout", NULL};
    const struct tl_argspec spec = {.fname = fname, .names = names, .maxpos = 1};
    PyObject *timeout;
    tl_deadline deadline;
    struct tl_sched *s = tl_sched_for((PyObject *)t);
    if (s == NULL ||
        tl_args_parse(&spec, call->args, call->nargs, call->kwnames, &timeout) < 0 ||
        tl_timer_deadline(timeout, &deadline) < 0) {
        return TL_WAITED_FAILED;
    }
    return tl_outcome_is_over(t) ? TL_WAITED_DONE : tl_outcome_join(s, t, deadline);
}

PyDoc_STRVAR(join_doc,
"join($self, /, timeout=None)\n"
"--\n"
"\n"
"Wait until the tasklet has ended: True, or False after timeout seconds.\n"
"\n"
"It may belong to any thread. Its exception is not raised here. Raises RuntimeError\n"
"if called by the tasklet itself, DeadlockError if it can never end, BlockTrapError\n"
"if the caller must not block.");

static PyObject *
tasklet_join(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    int ended = wait_for_end(self, "join", &(struct timed){args, nargs, kwnames});
    return ended < 0 ? NULL : PyBool_FromLong(ended);
}

// Wait for the end of a tasklet whose outcome is kept. NULL with an exception set.
static struct tl_outcome *
wait_for_outcome(TaskletObject *t, const char *fname, const struct timed *call)
{
    if (t->outcome == NULL || !t->outcome->keep) {
        PyErr_SetString(PyExc_RuntimeError,
                        "only a tasklet made by spawn() keeps its result: use spawn(), "
                        "or send the result through a channel");
        return NULL;
    }
    int ended = wait_for_end(t, fname, call);
    if (ended <= 0) {
        if (ended == 0) {
            PyErr_Format(PyExc_TimeoutError, "%R has not ended in time", t);
        }
        return NULL;
    }
    if (t->outcome->cancelled || !t->outcome->done) {
        PyErr_Format(t->home->state->cancelled_error, "%R was killed", t);
        return NULL;
    }
    return t->outcome;
}

PyDoc_STRVAR(result_doc,
"result($self, /, timeout=None)\n"
"--\n"
"\n"
"Wait for the end, then return the function's result or raise its exception.\n"
"\n"
"Only for tasklets made by spawn(), otherwise RuntimeError. Raises CancelledError if\n"
"the tasklet was killed or its thread ended first, TimeoutError after timeout\n"
"seconds, and what join() raises.");

static PyObject *
tasklet_result(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    struct tl_outcome *outcome =
        wait_for_outcome(self, "result", &(struct timed){args, nargs, kwnames});
    if (outcome == NULL) {
        return NULL;
    }
    if (outcome->exc != NULL) {
        PyErr_SetRaisedException(Py_NewRef(outcome->exc));
        return NULL;
    }
    return Py_NewRef(outcome->value != NULL ? outcome->value : Py_None);
}

PyDoc_STRVAR(exception_doc,
"exception($self, /, timeout=None)\n"
"--\n"
"\n"
"Wait for the end, then return the exception that ended the tasklet, or None.\n"
"\n"
"Raises like result().");

static PyObject *
tasklet_exception(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    struct tl_outcome *outcome =
        wait_for_outcome(self, "exception", &(struct timed){args, nargs, kwnames});
    if (outcome == NULL) {
        return NULL;
    }
    return Py_NewRef(outcome->exc != NULL ? outcome->exc : Py_None);
}

PyDoc_STRVAR(done_doc,
"done($self, /)\n"
"--\n"
"\n"
"Return whether the tasklet has ended, in whatever way.");

static PyObject *
tasklet_done(TaskletObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(tl_outcome_is_over(self));
}

PyDoc_STRVAR(cancelled_doc,
"cancelled($self, /)\n"
"--\n"
"\n"
"Return whether the tasklet was killed, or its thread ended before it.");

static PyObject *
tasklet_cancelled(TaskletObject *self, PyObject *Py_UNUSED(ignored))
{
    bool lost = self->home->dead && !self->ended;
    return PyBool_FromLong(lost || (self->outcome != NULL && self->outcome->cancelled));
}

PyDoc_STRVAR(add_done_callback_doc,
"add_done_callback($self, func, /)\n"
"--\n"
"\n"
"Call func(tasklet) once the tasklet has ended; at once if it has.\n"
"\n"
"func runs on the tasklet's stack. An exception of func is reported as unraisable; in\n"
"the main thread, KeyboardInterrupt and SystemExit are raised in the main tasklet, or\n"
"here if func is called here. Raises TypeError if func is not callable.");

static PyObject *
tasklet_add_done_callback(TaskletObject *self, PyObject *func)
{
    if (!PyCallable_Check(func)) {
        PyErr_SetString(PyExc_TypeError, "the callback must be callable");
        return NULL;
    }
    enum tl_listening status = tl_outcome_listen(self, func);
    if (status == TL_LISTENING_LATE) {
        PyObject *result = PyObject_CallOneArg(func, (PyObject *)self);
        if (result == NULL &&
            tl_errors_always_go_to_main(self->home->state, PyErr_Occurred())) {
            return NULL; // raised in the caller
        }
        if (result == NULL) {
            PyErr_WriteUnraisable(func);
        }
        Py_XDECREF(result);
    }
    return status == TL_LISTENING_FAILED ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(remove_done_callback_doc,
"remove_done_callback($self, func, /)\n"
"--\n"
"\n"
"Remove a callback as many times as it was added, and return that number.");

static PyObject *
tasklet_remove_done_callback(TaskletObject *self, PyObject *func)
{
    return tl_callback_list_remove(self->outcome ? self->outcome->callbacks : NULL,
                                   func);
}

// clang-format off

PyMethodDef tl_outcome_methods[] = {
    {"join", TL_FAST(tasklet_join), METH_FASTCALL | METH_KEYWORDS,
     join_doc},
    {"result", TL_FAST(tasklet_result), METH_FASTCALL | METH_KEYWORDS,
     result_doc},
    {"exception", TL_FAST(tasklet_exception), METH_FASTCALL | METH_KEYWORDS,
     exception_doc},
    {"done", (PyCFunction)tasklet_done, METH_NOARGS, done_doc},
    {"cancelled", (PyCFunction)tasklet_cancelled, METH_NOARGS, cancelled_doc},
    {"add_done_callback", (PyCFunction)tasklet_add_done_callback, METH_O,
     add_done_callback_doc},
    {"remove_done_callback", (PyCFunction)tasklet_remove_done_callback, METH_O,
     remove_done_callback_doc},
    {NULL, NULL, 0, NULL},
};
