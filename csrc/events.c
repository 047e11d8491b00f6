#include "events.h"

TL_THREAD_LOCAL struct tl_events *tl_events_mine;
int (*tl_events_due)(struct tl_events *events);

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
