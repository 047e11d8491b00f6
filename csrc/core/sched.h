// sched.h - one scheduler per OS thread: who runs, who is next.
#ifndef TL_SCHED_H
#define TL_SCHED_H

#include "cpython/compat.h" // before all of the system's

#include "core/tasklet.h"
#include "cpython/governor.h"
#include "cpython/ticks.h"
#include "object/bomb.h"
#include "base/deferred_wakes.h"
#include "base/timekeeper.h"

struct tl_os_thread;
struct tl_poll_source;

// In no_switch from the last decision before a switch to the arrival: a trace function
// of greenlet's may run meanwhile.
enum { TL_SWITCHING = 1 << 20 };

// Invariants
// I1: head is the ring's first, NULL when the ring is empty; runcount its length.
// I2: while Python code of this thread runs, and no_switch is 0, current == head.
// I3: watch[0 .. nwatch) are the callers of run(), the innermost last.
// I4: waiting implies head == NULL or a wake on its way.
// I5: npool counts the stacks in pool[]: each is of this thread and of its pool's lane, and
//     has no tasklet.
// I6: started links the tasklets whose life is STARTED, but for main; nstarted counts them.
// I7: worker_waits and import_waits are part of awaited; none of these, nor hopes, is
//     negative.
// I8: nrounds counts the members of watch[] that count rounds.
struct tl_sched {
    long refs;
    struct tl_state *state;
    PyThreadState *ts;
    uint64_t ts_id; // which no later thread state has
    unsigned long ident;
    struct tl_link all; // in state->scheds
    bool dead;          // its thread is gone

    TaskletObject *head, *current;
    TaskletObject *main; // counted
    Py_ssize_t runcount;
    uint64_t switches, limit;
    int64_t stamp;                   // true time of a recent wait, in nanoseconds: see
    unsigned stamp_left, stamp_step; // tl_sched_stamp(); how many waits share it
    struct tl_timer_heap timers;
    uint64_t fired;              // how many have gone off,
    int64_t late_sum, late_most; // and how late, in nanoseconds
    uint64_t look_at, look_step; // value of switches at which to look for what is due;
    uint64_t look_yields;        // likewise of yields, for who is alone;
    int64_t looked;              // and when that was done last
    int64_t fake_now;            // in place of the time, if fake_clock is set
    bool fake_clock, stop_next;
    uint64_t chance;     // what select() begins with
    uint64_t order_seed; // for a random order in the ring; 0: in the usual one
    struct tl_link sleepers, later; // tasklets, and callbacks that wait for their time
    struct tl_poll_source *sources[TL_PARK_SOURCES]; // see poll_source.h; NULL: none
    struct tl_os_thread *native;                     // of the same thread, or NULL
    Py_ssize_t awaited; // how many wait for what the system or a worker does
    struct tl_run_frame **watch, *spare_watch; // see watch.h
    int nwatch, watch_room;
    int nrounds; // how many of watch[] count rounds

    struct tl_guard guard; // marked while the current tasklet is atomic
    struct tl_ticks events;
    struct tl_timekeeper alarm; // for budgets in time
    uint64_t yields;            // slices that ended without a switch
    uint64_t slice_seen;        // by the alarm: which slice ran,
    int64_t slice_start;        // and since when at the latest
    int64_t stall;          // how long without a tick, in nanoseconds, before it probes
    int64_t retry;          // after how many nanoseconds the alarm arms again
    bool tripped;           // the alarm has gone off, and is not set
    bool probes;            // the alarm looks for code without ticks, not for a slice
    bool hands_over;        // the switch follows a channel's preference
    unsigned char end;      // enum tl_end: how the last run() ended,
    unsigned char last_end; // and scheduler.run(),
    int64_t last_time;      // in how many nanoseconds
    uint64_t last_switches;

    int trap;          // switch_trap()
    bool classic_trap; // it was set through the stackless module
    int no_switch;     // a callback or signal handler runs: nobody may leave
    bool in_channel_callback;
    TaskletObject *target; // who is about to run, while the schedule callback is told

    // References to be dropped after the next arrival, when all is whole again.
    PyObject **drop;
    int ndrop;
    int drop_room; // half of what fits: the rest is for when the array cannot grow

