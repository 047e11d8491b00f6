// sched.h - one scheduler per OS thread: which tasklet runs, which is next, and how the
// current one is left.
//
// The run queue is a ring; "the ring" and "the run queue" mean the same. A function
// without the words Thread:, Locks: or Switch: in its comment is called on the
// scheduler's own thread with the GIL, does not switch and does not call into Python.
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

// A bit of no_switch, beside the count: set from the last decision of a switch until
// the new tasklet has arrived. A trace function of greenlet's may run Python code in
// between.
enum { TL_SWITCHING = 1 << 20 };

// The scheduler of one OS thread. All fields are guarded by the GIL, but for those that
// are atomic. Other threads may put tasklets into the ring and take them out of it
// (tl_sched_ready() and the like); all other fields are the owning thread's, apart from
// what on_alarm() in run_frame.c sets with the GIL.
//
// Invariants
// I1: head is the ring's first, NULL when the ring is empty; runcount its length.
// I2: while Python code of this thread runs, and no_switch is 0, current == head.
// I3: watch[0 .. nwatch) are the callers of run(), the innermost last.
// I4: waiting implies head == NULL or a wake-up that is on its way.
// I5: npool counts the stacks in pool[]: each is of this thread and of its pool's lane,
//     and has no tasklet.
// I6: started links the tasklets whose life is STARTED, but for main; nstarted counts
//     them.
// I7: worker_waits and import_waits are part of awaited; none of these, nor hopes, is
//     negative.
// I8: nrounds counts the members of watch[] that count rounds.
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
    int64_t late_most;    // the latest of them
    uint64_t look_at;     // value of switches at which to look for what is due
    uint64_t look_step;   // switches between two looks
    uint64_t look_yields; // value of yields at which a tasklet alone in the ring looks
    int64_t looked;       // true time of the last look
    bool fake_clock;      // tests move the time by hand
    int64_t fake_now;     // the time then, in nanoseconds
    bool stop_next;       // the next run() returns at once

    uint64_t chance; // state of select()'s random numbers
    // State of a random run queue; 0: tasklets are appended at its end.
    uint64_t order_seed;
    struct tl_link sleepers;            // tasklets inside sleep()
    struct tl_link later;               // scheduled calls that wait for their time
    struct tl_poll_source *sources[TL_PARK_SOURCES]; // see poll_source.h; NULL: none
    struct tl_os_thread *native;                     // of the same thread, or NULL
    Py_ssize_t awaited; // tasklets that wait for the system, a worker or an import

    // Callers of run(): see run_frame.h.
    struct tl_run_frame **watch;
    struct tl_run_frame *spare_watch; // for the next call, or NULL
    int nwatch;
    int watch_room; // capacity of watch[]
    int nrounds;    // members of watch[] that count rounds

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
    struct tl_deferred_wakes nudge; // wake-ups that this thread owes others
    bool waiting;                   // the thread is idle: its ring was empty
    bool resting;                   // a worker without work: deadlocks do not count it
    Py_ssize_t worker_waits;        // part of awaited: tasklets that wait for a worker
    Py_ssize_t import_waits;        // part of awaited: for another thread's import
    Py_ssize_t hopes;   // tasklets that wait for what a thread without tasklets may do
    _Atomic int wakers; // wake-ups of park under way, by threads without the GIL
#ifndef NDEBUG
    // Changes since the ring, the pools, started and watch[] were last walked over.
    size_t ring_changes, pool_changes, started_changes, watch_changes;
#endif
};

// The calling thread's scheduler, or NULL if it has none yet.
extern TL_THREAD_LOCAL struct tl_sched *tl_sched_mine;

// The calling thread's scheduler, made if it has none. NULL with an exception set. When
// it is made, the schedule callback is called.
struct tl_sched *tl_sched_make(struct tl_state *state);

static inline struct tl_sched *
tl_sched_get(struct tl_state *state)
{
    return TL_LIKELY(tl_sched_mine != NULL) ? tl_sched_mine : tl_sched_make(state);
}

// For a caller that has an object of the module at hand, not its state.
static inline struct tl_sched *
tl_sched_for(PyObject *object)
{
    return TL_LIKELY(tl_sched_mine != NULL) ? tl_sched_mine
                                            : tl_sched_make(tl_state_of_object(object));
}

// Drop a reference. The last one frees s, whose thread is gone.
// Thread: any.
void tl_sched_unref(struct tl_sched *s);

// Check the ring and the counts of waits; the pools and the list of started tasklets;
// and that the current tasklet, which runs Python code or is about to, is the ring's
// head.
// Locks: the GIL.
TL_CHECKER(tl_sched_check, struct tl_sched *s);
TL_CHECKER(tl_sched_check_stacks, struct tl_sched *s);
TL_CHECKER(tl_sched_check_current, const struct tl_sched *s);
// Check that s, whose ring has changed, is awake or about to be woken.  Thread: any.
TL_CHECKER(tl_sched_check_told, struct tl_sched *s);

