// leftover.h - warnings of tasklets that are lost before they have come to their end.
#ifndef TL_LEFTOVER_H
#define TL_LEFTOVER_H

#include "sched.h"

// The calling thread, whose scheduler is s, is about to end its tasklets. Warn, once for
// all, of those that have not ended, but for those that were there before a fork, and those
// that have been told to end.
// program: it is the main thread, and the program ends.
void tl_leftover_report(struct tl_sched *s, bool program);

// t, which a budget of run() has stopped, is about to be deallocated.
void tl_leftover_dropped(TaskletObject *t);

// t was told to end when its thread did, went on instead, and is left where it is now. It
// is reported as an unraisable error.
void tl_leftover_abandoned(TaskletObject *t);

// So were more of them.
void tl_leftover_more_abandoned(struct tl_state *state, Py_ssize_t count);

// In the child of a fork: the tasklets of s are the parent's to end.
void tl_leftover_inherit(struct tl_sched *s);

#endif // TL_LEFTOVER_H
