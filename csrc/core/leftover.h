// leftover.h - warnings about tasklets that a thread's or the program's end cuts short.
#ifndef TL_LEFTOVER_H
#define TL_LEFTOVER_H

#include "core/sched.h"

// The calling thread, whose scheduler is s, is about to kill its tasklets. Issue one
// ResourceWarning about all that have not ended, except for tasklets inherited through
// a fork and tasklets that have been killed already. May run Python code. program: this
// is the main thread, and the program ends.
void tl_leftover_report(struct tl_sched *s, bool program);

// Warn that t, which a budget of run() has stopped, is about to be deallocated. May run
// Python code.
void tl_leftover_dropped(TaskletObject *t);

// In the child of a fork: mark the tasklets of s as inherited. The parent ends them.
void tl_leftover_inherit(struct tl_sched *s);

#endif // TL_LEFTOVER_H
