// tasklet_end.h - delivers a tasklet's result or exception, and kills tasklets that
// have become unreachable, so that their clean-up code runs.
#ifndef TL_TASKLET_END_H
#define TL_TASKLET_END_H

#include "core/sched.h"

// The type's tp_finalize: kill self, now if that is possible here, or else when its
// thread next switches.
// Thread: any.  Switch: may.
void tl_tasklet_finalize(TaskletObject *self);

// For tp_dealloc: finalize self. Returns whether the object is referenced again, and
// must not be freed.
// Thread: any.  Switch: may.
bool tl_tasklet_is_resurrected(TaskletObject *self);

// t's function has returned result (stolen), or raised exc (stolen): the other is NULL.
// name: t's, or NULL. Deliver it: to waiters and done callbacks, or to the error
// handler. Returns the exception that main or the innermost run() must raise, or NULL.
// Switch: may, in the error handler and the callbacks.
PyObject *tl_tasklet_settle(struct tl_sched *s, TaskletObject *t, PyObject *result,
                            PyObject *exc, PyObject *name);

#endif // TL_TASKLET_END_H
