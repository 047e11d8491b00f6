// tasklet_methods.h - the methods of a tasklet.
#ifndef TL_TASKLET_METHODS_H
#define TL_TASKLET_METHODS_H

#include "core/sched.h"
#include "object/args.h"

extern PyMethodDef tl_tasklet_methods[];

PyObject *tl_tasklet_call(TaskletObject *self, PyObject *args, PyObject *kwargs);

// Its innermost frame: a new reference; NULL without one, with or without an exception
// set. May bury a thread that ended unseen.
PyObject *tl_tasklet_frame(TaskletObject *t);

// (file, line) of the call that spawned it, or None: a new reference.
PyObject *tl_tasklet_spawned_at(TaskletObject *t);

// The Context that is in force while t runs: a new reference; made if it has none yet.
// NULL with an exception set.
PyObject *tl_tasklet_context(TaskletObject *t);

#endif // TL_TASKLET_METHODS_H
