// run_frame.c - notices used-up budgets, and resumes the callers of run().
#include "core/run_frame.h"
#include "core/errors.h"
#include "core/fiber.h"
#include "core/idle.h"
#include "core/interrupt.h"
#include "core/rounds.h"
#include "core/stacks.h"
#include "core/timer.h"
#include "cpython/frames.h"
#include "cpython/gil.h"
#include "base/clock.h"
#include "base/stress.h"

// A thread that was armed but has not stopped is armed again, since another function
// may run by now: after MIN_RETRY_NS, then doubled up to MAX_RETRY_NS, because arming
// costs time.
enum { MIN_RETRY_NS = 500000, MAX_RETRY_NS = 4000000 };

// Maximum pause between two probes of code without ticks: sched->stall doubles up to
// it.
enum { MAX_STALL_NS = 100000000 };

// When the tasklets of a thread are ended: how many switches, beyond a round of the
// ring, may go to tasklets that switch() or run() names while the next tasklet of the
// ring waits. Enough for a clean-up that switches to and fro a few times.
enum { MAX_NAMED_SWITCHES = 16 };

// ---- which budget is used up

// Which budget of watch is used up in the middle of a slice.
enum tl_end
tl_run_frame_ended_inside(struct tl_sched *s, const struct tl_run_frame *watch)
{
    // If both are used up, that of the slice says more about the running tasklet.
    int64_t ticks = tl_ticks_read(&s->events);
    if (ticks >= watch->slice_limit) {
        return TL_END_SLICE_TICKS;
    }
    if (tl_run_frame_is_slow(s, watch)) {
        return TL_END_SLICE_SECONDS;
    }
    if (ticks >= watch->tick_limit) {
        return TL_END_TICKS;
    }
    return watch->time_up ? TL_END_SECONDS : TL_END_NONE;
}

// Which budget of watch is used up now that a slice is over and `to` is next. Budgets
// of the slice count only if they are soft, and so had to wait for this.
static enum tl_end
ended_between(struct tl_sched *s, struct tl_run_frame *watch, const TaskletObject *to)
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
        return s->hands_over ? TL_END_NONE : tl_run_frame_ended_inside(s, watch);
    }
    if (tl_ticks_read(&s->events) >= watch->tick_limit) {
        return TL_END_TICKS;
    }
    return watch->time_up ? TL_END_SECONDS : TL_END_NONE;
}

// ---- when to look

void
tl_run_frame_recompute_limits(struct tl_sched *s)
{
    uint64_t limit = TL_STRESS_LOOKS ? 0 : s->look_at;
    int64_t ticks = INT64_MAX, now = tl_ticks_read(&s->events);
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_run_frame *watch = s->watch[i];
        if (watch->switch_limit < limit) {
            limit = watch->switch_limit;
        }
        if (watch->round_look < limit) {
            limit = watch->round_look;
        }
        bool was_slow = watch->slow_slice != UINT64_MAX &&
                        watch->slow_slice >= tl_run_frame_slice(s);
        if (tl_run_frame_counts(watch) || watch->time_up || was_slow ||
            watch->stopped || watch->limits != NULL) {
            limit = 0;
        }
        int64_t next = watch->tick_limit < watch->slice_limit ? watch->tick_limit
                                                              : watch->slice_limit;
        if (next < ticks && !(watch->budget.soft && next <= now)) {
            ticks = next;
        }
    }
    s->limit = limit;
    tl_ticks_set_limit(&s->events, ticks);
}

void
tl_run_frame_set_alarm(struct tl_sched *s, uint64_t moved)
{
    tl_deadline deadline = TL_DEADLINE_NEVER;
    int64_t slice = 0;
    for (int i = 0; i < s->nwatch; i++) {
        const struct tl_run_frame *watch = s->watch[i];
        tl_deadline end = watch->deadline;
        if (watch->time_up) {
            // The tasklet that should be stopped for it has not stopped yet.
            bool waits = watch->budget.soft || watch->who == s->current;
            end = waits ? TL_DEADLINE_NEVER : tl_clock_now() + MAX_RETRY_NS;
        }
        deadline = end < deadline ? end : deadline;
        if (watch->budget.slice_time > 0 &&
            !(watch->budget.soft && tl_run_frame_is_slow(s, watch)) &&
            (slice == 0 || watch->budget.slice_time < slice)) {
            slice = watch->budget.slice_time;
        }
    }
    s->probes = slice == 0 && s->events.counting > 0;
    if (s->probes) {
        slice = s->stall;
    }
    s->tripped = false;
    s->retry = MIN_RETRY_NS;
    if (deadline == TL_DEADLINE_NEVER && slice == 0) {
        tl_timekeeper_cancel(&s->alarm);
        return;
    }
    // The thread was there when run() began. If it is not, the process is ending.
    (void)tl_timekeeper_set(&s->alarm, &tl_governor_timekeeper_host, deadline, slice,
                            moved);
}

