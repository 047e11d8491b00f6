// gil_priority.h - a thread that slept and was woken gets the GIL soon, even beside
// threads that compute.
//
// The interpreter makes such a thread wait a whole switch interval (5 ms), and longer
// where several threads compute. Here it asks the holder through the governor, at once,
// and again whenever another thread was faster. The model and its constants are
// described at the top of gil_priority.c.
#ifndef TL_GIL_PRIORITY_H
#define TL_GIL_PRIORITY_H

#include "cpython/governor.h"

// Call these around PyEval_SaveThread(), before a wait for a wake-up: the first while
// the thread has the GIL, the second when it has released it.
// Locks: take the GIL's mutex.
void tl_gil_priority_leave(void);
void tl_gil_priority_left(void);

// As PyEval_RestoreThread(), for a thread whose wait is over. slept: the thread really
// slept, and did not merely spin. many_cpus: the thread may spin on a second CPU for
// some microseconds.
// Thread: any, without the GIL.  Locks: takes the GIL's mutex, then the GIL.
void tl_gil_priority_take(PyThreadState *ts, bool slept, bool many_cpus);

// Whether a preemption is going on: a woken thread took the GIL from a thread that
// computes, which has not had it since. A relaxed read, so possibly out of date.
// Thread: any.  Locks: none.
bool tl_gil_priority_is_preempting(void);

// Stop preempting, for good. Returns when every thread that asked for the GIL has it.
// Thread: any, without the GIL.
void tl_gil_priority_stop(void);

// In the child of a fork: forget the threads that asked.
// Locks: the GIL's mutex is held.
void tl_gil_priority_forget_threads(void);

#endif // TL_GIL_PRIORITY_H
