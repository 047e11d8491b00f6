#include "watch.h"
#include "clock.h"
#include "errors.h"
#include "fiber.h"
#include "frames.h"
#include "gil.h"
#include "idle.h"
#include "interrupt.h"
#include "rounds.h"
#include "stacks.h"
#include "stress.h"
#include "timer.h"

// A thread that was armed and has not been stopped is armed again, its code may be
// another by now: at first so soon, later not so often. In nanoseconds.
enum { RETRY_LEAST = 500000, RETRY_MOST = 4000000 };

// How long code without a tick is left alone at most, once it was looked at.
enum { STALL_MOST = 100000000 };

// ---- which budget is used up

static bool
is_slow(struct tl_sched *s, const struct tl_watch *watch)
{
    return watch->slow_slice == tl_watch_slice(s);
}

// What has ended of watch in the middle of a slice.
static enum tl_end
ended_inside(struct tl_sched *s, const struct tl_watch *watch)
{
    // If both have ended, the slice's own limit says more about the running tasklet.
    int64_t ticks = tl_events_ticks(&s->events);
    if (ticks >= watch->slice_limit) {
        return TL_END_SLICE_TICKS;
    }
    if (is_slow(s, watch)) {
        return TL_END_SLICE_SECONDS;
    }
    if (ticks >= watch->tick_limit) {
        return TL_END_TICKS;
    }
    return watch->time_up ? TL_END_SECONDS : TL_END_NONE;
}

// What has ended of watch now that a slice is over and to is next. What only bounds the
// slice is forgotten, unless its end was to be waited for.
static enum tl_end
ended_between(struct tl_sched *s, struct tl_watch *watch, const TaskletObject *to)
{
    if (watch->stopped) {
        return TL_END_STOPPED;
    }
    if (s->switches >= watch->round_look && tl_rounds_are_over(s, watch, to)) {
        return TL_END_ROUNDS;
    }
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

// Find the outermost that somebody is to be stopped for.
static struct tl_watch *
find_hard(struct tl_sched *s)
{
    if (tl_watch_is_last(s) && s->watch[0]->who == s->current) {
        return NULL; // it ends the others
    }
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->who != s->current && !watch->budget.soft &&
            ended_inside(s, watch) != TL_END_NONE) {
            return watch;
        }
    }
    return NULL;
}

// ---- when to look

void
tl_watch_reckon(struct tl_sched *s)
{
    uint64_t limit = TL_STRESS_LOOKS ? 0 : s->look_at;
    int64_t ticks = INT64_MAX, now = tl_events_ticks(&s->events);
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->switch_limit < limit) {
            limit = watch->switch_limit;
        }
        if (watch->round_look < limit) {
            limit = watch->round_look;
        }
        bool was_slow =
            watch->slow_slice != UINT64_MAX && watch->slow_slice >= tl_watch_slice(s);
        if (tl_watch_counts(watch) || watch->time_up || was_slow || watch->stopped ||
            watch->last != NULL) {
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

void
tl_watch_set_alarm(struct tl_sched *s, uint64_t moved)
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
    return tl_watch_slice(s) + (s->probes ? (uint64_t)tl_events_ticks(&s->events) : 0);
}

// Whether the running slice has used up what the end of the thread allows. last->slice
// has been running since last->since at the latest.
static bool
is_overdue(struct tl_sched *s, struct tl_last *last, int64_t now)
{
    int64_t computed = tl_clock_read(last->clock);
    if (last->slice != s->slice_seen) {
        last->slice = s->slice_seen;
        last->since = now;
        last->computed = computed;
    }
    return computed - last->computed >= last->computing ||
           now - last->since >= last->turn;
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
            s->slice_seen == tl_watch_slice(s) &&
            now - s->slice_start >= watch->budget.slice_time &&
            (watch->last == NULL || is_overdue(s, watch->last, now))) {
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
        tl_watch_set_alarm(s, tl_watch_slice(s));
        return INT64_MAX;
    }
    s->tripped = true;
    s->limit = 0;
    if (s->waiting) {
        tl_park_wake(&s->park);
    }
    if (!hard) {
        tl_watch_set_alarm(s, tl_watch_slice(s));
        s->tripped = true;
        return INT64_MAX;
    }
    tl_events_arm(&s->events);
    int64_t again = now + s->retry;
    s->retry = 2 * s->retry > RETRY_MOST ? RETRY_MOST : 2 * s->retry;
    return again;
}

