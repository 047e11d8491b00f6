// timeout_type.c - timeout() and deadline(): a block of code with a time limit.
#include "core/interrupt.h"
#include "core/scope.h"
#include "core/thread.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/types.h"

typedef struct {
    PyObject_HEAD
    struct tl_scope scope;
    PyObject *exc;    // raised at the end of the block; NULL: TimeoutError
    int64_t after;    // nanoseconds from the entry, if relative
    bool relative;    // scope.when is computed at the entry
    bool by_deadline; // created by deadline()
} TimeoutObject;

// Read a duration, or a time on the clock, in nanoseconds: TL_TIMER_MAX_NS for None.
// Returns 0, or -1 with an exception set.
static int
read_time(PyObject *arg, const char *name, int64_t *ns)
{
    *ns = TL_TIMER_MAX_NS;
    return arg == Py_None ? 0 : tl_timer_read_ns(arg, name, ns);
}

static int
check_exc(PyObject *exc)
{
    if (exc == Py_None || PyExceptionClass_Check(exc) ||
        PyExceptionInstance_Check(exc)) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "exc must be an exception or its class, not %R", exc);
    return -1;
}

static PyObject *
make(PyTypeObject *type, PyObject *time, PyObject *exc, bool relative)
{
    int64_t ns;
    if (read_time(time, relative ? "seconds" : "when", &ns) < 0 ||
        (exc != NULL && check_exc(exc) < 0)) {
        return NULL;
    }
    TimeoutObject *self = (TimeoutObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->relative = relative;
    self->by_deadline = !relative;
    tl_scope_init(&self->scope, TL_SCOPE_TIMEOUT);
    self->after = relative ? ns : TL_TIMER_MAX_NS;
    if (!relative && ns < TL_TIMER_MAX_NS) {
        self->scope.when = ns > 0 ? ns : TL_DEADLINE_PAST;
    }
    self->exc = exc == NULL || exc == Py_None ? NULL : Py_NewRef(exc);
    return (PyObject *)self;
}

static PyObject *
timeout_vectorcall(PyObject *cls, PyObject *const *args, size_t nargsf,
                   PyObject *kwnames)
{
    static const char *const names[] = {"seconds", "exc", NULL};
    static const struct tl_argspec spec = {
        .fname = "timeout", .names = names, .required = 1, .maxpos = 2};
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    PyObject *argv[2] = {nargs == 1 ? args[0] : NULL, NULL};
    if ((nargs != 1 || kwnames != NULL) &&
        tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    return make((PyTypeObject *)cls, argv[0], argv[1], true);
}

static PyObject *
timeout_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"seconds", "exc", NULL};
    PyObject *seconds, *exc = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:timeout", names, &seconds,
                                     &exc)) {
        return NULL;
    }
    return make(cls, seconds, exc, true);
}

PyDoc_STRVAR(deadline_doc,
"deadline($module, /, when, exc=None)\n"
"--\n"
"\n"
"Like timeout(), for a block that must end when time.monotonic() shows `when`.");

static PyObject *
fn_deadline(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"when", "exc", NULL};
    static const struct tl_argspec spec = {
        .fname = "deadline", .names = names, .required = 1, .maxpos = 2};
    PyObject *argv[2];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    return make(tl_state_of_module(mod)->timeout_type, argv[0], argv[1], false);
}

static PyObject *
timeout_enter(TimeoutObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    if (self->scope.state != TL_SCOPE_IDLE) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this timeout has been entered: each block needs its own");
        return NULL;
    }
    if (self->relative) {
        self->scope.when = tl_timer_after(self->after);
    }
    return tl_scope_enter(s, &self->scope) < 0 ? NULL : Py_NewRef(self);
}

