// ending.c - a thread's tasklets are told to end, and the thread ends whatever they do.
//
// TaskletExit is raised once in each, and each has as many switches and as much time as a
// clean-up may need. A tasklet that swallows the exception and computes on is stopped as by
// a budget of run(), and never continued: nothing that it does can keep a thread, or the
// program, from its end.
#include "ending.h"
#include "clock.h"
#include "errors.h"
#include "interrupt.h"
#include "leftover.h"
#include "loop.h"
#include "outcome.h"
#include "watch.h"

// After how many switches the next one is told, although those that were told before go on
// in each other's turns; and how many they have together once all have been told. A clean-up
// that takes turns with others needs some, and without a limit it could go on for ever.
enum { LAST_SWITCHES = 10000 };

// How many of the tasklets that begin meanwhile are told, too. Each of them may begin
// others when it is told.
enum { LAST_BIRTHS = 10000 };

// What one of them may use before it gives way, in nanoseconds. Each that uses more, and is
// left where it is, halves that for the next, down to a least.
//
// computing is CPU time, for code that loops. A clean-up takes some hundred milliseconds at
// most, as a rule, and a crowd of tasklets that loop takes ten seconds together before the
// least is reached: as long as the managers of services wait, by default, between telling a
// process to end and killing it.
//
// turn is true time, for code that waits for something else again and again, and for those
// that go on in each other's turns: a minute, as long as a clean-up may have to wait for
// another process.
static struct {
    int64_t computing, turn;
} most = {4000000000, 60000000000};
enum { COMPUTING_LEAST = 15000000, TURN_LEAST = 1000000000 };

// At most this many of those that are left are reported one by one.
enum { REPORTED_MOST = 10 };

// The end of a thread's tasklets. Not on the C stack, which moves.
struct ending {
    struct tl_sched *s;
    struct tl_last last;
    struct tl_watch *watch; // NULL: nobody was told yet, or
    bool refused;           // it cannot be had
    Py_ssize_t abandoned;
    int births; // how many more of those that begin meanwhile are told
};

// ---- those that do not end

static void
report(TaskletObject *t)
{
    if (PyErr_Occurred()) {
        tl_errors_unraisable(t->home->state, (PyObject *)t);
    }
}

// Have the time of those that are resumed now bounded by what is left.
static void
begin_turn(struct ending *e)
{
    if (e->watch == NULL && !e->refused) {
        e->last.computing = most.computing;
        e->last.turn = most.turn;
        e->last.turn_end = INT64_MAX;
        e->last.turn_slice = UINT64_MAX;
        e->watch = tl_watch_begin_last(e->s, &e->last);
        e->refused = e->watch == NULL;
        PyErr_Clear(); // most end without it
    }
    e->last.turn_end = tl_clock_now() + e->last.turn;
    e->last.turn_slice = tl_watch_slice(e->s) + LAST_SWITCHES;
}

static int64_t
half(int64_t time, int64_t least)
{
    return time / 2 > least ? time / 2 : time < least ? time : least;
}

// The others have had their turn: leave the one that had to be stopped, if there is one.
static void
end_turn(struct ending *e)
{
    struct tl_watch *watch = e->watch;
    bool late = watch != NULL && tl_clock_now() >= e->last.turn_end;
    e->last.turn_end = INT64_MAX;
    e->last.turn_slice = UINT64_MAX;
    e->s->trap = 0; // whoever has set it may be gone
    TaskletObject *t = watch != NULL ? watch->victim : NULL;
    if (t == NULL && !late) {
        return;
    }
    e->last.computing = half(e->last.computing, COMPUTING_LEAST);
    e->last.turn = half(e->last.turn, TURN_LEAST);
    if (t != NULL) {
        watch->victim = NULL;
        t->abandoned = true;
        if (e->abandoned++ < REPORTED_MOST) {
            tl_leftover_abandoned(t);
        }
        Py_DECREF(t);
    }
    tl_watch_renew_last(e->s, watch);
}

