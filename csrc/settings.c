// settings.c - the module's functions on a thread or the process as a whole.
#include "args.h"
#include "channel.h"
#include "ending.h"
#include "fork.h"
#include "live.h"
#include "loop.h"
#include "stress_points.h"
#include "thread.h"
#include "types.h"

// ---- traps and callbacks

static PyObject *
switch_trap(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, bool classic)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL) {
        return NULL;
    }
    if (nargs > 1) {
        PyErr_SetString(PyExc_TypeError, "switch_trap() takes at most 1 argument");
        return NULL;
    }
    long change = nargs > 0 ? PyLong_AsLong(args[0]) : 0;
    if (change == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (change > INT_MAX / 2 || change < INT_MIN / 2 ||
        s->trap + change > INT_MAX / 2 || s->trap + change < INT_MIN / 2) {
        PyErr_SetString(PyExc_OverflowError, "switch_trap() counts no further");
        return NULL;
    }
    int old = s->trap;
    s->trap += (int)change;
    if (change != 0) {
        s->classic_trap = classic;
    }
    return PyLong_FromLong(old);
}

PyDoc_STRVAR(switch_trap_doc,
"switch_trap($module, change=0, /)\n"
"--\n"
"\n"
"Add change to this thread's trap counter and return the old value.\n"
"\n"
"While it is not 0, whatever would switch to another tasklet raises SwitchTrapError\n"
"and changes nothing; insert(), remove() and waking other threads are allowed.");

static PyObject *
fn_switch_trap(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    return switch_trap(mod, args, nargs, false);
}

static PyObject *
fn_classic_switch_trap(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    return switch_trap(mod, args, nargs, true);
}

// Put value in *slot and return what was there, or None.
static PyObject *
replace(PyObject **slot, PyObject *value, const char *message)
{
    if (value != Py_None && !PyCallable_Check(value)) {
        PyErr_SetString(PyExc_TypeError, message);
        return NULL;
    }
    PyObject *old = *slot;
    *slot = value == Py_None ? NULL : Py_NewRef(value);
    return old != NULL ? old : Py_NewRef(Py_None);
}

PyDoc_STRVAR(set_channel_callback_doc,
"set_channel_callback($module, func, /)\n"
"--\n"
"\n"
"Have func(channel, tasklet, sending, willblock) called at each channel operation.\n"
"\n"
"Returns the callback before, or None; None removes it. It is called before anything\n"
"moves, or after if the partner is another thread's. It may not use channels or\n"
"switch; an exception that it raises is raised by the operation.");

static PyObject *
fn_set_channel_callback(PyObject *mod, PyObject *func)
{
    return replace(&tl_state_of_module(mod)->channel_callback, func,
                   "channel callback must be callable");
}

PyDoc_STRVAR(set_schedule_callback_doc,
"set_schedule_callback($module, func, /)\n"
"--\n"
"\n"
"Have func(prev, next) called before each switch, on all threads.\n"
"\n"
"Returns the callback before, or None; None removes it. It may not switch; an\n"
"exception that it raises is reported as unraisable. prev is None when a thread's main\n"
"tasklet is made.");

static PyObject *
fn_set_schedule_callback(PyObject *mod, PyObject *func)
{
    return replace(&tl_state_of_module(mod)->schedule_callback, func,
                   "schedule callback must be callable");
}

PyDoc_STRVAR(set_error_handler_doc,
"set_error_handler($module, func=None, /)\n"
"--\n"
"\n"
"Have func(type, value, traceback) called with each uncaught exception of a tasklet.\n"
"\n"
"Returns the handler before, or None; None removes it. It is called in the dying\n"
"tasklet; if it returns, the error is dealt with, if it raises, that goes to run().\n"
"Raises TypeError if func cannot be called.");

static PyObject *
fn_set_error_handler(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs > 1) {
        PyErr_SetString(PyExc_TypeError,
                        "set_error_handler() takes at most 1 argument");
        return NULL;
    }
    return replace(&tl_state_of_module(mod)->error_handler,
                   nargs > 0 ? args[0] : Py_None, "error handler must be callable");
}

static PyObject *
or_none(PyObject *object)
{
    return Py_NewRef(object != NULL ? object : Py_None);
}

