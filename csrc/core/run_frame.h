// run_frame.h - calls of run() and their budgets. When a budget is used up, the caller
// of that run() is resumed.
//
// What notices that a budget is used up, and when the caller is resumed:
//
//   budget              noticed by                    hard budget    soft budget
//   ticks, slice_ticks  tl_ticks, calls on_due()      in the slice   next switch
//   time, slice_time    timekeeper, calls on_alarm()  in the slice   next switch
//   switches, rounds    a switch, by sched->limit     that switch    that switch
//   stop()              sets sched->limit to 0        next switch    next switch
//
// A slice is the time from one switch to the next. on_alarm() cannot stop a tasklet on
// another thread: it arms tl_ticks, which calls on_due() in the running code, or lowers
// sched->limit. A hard budget stops the running tasklet only where that may be left
// (may_stop()); if not, tl_ticks or the timekeeper try again. While the thread is idle,
// tl_idle_wait() asks for the deadline.
//
// The timekeeper's alarm of a thread is in one of three states:
//
//   NOT SET --a budget begins--> SET --fires, a budget is used up--> TRIPPED
//      ^                         | ^                                    |
//      +----- the last ends -----+ +---------- the next switch ---------+
//
// If ticks are counted and there is no slice_time, it also fires when no tick has been
// counted for sched->stall nanoseconds (sched->probes): then the code may have frames
// that do not count, which tl_ticks_probe() repairs.
#ifndef TL_RUN_FRAME_H
#define TL_RUN_FRAME_H

#include "core/sched_state.h"

// How a call of run() ended.
enum tl_end {
    TL_END_NONE, // it has not ended
    TL_END_IDLE, // no other tasklet could run
    TL_END_TICKS,
    TL_END_SLICE_TICKS,
    TL_END_SECONDS,
    TL_END_SLICE_SECONDS,
    TL_END_SWITCHES,
    TL_END_ROUNDS,
    TL_END_STOPPED, // by stop(), or its caller was resumed by another tasklet
    TL_END_ERROR    // it has raised
};

// What a call of run() may use, and when it returns; 0: no such budget.
struct tl_budget {
    int64_t ticks;       // in all
    int64_t slice_ticks; // in one slice
    int64_t time;        // in all, in nanoseconds
    int64_t slice_time;  // of one slice, in nanoseconds
    uint64_t switches, rounds;
    // The budget that was given as 0 and allows nothing, or TL_END_NONE.
    enum tl_end spent;
    bool soft;           // never stop a tasklet in the middle of a slice
    bool threadblock;    // with an empty run queue, sleep until another thread fills it
    bool ignore_nesting; // stop tasklets also in functions that C code has called
    bool wait;           // with an empty run queue, sleep while something is pending
    bool forever;        // return only when stopped
    bool classic;        // Stackless's run(timeout): only the outermost of these counts
};

// What each tasklet may still use when the tasklets of a thread are ended, so that the
// thread's end always comes: see tl_run_begin_ending(). Times are in nanoseconds.
struct tl_ending_limits {
    int64_t cpu_time;  // CPU time of one slice
    int64_t turn_time; // true time of one slice, or of several until the caller's turn
    // When the caller gets its next turn at the latest: on tl_clock_now()'s clock, and
    // as tl_run_frame_slice().
    tl_deadline turn_deadline;
    uint64_t turn_slice;
    clockid_t cpu_clock; // the thread's CPU time
    // tl_run_frame_slice() of the slice that was last seen to be long, and the true
    // time and the CPU time when that was seen first.
    uint64_t seen_slice;
    int64_t seen_at, seen_cpu_time;
};

// A call of run(), whose caller is paused until it is resumed.
//
// Invariants
// I1: listed iff it is in sched->frames; the call of run() owns it, listed or not.
// I2: only sched->frames[0] may have limits. Its caller need not be paused.
struct tl_run_frame {
    TaskletObject *caller; // counted
    // Counted: the tasklet that was stopped for a budget, or NULL.
    TaskletObject *victim;
    struct tl_budget budget;
    uint64_t switch_limit; // value of sched->switches at which the caller is resumed
    int64_t tick_limit;    // tick count at which the whole budget is used up
    int64_t slice_limit;   // tick count at which that of the slice is used up
    tl_deadline deadline;  // on tl_clock_now()'s clock
    uint64_t rounds_left;  // including the present one; 0: rounds are not counted
    uint64_t round_began;  // value of sched->switches when the present round began
    uint64_t round_look;   // value of sched->switches before which it cannot be over
    uint64_t slow_slice;   // tl_run_frame_slice() of a slice that took too long
    bool time_up;          // deadline has passed
    bool listed;
    bool stopped;    // by stop()
    enum tl_end end; // why the caller is resumed
    // Borrowed, of the end of the thread's tasklets; NULL: it is a call of run().
    struct tl_ending_limits *limits;
};