static uint64_t
moves(struct tl_timekeeper *alarm)
{
    struct tl_sched *s = TL_CONTAINER(alarm, struct tl_sched, alarm);
    return tl_run_frame_slice(s) +
           (s->probes ? (uint64_t)tl_ticks_read(&s->events) : 0);
}

// Whether the running slice has used up what the end of the thread's tasklets allows.
static bool
exceeds(struct tl_sched *s, struct tl_ending_limits *limits, int64_t now)
{
    int64_t cpu_time = tl_clock_read(limits->cpu_clock);
    if (limits->seen_slice != s->slice_seen) {
        limits->seen_slice = s->slice_seen;
        limits->seen_at = now;
        limits->seen_cpu_time = cpu_time;
    }
    return cpu_time - limits->seen_cpu_time >= limits->cpu_time ||
           now - limits->seen_at >= limits->turn_time;
}

// Whether the running slice has taken longer than watch allows.
static bool
takes_too_long(struct tl_sched *s, const struct tl_run_frame *watch, int64_t now)
{
    return watch->budget.slice_time > 0 && !s->waiting &&
           s->slice_seen == tl_run_frame_slice(s) &&
           now - s->slice_start >= watch->budget.slice_time &&
           (watch->limits == NULL || exceeds(s, watch->limits, now));
}

// The verdict of one frame, whose marks are up to date.
static enum tl_verdict
verdict(struct tl_sched *s, const struct tl_run_frame *watch)
{
    if (!watch->time_up && !tl_run_frame_is_slow(s, watch)) {
        return TL_VERDICT_GOES_ON;
    }
    return watch->budget.soft ? TL_VERDICT_SOFT : TL_VERDICT_HARD;
}

enum tl_verdict
tl_run_frame_note_time(struct tl_sched *s, int64_t now)
{
    enum tl_verdict strongest = TL_VERDICT_GOES_ON;
    if (s->alarm.still > 0) {
        s->slice_start = s->alarm.still_end - s->alarm.still;
        s->slice_seen = s->alarm.seen;
    }
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_run_frame *watch = s->watch[i];
        watch->time_up |= watch->deadline <= now;
        if (takes_too_long(s, watch, now)) {
            watch->slow_slice = s->slice_seen;
        }
        enum tl_verdict one = verdict(s, watch);
        strongest = one > strongest ? one : strongest;
    }
    return strongest;
}

static int64_t
doubled(int64_t ns, int64_t max)
{
    return 2 * ns > max ? max : 2 * ns;
}

// The alarm has fired. Returns when to fire again.
// Thread: the timekeeper's, with the GIL.
static tl_deadline
on_alarm(struct tl_timekeeper *alarm, int64_t now)
{
    struct tl_sched *s = TL_CONTAINER(alarm, struct tl_sched, alarm);
    if (s->dead) {
        return TL_DEADLINE_NEVER;
    }
    enum tl_verdict verdict = tl_run_frame_note_time(s, now);
    if (verdict == TL_VERDICT_GOES_ON) {
        if (s->probes && !s->waiting) {
            tl_ticks_probe(&s->events);
        }
        s->stall = doubled(s->stall, MAX_STALL_NS);
        tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
        return TL_DEADLINE_NEVER;
    }
    s->limit = 0;
    if (s->waiting) {
        tl_park_wake(&s->park);
    }
    if (verdict == TL_VERDICT_SOFT) {
        tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
        s->tripped = true;
        return TL_DEADLINE_NEVER;
    }
    s->tripped = true;
    tl_ticks_arm(&s->events);
    tl_deadline again = now + s->retry;
    s->retry = doubled(s->retry, MAX_RETRY_NS);
    return again;
}

