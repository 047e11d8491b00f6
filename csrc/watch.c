#include "watch.h"
#include "clock.h"
#include "errors.h"
#include "fiber.h"
#include "frames.h"
#include "gil.h"
#include "idle.h"
#include "stacks.h"

#include <errno.h>

// A thread that was armed and has not been stopped is armed again, its code may be
// another by now: at first so soon, later not so often. In nanoseconds.
enum { RETRY_LEAST = 500000, RETRY_MOST = 4000000 };

// How long code may run without a tick before it is looked at why.
// If there is nothing amiss, not so often any more.
enum { STALL = 2000000, STALL_MOST = 100000000 };

// Names the slice that runs: no other one of this thread has the same.
static uint64_t
slice_of(struct tl_sched *s)
{
    return __atomic_load_n(&s->switches, __ATOMIC_RELAXED) +
           __atomic_load_n(&s->yields, __ATOMIC_RELAXED);
}

static bool
counts(const struct tl_watch *watch)
{
    return watch->budget.ticks + watch->budget.slice_ticks > 0;
}

static bool
has_time(const struct tl_watch *watch)
{
    return counts(watch) || watch->deadline != INT64_MAX ||
           watch->budget.slice_time > 0;
}

// ---- which budget is used up

static bool
is_slow(struct tl_sched *s, const struct tl_watch *watch)
{
    return watch->slow_slice == slice_of(s);
}

// What has ended of watch in the middle of a slice.
static enum tl_end
ended_inside(struct tl_sched *s, const struct tl_watch *watch)
{
    int64_t ticks = tl_events_ticks(&s->events);
    if (ticks >= watch->tick_limit || ticks >= watch->slice_limit) {
        return TL_END_TICKS;
    }
    return watch->time_up || is_slow(s, watch) ? TL_END_SECONDS : TL_END_NONE;
}

// What has ended of watch now that a slice is over. What only bounds the slice is
// forgotten, unless its end was to be waited for.
static enum tl_end
ended_between(struct tl_sched *s, const struct tl_watch *watch)
{
    if (s->switches >= watch->switch_limit) {
        return TL_END_SWITCHES;
    }
    if (watch->budget.soft) {
        return s->hands_over ? TL_END_NONE : ended_inside(s, watch);
    }
    if (tl_events_ticks(&s->events) >= watch->tick_limit) {
        return TL_END_TICKS;
    }
    return watch->time_up ? TL_END_SECONDS : TL_END_NONE;
}

// Find the outermost that somebody is to be stopped for. *waits: for the end of the
// slice, too, somebody waits.
static struct tl_watch *
find_hard(struct tl_sched *s, bool *waits)
{
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->who != s->current && ended_inside(s, watch) != TL_END_NONE) {
            if (!watch->budget.soft) {
                return watch;
            }
            *waits = true;
        }
    }
    return NULL;
}

// ---- when to look

// Have the switches and the ticks reach us when something ends.
static void
reckon(struct tl_sched *s)
{
    uint64_t limit = UINT64_MAX;
    int64_t ticks = INT64_MAX, now = tl_events_ticks(&s->events);
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->switch_limit < limit) {
            limit = watch->switch_limit;
        }
        bool was_slow =
            watch->slow_slice != UINT64_MAX && watch->slow_slice >= slice_of(s);
        if (counts(watch) || watch->time_up || was_slow) {
            limit = 0;
        }
        int64_t next = watch->tick_limit < watch->slice_limit ? watch->tick_limit
                                                              : watch->slice_limit;
        if (next < ticks && !(watch->budget.soft && next <= now)) {
            ticks = next;
        }
    }
    s->limit = limit;
    tl_events_set_limit(&s->events, ticks);
}

