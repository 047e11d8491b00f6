// scheduled_call.h - callbacks that run soon, or at a time, each in a tasklet of its own.
#ifndef TL_SCHEDULED_CALL_H
#define TL_SCHEDULED_CALL_H

#include "core/sched.h"

// Invariants
// I1: timer is set iff link is in sched->later, which owns a reference then.
// I2: who is NULL once it is cancelled, and in the ring or on its way once its time came.
typedef struct {
    PyObject_HEAD
    struct tl_timer timer;
    struct tl_link link;
    TaskletObject *who;
    int64_t when;
    bool cancelled;
} HandleObject;

// Have who, which is new and floats, run at that time; 0: as soon as it can. Returns 0, or
// -1 with an exception set.  Thread: any, if when is 0.
int tl_scheduled_call_start(HandleObject *handle, int64_t when);

// Have it not run, if it has not begun. Thread: any.
void tl_scheduled_call_cancel(HandleObject *handle);

// The thread of s is gone: forget all that wait for their time.
void tl_scheduled_call_forget_all(struct tl_sched *s);

#endif // TL_SCHEDULED_CALL_H
