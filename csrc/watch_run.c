// watch_run.c - run(): its caller waits for the others, with budgets or without.
#include "watch.h"

#include "clock.h"
#include "errors.h"
#include "gil.h"
#include "idle.h"
#include "rounds.h"
#include "stress.h"
#include "timer.h"

#include <errno.h>

// ---- run()

TaskletObject *
tl_watch_owner(struct tl_sched *s)
{
    for (int i = 0; i < s->nwatch; i++) {
        const struct tl_budget *budget = &s->watch[i]->budget;
        if (budget->classic && budget->ticks + budget->slice_ticks > 0) {
            return s->watch[i]->who;
        }
    }
    return NULL;
}

static struct tl_watch *
watch_new(struct tl_sched *s)
{
    if (s->nwatch == s->watch_room) {
        int room = s->watch_room ? 2 * s->watch_room : TL_STRESS_OR(4, 1);
        struct tl_watch **grown = PyMem_Realloc(s->watch, room * sizeof *grown);
        if (grown == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        s->watch = grown;
        s->watch_room = room;
    }
    struct tl_watch *watch = s->spare_watch;
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
watch_free(struct tl_sched *s, struct tl_watch *watch)
{
    if (s->spare_watch == NULL && !s->dead) {
        s->spare_watch = watch;
    } else {
        PyMem_Free(watch);
    }
}

TL_COLD static int
begin_budget(struct tl_sched *s, struct tl_watch *watch)
{
    const struct tl_budget *budget = &watch->budget;
    if (budget->switches > 0) {
        watch->switch_limit = s->switches + budget->switches;
    }
    if (budget->time > 0) {
        watch->deadline = tl_clock_now() + budget->time;
    }
    if (tl_watch_has_time(watch)) {
        s->stall = TL_WATCH_STALL;
        int error = tl_alarm_start(&tl_gil_alarm_host);
        // A program that is ending is not watched any more.
        if (error != 0 && error != ESHUTDOWN) {
            PyErr_Format(PyExc_RuntimeError, "there is no thread to watch the time: %s",
                         strerror(error));
            return -1;
        }
    }
    if (tl_watch_counts(watch)) {
        if (tl_events_start(&s->events) < 0) {
            return -1;
        }
        int64_t now = tl_events_ticks(&s->events);
        watch->tick_limit = budget->ticks > 0 ? now + budget->ticks : INT64_MAX;
        watch->slice_limit =
            budget->slice_ticks > 0 ? now + budget->slice_ticks : INT64_MAX;
    }
    return 0;
}

// A watch of the current tasklet that is not listed yet.
static inline struct tl_watch *
watch_make(struct tl_sched *s, const struct tl_budget *budget)
{
    struct tl_watch *watch = watch_new(s);
    if (watch == NULL) {
        return NULL;
    }
    *watch = (struct tl_watch){
        .switch_limit = UINT64_MAX,
        .tick_limit = INT64_MAX,
        .slice_limit = INT64_MAX,
        .deadline = INT64_MAX,
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

static struct tl_watch *
watch_push(struct tl_sched *s, const struct tl_budget *budget)
{
    struct tl_watch *watch = watch_make(s, budget);
    if (watch == NULL) {
        return NULL;
    }
    s->watch[s->nwatch++] = watch;
    if (watch->budget.rounds > 0) {
        s->nrounds++;
        watch->rounds_left = watch->budget.rounds;
        tl_rounds_begin(s, watch);
    }
    tl_watch_check(s, watch);
    if (TL_UNLIKELY(budget != NULL)) {
        if (tl_watch_has_time(watch)) {
            tl_watch_set_alarm(s, tl_watch_slice(s) + 1);
        }
        tl_watch_reckon(s);
    }
    return watch;
}

// It is no longer among the callers of run(). Whoever waits for it may be elsewhere.
static void
unlist(struct tl_sched *s, struct tl_watch *watch)
{
    watch->listed = false;
    if (tl_watch_counts(watch)) {
        tl_events_stop(&s->events);
    }
    s->nrounds -= watch->budget.rounds > 0;
}

// Take the innermost off the stack. Its caller goes on in its turn.
static void
pop_inner(struct tl_sched *s)
{
    struct tl_watch *top = s->watch[--s->nwatch];
    unlist(s, top);
    TaskletObject *inner = top->who;
    if (inner->place == TL_FLOATING) {
        tl_ring_append(s, inner);
    } else {
        Py_DECREF(inner); // its ring or queue has another reference
    }
}

// Take watch, whose caller is the current tasklet, off the stack, and with it all above.
static void
watch_pop(struct tl_sched *s, struct tl_watch *watch)
{
    if (!watch->listed) {
        return; // one further out came back first, and took us off
    }
    bool plain = s->limit == UINT64_MAX && s->alarm.next == NULL && !s->tripped;
    while (s->watch[s->nwatch - 1] != watch) {
        pop_inner(s);
    }
    s->nwatch--;
    unlist(s, watch);
    tl_watch_check(s, watch);
    if (TL_UNLIKELY(!plain)) {
        tl_events_disarm(&s->events);
        tl_watch_reckon(s);
        tl_watch_set_alarm(s, tl_watch_slice(s));
    }
    Py_DECREF(watch->who); // it is in the ring
}

// What run() returns now that its caller goes on.
static PyObject *
watch_end(struct tl_sched *s, struct tl_watch *watch)
{
    bool idle = tl_link_is_single(&s->current->link);
    PyObject *value = tl_sched_arrive(s);
    TaskletObject *victim = watch->victim;
    enum tl_end end = watch->end;
    watch_free(s, watch);
    if (value == NULL) {
        s->end = TL_END_ERROR;
        if (victim != NULL) {
            // The error comes first; the tasklet that was stopped goes on some time.
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

// Take watch out of the middle, and leave those further in.
static void
take_out(struct tl_sched *s, struct tl_watch *watch)
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
    tl_watch_check(s, watch);
    tl_watch_reckon(s);
    tl_watch_set_alarm(s, tl_watch_slice(s));
}

// The caller of run() has ended, out of turn.
static void
watch_lose(struct tl_sched *s, struct tl_watch *watch)
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

PyObject *
tl_watch_run(struct tl_sched *s, const struct tl_budget *budget)
{
    TaskletObject *me = s->current, *to = NULL;
    s->end = TL_END_ERROR;
    s->stamp_left =
        0; // the caller may have run for long: the next wait reads the clock
    // What may run code of others comes first.
    if (needs_events(budget) && tl_events_ready() < 0) {
        return NULL;
    }
    if (tl_sched_check_thrown(s) < 0) {
        return NULL;
    }
    if (tl_sched_is_held(s)) {
        tl_errors_no_switch(s);
        return NULL;
    }
    if (TL_UNLIKELY(s->stop_next)) {
        s->stop_next = false;
        s->end = TL_END_STOPPED;
        Py_RETURN_NONE;
    }
    if (budget != NULL && budget->spent != TL_END_NONE) {
        s->end = budget->spent;
        Py_RETURN_NONE;
    }
    for (;;) {
        if (s->look_at != UINT64_MAX) {
            tl_timer_look(s);
        }
        bool alone = tl_link_is_single(&me->link);
        if (alone && (budget == NULL || !tl_watch_waits(s, budget) ||
                      !(budget->forever || tl_idle_others_can_run(s)))) {
            s->end = TL_END_IDLE;
            Py_RETURN_NONE;
        }
        if (alone && s->trap != 0) {
            tl_errors_no_switch(s);
            return NULL;
        }
        to = alone ? NULL : tl_task_next(me);
        int ready = to == NULL ? 0 : tl_sched_prepare(s, to);
        if (ready < 0) {
            return NULL;
        }
        if (ready == 0) {
            break;
        }
    }
    struct tl_watch *watch = watch_push(s, budget);
    if (watch == NULL) {
        return NULL;
    }
    tl_ring_remove(s, me);
    tl_sched_drop_later(s, (PyObject *)me);
    if (to == NULL) {
        to = tl_sched_wait_for_others(s, me, false, false);
        if (to == NULL) {
            watch_pop(s, watch);
            watch_free(s, watch);
            PyObject *exc = PyErr_GetRaisedException();
            tl_sched_drop_now(s);
            s->end = TL_END_ERROR;
            PyErr_SetRaisedException(exc);
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

// ---- the end of the thread

struct tl_watch *
tl_watch_begin_last(struct tl_sched *s, struct tl_last *last)
{
    if (tl_events_ready() < 0) {
        return NULL;
    }
    struct tl_budget budget = {.slice_time = last->computing};
    struct tl_watch *watch = watch_make(s, &budget);
    if (watch == NULL) {
        return NULL;
    }
    // The outermost: a caller of run() that goes on takes off only those further in.
    for (int i = s->nwatch++; i > 0; i--) {
        s->watch[i] = s->watch[i - 1];
    }
    s->watch[0] = watch;
    watch->last = last;
    if (pthread_getcpuclockid(pthread_self(), &last->clock) != 0) {
        last->clock = CLOCK_MONOTONIC;
    }
    tl_watch_renew_last(s, watch);
    tl_watch_check(s, watch);
    return watch;
}

void
tl_watch_renew_last(struct tl_sched *s, struct tl_watch *watch)
{
    // The clocks are looked at so many times while a slice uses up what it has.
    enum { LOOKS = 4 };
    watch->budget.slice_time = watch->last->computing / LOOKS;
    watch->slow_slice = watch->last->slice = UINT64_MAX;
    watch->end = TL_END_NONE;
    // The alarm's thread needs the GIL to look.
    tl_governor_limit(&s->guard, (unsigned long)(watch->last->computing / 1000));
    tl_watch_set_alarm(s, tl_watch_slice(s) + 1);
    tl_watch_reckon(s);
}

void
tl_watch_end_last(struct tl_sched *s, struct tl_watch *watch)
{
    tl_governor_limit(&s->guard, 0);
    tl_events_disarm(&s->events);
    // The budgets of those that go on must not stop the caller in what it does next.
    while (s->watch[s->nwatch - 1] != watch) {
        pop_inner(s);
    }
    take_out(s, watch);
    Py_DECREF(watch->who);
    watch_free(s, watch);
}
