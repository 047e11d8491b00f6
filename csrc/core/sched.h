// sched.h - one scheduler per OS thread: which tasklet runs, which is next, and how the
// current one is left.
//
// The run queue is a ring; "the ring" and "the run queue" mean the same. A function
// without the words Thread:, Locks: or Switch: in its comment is called on the
// scheduler's own thread with the GIL, does not switch and does not call into Python.
#ifndef TL_SCHED_H
#define TL_SCHED_H

#include "cpython/compat.h" // before all of the system's

#include "core/runq.h"
#include "core/sched_state.h"

// Check that the current tasklet may be left for t, and have a stack ready for t if it
// is new. Returns 0; 1 if that may have run Python code, so that the caller must decide
// anew; or -1 with an exception set.
int tl_sched_prepare(struct tl_sched *s, TaskletObject *t);

// The switches below return what the current tasklet is resumed with: a new reference,
// or NULL with an exception set.

// Move the current tasklet to the end of the ring; value is what it is resumed with
// unless another tasklet changes its tempval.
// Switch: yes.
PyObject *tl_sched_yield(struct tl_sched *s, PyObject *value);

// How the current tasklet leaves the ring.
struct tl_leave {
    const struct tl_wait_kind *kind; // NULL: it does not wait, but floats
    PyObject *on;                    // borrowed: the object of the wait, or NULL
    struct tl_link *queue;           // of waiters, at whose end it waits
    PyObject *value;                 // borrowed: what it leaves in tempval; NULL: None
    tl_deadline deadline;            // on tl_timer_now()'s clock
    // What may end the wait, if no tasklet can. architecture.md has the table.
    bool comes; // the system or a worker will: no deadlock
    bool
        maybe_external; // a thread without tasklets may: run(wait=True) does not return
    // A signal handler may: exempt from deadlock detection; counts as maybe_external,
    // too.
    bool exempt;
    // The last check before the wait is committed; may be NULL. No Python code runs
    // between it and the switch. If it returns true, the tasklet does not leave, and
    // *came (may be NULL) is set. It may wake tasklets that have a stack, but does not
    // call into Python.
    bool (*last_check)(const struct tl_leave *how);
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
// 4. last_check() decides whether there is still something to wait for. From here to
//    the switch no Python code runs, so no wake-up is missed.
// 5. The tasklet leaves the ring and joins the queue; what it held goes to the drop
//    list.
// 6. With an empty ring the thread sleeps in tl_sched_wait_for_others(), which can run
//    signal handlers. The wait is armed by now: whatever runs there may end it.
// 7. The switch: see tl_sched_go().
// Switch: yes.
PyObject *tl_sched_leave(struct tl_sched *s, const struct tl_leave *how);

// The quick way of tl_sched_leave() for a wait: tl_sched_is_plain() has just been true,
// so nothing of steps 1 to 3 and 6 can be needed.
// Switch: yes.
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
// Switch: yes.
PyObject *tl_sched_jump(struct tl_sched *s, TaskletObject *t, bool leave);

// Switch to the next tasklet of the ring; the current one becomes its last.
// tl_sched_prepare() has just returned 0 for the next.
// Switch: yes.
PyObject *tl_sched_rotate(struct tl_sched *s);

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
// run on its stack with no_switch raised. Does not switch, but may run Python code.
enum tl_leaving {
    TL_LEAVING_TO_WAIT,     // or to pause
    TL_LEAVING_CLASSICALLY, // the same; a deadlock raises Stackless's RuntimeError
    TL_LEAVING_FOR_GOOD     // leaver is the tasklet that has just ended
};
TaskletObject *tl_sched_wait_for_others(struct tl_sched *s, TaskletObject *leaver,
                                        enum tl_leaving how);

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

// For life.c. The function of ended has returned: take it out of the ring and return
// the tasklet to switch to, which is s->current now. bomb (stolen, may be NULL) is
// raised in the innermost caller of run() or, with exits, in main. May call the
// schedule callback and, with an empty ring, sleep and run signal handlers.
TaskletObject *tl_sched_after_end(struct tl_sched *s, TaskletObject *ended,
                                  PyObject *bomb, bool exits);

// greenlet's own API has continued a fiber whose tasklet is not the current one: raise
// an error in the current tasklet instead. Returns as tl_fiber_switch().
// Switch: yes.
int tl_sched_bounce(struct tl_sched *s);

#endif // TL_SCHED_H
