// run.h - run(): its caller pauses until the other tasklets are done or a budget is
// used up.
#ifndef TL_RUN_H
#define TL_RUN_H

#include "core/run_frame.h"

// run(): run the other tasklets until none is runnable or a budget is used up. budget
// NULL: there is none. Returns None, or the tasklet that was stopped in the middle of a
// slice; NULL with an exception set.
// Switch: yes.
PyObject *tl_run(struct tl_sched *s, const struct tl_budget *budget);

// The caller of the Stackless run() whose timeout counts: borrowed, or NULL.
TaskletObject *tl_run_owner(struct tl_sched *s);

// t has ended, and a greenlet of its making may still be inside run(): that call is
// over. Does not call into Python.
void tl_run_forget(struct tl_sched *s, TaskletObject *t);

#endif // TL_RUN_H