// Watch the clock. moved: slice_of() in the slice that runs or is about to.
static void
set_alarm(struct tl_sched *s, uint64_t moved)
{
    int64_t deadline = INT64_MAX, slice = 0;
    for (int i = 0; i < s->nwatch; i++) {
        const struct tl_watch *watch = s->watch[i];
        int64_t end = watch->deadline;
        if (watch->time_up) {
            // Nobody could be stopped for it so far.
            bool waits = watch->budget.soft || watch->who == s->current;
            end = waits ? INT64_MAX : tl_clock_now() + RETRY_MOST;
        }
        deadline = end < deadline ? end : deadline;
        if (watch->budget.slice_time > 0 &&
            !(watch->budget.soft && is_slow(s, watch)) &&
            (slice == 0 || watch->budget.slice_time < slice)) {
            slice = watch->budget.slice_time;
        }
    }
    s->probes = slice == 0 && s->events.counting > 0;
    if (s->probes) {
        slice = s->stall;
    }
    s->tripped = false;
    s->retry = RETRY_LEAST;
    if (deadline == INT64_MAX && slice == 0) {
        tl_alarm_cancel(&s->alarm);
        return;
    }
    // If it fails, there was a thread before: the process is ending.
    (void)tl_alarm_set(&s->alarm, &tl_gil_alarm_host, deadline, slice, moved);
}

static uint64_t
moves(struct tl_alarm *alarm)
{
    struct tl_sched *s = TL_CONTAINER(alarm, struct tl_sched, alarm);
    return slice_of(s) + (s->probes ? (uint64_t)tl_events_ticks(&s->events) : 0);
}

// Note what has ended by now. Returns whether anything has; *hard: whether the running
// tasklet is to be stopped.
static bool
note_time(struct tl_sched *s, int64_t now, bool *hard)
{
    bool ended = false;
    if (s->alarm.still > 0) {
        s->slice_start = s->alarm.still_end - s->alarm.still;
        s->slice_seen = s->alarm.seen;
    }
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        watch->time_up |= watch->deadline <= now;
        if (watch->budget.slice_time > 0 && !s->waiting &&
            s->slice_seen == slice_of(s) &&
            now - s->slice_start >= watch->budget.slice_time) {
            watch->slow_slice = s->slice_seen;
        }
        if (watch->time_up || is_slow(s, watch)) {
            ended = true;
            *hard |= !watch->budget.soft;
        }
    }
    return ended;
}

// On the alarm's thread, which has the GIL.
static int64_t
on_alarm(struct tl_alarm *alarm, int64_t now)
{
    struct tl_sched *s = TL_CONTAINER(alarm, struct tl_sched, alarm);
    bool hard = false;
    if (s->dead) {
        return INT64_MAX;
    }
    if (!note_time(s, now, &hard)) {
        if (s->probes && !s->waiting) {
            tl_events_probe(&s->events);
        }
        s->stall = 2 * s->stall > STALL_MOST ? STALL_MOST : 2 * s->stall;
        set_alarm(s, slice_of(s));
        return INT64_MAX;
    }
    s->tripped = true;
    s->limit = 0;
    if (s->waiting) {
        tl_park_wake(&s->park);
    }
    if (!hard) {
        set_alarm(s, slice_of(s));
        s->tripped = true;
        return INT64_MAX;
    }
    tl_events_arm(&s->events);
    int64_t again = now + s->retry;
    s->retry = 2 * s->retry > RETRY_MOST ? RETRY_MOST : 2 * s->retry;
    return again;
}

// ---- in the middle of a slice

// Whether the current tasklet may be left where its code is now.
static bool
may_stop(struct tl_sched *s, const struct tl_watch *watch)
{
    TaskletObject *me = s->current;
    if (s->trap != 0 || tl_sched_is_held(s) || s->in_channel_callback || me->atomic ||
        me->place != TL_RUNNABLE || s->head != me || watch->who->place == TL_WAITING) {
        return false;
    }
    if (!me->is_main && me->life != TL_STARTED) {
        return false;
    }
    if (!watch->budget.ignore_nesting && !me->ignore_nesting &&
        tl_frames_nesting(s->ts) > 0) {
        return false;
    }
    return !tl_frames_are_importing(s->ts);
}

