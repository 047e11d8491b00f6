// mod_scheduler.h - module functions that other files of this directory call.
#ifndef TL_MOD_SCHEDULER_H
#define TL_MOD_SCHEDULER_H

#include "core/sched.h"

// spawn() on the calling thread, whose scheduler is s. Returns a new tasklet, or NULL
// with an exception set. May run Python code.
PyObject *tl_function_spawn(struct tl_sched *s, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);

#endif // TL_MOD_SCHEDULER_H
