// scheduled_call_type.c - call_soon(), call_later() and their type, Handle.
#include "core/scheduled_call.h"
#include "core/thread.h"
#include "core/timer.h"
#include "cpython/gil.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/types.h"

// A new tasklet of s that will call args[0] with the rest, in the caller's context.
static TaskletObject *
make_tasklet(struct tl_state *state, struct tl_sched *s, PyObject *const *args,
             Py_ssize_t nargs)
{
    TaskletObject *t = tl_task_new(state->tasklet_type, s);
    if (t != NULL && tl_task_set_call(t, args, nargs) < 0) {
        Py_CLEAR(t);
    }
    return t;
}

static PyObject *
start(struct tl_state *state, struct tl_sched *s, const char *fname,
      PyObject *const *args, Py_ssize_t nargs, int64_t when)
{
    if (nargs == 0) {
        PyErr_Format(PyExc_TypeError, "%s() needs something to call", fname);
        return NULL;
    }
    if (tl_args_function(fname, args[0], 1) < 0) {
        return NULL;
    }
    PyTypeObject *type = state->scheduled_call_type;
    ScheduledCallObject *self = (ScheduledCallObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    tl_link_init(&self->link);
    self->who = make_tasklet(state, s, args, nargs);
    if (self->who != NULL && s->dead) {
        PyErr_SetString(PyExc_RuntimeError, "that thread has ended");
        Py_CLEAR(self->who);
    }
    if (self->who == NULL || tl_scheduled_call_start(self, when) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PyDoc_STRVAR(call_soon_doc,
"call_soon($module, func, /, *args)\n"
"--\n"
"\n"
"Call func(*args) soon, in a new tasklet behind the runnable ones of this thread.\n"
"\n"
"Returns a Handle. The call may block. Its result is dropped; its exception is\n"
"treated like that of any tasklet. It runs in a copy of the caller's contextvars\n"
"Context. Raises TypeError if func is not callable or is async.");

static PyObject *
fn_call_soon(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_get(state);
    return s == NULL ? NULL : start(state, s, "call_soon", args, nargs, 0);
}

PyDoc_STRVAR(call_later_doc,
"call_later($module, delay, func, /, *args)\n"
"--\n"
"\n"
"Call func(*args) after at least delay seconds; otherwise like call_soon().\n"
"\n"
"delay: 0 or less for soon. run(wait=True) waits for the call. Raises ValueError if\n"
"delay is NaN.");

static PyObject *
fn_call_later(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_get(state);
    int64_t delay;
    if (nargs == 0) {
        PyErr_SetString(PyExc_TypeError, "call_later() needs a delay and a callable");
        return NULL;
    }
    if (args[0] == Py_None) {
        PyErr_SetString(PyExc_TypeError,
                        "delay must be a number of seconds, not None: for as soon as "
                        "possible there is call_soon()");
        return NULL;
    }
    if (s == NULL || tl_timer_read_ns(args[0], "delay", &delay) < 0) {
        return NULL;
    }
    // A delay without end is a long one: the call stays pending.
    int64_t when = delay > 0 ? tl_timer_now(s) + delay : 0;
    return start(state, s, "call_later", args + 1, nargs - 1, when);
}

PyDoc_STRVAR(call_soon_threadsafe_doc,
"call_soon_threadsafe($module, func, /, *args, thread=None)\n"
"--\n"
"\n"
"Call func(*args) soon in another thread, whose scheduler is woken if it waits.\n"
"\n"
"thread: an ident or a threading.Thread; None: the main thread. Otherwise like\n"
"call_soon(). Raises RuntimeError if that thread does not use tasklets.");

static PyObject *
fn_call_soon_threadsafe(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    static const char *const names[] = {"thread", NULL};
    static const struct tl_argspec spec = {.fname = "call_soon_threadsafe",
                                           .names = names};
    struct tl_state *state = tl_state_of_module(mod);
    PyObject *thread, *main = NULL;
    if (tl_args_parse(&spec, args + nargs, 0, kwnames, &thread) < 0) {
        return NULL;
    }
    if (thread == NULL || thread == Py_None) {
        thread = main = PyLong_FromUnsignedLong(tl_gil_main_ident());
    }
    struct tl_sched *s = thread == NULL ? NULL : tl_thread_sched_of(state, thread);
    Py_XDECREF(main);
    return s == NULL ? NULL : start(state, s, "call_soon_threadsafe", args, nargs, 0);
}

PyDoc_STRVAR(scheduled_calls_doc,
"scheduled_calls($module, /)\n"
"--\n"
"\n"
"Return a list of the Handles of this thread's pending calls, the oldest first.");

static PyObject *
fn_scheduled_calls(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    PyObject *list = s == NULL ? NULL : PyList_New(0);
    struct tl_link *i = list == NULL ? NULL : s->later.next;
    for (; list != NULL && i != &s->later; i = i->next) {
        if (PyList_Append(list,
                          (PyObject *)TL_CONTAINER(i, ScheduledCallObject, link)) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

// ---- the type

PyDoc_STRVAR(cancel_doc,
"cancel($self, /)\n"
"--\n"
"\n"
"Cancel the call, unless it has begun.");

static PyObject *
handle_cancel(ScheduledCallObject *self, PyObject *Py_UNUSED(ignored))
{
    tl_scheduled_call_cancel(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cancelled_doc,
"cancelled($self, /)\n"
"--\n"
"\n"
"Return whether the call was cancelled before it began.");

static PyObject *
handle_cancelled(ScheduledCallObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->cancelled);
}

PyDoc_STRVAR(when_doc,
"when($self, /)\n"
"--\n"
"\n"
"Return the call's time on time.monotonic()'s clock; None for call_soon().");

static PyObject *
handle_when(ScheduledCallObject *self, PyObject *Py_UNUSED(ignored))
{
    return self->when == 0 ? Py_NewRef(Py_None)
                           : PyFloat_FromDouble((double)self->when / 1e9);
}

static PyObject *
handle_repr(ScheduledCallObject *self)
{
    if (self->who == NULL) {
        return PyUnicode_FromFormat("<tasklets.scheduler.Handle %s at %p>",
                                    self->cancelled ? "cancelled" : "empty", self);
    }
    PyObject *text = tl_task_describe(self->who);
    PyObject *repr = text ? PyUnicode_FromFormat(
                                "<tasklets.scheduler.Handle of %U at %p>", text, self)
                          : NULL;
    Py_XDECREF(text);
    return repr;
}

static int
handle_traverse(ScheduledCallObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->who);
    return 0;
}

static void
handle_dealloc(ScheduledCallObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->who); // the call itself still takes place
    tl_object_free(self, TL_LIVE_NONE);
}

// clang-format off

PyMethodDef tl_scheduled_call_functions[] = {
    {"call_soon", TL_FAST(fn_call_soon), METH_FASTCALL, call_soon_doc},
    {"call_later", TL_FAST(fn_call_later), METH_FASTCALL, call_later_doc},
    {"scheduled_calls", fn_scheduled_calls, METH_NOARGS, scheduled_calls_doc},
    {"call_soon_threadsafe", TL_FAST(fn_call_soon_threadsafe),
     METH_FASTCALL | METH_KEYWORDS, call_soon_threadsafe_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef handle_methods[] = {
    {"cancel", (PyCFunction)handle_cancel, METH_NOARGS, cancel_doc},
    {"cancelled", (PyCFunction)handle_cancelled, METH_NOARGS, cancelled_doc},
    {"when", (PyCFunction)handle_when, METH_NOARGS, when_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(handle_doc,
"A scheduled call, which call_soon() and call_later() return.");

// No tp_clear, since the object may be in use: the objects that it refers to break the
// cycle.
static PyType_Slot handle_slots[] = {
    {Py_tp_doc, (void *)handle_doc},
    {Py_tp_repr, handle_repr},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_methods, handle_methods},
    {0, NULL},
};

PyType_Spec tl_scheduled_call_spec = {
    .name = "tasklets.scheduler.Handle",
    .basicsize = sizeof(ScheduledCallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = handle_slots,
};
