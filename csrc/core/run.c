// run.c - run(): its caller pauses while the other tasklets run, within a budget or
// not.
#include "core/run.h"

#include "core/errors.h"
#include "core/idle.h"
#include "core/rounds.h"
#include "core/timer.h"
#include "cpython/gil.h"
#include "base/clock.h"
#include "base/stress.h"

#include <errno.h>
#include <pthread.h>

// ---- run()

TaskletObject *
tl_run_owner(struct tl_sched *s)
{
    for (int i = 0; i < s->nframes; i++) {
        const struct tl_budget *budget = &s->frames[i]->budget;
        if (budget->classic && budget->ticks + budget->slice_ticks > 0) {
            return s->frames[i]->caller;
        }
    }
    return NULL;
}

static struct tl_run_frame *
frame_new(struct tl_sched *s)
{
    if (s->nframes == s->frames_capacity) {
        int room = s->frames_capacity ? 2 * s->frames_capacity : TL_STRESS_OR(4, 1);
        struct tl_run_frame **grown = PyMem_Realloc(s->frames, room * sizeof *grown);
        if (grown == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        s->frames = grown;
        s->frames_capacity = room;
    }
    struct tl_run_frame *frame = s->spare_frame;
    s->spare_frame = NULL;
    if (frame == NULL) {
        frame = PyMem_Malloc(sizeof *frame);
        if (frame == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
    }
    return frame;
}

static void
frame_free(struct tl_sched *s, struct tl_run_frame *frame)
{
    if (s->spare_frame == NULL && !s->dead) {
        s->spare_frame = frame;
    } else {
        PyMem_Free(frame);
    }
}

TL_COLD static int
begin_budget(struct tl_sched *s, struct tl_run_frame *frame)
{
    const struct tl_budget *budget = &frame->budget;
    if (budget->switches > 0) {
        frame->switch_limit = s->switches + budget->switches;
    }
    if (budget->time > 0) {
        frame->deadline = tl_clock_now() + budget->time;
    }
    if (tl_run_frame_has_time(frame)) {
        s->stall = TL_RUN_FRAME_STALL_NS;
        int error = tl_timekeeper_start(&tl_governor_timekeeper_host);
        // ESHUTDOWN: the program is ending, and budgets in time do not count any more.
        if (error != 0 && error != ESHUTDOWN) {
            PyErr_Format(PyExc_RuntimeError, "there is no thread to watch the time: %s",
                         strerror(error));
            return -1;
        }
    }
    if (tl_run_frame_counts(frame)) {
        if (tl_ticks_start(&s->events) < 0) {
            return -1;
        }
        int64_t now = tl_ticks_read(&s->events);
        frame->tick_limit = budget->ticks > 0 ? now + budget->ticks : INT64_MAX;
        frame->slice_limit =
            budget->slice_ticks > 0 ? now + budget->slice_ticks : INT64_MAX;
    }
    return 0;
}

// A frame whose caller is the current tasklet, with the flag listed but not in
// s->frames yet: NULL with an exception set. budget may be NULL.
static inline struct tl_run_frame *
frame_make(struct tl_sched *s, const struct tl_budget *budget)
{
    struct tl_run_frame *frame = frame_new(s);
    if (frame == NULL) {
        return NULL;
    }
    *frame = (struct tl_run_frame){
        .switch_limit = UINT64_MAX,
        .tick_limit = INT64_MAX,
        .slice_limit = INT64_MAX,
        .deadline = TL_DEADLINE_NEVER,
        .round_look = UINT64_MAX,
        .slow_slice = UINT64_MAX,
    };
    if (TL_UNLIKELY(budget != NULL)) {
        frame->budget = *budget;
        if (begin_budget(s, frame) < 0) {
            PyMem_Free(frame);
            return NULL;
        }
    }
    frame->caller = (TaskletObject *)Py_NewRef(s->current);
    frame->listed = true;
    return frame;
}

static struct tl_run_frame *
frame_push(struct tl_sched *s, const struct tl_budget *budget)
{
    struct tl_run_frame *frame = frame_make(s, budget);
    if (frame == NULL) {
        return NULL;
    }
    frame->caller->in_run = true;
    s->frames[s->nframes++] = frame;
    if (frame->budget.rounds > 0) {
        s->nrounds++;
        frame->rounds_left = frame->budget.rounds;
        tl_rounds_begin(s, frame);
    }
    tl_run_frame_check(s, frame);
    if (TL_UNLIKELY(budget != NULL)) {
        if (tl_run_frame_has_time(frame)) {
            tl_run_frame_set_alarm(s, tl_run_frame_slice(s) + 1);
        }
        tl_run_frame_recompute_limits(s);
    }
    return frame;
}

// frame has been taken out of s->frames.
static void
unlist(struct tl_sched *s, struct tl_run_frame *frame)
{
    frame->listed = false;
    if (tl_run_frame_counts(frame)) {
        tl_ticks_stop(&s->events);
    }
    s->nrounds -= frame->budget.rounds > 0;
}

// Take the innermost frame off the stack. Its caller becomes runnable.
static void
pop_innermost(struct tl_sched *s)
{
    struct tl_run_frame *top = s->frames[--s->nframes];
    unlist(s, top);
    TaskletObject *inner = top->caller;
    if (inner->place == TL_FLOATING) {
        tl_ring_append(s, inner);
    } else {
        Py_DECREF(inner); // the ring or a queue has another reference
    }
}

void
tl_run_forget(struct tl_sched *s, TaskletObject *t)
{
    int kept = 0;
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        if (frame->caller == t) {
            unlist(s, frame);
            tl_sched_drop_later(s, (PyObject *)t);
        } else {
            s->frames[kept++] = frame;
        }
    }
    t->in_run = false;
    if (kept < s->nframes) { // else all its calls have returned, as usual
        s->nframes = kept;
        tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
        tl_run_frame_recompute_limits(s);
    }
}

// The caller of frame is resumed: take frame off the stack, and with it all further in,
// whose callers become runnable.
static void
frame_pop(struct tl_sched *s, struct tl_run_frame *frame)
{
    if (!frame->listed) {
        return; // an outer run() ended first, and has taken it off
    }
    bool plain = s->limit == UINT64_MAX && s->alarm.next == NULL && !s->tripped;
    while (s->frames[s->nframes - 1] != frame) {
        pop_innermost(s);
    }
    s->nframes--;
    unlist(s, frame);
    tl_run_frame_check(s, frame);
    if (TL_UNLIKELY(!plain)) {
        tl_ticks_disarm(&s->events);
        tl_run_frame_recompute_limits(s);
        tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
    }
    Py_DECREF(frame->caller); // the ring has another reference
}

// The return value of run(). Frees frame.
static PyObject *
frame_end(struct tl_sched *s, struct tl_run_frame *frame)
{
    bool idle = tl_link_is_single(&s->current->link);
    PyObject *value = tl_sched_arrive(s);
    TaskletObject *victim = frame->victim;
    enum tl_end end = frame->end;
    frame_free(s, frame);
    if (value == NULL) {
        s->end = TL_END_ERROR;
        if (victim != NULL) {
            // run() raises and cannot return the stopped tasklet: make it runnable.
            if (victim->place == TL_FLOATING && tl_task_is_alive(victim)) {
                tl_ring_append(s, victim);
            } else {
                Py_DECREF(victim);
            }
        }
        return NULL;
    }
    Py_DECREF(value);
    s->end = end != TL_END_NONE ? end : idle ? TL_END_IDLE : TL_END_STOPPED;
    return victim != NULL ? (PyObject *)victim : Py_NewRef(Py_None);
}

static bool
needs_events(const struct tl_budget *budget)
{
    return budget != NULL &&
           (budget->ticks | budget->slice_ticks | budget->time | budget->slice_time);
}

// Take frame out of the stack, and leave the frames further in.
static void
take_out(struct tl_sched *s, struct tl_run_frame *frame)
{
    int i = 0;
    while (s->frames[i] != frame) {
        i++;
    }
    s->nframes--;
    for (; i < s->nframes; i++) {
        s->frames[i] = s->frames[i + 1];
    }
    unlist(s, frame);
    tl_run_frame_check(s, frame);
    tl_run_frame_recompute_limits(s);
    tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
}

// The caller of frame has ended while it was paused in run(): greenlet's own API has
// continued it.
static void
frame_lose(struct tl_sched *s, struct tl_run_frame *frame)
{
    if (tl_sched_mine == s && frame->listed) {
        take_out(s, frame);
        tl_sched_drop_later(s, (PyObject *)frame->caller);
    }
    if (tl_sched_mine == s) {
        tl_sched_drop_later(s, (PyObject *)frame->victim);
        PyMem_Free(frame);
    }
}

// What run() does.
enum start {
    START_REFUSED, // it raises: an exception is set
    START_NOTHING, // it returns at once: s->end says why
    START_NEXT,    // it switches to the next tasklet of the ring
    START_SLEEP    // no other tasklet is runnable: the thread sleeps
};

// Check that the caller may be left, and that the call has anything to do: then the
// result is START_NEXT, whatever is in the ring. What may run Python code comes first.
static enum start
may_run(struct tl_sched *s, const struct tl_budget *budget)
{
    if (needs_events(budget) && tl_ticks_ready() < 0) {
        return START_REFUSED;
    }
    if (tl_sched_check_thrown(s) < 0) {
        return START_REFUSED;
    }
    if (tl_sched_is_held(s)) {
        tl_errors_no_switch(s);
        return START_REFUSED;
    }
    if (TL_UNLIKELY(s->stop_next)) {
        s->stop_next = false;
        s->end = TL_END_STOPPED;
        return START_NOTHING;
    }
    if (budget != NULL && budget->spent != TL_END_NONE) {
        s->end = budget->spent;
        return START_NOTHING;
    }
    return START_NEXT;
}

// Whether a run() with that budget, whose caller is alone in the ring, sleeps until
// another tasklet is runnable. May run Python code.
static bool
sleeps_alone(struct tl_sched *s, const struct tl_budget *budget)
{
    return budget != NULL && tl_run_frame_waits(s, budget) &&
           (budget->forever || tl_idle_others_can_run(s));
}

// Find out what runs next, and have a stack ready for it. *to: the next tasklet, or
// NULL.
static enum start
pick(struct tl_sched *s, const struct tl_budget *budget, TaskletObject **to)
{
    TaskletObject *me = s->current;
    *to = NULL;
    for (;;) {
        if (s->look_at != UINT64_MAX) {
            tl_timer_poll(s);
        }
        if (tl_link_is_single(&me->link)) {
            if (!sleeps_alone(s, budget)) {
                s->end = TL_END_IDLE;
                return START_NOTHING;
            }
            if (s->trap != 0) {
                tl_errors_no_switch(s);
                return START_REFUSED;
            }
            return START_SLEEP;
        }
        *to = tl_task_next(me);
        int ready = tl_sched_prepare(s, *to);
        if (ready <= 0) {
            return ready < 0 ? START_REFUSED : START_NEXT;
        }
    }
}

// The thread could not sleep: the caller of frame goes on with the exception that is
// set.
static void
give_up(struct tl_sched *s, struct tl_run_frame *frame)
{
    frame_pop(s, frame);
    frame_free(s, frame);
    PyObject *exc = PyErr_GetRaisedException();
    tl_sched_drop_now(s);
    s->end = TL_END_ERROR;
    PyErr_SetRaisedException(exc);
}

PyObject *
tl_run(struct tl_sched *s, const struct tl_budget *budget)
{
    TaskletObject *me = s->current, *to = NULL;
    s->end = TL_END_ERROR;
    // The caller may have run for long: the next wait reads the clock.
    s->stamp_left = 0;
    enum start start = may_run(s, budget);
    if (start == START_NEXT) {
        start = pick(s, budget, &to);
    }
    if (start <= START_NOTHING) {
        return start == START_REFUSED ? NULL : Py_NewRef(Py_None);
    }
    struct tl_run_frame *frame = frame_push(s, budget);
    if (frame == NULL) {
        return NULL;
    }
    tl_ring_remove(s, me);
    tl_sched_drop_later(s, (PyObject *)me);
    if (start == START_SLEEP) {
        to = tl_sched_wait_for_others(s, me, TL_LEAVING_TO_WAIT);
        if (to == NULL) {
            give_up(s, frame);
            return NULL;
        }
    }
    if (tl_sched_go(s, me, to) < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        frame_lose(s, frame);
        PyErr_SetRaisedException(exc);
        return NULL;
    }
    frame_pop(s, frame);
    return frame_end(s, frame);
}

// ---- the end of a thread's tasklets

struct tl_run_frame *
tl_run_begin_ending(struct tl_sched *s, struct tl_ending_limits *limits)
{
    if (tl_ticks_ready() < 0) {
        return NULL;
    }
    struct tl_budget budget = {.slice_time = limits->cpu_time};
    struct tl_run_frame *frame = frame_make(s, &budget);
    if (frame == NULL) {
        return NULL;
    }
    // The outermost one: a caller of run() that is resumed takes off those further in.
    for (int i = s->nframes++; i > 0; i--) {
        s->frames[i] = s->frames[i - 1];
    }
    s->frames[0] = frame;
    frame->limits = limits;
    if (pthread_getcpuclockid(pthread_self(), &limits->cpu_clock) != 0) {
        limits->cpu_clock = CLOCK_MONOTONIC;
    }
    tl_run_renew_ending(s, frame);
    tl_run_frame_check(s, frame);
    return frame;
}

void
tl_run_renew_ending(struct tl_sched *s, struct tl_run_frame *frame)
{
    // How many times the clocks are read while a slice uses up its CPU time or its real
    // time: a limit is exceeded by one part at most.
    enum { PARTS = 4 };
    const struct tl_ending_limits *limits = frame->limits;
    int64_t time =
        limits->cpu_time < limits->turn_time ? limits->cpu_time : limits->turn_time;
    frame->budget.slice_time = time / PARTS;
    frame->slow_slice = frame->limits->seen_slice = UINT64_MAX;
    frame->end = TL_END_NONE;
    // The timekeeper's thread needs the GIL to read them, also from an atomic section.
    tl_governor_limit_sections(&s->guard,
                               (unsigned long)(frame->limits->cpu_time / 1000));
    tl_run_frame_set_alarm(s, tl_run_frame_slice(s) + 1);
    tl_run_frame_recompute_limits(s);
}

void
tl_run_end_ending(struct tl_sched *s, struct tl_run_frame *frame)
{
    tl_governor_limit_sections(&s->guard, 0);
    tl_ticks_disarm(&s->events);
    // Budgets of calls of run() that go on must not stop the caller in what it does
    // next.
    while (s->frames[s->nframes - 1] != frame) {
        pop_innermost(s);
    }
    take_out(s, frame);
    Py_DECREF(frame->caller);
    frame_free(s, frame);
}