static int
stop(struct tl_sched *s, struct tl_watch *watch)
{
    TaskletObject *me = s->current, *owner = watch->who;
    tl_events_disarm(&s->events);
    watch->end = ended_inside(s, watch);
    Py_XSETREF(watch->victim, (TaskletObject *)Py_NewRef(me));
    if (owner->place == TL_RUNNABLE) {
        tl_ring_remove(s, owner);
    } else {
        Py_INCREF(owner);
    }
    tl_ring_front(s, owner);
    tl_ring_remove(s, me);
    tl_sched_drop_later(s, (PyObject *)me);
    if (tl_sched_go(s, me, owner) < 0) {
        return -1;
    }
    PyObject *value = tl_sched_arrive(s);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

// An event of the code that runs: ticks are used up, or it was armed.
static int
on_due(struct tl_events *events)
{
    struct tl_sched *s = TL_CONTAINER(events, struct tl_sched, events);
    bool waits = false;
    struct tl_watch *watch = find_hard(s, &waits);
    if (watch == NULL) {
        tl_events_disarm(events);
        reckon(s);
        return 0;
    }
    return may_stop(s, watch) ? stop(s, watch) : 0;
}

int
tl_watch_released(struct tl_sched *s)
{
    if (s->nwatch == 0) {
        return 0;
    }
    bool waits = false;
    if (tl_alarm_is_due(&s->alarm)) {
        // Its thread could not get the GIL so far.
        (void)note_time(s, tl_clock_now(), &waits);
        s->tripped = true;
        s->limit = 0;
    }
    struct tl_watch *watch = find_hard(s, &waits);
    return watch != NULL && may_stop(s, watch) ? stop(s, watch) : 0;
}

// ---- between two slices

static void
begin_slices(struct tl_sched *s)
{
    int64_t now = tl_events_ticks(&s->events);
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->budget.soft && s->hands_over) {
            watch->slow_slice += is_slow(s, watch); // it passes to the next
        } else if (watch->budget.slice_ticks > 0) {
            watch->slice_limit = now + watch->budget.slice_ticks;
        }
    }
    s->hands_over = false;
}

static TaskletObject *
find_ended(struct tl_sched *s, TaskletObject *to)
{
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->who == to) {
            return to; // those further in are about to be taken off
        }
        enum tl_end end = ended_between(s, watch);
        if (end != TL_END_NONE && watch->who->place == TL_FLOATING) {
            watch->end = end;
            s->head = to;
            tl_ring_front(s, (TaskletObject *)Py_NewRef(watch->who));
            return watch->who;
        }
    }
    return to;
}

// t stopped in a greenlet of its own making: the same for those that this one returns to.
TL_COLD static void
repair_parents(struct tl_sched *s, TaskletObject *t)
{
    PyObject *own = t->stack != NULL ? t->stack->fiber : s->main_fiber;
    PyObject *fiber = Py_NewRef(t->fiber);
    while (fiber != NULL && fiber != own) {
        Py_SETREF(fiber, tl_fiber_parent(fiber));
        PyObject *frame = fiber != NULL ? tl_fiber_frame(fiber) : NULL;
        if (frame != NULL && PyFrame_Check(frame)) {
            tl_events_repair_frames(frame);
        }
        Py_XDECREF(frame);
    }
    Py_XDECREF(fiber);
    PyErr_Clear();
}

// Frames that were suspended when counting began do not count yet.
static void
have_counted(struct tl_sched *s, TaskletObject *to)
{
    if (s->events.counting == 0) {
        return;
    }
    tl_events_check(&s->events);
    unsigned epoch = tl_events_epoch();
    if (to->epoch != epoch && to != s->current) {
        to->epoch = epoch;
        tl_events_repair(to->top);
        if (to->life == TL_STARTED) {
            repair_parents(s, to);
        }
    }
}

TL_COLD TaskletObject *
tl_watch_at_switch(struct tl_sched *s, TaskletObject *to)
{
    to = find_ended(s, to);
    begin_slices(s);
    have_counted(s, to);
    s->stall = STALL;
    if (s->tripped) {
        set_alarm(s, slice_of(s) + 1);
    }
    reckon(s);
    return to;
}

TL_COLD TaskletObject *
tl_watch_at_yield(struct tl_sched *s)
{
    if (s->limit == UINT64_MAX || s->trap != 0 || tl_sched_is_held(s)) {
        s->yields++;
        return s->current;
    }
    TaskletObject *to = find_ended(s, s->current);
    s->yields++;
    begin_slices(s);
    if (to == s->current) {
        for (int i = 0; i < s->nwatch; i++) {
            if (s->watch[i]->budget.switches > 0) {
                s->switches++; // it spends that budget, too
                break;
            }
        }
        if (s->tripped) {
            set_alarm(s, slice_of(s));
        }
    }
    reckon(s);
    return to;
}

