// run_frame.c - notices used-up budgets, and resumes the callers of run().
#include "core/run_frame.h"
#include "core/errors.h"
#include "core/fiber.h"
#include "core/flush.h"
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

// Which budget of frame is used up in the middle of a slice.
enum tl_end
tl_run_frame_ended_inside(struct tl_sched *s, const struct tl_run_frame *frame)
{
    // If both are used up, that of the slice says more about the running tasklet.
    int64_t ticks = tl_ticks_read(&s->events);
    if (ticks >= frame->slice_limit) {
        return TL_END_SLICE_TICKS;
    }
    if (tl_run_frame_is_slow(s, frame)) {
        return TL_END_SLICE_SECONDS;
    }
    if (ticks >= frame->tick_limit) {
        return TL_END_TICKS;
    }
    return frame->time_up ? TL_END_SECONDS : TL_END_NONE;
}

// Which budget of frame is used up now that a slice is over and `to` is next. Budgets
// of the slice count only if they are soft, and so had to wait for this.
static enum tl_end
ended_between(struct tl_sched *s, struct tl_run_frame *frame, const TaskletObject *to)
{
    if (frame->stopped) {
        return TL_END_STOPPED;
    }
    if (s->switches >= frame->round_look && tl_rounds_are_over(s, frame, to)) {
        return TL_END_ROUNDS;
    }
    if (s->switches >= frame->switch_limit) {
        return TL_END_SWITCHES;
    }
    if (frame->budget.soft) {
        return s->hands_over ? TL_END_NONE : tl_run_frame_ended_inside(s, frame);
    }
    if (tl_ticks_read(&s->events) >= frame->tick_limit) {
        return TL_END_TICKS;
    }
    return frame->time_up ? TL_END_SECONDS : TL_END_NONE;
}

// ---- when to look

void
tl_run_frame_recompute_limits(struct tl_sched *s)
{
    bool at_once = TL_STRESS_LOOKS || !tl_link_is_single(&s->unflushed);
    uint64_t limit = at_once ? 0 : UINT64_MAX;
    int64_t ticks = INT64_MAX, now = tl_ticks_read(&s->events);
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        if (frame->switch_limit < limit) {
            limit = frame->switch_limit;
        }
        if (frame->round_look < limit) {
            limit = frame->round_look;
        }
        bool was_slow = frame->slow_slice != UINT64_MAX &&
                        frame->slow_slice >= tl_run_frame_slice(s);
        if (tl_run_frame_counts(frame) || frame->time_up || was_slow ||
            frame->stopped || frame->limits != NULL) {
            limit = 0;
        }
        int64_t next = frame->tick_limit < frame->slice_limit ? frame->tick_limit
                                                              : frame->slice_limit;
        if (next < ticks && !(frame->budget.soft && next <= now)) {
            ticks = next;
        }
    }
    s->only_looks = limit == UINT64_MAX;
    s->limit = s->look_at < limit ? s->look_at : limit;
    tl_ticks_set_limit(&s->events, ticks);
}

