// timer.c - timers of a scheduler, and when a busy thread polls for what is due.
#include "core/timer.h"
#include "core/poll_source.h"
#include "base/clock.h"
#include "base/stress.h"

#include <math.h>

// A thread with runnable tasklets polls every s->look_step switches. MAX_POLL_STEP is
// the maximum of that number. It is adapted so that polls are between
// MIN_POLL_INTERVAL_NS and MAX_POLL_INTERVAL_NS nanoseconds apart: a timer is normally
// less than half a millisecond late, and the polls cost little.
enum {
    MAX_POLL_STEP = TL_STRESS_OR(16, 1),
    MIN_POLL_INTERVAL_NS = 200000,
    MAX_POLL_INTERVAL_NS = 500000
};

int64_t
tl_timer_now(struct tl_sched *s)
{
    return TL_UNLIKELY(s->fake_clock) ? s->fake_now : tl_clock_now();
}

int
tl_timer_reserve(struct tl_sched *s)
{
    if (!tl_timer_heap_reserve(&s->timers)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
tl_timer_set(struct tl_sched *s, struct tl_timer *timer, int64_t when)
{
    tl_timer_heap_add(&s->timers, timer, when);
    tl_timer_expect(s);
}

void
tl_timer_expect(struct tl_sched *s)
{
    if (TL_UNLIKELY(s->look_at == UINT64_MAX)) {
        s->looked = tl_clock_now();
        s->look_step = 1; // it is not known how long tasklets run between switches
        s->look_at = s->switches + s->look_step;
        s->look_yields = s->yields + s->look_step;
        if (s->look_at < s->limit) {
            s->limit = s->look_at;
        }
    }
}

void
tl_timer_cancel(struct tl_sched *s, struct tl_timer *timer)
{
    tl_timer_heap_remove(&s->timers, timer);
}

void
tl_task_stop_timer(TaskletObject *t)
{
    tl_timer_cancel(t->home, &t->timer);
}

// Set the switch at which to poll next. The longer tasklets run between switches, the
// fewer switches there are between polls.
static void
plan_next_look(struct tl_sched *s)
{
    int64_t now = tl_clock_now(), past = now - s->looked;
    s->looked = now;
    if (past > MAX_POLL_INTERVAL_NS) {
        s->look_step = s->look_step * MAX_POLL_INTERVAL_NS / (uint64_t)past;
        s->look_step += s->look_step == 0;
    } else if (past < MIN_POLL_INTERVAL_NS && s->look_step < MAX_POLL_STEP) {
        s->look_step *= 2;
    }
    bool pending = tl_timer_is_pending(s) || tl_poll_source_is_busy(s);
    s->look_at = pending ? s->switches + s->look_step : UINT64_MAX;
    s->look_yields = s->yields + s->look_step;
}

void
tl_timer_poll(struct tl_sched *s)
{
    if (s->timers.count > 0) {
        int64_t now = tl_timer_now(s);
        while (tl_timer_heap_next(&s->timers) <= now) {
            int64_t late = now - tl_timer_heap_next(&s->timers);
            struct tl_timer *timer = tl_timer_heap_pop(&s->timers);
            s->fired++;
            s->late_sum += late;
            s->max_late_ns = late > s->max_late_ns ? late : s->max_late_ns;
            timer->fire(timer);
        }
    }
    tl_poll_source_look(s);
    if (s->look_at != UINT64_MAX) {
        plan_next_look(s);
        tl_poll_source_check(s, s->looked);
    }
}

void
tl_timer_poll_alone(struct tl_sched *s)
{
    if (s->look_at != UINT64_MAX && s->yields >= s->look_yields) {
        tl_timer_poll(s);
    }
}

int64_t
tl_timer_ns_left(struct tl_sched *s)
{
    tl_deadline next = tl_timer_heap_next(&s->timers);
    if (next == TL_DEADLINE_NEVER) {
        return -1;
    }
    if (s->fake_clock) {
        s->fake_now = next > s->fake_now ? next : s->fake_now;
        return 0;
    }
    int64_t left = next - tl_clock_now();
    return left > 0 ? left : 0;
}

// ---- times that Python code gives

int
tl_timer_seconds(PyObject *arg, const char *name, double *seconds)
{
    *seconds = PyFloat_AsDouble(arg);
    if (*seconds == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (isnan(*seconds)) {
        PyErr_Format(PyExc_ValueError, "%s must be a number of seconds, not NaN", name);
        return -1;
    }
    return 0;
}

int64_t
tl_timer_ns_of(double seconds)
{
    double ns = ceil(seconds * 1e9);
    return ns >= TL_TIMER_MAX_NS    ? TL_TIMER_MAX_NS
           : ns <= -TL_TIMER_MAX_NS ? -TL_TIMER_MAX_NS
                                    : (int64_t)ns;
}

int
tl_timer_read_ns(PyObject *arg, const char *name, int64_t *ns)
{
    double seconds;
    if (tl_timer_seconds(arg, name, &seconds) < 0) {
        return -1;
    }
    *ns = tl_timer_ns_of(seconds);
    return 0;
}

int
tl_timer_check_longest(double seconds)
{
    // threading.TIMEOUT_MAX: its nanoseconds fit into 64 bits.
    if (seconds > 9223372036.0) {
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large: it must not "
                                             "exceed threading.TIMEOUT_MAX");
        return -1;
    }
    return 0;
}

tl_deadline
tl_timer_after(int64_t ns)
{
    struct tl_sched *s = tl_sched_mine;
    if (ns <= 0) {
        return TL_DEADLINE_PAST;
    }
    if (ns >= TL_TIMER_MAX_NS) {
        return TL_DEADLINE_NEVER;
    }
    return (s != NULL ? tl_timer_now(s) : tl_clock_now()) + ns;
}

static int
read_deadline(PyObject *timeout, bool is_limited, tl_deadline *deadline)
{
    double seconds;
    *deadline = TL_DEADLINE_NEVER;
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    if (tl_timer_seconds(timeout, "timeout", &seconds) < 0 ||
        (is_limited && tl_timer_check_longest(seconds) < 0)) {
        return -1;
    }
    *deadline = tl_timer_after(tl_timer_ns_of(seconds));
    return 0;
}

int
tl_timer_deadline(PyObject *timeout, tl_deadline *deadline)
{
    return read_deadline(timeout, false, deadline);
}

int
tl_timer_deadline_limited(PyObject *timeout, tl_deadline *deadline)
{
    return read_deadline(timeout, true, deadline);
}

// ---- tasklets that wait until a time

// The deadline of a tasklet's wait has passed.
static void
end_wait(struct tl_timer *timer)
{
    TaskletObject *t = TL_CONTAINER(timer, TaskletObject, timer);
    struct tl_sched *s = t->home;
    PyObject *value = t->wait.kind->on_timeout != NULL
                          ? t->wait.kind->on_timeout(&t->wait)
                          : Py_NewRef(s->state->timed_out);
    tl_sched_drop_later(s, tl_task_swap(t, value));
    tl_task_end_wait(t);
    tl_sched_ready(t);
}

void
tl_timer_arm(struct tl_sched *s, TaskletObject *t, tl_deadline deadline)
{
    t->timer.fire = end_wait;
    tl_timer_set(s, &t->timer, deadline);
    tl_task_check(t);
}

// ---- the thread

void
tl_timer_init(struct tl_sched *s)
{
    s->look_at = UINT64_MAX;
    s->look_step = 1;
    tl_link_init(&s->sleepers);
    tl_link_init(&s->later);
}

void
tl_timer_fini(struct tl_sched *s)
{
    tl_timer_heap_clear(&s->timers);
    s->look_at = UINT64_MAX;
}
