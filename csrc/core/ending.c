// ending.c - kills a thread's tasklets, and lets the thread end whatever they do.
//
// TaskletExit is raised once in each tasklet, which then has as many switches and as
// much time as a clean-up may need. A tasklet that swallows the exception and computes
// on is stopped as by a budget of run(), and never continued: nothing that it does can
// keep a thread, or the program, from its end.
#include "core/ending.h"
#include "core/errors.h"
#include "core/interrupt.h"
#include "core/leftover.h"
#include "core/outcome.h"
#include "core/poll_source.h"
#include "core/run.h"
#include "core/runq.h"
#include "base/clock.h"

// Maximum number of switches before the next tasklet is told to end, and of switches
// that all tasklets together may still make once each was told. A clean-up that takes
// turns with other tasklets needs some; without a limit it could go on forever.
enum { LAST_SWITCHES = 10000 };

// Maximum number of tasklets that start during the end and are told to end, too. Each
// of them may start others when it is told.
enum { MAX_LATE_STARTS = 10000 };

// What the first tasklet may use before it gives way, in nanoseconds. Each tasklet that
// uses all of it halves that for the next one, down to a minimum.
//
// cpu_time is for code that loops. A clean-up normally takes some hundred milliseconds
// at most, and any number of tasklets that loop takes about ten seconds before the
// minimum is reached: as long as the managers of services wait, by default, between
// telling a process to end and killing it.
//
// turn_time is for code that waits outside of tasklets again and again, and for
// tasklets that go on in each other's turns: a minute, as long as a clean-up may have
// to wait for another process.
static struct {
    int64_t cpu_time, turn_time;
} first = {4000000000, 60000000000};
enum { MIN_CPU_NS = 15000000, MIN_TURN_NS = 1000000000 };

// Maximum number of abandoned tasklets that are reported one by one.
enum { MAX_REPORTED = 10 };

// The end of a thread's tasklets. Allocated: the C stack that runs it is switched.
struct ending {
    struct tl_sched *s;
    struct tl_ending_limits limits;
    struct tl_run_frame *frame; // NULL: no tasklet was told to end yet, or
    bool refused;               // there can be no limits
    Py_ssize_t abandoned;       // number of tasklets that were stopped for good
    int late_starts;            // how many more tasklets that start now are told to end
};

// ---- tasklets that do not end

static void
report(TaskletObject *t)
{
    if (PyErr_Occurred()) {
        tl_errors_unraisable(t->home->state, (PyObject *)t);
    }
}

// Limit what the tasklets use that are resumed from now on.
static void
begin_turn(struct ending *e)
{
    if (e->frame == NULL && !e->refused) {
        e->limits.cpu_time = first.cpu_time;
        e->limits.turn_time = first.turn_time;
        e->limits.turn_deadline = TL_DEADLINE_NEVER;
        e->limits.turn_slice = UINT64_MAX;
        e->frame = tl_run_begin_ending(e->s, &e->limits);
        e->refused = e->frame == NULL;
        PyErr_Clear(); // most tasklets end without limits
    }
    e->limits.turn_deadline = tl_clock_now() + e->limits.turn_time;
    e->limits.turn_slice = tl_run_frame_slice(e->s) + LAST_SWITCHES;
}

// Half of time, but at least min, unless time is less.
static int64_t
half(int64_t time, int64_t min)
{
    return time / 2 > min ? time / 2 : time < min ? time : min;
}

// The other tasklets have had their turn: abandon the tasklet that was stopped, if any.
static void
end_turn(struct ending *e)
{
    struct tl_run_frame *frame = e->frame;
    bool late = frame != NULL && tl_clock_now() >= e->limits.turn_deadline;
    e->limits.turn_deadline = TL_DEADLINE_NEVER;
    e->limits.turn_slice = UINT64_MAX;
    e->s->trap = 0; // a tasklet that has set it may have been stopped
    TaskletObject *t = frame != NULL ? frame->victim : NULL;
    if (t == NULL && !late) {
        return;
    }
    e->limits.cpu_time = half(e->limits.cpu_time, MIN_CPU_NS);
    e->limits.turn_time = half(e->limits.turn_time, MIN_TURN_NS);
    if (t != NULL) {
        frame->victim = NULL;
        t->abandoned = true;
        if (e->abandoned++ < MAX_REPORTED) {
            tl_leftover_abandoned(t);
        }
        Py_DECREF(t);
    }
    tl_run_renew_ending(e->s, frame);
}