void
tl_run_frame_set_alarm(struct tl_sched *s, uint64_t moved)
{
    tl_deadline deadline = TL_DEADLINE_NEVER;
    int64_t slice = 0;
    for (int i = 0; i < s->nframes; i++) {
        const struct tl_run_frame *frame = s->frames[i];
        tl_deadline end = frame->deadline;
        if (frame->time_up) {
            // The tasklet that should be stopped for it has not stopped yet.
            bool waits = frame->budget.soft || frame->caller == s->current;
            end = waits ? TL_DEADLINE_NEVER : tl_clock_now() + MAX_RETRY_NS;
        }
        deadline = end < deadline ? end : deadline;
        if (frame->budget.slice_time > 0 &&
            !(frame->budget.soft && tl_run_frame_is_slow(s, frame)) &&
            (slice == 0 || frame->budget.slice_time < slice)) {
            slice = frame->budget.slice_time;
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

// Whether the running slice has by now taken longer than frame allows.
static bool
takes_too_long(struct tl_sched *s, const struct tl_run_frame *frame, int64_t now)
{
    return frame->budget.slice_time > 0 && !s->waiting &&
           s->slice_seen == tl_run_frame_slice(s) &&
           now - s->slice_start >= frame->budget.slice_time &&
           (frame->limits == NULL || exceeds(s, frame->limits, now));
}

// The verdict of one frame, whose marks are up to date.
static enum tl_verdict
verdict(struct tl_sched *s, const struct tl_run_frame *frame)
{
    if (!frame->time_up && !tl_run_frame_is_slow(s, frame)) {
        return TL_VERDICT_GOES_ON;
    }
    return frame->budget.soft ? TL_VERDICT_SOFT : TL_VERDICT_HARD;
}

enum tl_verdict
tl_run_frame_note_time(struct tl_sched *s, int64_t now)
{
    enum tl_verdict strongest = TL_VERDICT_GOES_ON;
    if (s->alarm.still > 0) {
        s->slice_start = s->alarm.still_end - s->alarm.still;
        s->slice_seen = s->alarm.seen;
    }
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        frame->time_up |= frame->deadline <= now;
        if (takes_too_long(s, frame, now)) {
            frame->slow_slice = s->slice_seen;
        }
        enum tl_verdict one = verdict(s, frame);
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
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        if (frame->budget.soft && s->hands_over) {
            // The slice goes on in the next tasklet.
            frame->slow_slice += tl_run_frame_is_slow(s, frame);
        } else if (frame->budget.slice_ticks > 0) {
            frame->slice_limit = now + frame->budget.slice_ticks;
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
find_starved(struct tl_sched *s, const struct tl_run_frame *frame, TaskletObject *to)
{
    if (s->current == frame->caller) {
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

// Whether the caller of frame, which ends the thread's tasklets, gets its turn in place
// of `to`, because it has been without one for too long. Puts it before `to` then.
static bool
takes_turn(struct tl_sched *s, const struct tl_run_frame *frame, TaskletObject *to)
{
    TaskletObject *caller = frame->caller;
    if (caller == to || caller->place == TL_WAITING ||
        (tl_run_frame_slice(s) < frame->limits->turn_slice &&
         tl_clock_now() < frame->limits->turn_deadline)) {
        return false;
    }
    if (caller->place == TL_RUNNABLE) {
        tl_ring_remove(s, caller);
    } else {
        Py_INCREF(caller);
    }
    s->head = to;
    tl_ring_front(s, caller);
    return true;
}

static TaskletObject *
find_ended(struct tl_sched *s, TaskletObject *to)
{
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        if (frame->limits != NULL) {
            to = find_starved(s, frame, to);
            if (takes_turn(s, frame, to)) {
                return frame->caller;
            }
            continue;
        }
        if (frame->caller == to) {
            return to; // this run() ends, and with it those further in
        }
        enum tl_end end = ended_between(s, frame, to);
        if (end != TL_END_NONE && frame->caller->place == TL_FLOATING) {
            frame->end = end;
            s->head = to;
            tl_ring_front(s, (TaskletObject *)Py_NewRef(frame->caller));
            return frame->caller;
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
    tl_flush_all(s);
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
    tl_flush_all(s);
    TaskletObject *to = find_ended(s, s->current);
    s->yields++;
    begin_slices(s);
    if (to == s->current) {
        for (int i = 0; i < s->nframes; i++) {
            if (s->frames[i]->budget.switches + s->frames[i]->budget.rounds > 0) {
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

// Which budget of frame, other than time, is used up while no tasklet is runnable.
static enum tl_end
ended_idle(struct tl_sched *s, const struct tl_run_frame *frame)
{
    if (frame->stopped) {
        return TL_END_STOPPED;
    }
    if (frame->rounds_left == 1 && s->switches > frame->round_began) {
        return TL_END_ROUNDS;
    }
    if (s->switches >= frame->switch_limit) {
        return TL_END_SWITCHES;
    }
    return tl_ticks_read(&s->events) >= frame->tick_limit ? TL_END_TICKS : TL_END_NONE;
}

tl_deadline
tl_run_frame_deadline(struct tl_sched *s)
{
    tl_deadline deadline = TL_DEADLINE_NEVER;
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        tl_deadline end =
            ended_idle(s, frame) != TL_END_NONE ? TL_DEADLINE_PAST : frame->deadline;
        if (end < deadline && frame->caller->place == TL_FLOATING) {
            deadline = end;
        }
    }
    return deadline;
}

TaskletObject *
tl_run_frame_expired(struct tl_sched *s)
{
    int64_t now = tl_clock_now();
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        enum tl_end end = ended_idle(s, frame);
        if (end == TL_END_NONE && frame->deadline <= now) {
            frame->time_up = true;
            end = TL_END_SECONDS;
        }
        if (end != TL_END_NONE && frame->caller->place == TL_FLOATING) {
            frame->end = end;
            tl_ring_front(s, (TaskletObject *)Py_NewRef(frame->caller));
            return frame->caller;
        }
    }
    return NULL;
}

static struct tl_run_frame *
innermost(struct tl_sched *s)
{
    return s->nframes > 0 ? s->frames[s->nframes - 1] : NULL;
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
    const struct tl_run_frame *frame = innermost(s);
    return frame != NULL && frame->budget.wait && !frame->budget.threadblock;
}

bool
tl_run_frame_is_over(struct tl_sched *s)
{
    const struct tl_run_frame *frame = innermost(s);
    return frame != NULL && frame->budget.wait &&
           !tl_run_frame_waits(s, &frame->budget) &&
           frame->caller->place == TL_FLOATING;
}

bool
tl_run_frame_is_forever(struct tl_sched *s)
{
    const struct tl_run_frame *frame = innermost(s);
    return frame != NULL && frame->budget.forever && !tl_run_frame_is_ending(s);
}

void
tl_run_frame_stop(struct tl_sched *s)
{
    struct tl_run_frame *frame = innermost(s);
    if (frame == NULL) {
        s->stop_next = true;
        return;
    }
    frame->stopped = true;
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
    while (s->nframes > 0) {
        struct tl_run_frame *frame = s->frames[--s->nframes];
        frame->listed = false;
        Py_DECREF(frame->caller);
    }
    s->nrounds = 0;
    PyMem_Free(s->spare_frame);
    s->spare_frame = NULL;
}

void
tl_run_frame_after_fork(struct tl_sched *s)
{
    tl_run_frame_set_alarm(s, tl_run_frame_slice(s));
}
