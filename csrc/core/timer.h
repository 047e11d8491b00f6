// timer.h - what is to happen at a time, and looks whether it is due.
#ifndef TL_TIMER_H
#define TL_TIMER_H

#include "core/sched.h"

// A duration that nobody sees the end of, in seconds.
#define TL_TIMER_LONGEST 1e9

// The scheduler's time in nanoseconds: CLOCK_MONOTONIC, or a clock that tests move.
int64_t tl_timer_now(struct tl_sched *s);

// Have room for one more timer. Returns 0, or -1 with MemoryError set.
int tl_timer_reserve(struct tl_sched *s);

// Set a timer that is not set, there is room; cancel one that is. When it goes off, fire
// is called on the scheduler's thread, and must run no code of others.
void tl_timer_set(struct tl_sched *s, struct tl_timer *timer, int64_t when);
void tl_timer_cancel(struct tl_sched *s, struct tl_timer *timer);

// Something is pending: look for it now and then.
void tl_timer_expect(struct tl_sched *s);

// Let go off what is due. Tasklets may come into the ring.
void tl_timer_look(struct tl_sched *s);

// The current tasklet is alone in the ring and gives way: look, now and then.
void tl_timer_look_alone(struct tl_sched *s);

// The thread has nothing to run: how long until the next goes off, in nanoseconds; 0 if
// one is due, -1 if there is none. A fake clock moves there at once.
int64_t tl_timer_left(struct tl_sched *s);

// Whether something is to come that does not depend on a tasklet: a time, the system, a
// worker.
static inline bool
tl_timer_is_pending(const struct tl_sched *s)
{
    return s->timers.count > 0 || s->awaited > 0;
}

// t, which is about to wait or waits, stops waiting at that time. There is room.
void tl_timer_arm(struct tl_sched *s, TaskletObject *t, int64_t deadline);

// Read a number of seconds, which may be infinite. Returns 0, or -1 with TypeError or
// ValueError set.
int tl_timer_seconds(PyObject *arg, double *seconds);

// A deadline of so many seconds from now, for struct tl_leave. None or NULL: 0, there is
// none. Returns 0, or -1 with TypeError or ValueError set.
int tl_timer_deadline(struct tl_sched *s, PyObject *seconds, int64_t *deadline);

// Wait so long. Returns None.
// Switch: yes.
PyObject *tl_timer_sleep(struct tl_sched *s, int64_t deadline);

void tl_timer_init(struct tl_sched *s);

// The thread is gone: nothing is due any more.
void tl_timer_fini(struct tl_sched *s);

#endif // TL_TIMER_H
