// ticks.c - what both kinds of ticks share.
#include "cpython/ticks.h"
#include "base/stress.h"

TL_THREAD_LOCAL struct tl_ticks *tl_ticks_mine;
int (*tl_ticks_due)(struct tl_ticks *events);

#ifndef NDEBUG
void
tl_ticks_check_state(const struct tl_ticks *events)
{
    TL_CHECK("I1", "tl_ticks", events, tl_ticks_read(events) >= 0);
    TL_CHECK("I2", "tl_ticks", events,
             events->armed == NULL || PyCode_Check(events->armed));
}
#endif

int
tl_ticks_kind(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030C0000
    return ts->what_event;
#else
    (void)ts;
    return 0;
#endif
}

void
tl_ticks_set_kind(PyThreadState *ts, int kind)
{
#if PY_VERSION_HEX >= 0x030C0000
    ts->what_event = kind;
#else
    (void)ts;
    (void)kind;
#endif
}

void
tl_ticks_put_aside(struct tl_ticks *events, PyObject *object)
{
    if (events->naside == events->aside_room) {
        int room =
            events->aside_room == 0 ? TL_STRESS_OR(4, 1) : 2 * events->aside_room;
        PyObject **grown =
            PyMem_RawRealloc(events->aside, (size_t)room * sizeof *grown);
        if (grown == NULL) {
            return;
        }
        events->aside = grown;
        events->aside_room = room;
    }
    events->aside[events->naside++] = object;
}

void
tl_ticks_drop_aside(struct tl_ticks *events)
{
    if (events->aside_room == 0) {
        return;
    }
    PyObject **aside = events->aside;
    int count = events->naside;
    events->aside = NULL;
    events->naside = events->aside_room = 0;
    PyObject *exc = PyErr_GetRaisedException();
    while (count > 0) {
        Py_DECREF(aside[--count]);
    }
    PyErr_SetRaisedException(exc);
    PyMem_RawFree(aside);
}

int
tl_ticks_decide(struct tl_ticks *events)
{
    PyThreadState *ts = events->ts;
    if (ts->tracing != 1) {
        return 0; // also inside a trace function of the program's
    }
    int kind = tl_ticks_kind(ts);
    PyThreadState_LeaveTracing(ts);
    int result = tl_ticks_due(events);
    PyThreadState_EnterTracing(ts);
    tl_ticks_set_kind(ts, kind);
    return result;
}
