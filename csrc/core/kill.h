// kill.h - killing many tasklets at once.
#ifndef TL_KILL_H
#define TL_KILL_H

#include "core/sched.h"

// Raise TaskletExit in the tasklets of list. Each gets its kill before the first one
// runs. Tasklets of the calling thread run now, in the order of the list and before any
// other tasklet; with pending, when their turn comes. If the current tasklet is in the
// list, it is killed last. The caller holds a reference to list. Returns 0, or -1 with
// an exception set.
// Switch: yes, unless pending.
int tl_kill_all(struct tl_sched *s, PyObject *list, bool pending);

#endif // TL_KILL_H
