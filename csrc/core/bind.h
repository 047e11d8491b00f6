// bind.h - bind() and setup(): the function of a tasklet, and its arguments.
#ifndef TL_BIND_H
#define TL_BIND_H

#include "core/tasklet.h"

// bind() and setup() by Stackless's rules; setup() makes t runnable. Return 0, or -1
// with an exception set. May run Python code: in a copy of kwargs, and in what is
// dropped.
// Thread: any.
int tl_task_bind(TaskletObject *t, PyObject *func, PyObject *args, PyObject *kwargs);

int tl_task_setup(TaskletObject *t, PyObject *args, PyObject *kwargs);

#endif // TL_BIND_H
