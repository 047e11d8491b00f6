// idle.h - a thread whose run queue is empty sleeps, and finds deadlocks.
// docs/internals/architecture.md has the rule and a truth table.
#ifndef TL_IDLE_H
#define TL_IDLE_H

#include "core/sched.h"

// Why tl_idle_wait() has returned.
enum tl_idle {
    TL_IDLE_WORK,     // a tasklet is runnable
    TL_IDLE_DEADLOCK, // nothing can make one runnable
    // A signal handler, or a warning, has raised: the exception is set.
    TL_IDLE_ERROR,
    TL_IDLE_EXPIRED, // a budget of some run() is used up, or it was stopped
    TL_IDLE_OVER     // the innermost run(wait=True) has nothing left to wait for
};

// Sleep until one of the above is true. leaver: the tasklet that left the ring last;
// NULL if it has ended. The caller has raised no_switch. Does not switch, but may run
// Python code: signal handlers, finalizers.
enum tl_idle tl_idle_wait(struct tl_sched *s, TaskletObject *leaver);

// Whether anything but the current tasklet may make a tasklet of s runnable: a timer,
// the system, a worker or another thread. May run Python code.
bool tl_idle_others_can_run(struct tl_sched *s);

// Wake all idle threads, so that each checks again whether anything can still wake it.
// Thread: any.
void tl_idle_recheck(struct tl_state *state);

#endif // TL_IDLE_H
