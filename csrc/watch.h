// watch.h - run() and its budgets: who is woken when one of them is used up.
#ifndef TL_WATCH_H
#define TL_WATCH_H

#include "sched.h"

// How a call of run() ended.
enum tl_end {
    TL_END_NONE,
    TL_END_IDLE,
    TL_END_TICKS,
    TL_END_SLICE_TICKS,
    TL_END_SECONDS,
    TL_END_SLICE_SECONDS,
    TL_END_SWITCHES,
    TL_END_ROUNDS,
    TL_END_STOPPED,
    TL_END_ERROR
};

// What a call of run() may use; 0: no such budget. Times are in nanoseconds.
struct tl_budget {
    int64_t ticks, slice_ticks; // in all, and for one uninterrupted slice
    int64_t time, slice_time;
    uint64_t switches, rounds;
    enum tl_end spent; // the budget that allows nothing at all, or TL_END_NONE
    bool soft, threadblock, ignore_nesting;
    bool wait;    // while something is pending
    bool forever; // until it is stopped
    bool classic; // Stackless's: only the outermost of these counts
};

// What the tasklets of a thread that ends may still use, so that the end always comes.
// Times are in nanoseconds.
struct tl_last {
    int64_t computing;   // CPU time in one slice
    int64_t turn;        // true time until the caller has its turn, or in one slice
    int64_t turn_end;    // when the caller has its turn at the latest,
    uint64_t turn_slice; // and in which slice, as tl_watch_slice()
    clockid_t clock;     // CPU time of the thread
    uint64_t slice; // the slice that was last seen to be long, as tl_watch_slice();
    int64_t since, computed; // the true time and the CPU time then
};

// A caller of run(), paused until the others are done or a budget is.
//
// Invariants
// I1: listed iff it is in sched->watch; the call of run() owns it in any case.
// I2: only that of sched->watch[0] may have a last, and its caller need not be paused.
struct tl_watch {
    TaskletObject *who;    // counted
    TaskletObject *victim; // counted: was stopped for it, or NULL
    struct tl_budget budget;
    uint64_t switch_limit;           // value of sched->switches at which it is woken
    int64_t tick_limit, slice_limit; // likewise, of the tick count
    int64_t deadline;
    uint64_t rounds_left; // the present one included; 0: rounds are not counted
    uint64_t round_began; // value of sched->switches when the present round began
    uint64_t round_look;  // value of sched->switches before which it cannot be over
    uint64_t slow_slice;  // the slice that has taken too long, as tl_watch_slice()
    bool time_up, listed, stopped;
    enum tl_end end;
    struct tl_last *last; // NULL: a call of run(); else of the end of the thread
};

// Stackless's run(): until nobody else can run or a budget, of which there are none if
// it is NULL, is used up. Returns None or the tasklet that was stopped for it.
// Switch: yes.
PyObject *tl_watch_run(struct tl_sched *s, const struct tl_budget *budget);

// The thread ends: bound what others use while the current tasklet, which stays in the
// ring, resumes them. Who uses more is paused wherever it is, and is the victim; where it
// cannot be paused, TaskletExit is raised at each of its instructions. No run() waits
// meanwhile. Returns NULL with an exception set if that cannot be had.
struct tl_watch *tl_watch_begin_last(struct tl_sched *s, struct tl_last *last);

// Bound it by what last says now; no longer do so. The calls of run() that are still under
// way are over then: their callers are put into the ring.
void tl_watch_renew_last(struct tl_sched *s, struct tl_watch *watch);
void tl_watch_end_last(struct tl_sched *s, struct tl_watch *watch);

// The thread is about to leave the current tasklet for to, which is in the ring, and
// sched->limit is reached. Returns whom to go to instead, in the ring, as a rule to.
TaskletObject *tl_watch_at_switch(struct tl_sched *s, TaskletObject *to);

// Alone in the ring, the current tasklet has given up its slice all the same. Returns
// who is next.
TaskletObject *tl_watch_at_yield(struct tl_sched *s);

// What held off an interrupt may be over: do it now. Returns 0, or -1 with an exception
// set.
// Switch: may.
int tl_watch_released(struct tl_sched *s);

// When the thread, which waits, has to look at its budgets; INT64_MAX: it need not.
int64_t tl_watch_deadline(struct tl_sched *s);

// The thread waits, and a deadline has passed. Returns the caller of run() to go to, put
// into the ring, or NULL.
TaskletObject *tl_watch_expired(struct tl_sched *s);

// Whether a call of run() with that budget, which is not NULL, goes on while nobody is
// runnable.
bool tl_watch_waits(struct tl_sched *s, const struct tl_budget *budget);

// Whether the innermost run() is content when nothing comes any more.
bool tl_watch_only_hopes(struct tl_sched *s);

// Whether the innermost run() has waited for something that will not come any more, and
// whether it waits for ever.
bool tl_watch_is_over(struct tl_sched *s);
bool tl_watch_is_forever(struct tl_sched *s);

// End the innermost run() of s, or the next one.  Thread: any.
void tl_watch_stop(struct tl_sched *s);

// The one of Stackless's run() whose timeout is in force: borrowed, or NULL.
TaskletObject *tl_watch_owner(struct tl_sched *s);

// Have the switches and the ticks reach us when something ends.
void tl_watch_reckon(struct tl_sched *s);

// Watch the clock. moved: tl_watch_slice() in the slice that runs or is about to.
void tl_watch_set_alarm(struct tl_sched *s, uint64_t moved);

// How long code may run without a tick before it is looked at why, in nanoseconds.
enum { TL_WATCH_STALL = 2000000 };

// Names the slice that runs: no other one of this thread has the same.
static inline uint64_t
tl_watch_slice(struct tl_sched *s)
{
    return __atomic_load_n(&s->switches, __ATOMIC_RELAXED) +
           __atomic_load_n(&s->yields, __ATOMIC_RELAXED);
}

// Whether the tasklets of the thread are being ended, see tl_watch_begin_last().
static inline bool
tl_watch_is_last(const struct tl_sched *s)
{
    return s->nwatch > 0 && s->watch[0]->last != NULL;
}

static inline bool
tl_watch_counts(const struct tl_watch *watch)
{
    return watch->budget.ticks + watch->budget.slice_ticks > 0;
}

static inline bool
tl_watch_has_time(const struct tl_watch *watch)
{
    return tl_watch_counts(watch) || watch->deadline != INT64_MAX ||
           watch->budget.slice_time > 0;
}

// watch: one that was put into s->watch or taken out.
// Locks: the GIL.
TL_CHECKER(tl_watch_check, struct tl_sched *s, const struct tl_watch *watch);

void tl_watch_init(struct tl_sched *s);

// The thread is gone, or ends.
void tl_watch_fini(struct tl_sched *s);

// In the child of a fork: set the alarm again.
void tl_watch_after_fork(struct tl_sched *s);

#endif // TL_WATCH_H
