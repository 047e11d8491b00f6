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
    for (int i = 0; i < s->nwatch; i++) {
        const struct tl_budget *budget = &s->watch[i]->budget;
        if (budget->classic && budget->ticks + budget->slice_ticks > 0) {
            return s->watch[i]->who;
        }
    }
    return NULL;
}

static struct tl_run_frame *
watch_new(struct tl_sched *s)
{
    if (s->nwatch == s->watch_capacity) {
        int room = s->watch_capacity ? 2 * s->watch_capacity : TL_STRESS_OR(4, 1);
        struct tl_run_frame **grown = PyMem_Realloc(s->watch, room * sizeof *grown);
        if (grown == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        s->watch = grown;
        s->watch_capacity = room;
    }
    struct tl_run_frame *watch = s->spare_watch;
    s->spare_watch = NULL;
    if (watch == NULL) {
        watch = PyMem_Malloc(sizeof *watch);
        if (watch == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
    }
    return watch;
}

static void
watch_free(struct tl_sched *s, struct tl_run_frame *watch)
{
    if (s->spare_watch == NULL && !s->dead) {
        s->spare_watch = watch;
    } else {
        PyMem_Free(watch);
    }
}

TL_COLD static int
begin_budget(struct tl_sched *s, struct tl_run_frame *watch)
{
    const struct tl_budget *budget = &watch->budget;
    if (budget->switches > 0) {
        watch->switch_limit = s->switches + budget->switches;
    }
    if (budget->time > 0) {
        watch->deadline = tl_clock_now() + budget->time;
    }
    if (tl_run_frame_has_time(watch)) {
        s->stall = TL_RUN_FRAME_STALL_NS;
        int error = tl_timekeeper_start(&tl_governor_timekeeper_host);
        // ESHUTDOWN: the program is ending, and budgets in time do not count any more.
        if (error != 0 && error != ESHUTDOWN) {
            PyErr_Format(PyExc_RuntimeError, "there is no thread to watch the time: %s",
                         strerror(error));
            return -1;
        }
    }
    if (tl_run_frame_counts(watch)) {
        if (tl_ticks_start(&s->events) < 0) {
            return -1;
        }
        int64_t now = tl_ticks_read(&s->events);
        watch->tick_limit = budget->ticks > 0 ? now + budget->ticks : INT64_MAX;
        watch->slice_limit =
            budget->slice_ticks > 0 ? now + budget->slice_ticks : INT64_MAX;
    }
    return 0;
}

// A frame whose caller is the current tasklet, with the flag listed but not in s->watch
// yet: NULL with an exception set. budget may be NULL.
static inline struct tl_run_frame *
watch_make(struct tl_sched *s, const struct tl_budget *budget)
{
    struct tl_run_frame *watch = watch_new(s);
    if (watch == NULL) {
        return NULL;
    }
    *watch = (struct tl_run_frame){
        .switch_limit = UINT64_MAX,
        .tick_limit = INT64_MAX,
        .slice_limit = INT64_MAX,
        .deadline = TL_DEADLINE_NEVER,
        .round_look = UINT64_MAX,
        .slow_slice = UINT64_MAX,
    };
    if (TL_UNLIKELY(budget != NULL)) {
        watch->budget = *budget;
        if (begin_budget(s, watch) < 0) {
            PyMem_Free(watch);
            return NULL;
        }
    }
    watch->who = (TaskletObject *)Py_NewRef(s->current);
    watch->listed = true;
    return watch;
}

static struct tl_run_frame *
watch_push(struct tl_sched *s, const struct tl_budget *budget)
{
    struct tl_run_frame *watch = watch_make(s, budget);
    if (watch == NULL) {
        return NULL;
    }
    watch->who->in_run = true;
    s->watch[s->nwatch++] = watch;
    if (watch->budget.rounds > 0) {
        s->nrounds++;
        watch->rounds_left = watch->budget.rounds;
        tl_rounds_begin(s, watch);
    }
    tl_run_frame_check(s, watch);
    if (TL_UNLIKELY(budget != NULL)) {
        if (tl_run_frame_has_time(watch)) {
            tl_run_frame_set_alarm(s, tl_run_frame_slice(s) + 1);
        }
        tl_run_frame_recompute_limits(s);
    }
    return watch;
}

// watch has been taken out of s->watch.
static void
unlist(struct tl_sched *s, struct tl_run_frame *watch)
{
    watch->listed = false;
    if (tl_run_frame_counts(watch)) {
        tl_ticks_stop(&s->events);
    }
    s->nrounds -= watch->budget.rounds > 0;
}

// Take the innermost frame off the stack. Its caller becomes runnable.
static void
pop_innermost(struct tl_sched *s)
{
    struct tl_run_frame *top = s->watch[--s->nwatch];
    unlist(s, top);
    TaskletObject *inner = top->who;
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
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_run_frame *watch = s->watch[i];
        if (watch->who == t) {
            unlist(s, watch);
            tl_sched_drop_later(s, (PyObject *)t);
        } else {
            s->watch[kept++] = watch;
        }
    }
    t->in_run = false;
    if (kept < s->nwatch) { // else all its calls have returned, as usual
        s->nwatch = kept;
        tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
        tl_run_frame_recompute_limits(s);
    }
}

// The caller of watch is resumed: take watch off the stack, and with it all further in,
// whose callers become runnable.
static void
watch_pop(struct tl_sched *s, struct tl_run_frame *watch)
{
    if (!watch->listed) {
        return; // an outer run() ended first, and has taken it off
    }
    bool plain = s->limit == UINT64_MAX && s->alarm.next == NULL && !s->tripped;
    while (s->watch[s->nwatch - 1] != watch) {
        pop_innermost(s);
    }
    s->nwatch--;
    unlist(s, watch);
    tl_run_frame_check(s, watch);
    if (TL_UNLIKELY(!plain)) {
        tl_ticks_disarm(&s->events);
        tl_run_frame_recompute_limits(s);
        tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
    }
    Py_DECREF(watch->who); // the ring has another reference
}

// The return value of run(). Frees watch.
static PyObject *
watch_end(struct tl_sched *s, struct tl_run_frame *watch)
{
    bool idle = tl_link_is_single(&s->current->link);
    PyObject *value = tl_sched_arrive(s);
    TaskletObject *victim = watch->victim;
    enum tl_end end = watch->end;
    watch_free(s, watch);
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

// Take watch out of the stack, and leave the frames further in.
static void
take_out(struct tl_sched *s, struct tl_run_frame *watch)
{
    int i = 0;
    while (s->watch[i] != watch) {
        i++;
    }
    s->nwatch--;
    for (; i < s->nwatch; i++) {
        s->watch[i] = s->watch[i + 1];
    }
    unlist(s, watch);
    tl_run_frame_check(s, watch);
    tl_run_frame_recompute_limits(s);
    tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
}

// The caller of watch has ended while it was paused in run(): greenlet's own API has
// continued it.
static void
watch_lose(struct tl_sched *s, struct tl_run_frame *watch)
{
    if (tl_sched_mine == s && watch->listed) {
        take_out(s, watch);
        tl_sched_drop_later(s, (PyObject *)watch->who);
    }
    if (tl_sched_mine == s) {
        tl_sched_drop_later(s, (PyObject *)watch->victim);
        PyMem_Free(watch);
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

// The thread could not sleep: the caller of watch goes on with the exception that is
// set.
static void
give_up(struct tl_sched *s, struct tl_run_frame *watch)
{
    watch_pop(s, watch);
    watch_free(s, watch);
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
    struct tl_run_frame *watch = watch_push(s, budget);
    if (watch == NULL) {
        return NULL;
    }
    tl_ring_remove(s, me);
    tl_sched_drop_later(s, (PyObject *)me);
    if (start == START_SLEEP) {
        to = tl_sched_wait_for_others(s, me, TL_LEAVING_TO_WAIT);
        if (to == NULL) {
            give_up(s, watch);
            return NULL;
        }
    }
    if (tl_sched_go(s, me, to) < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        watch_lose(s, watch);
        PyErr_SetRaisedException(exc);
        return NULL;
    }
    watch_pop(s, watch);
    return watch_end(s, watch);
}

// ---- the end of a thread's tasklets

struct tl_run_frame *
tl_run_begin_ending(struct tl_sched *s, struct tl_ending_limits *limits)
{
    if (tl_ticks_ready() < 0) {
        return NULL;
    }
    struct tl_budget budget = {.slice_time = limits->cpu_time};
    struct tl_run_frame *watch = watch_make(s, &budget);
    if (watch == NULL) {
        return NULL;
    }
    // The outermost one: a caller of run() that is resumed takes off those further in.
    for (int i = s->nwatch++; i > 0; i--) {
        s->watch[i] = s->watch[i - 1];
    }
    s->watch[0] = watch;
    watch->limits = limits;
    if (pthread_getcpuclockid(pthread_self(), &limits->cpu_clock) != 0) {
        limits->cpu_clock = CLOCK_MONOTONIC;
    }
    tl_run_renew_ending(s, watch);
    tl_run_frame_check(s, watch);
    return watch;
}

void
tl_run_renew_ending(struct tl_sched *s, struct tl_run_frame *watch)
{
    // How many times the clocks are read while a slice uses up its CPU time or its real
    // time: a limit is exceeded by one part at most.
    enum { PARTS = 4 };
    const struct tl_ending_limits *limits = watch->limits;
    int64_t time =
        limits->cpu_time < limits->turn_time ? limits->cpu_time : limits->turn_time;
    watch->budget.slice_time = time / PARTS;
    watch->slow_slice = watch->limits->seen_slice = UINT64_MAX;
    watch->end = TL_END_NONE;
    // The timekeeper's thread needs the GIL to read them, also from an atomic section.
    tl_governor_limit_sections(&s->guard,
                               (unsigned long)(watch->limits->cpu_time / 1000));
    tl_run_frame_set_alarm(s, tl_run_frame_slice(s) + 1);
    tl_run_frame_recompute_limits(s);
}

void
tl_run_end_ending(struct tl_sched *s, struct tl_run_frame *watch)
{
    tl_governor_limit_sections(&s->guard, 0);
    tl_ticks_disarm(&s->events);
    // Budgets of calls of run() that go on must not stop the caller in what it does
    // next.
    while (s->watch[s->nwatch - 1] != watch) {
        pop_innermost(s);
    }
    take_out(s, watch);
    Py_DECREF(watch->who);
    watch_free(s, watch);
}