// Throw TaskletExit into t, out of its turn.
static void
tell_to_end(struct ending *e, TaskletObject *t)
{
    struct tl_sched *s = e->s;
    begin_turn(e);
    PyObject *bomb = tl_interrupt_kill(s->state);
    t->left = false;
    if (t->life != TL_STARTED || t == s->current) {
        // Making the bomb let others act. Or greenlet's own API has continued main's stack
        // while t is current, which runs no more.
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

// None of list (stolen, may be NULL) comes to its end.
static void
give_up(PyObject *list)
{
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        tl_outcome_give_up((TaskletObject *)PyList_GET_ITEM(list, i));
    }
    Py_XDECREF(list);
    PyErr_Clear();
}

// Take those out of the ring that have not begun: they never will.
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
                PyErr_Clear(); // then its callbacks are not called
            }
            tl_sched_drop_later(s, (PyObject *)t);
        }
        t = next;
    }
    give_up(dropped);
    tl_sched_drop_now(s);
}

// ---- all of them

// The started ones as a list, or NULL.
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

// Whether t is to be told. told has the addresses of those that were, and kept themselves.
static bool
is_news(struct ending *e, TaskletObject *t, PyObject *told, PyObject *kept)
{
    PyObject *key = PyLong_FromVoidPtr(t);
    bool news = key != NULL && !t->abandoned && PySet_Contains(told, key) == 0 &&
                PySet_Add(told, key) == 0 && PyList_Append(kept, (PyObject *)t) == 0;
    Py_XDECREF(key);
    report(e->s->main);
    return news && t->life == TL_STARTED;
}

// Tell all once, those too that begin meanwhile.
static void
tell_all(struct ending *e)
{
    struct tl_sched *s = e->s;
    // Kept to the end, so that no address comes twice.
    PyObject *told = PySet_New(NULL), *kept = PyList_New(0);
    bool again = told != NULL && kept != NULL, first = true;
    while (again) {
        again = false;
        drop_unstarted(s);
        PyObject *list = list_started(s);
        for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
            TaskletObject *t = (TaskletObject *)PyList_GET_ITEM(list, i);
            if (is_news(e, t, told, kept) && (first || e->births-- > 0)) {
                again = true;
                tell_to_end(e, t);
            }
        }
        Py_XDECREF(list);
        report(s->main);
        first = false;
    }
    Py_XDECREF(told);
    Py_XDECREF(kept);
    drop_unstarted(s);
}

void
tl_ending_run(struct tl_sched *s)
{
    struct ending *e = tl_watch_is_last(s) ? NULL : PyMem_Calloc(1, sizeof *e);
    if (e == NULL) {
        return; // it is under way: a tasklet that was told to end has called exit functions
    }
    e->s = s;
    e->births = LAST_BIRTHS;
    s->trap = 0;
    tl_loop_is_ending(s->loop, true);
    tell_all(e);
    // Somebody may have begun in a callback, and not be told.
    if (s->nstarted > 0) {
        begin_turn(e);
    }
    struct tl_budget last = {.switches = LAST_SWITCHES};
    Py_XDECREF(tl_watch_run(s, &last));
    // No other code until those that are left are known, lest they be given a lock.
    for (struct tl_link *i = s->started.next; i != &s->started; i = i->next) {
        TL_CONTAINER(i, TaskletObject, started)->left = true;
    }
    report(s->main);
    end_turn(e);
    drop_unstarted(s);
    if (e->watch != NULL) {
        tl_watch_end_last(s, e->watch);
    }
    if (e->abandoned > REPORTED_MOST) {
        tl_leftover_more_abandoned(s->state, e->abandoned - REPORTED_MOST);
    }
    PyMem_Free(e);
    give_up(list_started(s));
}

void
tl_ending_set_times(int64_t computing, int64_t turn)
{
    most.computing = computing;
    most.turn = turn;
}
