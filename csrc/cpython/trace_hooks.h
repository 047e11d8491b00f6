// trace_hooks.h - the trace and profile functions that a tasklet has for itself.
#ifndef TL_TRACE_HOOKS_H
#define TL_TRACE_HOOKS_H

#include "cpython/compat.h"

// One of the two, as the interpreter has it.
struct tl_hook {
    Py_tracefunc func; // NULL: none
    PyObject *object;  // counted
    bool own;          // the tasklet has one, be it none; else the thread's is in force
};

// While the tasklet runs, the thread's that its own have displaced; else its own.
struct tl_trace_hooks {
    struct tl_hook trace, profile;
};

// How deep in trace functions code was that has been left, and at which event.
struct tl_tracing {
    int depth, event;
};

// The tasklet begins to run, or no longer does.
void tl_trace_hooks_swap(PyThreadState *ts, struct tl_trace_hooks *hooks);

// What sys.settrace(), or with profile sys.setprofile(), makes of object (NULL: none):
// found by calling it. Returns 0, or -1 with an exception set. Other code may run.
int tl_trace_hooks_resolve(PyThreadState *ts, bool profile, PyObject *object,
                           struct tl_hook *hook);

// Have fresh (its object is stolen) in force when the tasklet runs, or with running from
// now on.
void tl_trace_hooks_set(PyThreadState *ts, struct tl_trace_hooks *hooks, bool profile,
                        bool running, const struct tl_hook *fresh);

// Have the thread's in force again.
void tl_trace_hooks_forget(PyThreadState *ts, struct tl_trace_hooks *hooks,
                           bool profile, bool running);

// What is in force on the thread: borrowed, or NULL.
PyObject *tl_trace_hooks_seen(PyThreadState *ts, bool profile);

void tl_trace_hooks_free(struct tl_trace_hooks *hooks);

// Code that is inside a trace function is left for other code, which is not, and comes
// back.
void tl_trace_hooks_leave_tracing(PyThreadState *ts, struct tl_tracing *tracing);
void tl_trace_hooks_enter_tracing(PyThreadState *ts, const struct tl_tracing *tracing);

#endif // TL_TRACE_HOOKS_H