// The current tasklet is about to be left for `to`, which is in the ring, and
// sched->limit is reached. Fires due timers, ends budgets and sets limits anew. Returns
// the tasklet to switch to, in the ring: normally `to`, else the caller of a run() that
// ends.
TaskletObject *tl_run_frame_at_switch(struct tl_sched *s, TaskletObject *to);

// The current tasklet, alone in the ring, ends its slice without a switch. Returns the
// next tasklet: itself, or the caller of a run() that ends.
TaskletObject *tl_run_frame_at_yield(struct tl_sched *s);

// The time on tl_clock_now()'s clock at which the idle thread must call
// tl_run_frame_expired().
tl_deadline tl_run_frame_deadline(struct tl_sched *s);

// The thread is idle, and the deadline has passed. Returns the caller of run() to
// resume, now in the ring, or NULL.
TaskletObject *tl_run_frame_expired(struct tl_sched *s);

// Whether a call of run() with that budget, which is not NULL, goes on while no tasklet
// is runnable.
bool tl_run_frame_waits(struct tl_sched *s, const struct tl_budget *budget);

// Whether the innermost run() is a run(wait=True), which just returns when nothing is
// pending any more.
bool tl_run_frame_just_waits(struct tl_sched *s);

// Whether the innermost run() is a run(wait=True) with nothing left to wait for; and
// whether it returns only when stopped.
bool tl_run_frame_is_over(struct tl_sched *s);
bool tl_run_frame_is_forever(struct tl_sched *s);

// End the innermost run() of s or, if there is none, the next one at once.
// Thread: any.
void tl_run_frame_stop(struct tl_sched *s);

// Recompute sched->limit and the tick count at which the next budget may be used up.
void tl_run_frame_recompute_limits(struct tl_sched *s);

// Set the timekeeper's alarm for all budgets in time, or cancel it. moved:
// tl_run_frame_slice() of the slice that runs or is about to begin.
void tl_run_frame_set_alarm(struct tl_sched *s, uint64_t moved);

// How long code may run without a tick before the timekeeper probes why. In
// nanoseconds: long enough that most C calls end before.
enum { TL_RUN_FRAME_STALL_NS = 2000000 };

// A number for the running slice: no other slice of this thread has the same.
// Thread: any.  Locks: none.
static inline uint64_t
tl_run_frame_slice(struct tl_sched *s)
{
    return __atomic_load_n(&s->switches, __ATOMIC_RELAXED) +
           __atomic_load_n(&s->yields, __ATOMIC_RELAXED);
}

// Whether the thread's tasklets are being ended: see tl_run_begin_ending().
static inline bool
tl_run_frame_is_ending(const struct tl_sched *s)
{
    return s->nframes > 0 && s->frames[0]->limits != NULL;
}

// Whether frame has a budget in ticks.
static inline bool
tl_run_frame_counts(const struct tl_run_frame *frame)
{
    return frame->budget.ticks + frame->budget.slice_ticks > 0;
}

// Whether frame needs the timekeeper.
static inline bool
tl_run_frame_has_time(const struct tl_run_frame *frame)
{
    return tl_run_frame_counts(frame) || frame->deadline != TL_DEADLINE_NEVER ||
           frame->budget.slice_time > 0;
}

// Whether t, which is in the ring, has a turn left in the present round of frame: see
// rounds.h.
static inline bool
tl_rounds_has_turn(const struct tl_run_frame *frame, const TaskletObject *t)
{
    return t->turn <= frame->round_began;
}

// Whether the slice that runs has taken longer than frame allows.
static inline bool
tl_run_frame_is_slow(struct tl_sched *s, const struct tl_run_frame *frame)
{
    return frame->slow_slice == tl_run_frame_slice(s);
}

// The budget of frame that is used up in the middle of a slice, or TL_END_NONE.
enum tl_end tl_run_frame_ended_inside(struct tl_sched *s,
                                      const struct tl_run_frame *frame);

// What follows from the budgets in time, the weakest first.
enum tl_verdict {
    TL_VERDICT_GOES_ON, // no budget is used up
    TL_VERDICT_SOFT,    // one is: its run() ends at the next switch
    TL_VERDICT_HARD     // the running tasklet must be stopped for one
};

// Mark the run frames whose time is up by now. Returns the strongest verdict of any.
// Thread: any.
enum tl_verdict tl_run_frame_note_time(struct tl_sched *s, int64_t now);

// frame: has just been put into s->frames, or taken out.
// Locks: the GIL.
TL_CHECKER(tl_run_frame_check, struct tl_sched *s, const struct tl_run_frame *frame);

// For a new scheduler.
void tl_run_frame_init(struct tl_sched *s);

// The thread is gone, or ends: no call of run() goes on.
void tl_run_frame_fini(struct tl_sched *s);

// In the child of a fork: set the alarm again.
void tl_run_frame_after_fork(struct tl_sched *s);

#endif // TL_RUN_FRAME_H
