// leftover.h - warnings about tasklets that a thread's or the program's end cuts short.
#ifndef TL_LEFTOVER_H
#define TL_LEFTOVER_H

#include "core/sched.h"

// The calling thread, whose scheduler is s, is about to kill its tasklets. Issue a
// RuntimeWarning about tasklets that never ran, and a ResourceWarning about the rest,
// except for tasklets inherited through a fork and tasklets that have been killed
// already. Both are ResourceWarnings after an uncaught exception of the program. May
// run Python code. program: this is the main thread, and the program ends.
void tl_leftover_report(struct tl_sched *s, bool program);

// Warn that t, which a budget of run() has stopped, is about to be deallocated. May run
// Python code.
void tl_leftover_dropped(TaskletObject *t);

// Report as an unraisable error that t, a tasklet of the calling thread, was told to
// end when its thread did, computed on and has been stopped for good. May run Python
// code.
void tl_leftover_abandoned(TaskletObject *t);

// The same for count further tasklets together.
void tl_leftover_more_abandoned(struct tl_state *state, Py_ssize_t count);

// In the child of a fork: mark the tasklets of s as inherited. The parent ends them.
void tl_leftover_inherit(struct tl_sched *s);

#endif // TL_LEFTOVER_H