PyDoc_STRVAR(get_channel_callback_doc,
"get_channel_callback($module, /)\n"
"--\n"
"\n"
"Return what set_channel_callback() set, or None.");

static PyObject *
fn_get_channel_callback(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    return or_none(tl_state_of_module(mod)->channel_callback);
}

PyDoc_STRVAR(get_schedule_callback_doc,
"get_schedule_callback($module, /)\n"
"--\n"
"\n"
"Return what set_schedule_callback() set, or None.");

static PyObject *
fn_get_schedule_callback(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    return or_none(tl_state_of_module(mod)->schedule_callback);
}

PyDoc_STRVAR(order_seed_doc,
"order_seed($module, seed, /)\n"
"--\n"
"\n"
"Have each tasklet that becomes runnable on this thread take a random place in the run\n"
"queue, behind the first: the same places for the same seed, a positive int below 2**64.\n"
"None: the end, as usual. Returns the seed that would go on as before, or None.");

static PyObject *
fn_order_seed(PyObject *mod, PyObject *arg)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL) {
        return NULL;
    }
    uint64_t seed = 0;
    if (arg != Py_None) {
        seed = PyLong_AsUnsignedLongLong(arg);
        if (seed == UINT64_MAX && PyErr_Occurred()) {
            return NULL;
        }
        if (seed == 0) {
            PyErr_SetString(PyExc_ValueError, "a seed must be positive");
            return NULL;
        }
    }
    PyObject *before = s->order_seed == 0 ? Py_NewRef(Py_None)
                                          : PyLong_FromUnsignedLongLong(s->order_seed);
    if (before != NULL) {
        s->order_seed = seed;
    }
    return before;
}

// ---- service

PyDoc_STRVAR(live_counts_doc,
"live_counts($module, /)\n"
"--\n"
"\n"
"Return how many objects of each C type are alive, for leak tests.");

static PyObject *
fn_live_counts(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    // The caller's own scheduler is not to look like something new.
    if (tl_sched_get(tl_state_of_module(mod)) == NULL) {
        return NULL;
    }
    return Py_BuildValue(
        "{s:l,s:l,s:l,s:l,s:l,s:l,s:l,s:l,s:l}", "tasklet", tl_live[TL_LIVE_TASKLET],
        "channel", tl_live[TL_LIVE_CHANNEL], "bomb", tl_live[TL_LIVE_BOMB], "scheduler",
        tl_live[TL_LIVE_SCHED], "job", tl_live[TL_LIVE_JOB], "lock",
        tl_live[TL_LIVE_LOCK], "request", tl_live[TL_LIVE_REQUEST], "queue",
        tl_live[TL_LIVE_QUEUE], "local", tl_live[TL_LIVE_LOCAL]);
}

PyDoc_STRVAR(stress_yields_doc,
"stress_yields($module, flag, /)\n"
"--\n"
"\n"
"Whether a build with TL_STRESS yields before each operation that may have to wait; for\n"
"tests that count turns. Returns what it was before. Without effect in other builds.");

static PyObject *
fn_stress_yields(PyObject *Py_UNUSED(mod), PyObject *arg)
{
    int flag = PyObject_IsTrue(arg);
    if (flag < 0) {
        return NULL;
    }
    bool before = tl_stress_yields;
    tl_stress_yields = flag;
    return PyBool_FromLong(before);
}

PyDoc_STRVAR(libuv_version_doc,
"libuv_version($module, /)\n"
"--\n"
"\n"
"Return the version of the libuv that is loaded.");

static PyObject *
fn_libuv_version(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString(tl_loop_version());
}

PyDoc_STRVAR(report_lock_cycles_doc,
"_report_lock_cycles($module, flag, /)\n"
"--\n"
"\n"
"Whether locks whose owners wait for each other are only reported, by a RuntimeWarning,\n"
"and waited for. Returns what it was before.");

static PyObject *
fn_report_lock_cycles(PyObject *mod, PyObject *arg)
{
    struct tl_state *state = tl_state_of_module(mod);
    int flag = PyObject_IsTrue(arg);
    if (flag < 0) {
        return NULL;
    }
    bool before = state->reports_cycles;
    state->reports_cycles = flag;
    return PyBool_FromLong(before);
}