// The ring. remove passes one reference to t to the caller, the others steal one.
// append puts t at the end or, with an order_seed, at a random place behind the head.
// front and behind_head make t the next to be entered, even if its turn of the round is
// over. None of them wakes a thread.
// Thread: any.
void tl_ring_append(struct tl_sched *s, TaskletObject *t);
void tl_ring_behind_head(struct tl_sched *s, TaskletObject *t);
void tl_ring_front(struct tl_sched *s, TaskletObject *t);
void tl_ring_remove(struct tl_sched *s, TaskletObject *t);

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

// Put t (stolen), which floats, at the end of its own thread's run queue, and wake that
// thread if it is idle. If the thread is gone, t is dropped.
// Thread: any.
void tl_sched_ready(TaskletObject *t);

// The same, but do not wake the thread: return its scheduler if it is idle, and the
// caller must call tl_sched_wake() with it. NULL: it is not idle.
// Thread: any.
struct tl_sched *tl_sched_ready_asleep(TaskletObject *t);

// Wake the thread of s, which tl_sched_ready_asleep() returned.
// Thread: any.  Locks: none.
void tl_sched_wake(struct tl_sched *s);

// The ring of s has changed: wake its thread if that is another and idle.
// Thread: any.
void tl_sched_notify(struct tl_sched *s);

// The innermost caller of run(). There is one.
TaskletObject *tl_sched_innermost(struct tl_sched *s);

// The tasklet that is resumed when none is runnable: the innermost caller of run(), or
// main.
static inline TaskletObject *
tl_sched_watcher(struct tl_sched *s)
{
    return s->nwatch > 0 ? tl_sched_innermost(s) : s->main;
}

// Check that the current tasklet may be left for t, and have a stack ready for t if it
// is new. Returns 0; 1 if that may have run Python code, so that the caller must decide
// anew; or -1 with an exception set.
int tl_sched_prepare(struct tl_sched *s, TaskletObject *t);

// The switches below return what the current tasklet is resumed with: a new reference,
// or NULL with an exception set. All of them: Switch: yes.

// Move the current tasklet to the end of the ring; value is what it is resumed with
// unless another tasklet changes its tempval.
PyObject *tl_sched_yield(struct tl_sched *s, PyObject *value);

// Whether the running code must not leave the current tasklet: a callback, a signal
// handler, or a finalizer that the collector calls on this thread (the heads of the
// collector's lists are on the C stack, which must stay where it is).
static inline bool
tl_sched_is_held(struct tl_sched *s)
{
    return s->no_switch > 0 || (*s->collecting != 0 && s->state->collector == s->ident);
}

// How the current tasklet leaves the ring.
struct tl_leave {
    const struct tl_wait_kind *kind; // NULL: it does not wait, but floats
    PyObject *on;                    // borrowed: the object of the wait, or NULL
    struct tl_link *queue;           // of waiters, at whose end it waits
    PyObject *value;                 // borrowed: what it leaves in tempval; NULL: None
    int64_t deadline; // on tl_timer_now()'s clock, in ns; 0: none, negative: passed
    // What may end the wait, if no tasklet can. architecture.md has the table.
    bool comes; // the system or a worker will: no deadlock
    bool hopes; // a thread without tasklets may: run(wait=True) does not return
    // A signal handler may: exempt from deadlock detection; counts as hopes, too.
    bool patient;
    // The last check before the wait is committed; may be NULL. No Python code runs
    // between it and the switch. If it returns true, the tasklet does not leave, and
    // *came (may be NULL) is set. It may wake tasklets that have a stack, but does not
    // call into Python.
    bool (*has_come)(const struct tl_leave *how);
    bool *came;
    bool classic; // a deadlock raises RuntimeError with Stackless's message
};

// Leave the ring as how says, and return when the tasklet is resumed. The steps are in
// this order because of what may run Python code:
// 1. A deadline that has passed raises at once; nothing has changed.
// 2. The successor is found: this may allocate an exception or a stack, call a signal
//    handler and drop the old tempval. Each may run Python code, so it is repeated
//    until a pass has done none of it. Errors are raised here, while nothing has
//    changed.
// 3. Room for the timer is reserved: may fail, runs nothing.
// 4. has_come() decides whether there is still something to wait for. From here to the
//    switch no Python code runs, so no wake-up is missed.
// 5. The tasklet leaves the ring and joins the queue; what it held goes to the drop
//    list.
// 6. With an empty ring the thread sleeps in tl_sched_wait_for_others(), which can run
//    signal handlers. The wait is armed by now: whatever runs there may end it.
// 7. The switch: see tl_sched_go().
PyObject *tl_sched_leave(struct tl_sched *s, const struct tl_leave *how);

// The quick way of tl_sched_leave() for a wait: tl_sched_is_plain() has just been true,
// so nothing of steps 1 to 3 and 6 can be needed.
PyObject *tl_sched_wait(struct tl_sched *s, const struct tl_wait_kind *kind,
                        PyObject *on, struct tl_link *queue, PyObject *value);

