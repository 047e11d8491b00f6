// run.h - run(): its caller pauses until the other tasklets are done or a budget is
// used up; and the limits that stop tasklets when a thread ends.
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

// The current tasklet, which stays in the ring, is about to end all others of its
// thread by switching to them: limit what each may use until it comes back. A tasklet
// that uses more is stopped wherever it is, and is the frame's victim; where it cannot
// be stopped, TaskletExit is raised at each of its instructions. No run() waits from
// now on. Returns the frame, or NULL with an exception set if there are no such limits.
struct tl_run_frame *tl_run_begin_ending(struct tl_sched *s,
                                         struct tl_ending_limits *limits);

// The limits of frame have changed, or a new slice may use all of them.
void tl_run_renew_ending(struct tl_sched *s, struct tl_run_frame *frame);

// Limit nothing any more, and free frame. Calls of run() that have not returned are
// over: their callers become runnable.
void tl_run_end_ending(struct tl_sched *s, struct tl_run_frame *frame);

// t has ended, and a greenlet of its making may still be inside run(): that call is
// over. Does not call into Python.
void tl_run_forget(struct tl_sched *s, TaskletObject *t);

#endif // TL_RUN_H
