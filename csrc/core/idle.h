// idle.h - a thread with nothing to run waits for the others.
#ifndef TL_IDLE_H
#define TL_IDLE_H

#include "core/sched.h"

enum tl_idle {
    TL_IDLE_WORK,
    TL_IDLE_DEADLOCK,
    TL_IDLE_ERROR,
    TL_IDLE_EXPIRED,
    TL_IDLE_OVER
};

// Wait until the ring has somebody (WORK), nobody could ever put one there (DEADLOCK), a
// signal handler raised (ERROR, the exception is set), the time of a run() is up or it
// was stopped (EXPIRED), or the innermost one has nothing to wait for any more (OVER).
// leaver: who left last, to be told of a deadlock; NULL: it has ended.
enum tl_idle tl_idle_wait(struct tl_sched *s, TaskletObject *leaver);

// Whether anything may still put a tasklet into the ring of s: a time, the system,
// another thread.
bool tl_idle_others_can_run(struct tl_sched *s);

// Have all waiting threads look again whether they can ever be woken.
void tl_idle_recheck(struct tl_state *state);

#endif // TL_IDLE_H