// Whether the quick way will do: another tasklet is next, and nothing forbids switching
// to it.
static inline bool
tl_sched_is_plain(struct tl_sched *s)
{
    TaskletObject *me = s->current, *next = tl_task_next(me);
    return next != me && (s->trap | s->no_switch | *s->collecting) == 0 &&
           !me->thrown && (next->life != TL_NEW || s->npool > 0);
}

// Switch to t, which floats or is runnable. The current tasklet stays in the ring or,
// with leave, floats. tl_sched_prepare() has just returned 0 for t.
PyObject *tl_sched_jump(struct tl_sched *s, TaskletObject *t, bool leave);

// Switch to the next tasklet of the ring; the current one becomes its last.
// tl_sched_prepare() has just returned 0 for the next.
PyObject *tl_sched_rotate(struct tl_sched *s);

// Set or clear t's atomic flag. If t is running it takes effect at once, and its thread
// may give up the GIL.
// Thread: any.
void tl_sched_set_atomic(TaskletObject *t, bool flag);

// Read the clock for the wait that begins and some that follow. How many share the
// reading depends on how much time has passed since the last one.
void tl_sched_stamp(struct tl_sched *s);

// Switch from `from`, which is current and already where it will wait, to `to`, which
// is in the ring. Returns 0 when from is current again; -1 with an exception set if it
// never will be, and must not be touched. The steps, in this order:
// 1. Note on which fiber from pauses, if that may not be its own. May fail: nothing has
//    been decided yet, and from goes on with the error.
// 2. The run frames may choose another tasklet: due timers fire, which do not call into
//    Python, and budgets end. They look at the ring as it is now.
// 3. The schedule callback is told. It is Python code, but cannot switch (no_switch),
//    and finds from as the current tasklet. It may change the ring: `to` is held there.
// 4. Depth, frame and context of from are noted while they are still the thread's.
// 5. current is set, and TL_SWITCHING: a trace function of greenlet's sees a current
//    tasklet that is not yet on its stack. Then, if from needs it, the atomic section
//    is left, and trace functions and tracing depth are put away, since to must not run
//    with them. Leaving a section may give up the GIL: other threads find `to` as the
//    current tasklet, and leave it alone.
// 6. The fiber is switched. Other tasklets run now, any Python code.
// 7. Back again: the quick test finds that nothing unusual has happened. Otherwise
//    after_unusual_pause() first makes sure that from is meant to go on here, then
//    restores what step 5 put away, the mark of atomic after the trace functions, since
//    setting it may give up the GIL.
// What was dropped on the way is released by tl_sched_arrive(), after all this.
// Switch: yes.
int tl_sched_go(struct tl_sched *s, TaskletObject *from, TaskletObject *to);

// The ring is empty: sleep until it is not, or until a run frame must be resumed.
// Returns the tasklet to switch to, which is in the ring; or NULL with an exception set
// for leaver, which is in the ring again then and goes on. leaver has left the ring
// last; it still is s->current, but in no place to be switched from. Signal handlers
// run on its stack with no_switch raised. has_ended: it is the tasklet that has just
// ended. classic: a deadlock raises Stackless's RuntimeError.
// Does not switch, but may run Python code.
TaskletObject *tl_sched_wait_for_others(struct tl_sched *s, TaskletObject *leaver,
                                        bool has_ended, bool classic);

// Raise the strongest interruption that is due in the current tasklet. Returns 0 if
// none is, else -1 with the exception set.
int tl_interrupt_check(struct tl_sched *s);

static inline int
tl_sched_check_thrown(struct tl_sched *s)
{
    return TL_LIKELY(!s->current->thrown) ? 0 : tl_interrupt_check(s);
}

// The current tasklet has arrived: drop what switches have left to drop, which may run
// Python code and switch, and return its tempval (new reference), or raise it if it is
// a bomb.
// Switch: may, in what it drops.
PyObject *tl_sched_arrive(struct tl_sched *s);

// For stacks.c. The function of ended has returned: take it out of the ring and return
// the tasklet to switch to, which is s->current now. bomb (stolen, may be NULL) is
// raised in the innermost caller of run() or, with exits, in main. May call the
// schedule callback and, with an empty ring, sleep and run signal handlers.
TaskletObject *tl_sched_after_end(struct tl_sched *s, TaskletObject *ended,
                                  PyObject *bomb, bool exits);

// greenlet's own API has continued a fiber whose tasklet is not the current one: raise
// an error in the current tasklet instead. Returns as tl_fiber_switch().
// Switch: yes.
int tl_sched_bounce(struct tl_sched *s);

// Drop what is on the drop list, unless no_switch holds that off. May run Python code.
// Switch: may.
void tl_sched_drop_now(struct tl_sched *s);

#endif // TL_SCHED_H