// ---- between two slices; budget.c has the middle of a slice

static void
begin_slices(struct tl_sched *s)
{
    int64_t now = tl_ticks_read(&s->events);
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_run_frame *watch = s->watch[i];
        if (watch->budget.soft && s->hands_over) {
            // The slice goes on in the next tasklet.
            watch->slow_slice += tl_run_frame_is_slow(s, watch);
        } else if (watch->budget.slice_ticks > 0) {
            watch->slice_limit = now + watch->budget.slice_ticks;
        }
    }
    s->hands_over = false;
}

// The current tasklet is about to be left for `to`. Returns the tasklet whose turn it
// is in the order of the ring. Tasklets that have not started do not count.
static TaskletObject *
next_in_ring(struct tl_sched *s, TaskletObject *to)
{
    const TaskletObject *from = s->current;
    TaskletObject *t = s->head;
    if (t == from && t->place == TL_RUNNABLE) {
        t = tl_task_next(t);
    }
    while (t->life == TL_NEW && t != to) {
        t = tl_task_next(t);
    }
    return t;
}

// The thread's tasklets are being ended, and the current one is left for `to`. Tasklets
// that name each other in switch() or run() must not keep the others from cleaning up:
// returns the next tasklet of the ring if that has missed its turn, else `to`.
static TaskletObject *
find_starved(struct tl_sched *s, const struct tl_run_frame *watch, TaskletObject *to)
{
    if (s->current == watch->who) {
        return to; // the tasklet that ends the others names each of them
    }
    TaskletObject *next = next_in_ring(s, to);
    if (next == to) {
        return to;
    }
    if (next->turn == 0) {
        next->turn = s->switches; // it was chosen to run next: it waits from now on
    }
    if (s->switches - next->turn <= (uint64_t)s->runcount + MAX_NAMED_SWITCHES) {
        return to;
    }
    to->turn = s->switches;
    return next;
}