// ---- while the thread waits

int64_t
tl_watch_deadline(struct tl_sched *s)
{
    int64_t deadline = INT64_MAX;
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->deadline < deadline && watch->who->place == TL_FLOATING) {
            deadline = watch->deadline;
        }
    }
    return deadline;
}

TaskletObject *
tl_watch_expired(struct tl_sched *s)
{
    int64_t now = tl_clock_now();
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->deadline <= now && watch->who->place == TL_FLOATING) {
            watch->time_up = true;
            watch->end = TL_END_SECONDS;
            tl_ring_front(s, (TaskletObject *)Py_NewRef(watch->who));
            return watch->who;
        }
    }
    return NULL;
}

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
        int room = s->watch_room ? 2 * s->watch_room : 4;
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
    if (has_time(watch)) {
        s->stall = STALL;
        int error = tl_alarm_start(&tl_gil_alarm_host);
        // A program that is ending is not watched any more.
        if (error != 0 && error != ESHUTDOWN) {
            PyErr_Format(PyExc_RuntimeError, "there is no thread to watch the time: %s",
                         strerror(error));
            return -1;
        }
    }
    if (counts(watch)) {
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

static struct tl_watch *
watch_push(struct tl_sched *s, const struct tl_budget *budget)
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
    s->watch[s->nwatch++] = watch;
    if (TL_UNLIKELY(budget != NULL)) {
        if (has_time(watch)) {
            set_alarm(s, slice_of(s) + 1);
        }
        reckon(s);
    }
    return watch;
}

// It is no longer among the callers of run(). Whoever waits for it may be elsewhere.
static void
unlist(struct tl_sched *s, struct tl_watch *watch)
{
    watch->listed = false;
    if (counts(watch)) {
        tl_events_stop(&s->events);
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
    struct tl_watch *top;
    while ((top = s->watch[s->nwatch - 1]) != watch) {
        s->nwatch--;
        unlist(s, top);
        TaskletObject *inner = top->who;
        if (inner->place == TL_FLOATING) {
            tl_ring_append(s, inner);
        } else {
            Py_DECREF(inner); // its ring or queue has another reference
        }
    }
    s->nwatch--;
    unlist(s, watch);
    if (TL_UNLIKELY(!plain)) {
        tl_events_disarm(&s->events);
        reckon(s);
        set_alarm(s, slice_of(s));
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

// The caller of run() has ended, out of turn.
static void
watch_lose(struct tl_sched *s, struct tl_watch *watch)
{
    if (tl_sched_mine == s && watch->listed) {
        int i = 0;
        while (s->watch[i] != watch) {
            i++;
        }
        s->nwatch--;
        for (; i < s->nwatch; i++) {
            s->watch[i] = s->watch[i + 1];
        }
        unlist(s, watch);
        reckon(s);
        set_alarm(s, slice_of(s));
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
    bool threadblock = budget != NULL && budget->threadblock;
    s->end = TL_END_ERROR;
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
    for (;;) {
        bool alone = tl_link_is_single(&me->link);
        if (alone && (!threadblock || !tl_idle_others_can_run(s))) {
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

// ---- the thread

void
tl_watch_init(struct tl_sched *s)
{
    s->limit = UINT64_MAX;
    s->alarm.moves = moves;
    s->alarm.fire = on_alarm;
    tl_events_init(&s->events, s->ts);
    tl_events_due = on_due;
}

void
tl_watch_fini(struct tl_sched *s)
{
    tl_alarm_cancel(&s->alarm);
    tl_events_fini(&s->events);
    while (s->nwatch > 0) {
        struct tl_watch *watch = s->watch[--s->nwatch];
        watch->listed = false;
        Py_DECREF(watch->who);
    }
    PyMem_Free(s->spare_watch);
    s->spare_watch = NULL;
}

void
tl_watch_after_fork(struct tl_sched *s)
{
    set_alarm(s, slice_of(s));
}
