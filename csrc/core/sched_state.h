// sched_state.h - what a scheduler consists of, and the references that it drops later.
// It knows nothing of switching: sched.h has that.
#ifndef TL_SCHED_STATE_H
#define TL_SCHED_STATE_H

#include "cpython/compat.h" // before all of the system's

#include "core/tasklet.h"
#include "cpython/governor.h"
#include "cpython/ticks.h"
#include "object/bomb.h"
#include "base/deferred_wakes.h"
#include "base/timekeeper.h"

struct tl_os_thread;
struct tl_poll_source;

// Bit 20 of no_switch, beside the count: set from the last decision of a switch until
// the new tasklet has arrived. A trace function of greenlet's may run Python code in
// between.
enum { TL_SWITCHING = 1 << 20 };

// The scheduler of one OS thread. All fields are guarded by the GIL, except the atomic
// ones. Other threads may put tasklets into the ring and take them out of it
// (tl_sched_ready() and the like); all other fields are the owning thread's, apart from
// what on_alarm() in run_frame.c sets with the GIL.
//
// Invariants
// I1: head is the ring's first, NULL when the ring is empty; runcount its length.
// I2: while Python code of this thread runs, and no_switch is 0, current == head.
// I3: frames[0 .. nframes) are the callers of run(), the innermost last.
// I4: waiting implies head == NULL, or a wake-up that is on its way, or that the owner
//     itself has filled the ring and is about to look at it.
// I5: npool counts the stacks in pool[]: each is of this thread and of its pool's lane,
//     and has no tasklet.
// I6: started links the tasklets whose life is STARTED, but for main; nstarted counts
//     them.
// I7: worker_waits and import_waits are part of awaited; none of these, nor
//     maybe_external, is negative.
// I8: nrounds counts the members of frames[] that count rounds.
struct tl_sched {
    long refs; // one for each tasklet whose home it is, one for the thread itself
    struct tl_state *state;
    PyThreadState *ts;   // NULL once dead
    uint64_t ts_id;      // ts's id, which no later thread state gets
    unsigned long ident; // of the thread, as threading shows it
    struct tl_link all;  // in state->scheds
    bool dead;           // the thread is gone

    // The run queue. current is the running tasklet, also while the thread is idle.
    TaskletObject *head, *current;
    TaskletObject *main; // counted
    Py_ssize_t runcount;
    uint64_t switches; // made so far
    uint64_t limit;    // value of switches at which tl_run_frame_at_switch() is called

    // A clock for "waiting since", which is read once for several waits.
    int64_t stamp;       // true time at the last reading, in nanoseconds
    unsigned stamp_left; // waits that may still use that reading
    unsigned stamp_step; // waits that shared the reading before

    struct tl_timer_heap timers;
    uint64_t fired;       // timers that have fired
    int64_t late_sum;     // how late they fired in all, in nanoseconds
    int64_t max_late_ns;  // the latest of them
    uint64_t look_at;     // value of switches at which to look for what is due
    uint64_t look_step;   // switches between two looks, while budgets count switches
    uint64_t look_yields; // value of yields at which a tasklet alone in the ring looks
    int64_t looked;       // true time of the last look,
    uint64_t looked_cycles;   // the same on tl_clock_cycles(),
    uint64_t looked_switches; // and the value of switches
    bool only_looks;  // look_at is the only reason for limit: see tl_timer_skips_look()
    bool fake_clock;  // tests move the time by hand
    int64_t fake_now; // the time then, in nanoseconds
    bool stop_next;   // the next run() returns at once

    uint64_t chance; // state of select()'s random numbers
    // State of a random run queue; 0: tasklets are appended at its end.
    uint64_t order_seed;
    struct tl_link sleepers;  // tasklets inside sleep()
    struct tl_link later;     // scheduled calls that wait for their time
    struct tl_link unflushed; // struct tl_flush: see flush.h
    bool sleep_follows; // the poll under way comes before a sleep, which looks, too
    struct tl_poll_source *sources[TL_PARK_SOURCES]; // see poll_source.h; NULL: none
    struct tl_os_thread *native;                     // of the same thread, or NULL
    Py_ssize_t awaited; // tasklets that wait for the system, a worker or an import

    // Callers of run(): see run_frame.h.
    struct tl_run_frame **frames;
    struct tl_run_frame *spare_frame; // for the next call, or NULL
    int nframes;
    int frames_capacity; // capacity of frames[]
    int nrounds;         // members of frames[] that count rounds

    struct tl_guard guard; // marked while the current tasklet is atomic
    struct tl_ticks events;
    struct tl_timekeeper alarm; // of budgets in seconds
    uint64_t yields;            // slices that ended without a switch
    uint64_t slice_seen;        // the slice that the timekeeper saw last,
    int64_t slice_start;        // and when that had begun at the latest
    int64_t stall;     // nanoseconds without a tick after which the timekeeper probes
    int64_t retry;     // nanoseconds after which the timekeeper arms again
    bool tripped;      // the alarm has fired, and is not set again
    bool probes;       // the alarm is set to find code without ticks, not a long slice
    bool hands_over;   // the switch that comes follows a channel's preference
    unsigned char end; // enum tl_end: how the last run() ended
    unsigned char last_end; // how the last scheduler.run() ended,
    int64_t last_time;      // how many nanoseconds that took,
    uint64_t last_switches; // and how many switches it made

