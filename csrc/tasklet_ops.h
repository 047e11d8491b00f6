// tasklet_ops.h - the methods of a tasklet.
#ifndef TL_TASKLET_OPS_H
#define TL_TASKLET_OPS_H

#include "args.h"
#include "sched.h"

extern PyMethodDef tl_tasklet_methods[];

PyObject *tl_tasklet_call(TaskletObject *self, PyObject *args, PyObject *kwargs);

// The Context that is in force while t runs: a new reference; made if it has none yet.
// NULL with an exception set.
PyObject *tl_tasklet_context(TaskletObject *t);

#endif // TL_TASKLET_OPS_H