// Kill t now, without waiting for its turn.  Switch: yes.
static void
tell_to_end(struct ending *e, TaskletObject *t)
{
    struct tl_sched *s = e->s;
    begin_turn(e);
    PyObject *bomb = tl_interrupt_kill(s->state);
    t->left_waiting = false;
    if (t->life != TL_STARTED || t == s->current) {
        // Making the bomb has run Python code, which has ended t; or greenlet's own API
        // has continued main's stack while t is current.
        Py_DECREF(bomb);
        return;
    }
    if (t->place == TL_RUNNABLE) {
        tl_ring_remove(s, t);
        Py_DECREF(t); // the caller has another reference
    } else if (t->place == TL_WAITING) {
        tl_task_end_wait(t);
        Py_DECREF(t);
    }
    tl_sched_drop_later(s, tl_interrupt_force(t, bomb));
    Py_XDECREF(tl_sched_jump(s, t, false));
    report(t);
    end_turn(e);
}

// Call the done callbacks of the tasklets in list (stolen, may be NULL): none will end.
static void
give_up_all(PyObject *list)
{
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        tl_outcome_give_up((TaskletObject *)PyList_GET_ITEM(list, i));
    }
    Py_XDECREF(list);
    PyErr_Clear();
}

// Take tasklets that have not started out of the ring: they will not run any more.
static void
drop_unstarted(struct tl_sched *s)
{
    PyObject *dropped = s->runcount > 0 ? PyList_New(0) : NULL;
    TaskletObject *t = s->head;
    for (Py_ssize_t left = s->runcount; left > 0; left--) {
        TaskletObject *next = tl_task_next(t);
        if (t->life == TL_NEW) {
            tl_ring_remove(s, t);
            if (dropped == NULL || PyList_Append(dropped, (PyObject *)t) < 0) {
                PyErr_Clear(); // without memory its callbacks are not called
            }
            tl_sched_drop_later(s, (PyObject *)t);
        }
        t = next;
    }
    give_up_all(dropped);
    tl_sched_drop_now(s);
}

// ---- all tasklets

// The started tasklets as a list, or NULL with an exception set.
static PyObject *
list_started(struct tl_sched *s)
{
    PyObject *list = PyList_New(0);
    struct tl_link *i = s->started.next;
    for (; list != NULL && i != &s->started; i = i->next) {
        if (PyList_Append(list, (PyObject *)TL_CONTAINER(i, TaskletObject, started)) <
            0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

// Whether t must still be told to end. Adds its address to told, and t to kept, which
// makes sure that no address is used twice.
static bool
is_new(struct ending *e, TaskletObject *t, PyObject *told, PyObject *kept)
{
    PyObject *key = PyLong_FromVoidPtr(t);
    bool is_new = key != NULL && !t->abandoned && PySet_Contains(told, key) == 0 &&
                  PySet_Add(told, key) == 0 && PyList_Append(kept, (PyObject *)t) == 0;
    Py_XDECREF(key);
    report(e->s->main);
    return is_new && t->life == TL_STARTED;
}

// Tell each tasklet once, also tasklets that start during this.  Switch: yes.
static void
tell_all(struct ending *e)
{
    struct tl_sched *s = e->s;
    PyObject *told = PySet_New(NULL), *kept = PyList_New(0);
    bool again = told != NULL && kept != NULL, is_first = true;
    while (again) {
        again = false;
        drop_unstarted(s);
        PyObject *list = list_started(s);
        for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
            TaskletObject *t = (TaskletObject *)PyList_GET_ITEM(list, i);
            if (is_new(e, t, told, kept) && (is_first || e->late_starts-- > 0)) {
                again = true;
                tell_to_end(e, t);
            }
        }
        Py_XDECREF(list);
        report(s->main);
        is_first = false;
    }
    Py_XDECREF(told);
    Py_XDECREF(kept);
    drop_unstarted(s);
}

void
tl_ending_run(struct tl_sched *s)
{
    struct ending *e = tl_run_frame_is_ending(s) ? NULL : PyMem_Calloc(1, sizeof *e);
    if (e == NULL) {
        return; // a tasklet that was told to end has called the exit functions
    }
    e->s = s;
    e->late_starts = MAX_LATE_STARTS;
    s->trap = 0;
    tl_poll_source_set_ending(s, true);
    tell_all(e);
    // A done callback may have started a tasklet that was not told.
    if (s->nstarted > 0) {
        begin_turn(e);
    }
    struct tl_budget last = {.switches = LAST_SWITCHES};
    Py_XDECREF(tl_run(s, &last));
    // Before any Python code runs, which might give them a lock.
    for (struct tl_link *i = s->started.next; i != &s->started; i = i->next) {
        TL_CONTAINER(i, TaskletObject, started)->left_waiting = true;
    }
    report(s->main);
    end_turn(e);
    drop_unstarted(s);
    if (e->frame != NULL) {
        tl_run_end_ending(s, e->frame);
    }
    if (e->abandoned > MAX_REPORTED) {
        tl_leftover_more_abandoned(s->state, e->abandoned - MAX_REPORTED);
    }
    PyMem_Free(e);
    give_up_all(list_started(s));
}

void
tl_ending_set_times(int64_t cpu_time, int64_t turn_time)
{
    first.cpu_time = cpu_time;
    first.turn_time = turn_time;
}
