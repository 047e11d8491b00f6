// trace_hooks.h - a tasklet's own trace and profile functions.
//
// A tasklet without its own uses the thread's. At each switch to or from a tasklet that
// has its own, they change places with the thread's.
#ifndef TL_TRACE_HOOKS_H
#define TL_TRACE_HOOKS_H

#include "cpython/compat.h"

// A trace or profile function, as PyEval_SetTrace() takes it.
struct tl_hook {
    Py_tracefunc func; // NULL: none
    PyObject *object;  // counted
    bool own; // the tasklet has its own, which may be none; else it uses the thread's
};

// A tasklet's functions. While the tasklet runs, they are active, and the thread's,
// which they displaced, are kept here.
struct tl_trace_hooks {
    struct tl_hook trace, profile;
};

// How many trace functions code was inside when it was left, and at which event.
struct tl_tracing {
    int depth, event;
};

// Exchange the tasklet's functions and the thread's: the tasklet begins to run, or no
// longer runs. May run Python code.
void tl_trace_hooks_swap(PyThreadState *ts, struct tl_trace_hooks *hooks);

// Find out what sys.settrace(), or with profile sys.setprofile(), makes of object
// (NULL: none), by calling it. Returns 0, or -1 with an exception set. May run Python
// code.
int tl_trace_hooks_resolve(PyThreadState *ts, bool profile, PyObject *object,
                           struct tl_hook *hook);

// Give the tasklet the function fresh (its object is stolen), which is active from now
// on if the tasklet is running. May run Python code.
void tl_trace_hooks_set(PyThreadState *ts, struct tl_trace_hooks *hooks, bool profile,
                        bool running, const struct tl_hook *fresh);

// Let the tasklet use the thread's function again. May run Python code.
void tl_trace_hooks_forget(PyThreadState *ts, struct tl_trace_hooks *hooks,
                           bool profile, bool running);

// The object of the thread's active function: borrowed, or NULL.
PyObject *tl_trace_hooks_seen(PyThreadState *ts, bool profile);

// May run Python code.
void tl_trace_hooks_free(struct tl_trace_hooks *hooks);

// Around a switch in the middle of a trace function: leave it, so that the code that
// runs next is traced, and enter it again.
void tl_trace_hooks_leave_tracing(PyThreadState *ts, struct tl_tracing *tracing);
void tl_trace_hooks_enter_tracing(PyThreadState *ts, const struct tl_tracing *tracing);

#endif // TL_TRACE_HOOKS_H
