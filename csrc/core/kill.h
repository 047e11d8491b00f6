// kill.h - the end of many tasklets at once.
#ifndef TL_KILL_H
#define TL_KILL_H

#include "core/sched.h"

// Raise TaskletExit in the tasklets of a list. Those of the calling thread run now, in the
// order of the list and before any other tasklet; with pending in their turn. Each gets
// its kill before the first of them runs. If the current tasklet is in the list, it is
// killed last. The caller holds the list. Returns 0, or -1 with an exception set.
// Switch: yes, unless pending.
int tl_kill_all(struct tl_sched *s, PyObject *list, bool pending);

#endif // TL_KILL_H
