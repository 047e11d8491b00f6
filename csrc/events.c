#include "events.h"
#include "stress.h"

TL_THREAD_LOCAL struct tl_events *tl_events_mine;
int (*tl_events_due)(struct tl_events *events);

#ifndef NDEBUG
void
tl_events_check_state(const struct tl_events *events)
{
    TL_CHECK("I1", "tl_events", events, tl_events_ticks(events) >= 0);
    TL_CHECK("I2", "tl_events", events,
             events->armed == NULL || PyCode_Check(events->armed));
}
#endif

int
tl_events_kind(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030C0000
    return ts->what_event;
#else
    (void)ts;
    return 0;
#endif
}

void
tl_events_set_kind(PyThreadState *ts, int kind)
{
#if PY_VERSION_HEX >= 0x030C0000
    ts->what_event = kind;
#else
    (void)ts;
    (void)kind;
#endif
}

void
tl_events_put_aside(struct tl_events *events, PyObject *object)
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
tl_events_drop_aside(struct tl_events *events)
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
tl_events_decide(struct tl_events *events)
{
    PyThreadState *ts = events->ts;
    if (ts->tracing != 1) {
        return 0; // inside somebody's trace function
    }
    int kind = tl_events_kind(ts);
    PyThreadState_LeaveTracing(ts);
    int result = tl_events_due(events);
    PyThreadState_EnterTracing(ts);
    tl_events_set_kind(ts, kind);
    return result;
}
