// mod_scheduler.h - what other files of the Python face need of the module functions.
#ifndef TL_MOD_SCHEDULER_H
#define TL_MOD_SCHEDULER_H

#include "core/sched.h"

// spawn() on the calling thread, whose scheduler is s. A new tasklet, or NULL with an
// exception set.
PyObject *tl_function_spawn(struct tl_sched *s, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);

#endif // TL_MOD_SCHEDULER_H