    struct tl_stack *pool[2], *birth; // parked stacks by lane; see stacks.c
    struct tl_stack *ending;          // that greenlet ends when nobody holds them
    int npool, next_lane, nurseries_begun;
    Py_ssize_t deep;      // stacks in the second lane
    PyObject *nursery[2]; // the fibers on which all stacks are born
    PyObject *main_fiber; // where the thread started with us
    void *main_chunk;     // the first frame memory of the thread, or NULL
    PyObject *stack_args; // (run_stack, main fiber)
    PyObject *left;       // a set, or NULL: see stray.c
    struct tl_link started;
    Py_ssize_t nstarted, peak;
    bool trim_due;
    bool has_lost; // something, for want of memory: to be reported
    uint64_t spawned, finished;

    const int *collecting; // the interpreter's: not 0 while a collection runs
    struct tl_park park;
    struct tl_deferred_wakes nudge;
    bool waiting;
    bool resting;            // its thread is a worker of ours, without work
    Py_ssize_t worker_waits; // those of awaited that wait for a worker
    Py_ssize_t import_waits; // those of awaited that wait for another thread's import
    Py_ssize_t hopes;        // how many more wait for what a plain thread may do
    _Atomic int wakers;      // who is to wake park, and may do so without the GIL
#ifndef NDEBUG
    // Since the ring, the pools and started were last walked over.
    size_t ring_changes, pool_changes, started_changes, watch_changes;
#endif
};

// The calling thread's scheduler, or NULL if it has none yet.
extern TL_THREAD_LOCAL struct tl_sched *tl_sched_mine;

// The calling thread's scheduler, made if it has none. NULL with an exception set.
struct tl_sched *tl_sched_make(struct tl_state *state);

static inline struct tl_sched *
tl_sched_get(struct tl_state *state)
{
    return TL_LIKELY(tl_sched_mine != NULL) ? tl_sched_mine : tl_sched_make(state);
}

// For a caller that has one of our objects at hand, not the state.
static inline struct tl_sched *
tl_sched_for(PyObject *object)
{
    return TL_LIKELY(tl_sched_mine != NULL) ? tl_sched_mine
                                            : tl_sched_make(tl_state_of_object(object));
}

void tl_sched_unref(struct tl_sched *s);

// The ring, those who wait and watch[]; the pools and the started; and, while the current
// tasklet is about to run or runs Python code, that it may.
// Locks: the GIL.
TL_CHECKER(tl_sched_check, struct tl_sched *s);
TL_CHECKER(tl_sched_check_stacks, struct tl_sched *s);
TL_CHECKER(tl_sched_check_current, const struct tl_sched *s);
// s, which may be another thread's, has been told that its ring has changed.
TL_CHECKER(tl_sched_check_told, struct tl_sched *s);

// The ring. remove hands out one reference to t, the others take over one. append puts t
// at the end, or while there is an order_seed anywhere behind the head. front and
// behind_head make t the next to be entered, even if its turn of the round is over.
void tl_ring_append(struct tl_sched *s, TaskletObject *t);
void tl_ring_behind_head(struct tl_sched *s, TaskletObject *t);
void tl_ring_front(struct tl_sched *s, TaskletObject *t);
void tl_ring_remove(struct tl_sched *s, TaskletObject *t);

// Drop object (may be NULL) after the next arrival.
void tl_sched_drop_object(struct tl_sched *s, PyObject *object);

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

// Something was lost for want of memory: report it when all is whole again, because other
// code runs then.
void tl_sched_report_lost(struct tl_sched *s);

// Make t, which floats, runnable on its own thread and wake that. Takes over one
// reference.
void tl_sched_ready(TaskletObject *t);

// The same, but return the thread's scheduler if it is asleep, or about to be: the caller
// has to wake it by tl_sched_wake(). NULL: nobody is to be woken.
struct tl_sched *tl_sched_ready_asleep(TaskletObject *t);

// Thread: any.  Locks: needs no GIL.
void tl_sched_wake(struct tl_sched *s);

// Tell another thread's scheduler that its ring has changed.
void tl_sched_notify(struct tl_sched *s);

// The innermost caller of run(), if there is one.
TaskletObject *tl_sched_innermost(struct tl_sched *s);

// Who is resumed when nobody can run: the innermost caller of run(), else main.
static inline TaskletObject *
tl_sched_watcher(struct tl_sched *s)
{
    return s->nwatch > 0 ? tl_sched_innermost(s) : s->main;
}

// Check that the current tasklet may leave for t, and have a stack ready for it.
// Returns 0; 1 if other code may have run, so that the caller must look again; -1 with
// an exception set.
int tl_sched_prepare(struct tl_sched *s, TaskletObject *t);

