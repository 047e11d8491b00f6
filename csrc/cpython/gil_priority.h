// gil_priority.h - a thread that slept and was woken gets the GIL soon, also beside threads
// that compute.
//
// The interpreter makes it wait a whole switch interval, and longer where several
// compute. We ask the holder at once, through the governor, and again whenever another
// was faster. That is for threads that need the GIL for a short while only: the time that
// they take by asking is counted, and kept below a fifth of all.
#ifndef TL_GIL_PRIORITY_H
#define TL_GIL_PRIORITY_H

#include "cpython/governor.h"

// The calling thread is about to give up the GIL to wait for a wake, and has done so.
void tl_gil_priority_leave(void);
void tl_gil_priority_left(void);

// What PyEval_RestoreThread() does, for a thread that has been woken, by somebody or by
// the time, and was asleep till now or not. It may use some microseconds of another CPU
// if there are any.
void tl_gil_priority_take(PyThreadState *ts, bool slept, bool many_cpus);

// Whether a thread that computes was made to drop the GIL not long ago. Thread: any.
bool tl_gil_priority_is_raid(void);

// No asking any more, for good; returns when all who asked have got the GIL.
// Thread: without the GIL.
void tl_gil_priority_stop(void);

// In the child of a fork, with the GIL's mutex held.
void tl_gil_priority_forget_threads(void);

#endif // TL_GIL_PRIORITY_H