PyDoc_STRVAR(last_seconds_doc,
"_last_seconds($module, computing, turn, /)\n"
"--\n"
"\n"
"Set how many seconds a tasklet may go on without giving way when it was told to end with\n"
"its thread: of CPU time, and of true time.");

static PyObject *
fn_last_seconds(PyObject *Py_UNUSED(mod), PyObject *args)
{
    double computing, turn;
    if (!PyArg_ParseTuple(args, "dd:_last_seconds", &computing, &turn)) {
        return NULL;
    }
    if (!(computing >= 0.001 && computing <= 1e6 && turn >= 0.001 && turn <= 1e6)) {
        PyErr_SetString(PyExc_ValueError, "seconds must be from 0.001 to 1e6");
        return NULL;
    }
    tl_ending_set_times((int64_t)(computing * 1e9), (int64_t)(turn * 1e9));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(check_function_doc,
"check_function($module, fname, func, /)\n"
"--\n"
"\n"
"Raise the TypeError of fname() if func cannot be called or is async.");

static PyObject *
fn_check_function(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs)
{
    const char *fname = nargs == 2 ? PyUnicode_AsUTF8(args[0]) : NULL;
    if (fname == NULL) {
        PyErr_SetString(PyExc_TypeError, "check_function() needs a name and an object");
        return NULL;
    }
    return tl_args_function(fname, args[1]) < 0 ? NULL : Py_NewRef(Py_None);
}

// Called by the collector: phase is "start" or "stop".
static PyObject *
fn_collector(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    bool starts = nargs > 0 && PyUnicode_Check(args[0]) &&
                  PyUnicode_CompareWithASCIIString(args[0], "start") == 0;
    struct tl_state *state = tl_state_of_module(mod);
    state->collector = starts ? PyThread_get_thread_ident() : 0;
    while (!starts && state->nkept > 0) {
        Py_DECREF(state->kept[--state->nkept]);
    }
    Py_RETURN_NONE;
}

static PyObject *
fn_main_has_ended(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    tl_thread_main_has_ended(tl_state_of_module(mod));
    Py_RETURN_NONE;
}

static PyObject *
fn_at_exit(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    tl_thread_at_exit(tl_state_of_module(mod));
    Py_RETURN_NONE;
}

static PyObject *
fn_after_fork(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    tl_fork_in_child(tl_state_of_module(mod));
    Py_RETURN_NONE;
}

// clang-format off

PyMethodDef tl_settings[] = {
    {"switch_trap", TL_FAST(fn_switch_trap), METH_FASTCALL, switch_trap_doc},
    {"set_channel_callback", fn_set_channel_callback, METH_O,
     set_channel_callback_doc},
    {"get_channel_callback", fn_get_channel_callback, METH_NOARGS,
     get_channel_callback_doc},
    {"set_schedule_callback", fn_set_schedule_callback, METH_O,
     set_schedule_callback_doc},
    {"get_schedule_callback", fn_get_schedule_callback, METH_NOARGS,
     get_schedule_callback_doc},
    {"set_error_handler", TL_FAST(fn_set_error_handler), METH_FASTCALL,
     set_error_handler_doc},
    {"order_seed", fn_order_seed, METH_O, order_seed_doc},
    {"live_counts", fn_live_counts, METH_NOARGS, live_counts_doc},
    {"stress_yields", fn_stress_yields, METH_O, stress_yields_doc},
    {"libuv_version", fn_libuv_version, METH_NOARGS, libuv_version_doc},
    {"_report_lock_cycles", fn_report_lock_cycles, METH_O, report_lock_cycles_doc},
    {"_last_seconds", fn_last_seconds, METH_VARARGS, last_seconds_doc},
    {"check_function", TL_FAST(fn_check_function), METH_FASTCALL, check_function_doc},
    {"_collector", TL_FAST(fn_collector), METH_FASTCALL, NULL},
    {"_main_has_ended", fn_main_has_ended, METH_NOARGS, NULL},
    {"_at_exit", fn_at_exit, METH_NOARGS, NULL},
    {"_after_fork", fn_after_fork, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyMethodDef tl_classic_settings[] = {
    {"switch_trap", TL_FAST(fn_classic_switch_trap), METH_FASTCALL, switch_trap_doc},
    {NULL, NULL, 0, NULL},
};