// The switches below return what the current tasklet is resumed with: a new reference,
// or NULL with an exception set. All of them: Switch: yes.

// Go to the end of the ring.
PyObject *tl_sched_yield(struct tl_sched *s, PyObject *value);

// Whether what runs may not leave the current tasklet: a callback, a signal handler, or a
// finalizer that the collector calls on this thread (its lists have their heads on the C
// stack, which must stay where it is).
static inline bool
tl_sched_is_held(struct tl_sched *s)
{
    return s->no_switch > 0 || (*s->collecting != 0 && s->state->collector == s->ident);
}

// How the current tasklet leaves the ring.
struct tl_leave {
    const struct tl_wait_kind *kind; // NULL: it floats
    PyObject *on;
    struct tl_link *queue;
    PyObject *value;  // borrowed: what it leaves in tempval; NULL: None
    int64_t deadline; // on tl_timer_now()'s clock; 0: none, negative: passed already
    bool comes;       // what it waits for comes by itself: that is no deadlock
    bool hopes;   // a plain thread may do it: run(wait=True) goes on as long as any is
    bool patient; // so may a signal handler: it is no deadlock either. Implies hopes
    // Asked last, when no other code can run any more before it has left: whether what it
    // would wait for has come. Then it does not leave, and *came (may be NULL) is set. It
    // may wake others, who have a stack. May be NULL.
    bool (*has_come)(const struct tl_leave *how);
    bool *came;
    bool classic; // a deadlock is a plain RuntimeError
};

PyObject *tl_sched_leave(struct tl_sched *s, const struct tl_leave *how);

// The same for a wait, where all is as usual: somebody else can run, and may.
PyObject *tl_sched_wait(struct tl_sched *s, const struct tl_wait_kind *kind,
                        PyObject *on, struct tl_link *queue, PyObject *value);

// Whether all is as usual: the next in the ring is another, who can be switched to.
static inline bool
tl_sched_is_plain(struct tl_sched *s)
{
    TaskletObject *me = s->current, *next = tl_task_next(me);
    return next != me && (s->trap | s->no_switch | *s->collecting) == 0 &&
           !me->thrown && (next->life != TL_NEW || s->npool > 0);
}

// Run t next, which floats or is runnable; leave: the current one floats meanwhile.
// tl_sched_prepare() has just returned 0 for t.
PyObject *tl_sched_jump(struct tl_sched *s, TaskletObject *t, bool leave);

// The current one goes to the end. tl_sched_prepare() has just returned 0 for the one
// behind it.
PyObject *tl_sched_rotate(struct tl_sched *s);

// Set or reset the flag of t, and have it in force if t runs.
void tl_sched_set_atomic(TaskletObject *t, bool flag);

// Read the clock for the wait that begins and those that follow: the fewer of them, the
// longer ago it was read.
void tl_sched_stamp(struct tl_sched *s);

// Leave from, which is already where it is to wait, for to, which is in the ring. Returns
// 0 when from is current again; -1 with an exception set if it will never be, and must
// not be touched.
int tl_sched_go(struct tl_sched *s, TaskletObject *from, TaskletObject *to);

// The ring is empty: wait for other threads. Returns who is next, in the ring; or NULL
// with an exception set that is for leaver, who is back in the ring then.
TaskletObject *tl_sched_wait_for_others(struct tl_sched *s, TaskletObject *leaver,
                                        bool has_ended, bool classic);

// Raise in the current tasklet what is due. Returns 0 if nothing is, else -1.
int tl_interrupt_check(struct tl_sched *s);

static inline int
tl_sched_check_thrown(struct tl_sched *s)
{
    return TL_LIKELY(!s->current->thrown) ? 0 : tl_interrupt_check(s);
}

// What the current tasklet returns with, from its tempval.
PyObject *tl_sched_arrive(struct tl_sched *s);

// Used by stacks.c: hand the thread from an ended tasklet to the next; bomb (stolen, may
// be NULL) goes to the caller of run(), or with exits to main. Returns who.
TaskletObject *tl_sched_after_end(struct tl_sched *s, TaskletObject *ended,
                                  PyObject *bomb, bool exits);

// Send whoever reached the wrong stack back with an error. Returns as tl_fiber_switch().
int tl_sched_bounce(struct tl_sched *s);
void tl_sched_drop_now(struct tl_sched *s);

#endif // TL_SCHED_H