// Raise the caller's exception, or TimeoutError, in place of the interruption.
static void
raise_instead(TimeoutObject *self, PyObject *interruption)
{
    PyObject *exc = self->exc;
    if (exc == NULL) {
        PyErr_SetString(PyExc_TimeoutError, "timed out");
    } else if (PyExceptionClass_Check(exc)) {
        PyErr_SetNone(exc);
    } else {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (raised != interruption) {
        PyException_SetCause(raised, Py_NewRef(interruption));
    }
    PyErr_SetRaisedException(raised);
}

static PyObject *
timeout_exit(TimeoutObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    PyObject *exc = nargs > 1 ? args[1] : Py_None;
    if (s == NULL) {
        return NULL;
    }
    if (TL_LIKELY(self->scope.who == s->current && self->scope.raised == NULL)) {
        tl_scope_leave_at_exit(&self->scope);
        Py_RETURN_FALSE;
    }
    if (self->scope.outlived) {
        self->scope.outlived = false;
        Py_RETURN_FALSE;
    }
    if (tl_scope_check_leave(s, &self->scope, "timeout") < 0) {
        return NULL;
    }
    bool own;
    PyObject *stronger = tl_scope_leave(s, &self->scope, exc, &own);
    if (!own) {
        Py_RETURN_FALSE;
    }
    if (stronger != NULL) {
        PyErr_SetRaisedException(stronger);
    } else if (tl_sched_check_thrown(s) == 0) {
        raise_instead(self, exc);
    }
    return NULL;
}

PyDoc_STRVAR(reschedule_doc,
"reschedule($self, seconds, /)\n"
"--\n"
"\n"
"Make the block expire that many seconds from now; None: never.\n"
"\n"
"Raises RuntimeError if it has expired.");

static PyObject *
timeout_reschedule(TimeoutObject *self, PyObject *arg)
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    int64_t after;
    if (s == NULL || read_time(arg, "seconds", &after) < 0) {
        return NULL;
    }
    if (self->scope.who != NULL && self->scope.who->home != s) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a timeout can only be rescheduled by its own thread");
        return NULL;
    }
    if (self->scope.state >= TL_SCOPE_COMING) {
        PyErr_SetString(PyExc_RuntimeError, "this timeout has expired");
        return NULL;
    }
    self->relative = false;
    self->after = TL_TIMER_MAX_NS;
    return tl_scope_move(s, &self->scope, tl_timer_after(after)) < 0
               ? NULL
               : Py_NewRef(Py_None);
}

static PyObject *
get_expired(TimeoutObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->scope.expired);
}

static PyObject *
get_when(TimeoutObject *self, void *Py_UNUSED(closure))
{
    tl_deadline when = self->scope.when;
    if (when == TL_DEADLINE_NEVER) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(when == TL_DEADLINE_PAST ? 0 : (double)when / 1e9);
}

static PyObject *
timeout_repr(TimeoutObject *self)
{
    static const char *const words[] = {"not entered", "active", "due", "expired",
                                        "expired"};
    const char *word = self->scope.expired ? "expired" : words[self->scope.state];
    return tl_scope_repr((PyObject *)self,
                         self->by_deadline ? "tasklets.deadline" : NULL, word,
                         &self->scope, self->after);
}

static int
timeout_traverse(TimeoutObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->exc);
    return tl_scope_traverse(&self->scope, visit, arg);
}

static int
timeout_clear(TimeoutObject *self)
{
    tl_scope_forget(&self->scope);
    Py_CLEAR(self->exc);
    return 0;
}

static void
timeout_dealloc(TimeoutObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)timeout_clear(self);
    tl_object_free(self, TL_LIVE_NONE);
}

int
tl_timeout_ready(PyTypeObject *type)
{
    type->tp_vectorcall = timeout_vectorcall;
    return 0;
}

// clang-format off

PyMethodDef tl_timeout_functions[] = {
    {"deadline", TL_FAST(fn_deadline),
     METH_FASTCALL | METH_KEYWORDS, deadline_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef timeout_methods[] = {
    {"__enter__", (PyCFunction)timeout_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(timeout_exit), METH_FASTCALL, NULL},
    {"reschedule", (PyCFunction)timeout_reschedule, METH_O, reschedule_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef timeout_getset[] = {
    {"expired", (getter)get_expired, NULL,
     "Whether the block was interrupted because its time was over.", NULL},
    {"when", (getter)get_when, NULL,
     "When it expires, on time.monotonic()'s clock; None: never or not entered.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(timeout_doc,
"timeout(seconds, exc=None)\n"
"--\n"
"\n"
"A context manager that raises TimeoutError when the block takes too long.\n"
"\n"
"seconds: how long the block may take; None: no limit. exc: an exception or its\n"
"class, to be raised in place of TimeoutError.\n"
"\n"
"When the time is over, the tasklet's wait is interrupted; if it is running, its next\n"
"wait is, or nothing if there is none. A value that has arrived is not lost. Inside\n"
"the block the interruption is a TimeoutExit, which `except Exception` does not\n"
"catch; of nested blocks each ends only by its own time. Raises ValueError if seconds\n"
"is NaN.");

static PyType_Slot timeout_slots[] = {
    {Py_tp_doc, (void *)timeout_doc},
    {Py_tp_new, timeout_new},
    {Py_tp_repr, timeout_repr},
    {Py_tp_traverse, timeout_traverse},
    {Py_tp_clear, timeout_clear},
    {Py_tp_dealloc, timeout_dealloc},
    {Py_tp_methods, timeout_methods},
    {Py_tp_getset, timeout_getset},
    {0, NULL},
};

PyType_Spec tl_timeout_spec = {
    .name = "tasklets.timeout",
    .basicsize = sizeof(TimeoutObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = timeout_slots,
};
