// tasklet_end.h - what becomes of a tasklet's result or exception. Tasklets that nobody can
// reach are ended, so that their clean-up runs.
#ifndef TL_TASKLET_END_H
#define TL_TASKLET_END_H

#include "core/sched.h"

// The type's tp_finalize: kill self, now or when its thread next switches.
void tl_tasklet_finalize(TaskletObject *self);

// For tp_dealloc: finalize self. Returns whether the object is referenced again.
bool tl_tasklet_is_resurrected(TaskletObject *self);

// t's function has returned result (stolen), or raised exc (stolen): one of them is NULL.
// name: t's, or NULL. Tell who is to know. Returns the exception that goes to main or
// run(), or NULL.
// Switch: may, in what it calls.
PyObject *tl_tasklet_settle(struct tl_sched *s, TaskletObject *t, PyObject *result,
                            PyObject *exc, PyObject *name);

#endif // TL_TASKLET_END_H
