// timer.h - timers of a scheduler, and when a busy thread polls for what is due.
//
// A scheduler's timers are in a heap (base/timer_heap.h): the deadlines of waits, the
// limits of timeout() and shield(), and scheduled calls. An idle thread sleeps until
// the next one is due. A thread with runnable tasklets polls at the first switch after
// a tenth of a millisecond: it fires the timers that are due, collects ready
// descriptors and runs its libuv loop (tl_timer_poll()).
#ifndef TL_TIMER_H
#define TL_TIMER_H

#include "core/runq.h"
#include "base/clock.h"
#include "base/stress.h"

// From this number of nanoseconds on (31 years) a timeout is treated as none. Small
// enough that it can be added to any time on a clock.
#define TL_TIMER_MAX_NS INT64_C(1000000000000000000)

// The scheduler's time in nanoseconds: CLOCK_MONOTONIC, or the tests' fake clock.
int64_t tl_timer_now(struct tl_sched *s);

// Reserve a slot for one more timer. Returns 0, or -1 with MemoryError set.
int tl_timer_reserve(struct tl_sched *s);

// Set a timer that is not set, to fire at when on tl_timer_now()'s clock. A slot was
// reserved. The scheduler's thread calls timer->fire, which must not call into Python.
void tl_timer_set(struct tl_sched *s, struct tl_timer *timer, int64_t when);

// Cancel a timer that is set.
void tl_timer_cancel(struct tl_sched *s, struct tl_timer *timer);

// A timer, a descriptor or a request is pending: begin to poll at switches, if that is
// not done already.
void tl_timer_expect(struct tl_sched *s);

// How many cycles of tl_clock_cycles() may pass between two polls.
extern uint64_t tl_timer_poll_cycles;

// Maximum number of switches between two polls, should the counter of cycles stand
// still.
enum { TL_TIMER_MAX_SWITCHES = TL_STRESS_OR(256, 1) };

// Whether the time for the next poll has come.
static inline bool
tl_timer_is_time_to_poll(const struct tl_sched *s)
{
    return tl_clock_cycles() - s->looked_cycles >= tl_timer_poll_cycles;
}

// s->limit is reached: whether it was set only for a poll, and that need not be yet.
// Reading the counter of cycles is much cheaper than all that is done at a limit.
static inline bool
tl_timer_skips_look(struct tl_sched *s)
{
    if (!s->only_looks || s->limit != s->look_at || tl_timer_is_time_to_poll(s) ||
        s->switches - s->looked_switches >= TL_TIMER_MAX_SWITCHES) {
        return false;
    }
    s->look_at = s->limit = s->switches + 1;
    return true;
}

// Poll: fire the timers that are due, collect ready descriptors, run the libuv loop.
// All of these may make tasklets runnable.
void tl_timer_poll(struct tl_sched *s);

// The current tasklet yields and is alone in the ring, so there is no switch: poll, if
// that is due.
void tl_timer_poll_alone(struct tl_sched *s);

// The thread has nothing to run: the time until the next timer is due, in nanoseconds;
// 0 if one is due, -1 if there is none. Has a side effect on a fake clock, which it
// moves to that time: then it returns 0.
int64_t tl_timer_ns_left(struct tl_sched *s);

// Whether a tasklet may become runnable without another tasklet: by a timer, the system
// or a worker.
static inline bool
tl_timer_is_pending(const struct tl_sched *s)
{
    return s->timers.count > 0 || s->awaited > 0;
}

// End the wait of t, which waits or is about to, at deadline, which is not NEVER. A
// slot was reserved.
void tl_timer_arm(struct tl_sched *s, TaskletObject *t, tl_deadline deadline);

// ---- times that Python code gives

// Read the argument of that name: a number of seconds, which may be infinite or
// negative. Returns 0, or -1 with TypeError, or ValueError for NaN, set. May run Python
// code.
int tl_timer_seconds(PyObject *arg, const char *name, double *seconds);

// Seconds in nanoseconds, rounded up, from -TL_TIMER_MAX_NS to TL_TIMER_MAX_NS.
int64_t tl_timer_ns_of(double seconds);

// Read such an argument in nanoseconds. Returns as tl_timer_seconds().
int tl_timer_read_ns(PyObject *arg, const char *name, int64_t *ns);

// Check that a timeout is not longer than threading.TIMEOUT_MAX. Returns 0, or -1 with
// OverflowError set.
int tl_timer_check_longest(double seconds);

// The deadline that many nanoseconds from now, on the clock of the calling thread's
// scheduler: PAST for 0 and less, NEVER from TL_TIMER_MAX_NS on.
tl_deadline tl_timer_after(int64_t ns);

// The same for the argument timeout, in seconds: NEVER for None or NULL. Returns 0, or
// -1 with TypeError, or ValueError for NaN, set. May run Python code.
int tl_timer_deadline(PyObject *timeout, tl_deadline *deadline);

// The same for a function that threading has, too, which refuses a timeout longer than
// threading.TIMEOUT_MAX: OverflowError.
int tl_timer_deadline_limited(PyObject *timeout, tl_deadline *deadline);

void tl_timer_init(struct tl_sched *s);

// The thread has ended: drop all timers without firing them.
void tl_timer_fini(struct tl_sched *s);

#endif // TL_TIMER_H
