// tasklet_methods.h - the methods of a tasklet.
#ifndef TL_TASKLET_METHODS_H
#define TL_TASKLET_METHODS_H

#include "core/sched.h"
#include "object/args.h"

extern PyMethodDef tl_tasklet_methods[];

PyObject *tl_tasklet_call(TaskletObject *self, PyObject *args, PyObject *kwargs);

// The tasklet's innermost frame (a new reference), or NULL with or without an exception
// set. May destroy the scheduler of a thread that ended unseen.
PyObject *tl_tasklet_frame(TaskletObject *t);

// (file, line) of the call that spawned t, or None: a new reference.
PyObject *tl_tasklet_spawned_at(TaskletObject *t);

// The Context in which t runs, created if t has none yet: a new reference, or NULL with
// an exception set.
PyObject *tl_tasklet_context(TaskletObject *t);

#endif // TL_TASKLET_METHODS_H
