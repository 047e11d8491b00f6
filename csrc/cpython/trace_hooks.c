// trace_hooks.c - exchanges trace and profile functions without using up the
// interpreter's limited number of changes.
#include "cpython/trace_hooks.h"
#include "cpython/ticks.h"

static struct tl_hook *
hook_of(struct tl_trace_hooks *hooks, bool profile)
{
    return profile ? &hooks->profile : &hooks->trace;
}

// A function that does nothing takes the place of the thread's, if the thread has none:
// removing the last trace function at each switch would use up the changes of events
// that the interpreter allows in the life of a process. After MAX_IDLE_CALLS events
// without a switch it removes itself, because it slows down the code that runs.
static TL_THREAD_LOCAL int idle_calls;
enum { MAX_IDLE_CALLS = 100000 };

static int
idle_trace(PyObject *Py_UNUSED(object), PyFrameObject *Py_UNUSED(frame),
           int Py_UNUSED(what), PyObject *Py_UNUSED(arg))
{
    if (++idle_calls > MAX_IDLE_CALLS) {
        idle_calls = 0;
        PyEval_SetTrace(NULL, NULL);
    }
    return 0;
}

static int
idle_profile(PyObject *Py_UNUSED(object), PyFrameObject *Py_UNUSED(frame),
             int Py_UNUSED(what), PyObject *Py_UNUSED(arg))
{
    if (++idle_calls > MAX_IDLE_CALLS) {
        idle_calls = 0;
        PyEval_SetProfile(NULL, NULL);
    }
    return 0;
}

// The active function, or NULL; the ones that do nothing do not count.
static Py_tracefunc
active_func(PyThreadState *ts, bool profile)
{
    Py_tracefunc func = profile ? ts->c_profilefunc : tl_ticks_trace_func(ts);
    return func == idle_trace || func == idle_profile ? NULL : func;
}

PyObject *
tl_trace_hooks_seen(PyThreadState *ts, bool profile)
{
    return profile ? ts->c_profileobj : ts->c_traceobj;
}

static void
put(PyThreadState *ts, bool profile, Py_tracefunc func, PyObject *object)
{
    idle_calls = 0;
    if (func == NULL && tl_ticks_are_costly()) {
        func = profile ? idle_profile : idle_trace;
    }
    if (profile) {
        PyEval_SetProfile(func, object);
    } else {
        PyEval_SetTrace(func, object);
        if (tl_ticks_mine != NULL && tl_ticks_mine->ts == ts) {
            tl_ticks_check(tl_ticks_mine);
        }
    }
}

// Exchange hook's function and the active one.
static void
exchange(PyThreadState *ts, bool profile, struct tl_hook *hook)
{
    struct tl_hook seen = {
        .func = active_func(ts, profile),
        .object = Py_XNewRef(tl_trace_hooks_seen(ts, profile)),
        .own = hook->own,
    };
    PyObject *object = hook->object;
    Py_tracefunc func = hook->func;
    *hook = seen;
    if (func != NULL || seen.func != NULL) {
        put(ts, profile, func, object);
    }
    Py_XDECREF(object);
}

void
tl_trace_hooks_swap(PyThreadState *ts, struct tl_trace_hooks *hooks)
{
    if (hooks->trace.own) {
        exchange(ts, false, &hooks->trace);
    }
    if (hooks->profile.own) {
        exchange(ts, true, &hooks->profile);
    }
}

int
tl_trace_hooks_resolve(PyThreadState *ts, bool profile, PyObject *object,
                       struct tl_hook *hook)
{
    struct tl_hook before = {.own = true};
    *hook = before;
    if (object == NULL) {
        return 0;
    }
    // Not PySys_GetObject(), which hides a MemoryError.
    PyObject *sys = PyImport_ImportModule("sys");
    PyObject *set = sys ? tl_getattr(sys, profile ? "setprofile" : "settrace") : NULL;
    Py_XDECREF(sys);
    if (set == NULL) {
        return -1;
    }
    exchange(ts, profile, &before);
    PyObject *result = PyObject_CallOneArg(set, object);
    PyObject *exc = PyErr_GetRaisedException();
    Py_XDECREF(result);
    Py_DECREF(set);
    // This restores the active function, and leaves the new one in `before`.
    exchange(ts, profile, &before);
    PyErr_SetRaisedException(exc);
    if (exc != NULL || before.func == NULL) {
        Py_XDECREF(before.object);
        if (exc == NULL) {
            PyErr_SetString(PyExc_RuntimeError,
                            "an audit hook does not allow a trace function");
        }
        return -1;
    }
    *hook = before;
    return 0;
}

void
tl_trace_hooks_set(PyThreadState *ts, struct tl_trace_hooks *hooks, bool profile,
                   bool running, const struct tl_hook *fresh)
{
    struct tl_hook *hook = hook_of(hooks, profile);
    if (!running) {
        PyObject *old = hook->object;
        *hook = *fresh;
        Py_XDECREF(old);
    } else if (hook->own) {
        put(ts, profile, fresh->func, fresh->object);
        Py_XDECREF(fresh->object);
    } else {
        *hook = *fresh;
        exchange(ts, profile, hook);
    }
}

void
tl_trace_hooks_forget(PyThreadState *ts, struct tl_trace_hooks *hooks, bool profile,
                      bool running)
{
    struct tl_hook *hook = hook_of(hooks, profile);
    if (hook->own && running) {
        exchange(ts, profile, hook);
    }
    PyObject *old = hook->object;
    *hook = (struct tl_hook){0};
    Py_XDECREF(old);
}

void
tl_trace_hooks_free(struct tl_trace_hooks *hooks)
{
    PyObject *trace = hooks->trace.object, *profile = hooks->profile.object;
    PyMem_Free(hooks);
    Py_XDECREF(trace);
    Py_XDECREF(profile);
}

void
tl_trace_hooks_leave_tracing(PyThreadState *ts, struct tl_tracing *tracing)
{
    tracing->depth = ts->tracing;
    tracing->event = tl_ticks_kind(ts);
    for (int i = 0; i < tracing->depth; i++) {
        PyThreadState_LeaveTracing(ts);
    }
}

void
tl_trace_hooks_enter_tracing(PyThreadState *ts, const struct tl_tracing *tracing)
{
    for (int i = 0; i < tracing->depth; i++) {
        PyThreadState_EnterTracing(ts);
    }
    tl_ticks_set_kind(ts, tracing->event);
}