// ---- in the middle of a slice

// Whether the current tasklet can be left where its code is now.
static bool
can_stop(struct tl_sched *s, const struct tl_watch *watch)
{
    const TaskletObject *me = s->current;
    if (*s->collecting != 0) {
        return false; // in a callback of the collector's, maybe, called before ours
    }
    if (tl_sched_is_held(s) || s->in_channel_callback || me->place != TL_RUNNABLE ||
        s->head != me || watch->who->place == TL_WAITING) {
        return false;
    }
    return me->is_main || me->life == TL_STARTED;
}

// Whether it may, too: it goes on some time.
static bool
may_stop(struct tl_sched *s, const struct tl_watch *watch)
{
    const TaskletObject *me = s->current;
    if (s->trap != 0 || me->atomic || !can_stop(s, watch)) {
        return false;
    }
    if (me->outcome != NULL && me->outcome->done) {
        return false; // in a callback at its end
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
    me->stopped = true;
    if (tl_sched_go(s, me, owner) < 0) {
        return -1;
    }
    me->stopped = me->abandoned = false;
    PyObject *value = tl_sched_arrive(s);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

// The current tasklet cannot be left where its code is now, and has computed for too long
// although it was told to end. Raise in it, and again at its next instruction, as long as
// that is in the same code: no handler of that code gets to do anything.
static int
break_off(struct tl_sched *s)
{
    PyErr_SetString(s->state->tasklet_exit,
                    "the tasklets of this thread are being ended, and this code "
                    "computed for too long where it cannot be left");
    return -1;
}

// An event of the code that runs: ticks are used up, or it was armed.
static int
on_due(struct tl_events *events)
{
    struct tl_sched *s = TL_CONTAINER(events, struct tl_sched, events);
    struct tl_watch *watch = find_hard(s);
    if (watch == NULL) {
        tl_events_disarm(events);
        tl_watch_reckon(s);
        return 0;
    }
    if (watch->last != NULL) {
        return can_stop(s, watch) ? stop(s, watch) : break_off(s);
    }
    if (!may_stop(s, watch)) {
        return 0;
    }
    // Instead of stopping, it gets the kill that could not be raised so far.
    return tl_interrupt_is_overdue(s) ? tl_interrupt_check(s) : stop(s, watch);
}

int
tl_watch_released(struct tl_sched *s)
{
    if (s->nwatch == 0) {
        return 0;
    }
    if (tl_alarm_is_due(&s->alarm)) {
        // Its thread could not get the GIL so far.
        bool hard = false; // find_hard() tells
        (void)note_time(s, tl_clock_now(), &hard);
        s->tripped = true;
        s->limit = 0;
    }
    struct tl_watch *watch = find_hard(s);
    if (watch == NULL ||
        !(watch->last != NULL ? can_stop(s, watch) : may_stop(s, watch))) {
        return 0;
    }
    return stop(s, watch);
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

// Whether the caller of watch, which ends the tasklets of the thread, has its turn now in
// place of to: it has been without one for too long. Then it is the next in the ring.
static bool
takes_turn(struct tl_sched *s, struct tl_watch *watch, TaskletObject *to)
{
    TaskletObject *who = watch->who;
    if (who == to || who->place == TL_WAITING ||
        (tl_watch_slice(s) < watch->last->turn_slice &&
         tl_clock_now() < watch->last->turn_end)) {
        return false;
    }
    if (who->place == TL_RUNNABLE) {
        tl_ring_remove(s, who);
    } else {
        Py_INCREF(who);
    }
    s->head = to;
    tl_ring_front(s, who);
    return true;
}

static TaskletObject *
find_ended(struct tl_sched *s, TaskletObject *to)
{
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        if (watch->last != NULL) {
            if (takes_turn(s, watch, to)) {
                return watch->who;
            }
            continue;
        }
        if (watch->who == to) {
            return to; // those further in are about to be taken off
        }
        enum tl_end end = ended_between(s, watch, to);
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
    if (s->switches >= s->look_at) {
        tl_timer_look(s);
    }
    to = find_ended(s, to);
    begin_slices(s);
    have_counted(s, to);
    s->stall = TL_WATCH_STALL;
    if (s->tripped) {
        tl_watch_set_alarm(s, tl_watch_slice(s) + 1);
    }
    tl_watch_reckon(s);
    return to;
}

TL_COLD TaskletObject *
tl_watch_at_yield(struct tl_sched *s)
{
    if (s->limit == UINT64_MAX || tl_sched_is_held(s) ||
        (s->trap != 0 && !tl_watch_is_last(s))) {
        s->yields++;
        return s->current;
    }
    TaskletObject *to = find_ended(s, s->current);
    s->yields++;
    begin_slices(s);
    if (to == s->current) {
        for (int i = 0; i < s->nwatch; i++) {
            if (s->watch[i]->budget.switches + s->watch[i]->budget.rounds > 0) {
                to->turn = ++s->switches; // it spends these budgets, too
                break;
            }
        }
        if (s->tripped) {
            tl_watch_set_alarm(s, tl_watch_slice(s));
        }
    }
    tl_watch_reckon(s);
    return to;
}

// ---- while the thread waits

// What has ended of watch now that nobody is runnable, apart from its time.
static enum tl_end
ended_idle(struct tl_sched *s, const struct tl_watch *watch)
{
    if (watch->stopped) {
        return TL_END_STOPPED;
    }
    if (watch->rounds_left == 1 && s->switches > watch->round_began) {
        return TL_END_ROUNDS;
    }
    if (s->switches >= watch->switch_limit) {
        return TL_END_SWITCHES;
    }
    return tl_events_ticks(&s->events) >= watch->tick_limit ? TL_END_TICKS
                                                            : TL_END_NONE;
}

int64_t
tl_watch_deadline(struct tl_sched *s)
{
    int64_t deadline = INT64_MAX;
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_watch *watch = s->watch[i];
        int64_t end = ended_idle(s, watch) != TL_END_NONE ? 0 : watch->deadline;
        if (end < deadline && watch->who->place == TL_FLOATING) {
            deadline = end;
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
        enum tl_end end = ended_idle(s, watch);
        if (end == TL_END_NONE && watch->deadline <= now) {
            watch->time_up = true;
            end = TL_END_SECONDS;
        }
        if (end != TL_END_NONE && watch->who->place == TL_FLOATING) {
            watch->end = end;
            tl_ring_front(s, (TaskletObject *)Py_NewRef(watch->who));
            return watch->who;
        }
    }
    return NULL;
}

static struct tl_watch *
innermost(struct tl_sched *s)
{
    return s->nwatch > 0 ? s->watch[s->nwatch - 1] : NULL;
}

bool
tl_watch_waits(struct tl_sched *s, const struct tl_budget *budget)
{
    if (tl_watch_is_last(s)) {
        return false;
    }
    return budget->threadblock || budget->forever ||
           (budget->wait && (tl_timer_is_pending(s) || s->hopes > 0));
}

bool
tl_watch_only_hopes(struct tl_sched *s)
{
    const struct tl_watch *watch = innermost(s);
    return watch != NULL && watch->budget.wait && !watch->budget.threadblock;
}

bool
tl_watch_is_over(struct tl_sched *s)
{
    const struct tl_watch *watch = innermost(s);
    return watch != NULL && watch->budget.wait && !tl_watch_waits(s, &watch->budget) &&
           watch->who->place == TL_FLOATING;
}

bool
tl_watch_is_forever(struct tl_sched *s)
{
    const struct tl_watch *watch = innermost(s);
    return watch != NULL && watch->budget.forever && !tl_watch_is_last(s);
}

void
tl_watch_stop(struct tl_sched *s)
{
    struct tl_watch *watch = innermost(s);
    if (watch == NULL) {
        s->stop_next = true;
        return;
    }
    watch->stopped = true;
    s->limit = 0;
    if (s->waiting) {
        tl_park_wake(&s->park);
    }
}

// ---- the thread

void
tl_watch_init(struct tl_sched *s)
{
    s->limit = TL_STRESS_LOOKS ? 0 : UINT64_MAX;
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
    s->nrounds = 0;
    PyMem_Free(s->spare_watch);
    s->spare_watch = NULL;
}

void
tl_watch_after_fork(struct tl_sched *s)
{
    tl_watch_set_alarm(s, tl_watch_slice(s));
}
