// mod_settings.c - the module's functions that change settings or report on the build.
#include "core/ending.h"
#include "core/stress_points.h"
#include "core/thread.h"
#include "io/uv_loop.h"
#include "io/uv_request.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/fork.h"
#include "python/types.h"
#include "sync/channel.h"

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
"Add change to this thread's trap counter and return its old value.\n"
"\n"
"While the counter is not 0, any operation that would switch to another tasklet\n"
"raises SwitchTrapError and changes nothing; insert(), remove() and waking other\n"
"threads are allowed.");

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

// Set *slot (None: NULL) and return its old value, or None. TypeError(message) unless
// value is callable.
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
"Call func(channel, tasklet, sending, willblock) at each channel operation.\n"
"\n"
"None removes the callback. Returns the previous callback, or None. func is called\n"
"before anything changes, or afterwards if the partner belongs to another thread. It\n"
"must not use channels or switch; an exception that it raises is raised by the\n"
"operation. Raises TypeError if func is not callable.");

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
"Call func(prev, next) before each switch, in every thread.\n"
"\n"
"None removes the callback. Returns the previous callback, or None. func must not\n"
"switch; an exception that it raises is reported as unraisable. prev is None when a\n"
"thread's main tasklet is created. Raises TypeError if func is not callable.");

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
"Call func(type, value, traceback) with each uncaught exception of a tasklet.\n"
"\n"
"None removes the handler. Returns the previous handler, or None. func is called in\n"
"the dying tasklet; if it returns, the exception counts as handled; if it raises,\n"
"that exception goes to run(). Raises TypeError if func is not callable.");

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
"Return the callback that set_channel_callback() set, or None.");

static PyObject *
fn_get_channel_callback(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    return or_none(tl_state_of_module(mod)->channel_callback);
}

PyDoc_STRVAR(get_schedule_callback_doc,
"get_schedule_callback($module, /)\n"
"--\n"
"\n"
"Return the callback that set_schedule_callback() set, or None.");

static PyObject *
fn_get_schedule_callback(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    return or_none(tl_state_of_module(mod)->schedule_callback);
}

PyDoc_STRVAR(order_seed_doc,
"order_seed($module, seed, /)\n"
"--\n"
"\n"
"Insert tasklets that become runnable at random places of this thread's run queue.\n"
"\n"
"The places are behind the head, and the same for the same seed, an int from 1 to\n"
"2**64 - 1. None: append at the end, as usual. Returns the seed that continues the\n"
"present sequence, or None.");

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

// ---- for tests and diagnosis

PyDoc_STRVAR(live_counts_doc,
"live_counts($module, /)\n"
"--\n"
"\n"
"Return a dict of the number of live objects of each C type, for leak tests.");

static PyObject *
fn_live_counts(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    // Create the caller's scheduler now, so that it does not count as a leak later.
    if (tl_sched_get(tl_state_of_module(mod)) == NULL) {
        return NULL;
    }
    PyObject *counts = PyDict_New();
    for (int kind = 0; counts != NULL && kind < TL_LIVE_KINDS; kind++) {
        PyObject *count = PyLong_FromLong(tl_live[kind]);
        if (count == NULL ||
            PyDict_SetItemString(counts, tl_live_names[kind], count) < 0) {
            Py_CLEAR(counts);
        }
        Py_XDECREF(count);
    }
    return counts;
}

PyDoc_STRVAR(stress_yields_doc,
"stress_yields($module, flag, /)\n"
"--\n"
"\n"
"Set whether a build with TL_STRESS yields before each operation that may wait.\n"
"\n"
"Returns the previous value. For tests that count turns; other builds never yield.");

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
"Return the version of the loaded libuv.");

static PyObject *
fn_libuv_version(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString(tl_uv_loop_version());
}

PyDoc_STRVAR(report_lock_cycles_doc,
"_report_lock_cycles($module, flag, /)\n"
"--\n"
"\n"
"Set whether a cycle of lock owners only causes a RuntimeWarning, not DeadlockError.\n"
"\n"
"If set, the locks are waited for in spite of it. Returns the previous value.");

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

PyDoc_STRVAR(set_end_limits_doc,
"_set_end_limits($module, cpu_seconds, turn_seconds, /)\n"
"--\n"
"\n"
"Set how long a tasklet may run on that was told to end with its thread.\n"
"\n"
"cpu_seconds: of CPU time; turn_seconds: of true time. Raises ValueError unless both\n"
"are from 0.001 to 1e6; nothing is changed then. For tests: 4 and 60 unless set.");

static PyObject *
fn_set_end_limits(PyObject *Py_UNUSED(mod), PyObject *args)
{
    double cpu, turn;
    if (!PyArg_ParseTuple(args, "dd:_set_end_limits", &cpu, &turn)) {
        return NULL;
    }
    if (!(cpu >= 0.001 && cpu <= 1e6 && turn >= 0.001 && turn <= 1e6)) {
        PyErr_SetString(PyExc_ValueError, "seconds must be from 0.001 to 1e6");
        return NULL;
    }
    tl_ending_set_times((int64_t)(cpu * 1e9), (int64_t)(turn * 1e9));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(check_function_doc,
"check_function($module, fname, func, level, /)\n"
"--\n"
"\n"
"Raise the TypeError of fname() if func is not callable or is async.\n"
"\n"
"Issues a RuntimeWarning if it is a generator function. level: how far the call of\n"
"fname() is from the caller of this function, which has level 1.");

static PyObject *
fn_check_function(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs)
{
    const char *fname = nargs == 3 ? PyUnicode_AsUTF8(args[0]) : NULL;
    int level = 1;
    if (fname == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "check_function() needs a name, an object and a level");
        return NULL;
    }
    if (tl_args_int(args[2], &level) < 0) {
        return NULL;
    }
    return tl_args_function(fname, args[1], level) < 0 ? NULL : Py_NewRef(Py_None);
}

// A gc.callbacks function: phase is "start" or "stop".
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
    tl_uv_request_at_exit(tl_sched_mine);
    tl_thread_stop_helpers(tl_state_of_module(mod));
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
    {"_set_end_limits", fn_set_end_limits, METH_VARARGS, set_end_limits_doc},
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
