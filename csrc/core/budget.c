// budget.c - a tasklet that overruns a hard budget is stopped in the middle of a slice.
#include "core/budget.h"
#include "core/interrupt.h"
#include "core/run_frame.h"
#include "cpython/frames.h"
#include "base/clock.h"

// The outermost run frame for which the current tasklet must be stopped, or NULL.
static struct tl_run_frame *
find_hard(struct tl_sched *s)
{
    if (tl_run_frame_is_ending(s) && s->frames[0]->caller == s->current) {
        return NULL; // it ends the other tasklets
    }
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        if (frame->caller != s->current && !frame->budget.soft &&
            tl_run_frame_ended_inside(s, frame) != TL_END_NONE) {
            return frame;
        }
    }
    return NULL;
}

// Whether the current tasklet can be stopped for frame where its code is now: not in
// the middle of an operation of the library, in a callback or in a finalizer of a
// collection.
static bool
can_stop(struct tl_sched *s, const struct tl_run_frame *frame)
{
    const TaskletObject *me = s->current;
    if (*s->collecting != 0) {
        return false; // perhaps in one of gc.callbacks that runs before the library's
    }
    if (tl_sched_is_held(s) || s->in_channel_callback || me->place != TL_RUNNABLE ||
        s->head != me || frame->caller->place == TL_WAITING) {
        return false;
    }
    return me->is_main || me->life == TL_STARTED;
}

// Whether it may be stopped for frame. If it can go on later, it must not be left where
// that would harm other tasklets: in C code that has called Python code (unless
// allowed), imports and atomic sections. When the thread's tasklets are being ended it
// never goes on, wherever it is.
static bool
may_stop(struct tl_sched *s, const struct tl_run_frame *frame)
{
    const TaskletObject *me = s->current;
    if (!can_stop(s, frame)) {
        return false;
    }
    if (frame->limits != NULL) {
        return true;
    }
    if (s->trap != 0 || me->atomic) {
        return false;
    }
    if (me->outcome != NULL && me->outcome->done) {
        return false; // it runs its done callbacks
    }
    if (!frame->budget.ignore_nesting && !me->ignore_nesting &&
        tl_frames_nesting(s->ts) > 0) {
        return false;
    }
    return !tl_frames_are_importing(s->ts);
}

// Stop the current tasklet for a run() whose budget is used up. Returns 0 when it goes
// on, or -1 with an exception set.
static int
stop(struct tl_sched *s)
{
    // On 3.11 this may run Python code, which may end that run() or its caller: look up
    // again what was found before.
    tl_ticks_disarm(&s->events);
    struct tl_run_frame *frame = find_hard(s);
    if (frame == NULL || !may_stop(s, frame)) {
        tl_ticks_arm(&s->events);
        return 0;
    }
    TaskletObject *me = s->current, *caller = frame->caller;
    frame->end = tl_run_frame_ended_inside(s, frame);
    // Dropped later: that may kill the tasklet, which may end this run().
    tl_sched_drop_later(s, (PyObject *)frame->victim);
    frame->victim = (TaskletObject *)Py_NewRef(me);
    if (caller->place == TL_RUNNABLE) {
        tl_ring_remove(s, caller);
    } else {
        Py_INCREF(caller);
    }
    tl_ring_front(s, caller);
    tl_ring_remove(s, me);
    tl_sched_drop_later(s, (PyObject *)me);
    me->stopped = true;
    if (tl_sched_go(s, me, caller) < 0) {
        return -1;
    }
    me->stopped = me->abandoned = false;
    PyObject *value = tl_sched_arrive(s);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

// The current tasklet was told to end and has used up its time where it cannot be
// stopped. Raises TaskletExit, and again at each further instruction of that code, so
// that no handler in it can go on. Returns -1.
static int
break_off(struct tl_sched *s)
{
    PyErr_SetString(s->state->tasklet_exit,
                    "the tasklets of this thread are being ended, and this code "
                    "computed for too long where it cannot be stopped");
    return -1;
}

// tl_ticks_due: the tick limit is reached, or the thread was armed. Called by the
// interpreter in the middle of the current tasklet's code. Returns as tl_ticks_due.
// Switch: may.
static int
on_due(struct tl_ticks *events)
{
    struct tl_sched *s = TL_CONTAINER(events, struct tl_sched, events);
    struct tl_run_frame *frame = find_hard(s);
    if (frame == NULL) {
        tl_ticks_disarm(events);
        tl_run_frame_recompute_limits(s);
        return 0;
    }
    if (!may_stop(s, frame)) {
        return frame->limits != NULL ? break_off(s) : 0;
    }
    if (frame->limits == NULL && tl_interrupt_is_overdue(s)) {
        // A kill that could not be raised before is raised instead of stopping.
        return tl_interrupt_check(s);
    }
    return stop(s);
}

void
tl_budget_init(struct tl_sched *s)
{
    tl_run_frame_init(s);
    tl_ticks_due = on_due;
}

int
tl_budget_released(struct tl_sched *s)
{
    if (s->nframes == 0) {
        return 0;
    }
    if (tl_timekeeper_is_due(&s->alarm)) {
        // The timekeeper's thread has not got the GIL yet: do its work here.
        (void)tl_run_frame_note_time(s, tl_clock_now()); // find_hard() decides
        s->tripped = true;
        s->limit = 0;
    }
    struct tl_run_frame *frame = find_hard(s);
    return frame != NULL && may_stop(s, frame) ? stop(s) : 0;
}
