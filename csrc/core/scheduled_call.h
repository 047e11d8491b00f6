// scheduled_call.h - call_soon() and call_later(): callbacks that run soon or at a
// time, each in a tasklet of its own.
#ifndef TL_SCHEDULED_CALL_H
#define TL_SCHEDULED_CALL_H

#include "core/sched.h"

// Invariants
// I1: timer is set iff link is in sched->later, which owns a reference then.
// I2: who is NULL once the call is cancelled; it is made runnable when the time has
//     come.
typedef struct {
    PyObject_HEAD
    struct tl_timer timer;
    struct tl_link link;
    TaskletObject *who; // counted: the tasklet that will make the call
    int64_t when;       // on tl_timer_now()'s clock; 0: as soon as possible
    bool cancelled;
} ScheduledCallObject;

// Make handle->who, which is new and paused, runnable at when on tl_timer_now()'s
// clock; 0: now. Returns 0, or -1 with an exception set.
// Thread: any if when is 0, else that of who.
int tl_scheduled_call_start(ScheduledCallObject *handle, int64_t when);

// Cancel the call, unless its tasklet has begun.
// Thread: any.
void tl_scheduled_call_cancel(ScheduledCallObject *handle);

// The thread of s has ended: cancel the calls whose time has not come.
void tl_scheduled_call_forget_all(struct tl_sched *s);

#endif // TL_SCHEDULED_CALL_H