// Whether the caller of watch, which ends the thread's tasklets, gets its turn in place
// of `to`, because it has been without one for too long. Puts it before `to` then.
static bool
takes_turn(struct tl_sched *s, const struct tl_run_frame *watch, TaskletObject *to)
{
    TaskletObject *who = watch->who;
    if (who == to || who->place == TL_WAITING ||
        (tl_run_frame_slice(s) < watch->limits->turn_slice &&
         tl_clock_now() < watch->limits->turn_deadline)) {
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
        struct tl_run_frame *watch = s->watch[i];
        if (watch->limits != NULL) {
            to = find_starved(s, watch, to);
            if (takes_turn(s, watch, to)) {
                return watch->who;
            }
            continue;
        }
        if (watch->who == to) {
            return to; // this run() ends, and with it those further in
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

// t paused in a greenlet made inside it: make the frames of the greenlets to which that
// one returns count ticks, too.
TL_COLD static void
repair_parents(struct tl_sched *s, TaskletObject *t)
{
    PyObject *own = t->stack != NULL ? t->stack->fiber : s->main_fiber;
    PyObject *fiber = Py_NewRef(t->fiber);
    while (fiber != NULL && fiber != own) {
        Py_SETREF(fiber, tl_fiber_parent(fiber));
        PyObject *frame = fiber != NULL ? tl_fiber_frame(fiber) : NULL;
        if (frame != NULL && PyFrame_Check(frame)) {
            tl_ticks_repair_frames(frame);
        }
        Py_XDECREF(frame);
    }
    Py_XDECREF(fiber);
    PyErr_Clear();
}

// Counting may have begun while `to` was suspended: make its frames count ticks.
static void
make_frames_count(struct tl_sched *s, TaskletObject *to)
{
    if (s->events.counting == 0) {
        return;
    }
    tl_ticks_check(&s->events);
    unsigned epoch = tl_ticks_epoch();
    if (to->epoch != epoch && to != s->current) {
        to->epoch = epoch;
        tl_ticks_repair(to->top);
        if (to->life == TL_STARTED) {
            repair_parents(s, to);
        }
    }
}

TL_COLD TaskletObject *
tl_run_frame_at_switch(struct tl_sched *s, TaskletObject *to)
{
    if (s->switches >= s->look_at) {
        tl_timer_poll(s);
    }
    to = find_ended(s, to);
    begin_slices(s);
    make_frames_count(s, to);
    s->stall = TL_RUN_FRAME_STALL_NS;
    if (s->tripped) {
        tl_run_frame_set_alarm(s, tl_run_frame_slice(s) + 1);
    }
    tl_run_frame_recompute_limits(s);
    return to;
}

TL_COLD TaskletObject *
tl_run_frame_at_yield(struct tl_sched *s)
{
    if (s->limit == UINT64_MAX || tl_sched_is_held(s) ||
        (s->trap != 0 && !tl_run_frame_is_ending(s))) {
        s->yields++;
        return s->current;
    }
    TaskletObject *to = find_ended(s, s->current);
    s->yields++;
    begin_slices(s);
    if (to == s->current) {
        for (int i = 0; i < s->nwatch; i++) {
            if (s->watch[i]->budget.switches + s->watch[i]->budget.rounds > 0) {
                to->turn = ++s->switches; // budgets in switches and rounds count this
                break;
            }
        }
        if (s->tripped) {
            tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
        }
    }
    tl_run_frame_recompute_limits(s);
    return to;
}

// ---- while the thread waits

// Which budget of watch, other than time, is used up while no tasklet is runnable.
static enum tl_end
ended_idle(struct tl_sched *s, const struct tl_run_frame *watch)
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
    return tl_ticks_read(&s->events) >= watch->tick_limit ? TL_END_TICKS : TL_END_NONE;
}

tl_deadline
tl_run_frame_deadline(struct tl_sched *s)
{
    tl_deadline deadline = TL_DEADLINE_NEVER;
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_run_frame *watch = s->watch[i];
        tl_deadline end =
            ended_idle(s, watch) != TL_END_NONE ? TL_DEADLINE_PAST : watch->deadline;
        if (end < deadline && watch->who->place == TL_FLOATING) {
            deadline = end;
        }
    }
    return deadline;
}

TaskletObject *
tl_run_frame_expired(struct tl_sched *s)
{
    int64_t now = tl_clock_now();
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_run_frame *watch = s->watch[i];
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

static struct tl_run_frame *
innermost(struct tl_sched *s)
{
    return s->nwatch > 0 ? s->watch[s->nwatch - 1] : NULL;
}

bool
tl_run_frame_waits(struct tl_sched *s, const struct tl_budget *budget)
{
    if (tl_run_frame_is_ending(s)) {
        return false;
    }
    return budget->threadblock || budget->forever ||
           (budget->wait && (tl_timer_is_pending(s) || s->maybe_external > 0));
}

bool
tl_run_frame_just_waits(struct tl_sched *s)
{
    const struct tl_run_frame *watch = innermost(s);
    return watch != NULL && watch->budget.wait && !watch->budget.threadblock;
}

bool
tl_run_frame_is_over(struct tl_sched *s)
{
    const struct tl_run_frame *watch = innermost(s);
    return watch != NULL && watch->budget.wait &&
           !tl_run_frame_waits(s, &watch->budget) && watch->who->place == TL_FLOATING;
}

bool
tl_run_frame_is_forever(struct tl_sched *s)
{
    const struct tl_run_frame *watch = innermost(s);
    return watch != NULL && watch->budget.forever && !tl_run_frame_is_ending(s);
}

void
tl_run_frame_stop(struct tl_sched *s)
{
    struct tl_run_frame *watch = innermost(s);
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
tl_run_frame_init(struct tl_sched *s)
{
    s->limit = TL_STRESS_LOOKS ? 0 : UINT64_MAX;
    s->alarm.moves = moves;
    s->alarm.fire = on_alarm;
    tl_ticks_init(&s->events, s->ts);
}

void
tl_run_frame_fini(struct tl_sched *s)
{
    tl_timekeeper_cancel(&s->alarm);
    tl_ticks_fini(&s->events);
    while (s->nwatch > 0) {
        struct tl_run_frame *watch = s->watch[--s->nwatch];
        watch->listed = false;
        Py_DECREF(watch->who);
    }
    s->nrounds = 0;
    PyMem_Free(s->spare_watch);
    s->spare_watch = NULL;
}

void
tl_run_frame_after_fork(struct tl_sched *s)
{
    tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
}