    int trap;          // switch_trap()'s count
    bool classic_trap; // it was set through the stackless module
    // While not 0, no code of this thread may switch. It counts callbacks, signal
    // handlers and changes under way, and has the bit TL_SWITCHING.
    int no_switch;
    bool in_channel_callback;
    // The tasklet that is about to run, while the schedule callback is told; else NULL.
    TaskletObject *target;

    // References to drop after the next arrival: the scheduler is consistent then, and
    // what a deallocation calls may run Python code.
    PyObject **drop;
    int ndrop;
    int drop_room; // half the capacity: the other half is for when drop cannot grow

    // Stacks: see stacks.c.
    struct tl_stack *pool[2]; // parked stacks, by lane
    // A stack that is about to be entered for the first time, or NULL.
    struct tl_stack *starting;
    // Stacks that end when the last reference to their greenlet goes.
    struct tl_stack *ending;
    int npool;
    int next_lane; // lane from which the next tasklet should get its stack
    int bases_begun;
    Py_ssize_t deep;          // stacks in the second lane
    PyObject *base_fibers[2]; // the fibers from which all stacks are first entered
    PyObject *main_fiber;     // on which the thread made this scheduler
    void *main_chunk;         // the thread's first frame memory, or NULL
    PyObject *stack_args;     // (run_stack, main_fiber)
    PyObject *left;           // set of fibers, or NULL: see stray.c
    struct tl_link started;
    Py_ssize_t nstarted;
    Py_ssize_t peak; // the most that nstarted has been since it was 0
    // Free memory goes back to the system after the next arrival.
    bool trim_due;
    bool has_lost; // memory ran out, and a value is lost: not reported yet
    uint64_t spawned, finished;

    const int *collecting; // the interpreter's flag: not 0 while a collection runs
    struct tl_park park;
    struct tl_deferred_wakes pending_wakes; // wake-ups that this thread owes others
    bool waiting;                           // the thread is idle: its ring was empty
    bool is_idle_worker;     // a worker without work: deadlocks do not count it
    Py_ssize_t worker_waits; // part of awaited: tasklets that wait for a worker
    Py_ssize_t import_waits; // part of awaited: for another thread's import
    Py_ssize_t
        maybe_external; // tasklets that wait for what a thread without tasklets may do
    _Atomic int wakers; // wake-ups of park under way, by threads without the GIL
#ifndef NDEBUG
    // Changes since the ring, the pools, started and frames[] were last walked over.
    size_t ring_changes, pool_changes, started_changes, frames_changes;
#endif
};

// The calling thread's scheduler, or NULL if it has none yet.
extern TL_THREAD_LOCAL struct tl_sched *tl_sched_mine;

// The calling thread's part of the waits without a tasklet, or NULL: see os_thread.h.
extern TL_THREAD_LOCAL struct tl_os_thread *tl_os_thread_mine;

// The innermost caller of run(). There is one.
TaskletObject *tl_sched_innermost(struct tl_sched *s);

// The tasklet that is resumed when none is runnable: the innermost caller of run(), or
// main.
static inline TaskletObject *
tl_sched_resumed_caller(struct tl_sched *s)
{
    return s->nframes > 0 ? tl_sched_innermost(s) : s->main;
}

// Whether the running code must not leave the current tasklet: a callback, a signal
// handler, or a finalizer that the collector calls on this thread (the heads of the
// collector's lists are on the C stack, which must stay where it is).
static inline bool
tl_sched_is_held(struct tl_sched *s)
{
    return s->no_switch > 0 || (*s->collecting != 0 && s->state->collector == s->ident);
}

// Read the clock for the wait that begins and some that follow. How many share the
// reading depends on how much time has passed since the last one.
TL_COLD void tl_sched_stamp(struct tl_sched *s);

// ---- dropping references later

// tl_sched_drop_later() for an object that is not NULL, when the list is full. Without
// memory the object is leaked.
void tl_sched_drop_object(struct tl_sched *s, PyObject *object);

// Drop object (stolen, may be NULL) after the next arrival.
static inline void
tl_sched_drop_later(struct tl_sched *s, PyObject *object)
{
    if (object == NULL) {
        return;
    }
    if (TL_LIKELY(s->ndrop < s->drop_room)) {
        s->drop[s->ndrop++] = object;
    } else {
        tl_sched_drop_object(s, object);
    }
}

// Something was lost for want of memory: report it after the next arrival, because that
// may run Python code.
void tl_sched_report_lost(struct tl_sched *s);

// Drop what is on the drop list, unless no_switch holds that off. May run Python code.
// Switch: may.
void tl_sched_drop_now(struct tl_sched *s);

// Give free memory of the allocators back to the system, after many stacks have ended.
void tl_sched_trim(struct tl_sched *s);

// ---- checks: see sched_check.c

// Check the ring and the counts of waits; the pools and the list of started tasklets;
// and that the current tasklet, which runs Python code or is about to, is the ring's
// head.
// Locks: the GIL.
TL_CHECKER(tl_sched_check, struct tl_sched *s);
TL_CHECKER(tl_sched_check_stacks, struct tl_sched *s);
TL_CHECKER(tl_sched_check_current, const struct tl_sched *s);
// Check that s, whose ring has changed, is awake or about to be woken.  Thread: any.
TL_CHECKER(tl_sched_check_told, struct tl_sched *s);

#endif // TL_SCHED_STATE_H
