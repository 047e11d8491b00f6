// timer.c - timers of a scheduler, and when a busy thread polls for what is due.
#include "core/timer.h"
#include "core/flush.h"
#include "core/poll_source.h"

#include <math.h>

// A thread with runnable tasklets polls at the first switch after POLL_INTERVAL_NS.
// That is a third of what waking a thread costs at worst, and a poll of 2 us once in
// that time costs 2 %. A longer interval makes answers late beside tasklets that
// compute.
enum { POLL_INTERVAL_NS = 100000 };

// While a budget counts switches, each switch is looked at anyway, and a thread polls
// every s->look_step of them. MAX_POLL_STEP is the maximum of that number. It is
// adapted so that polls are between MIN_POLL_INTERVAL_NS and MAX_POLL_INTERVAL_NS
// apart.
enum {
    MAX_POLL_STEP = TL_STRESS_OR(16, 1),
    MIN_POLL_INTERVAL_NS = 200000,
    MAX_POLL_INTERVAL_NS = 500000
};

// The rate of the counter of cycles is measured over this time.
enum { CALIBRATION_NS = 1000000 };

// Until the rate has been measured: for a counter with 1 GHz. A faster one makes the
// first polls come early.
uint64_t tl_timer_poll_cycles = POLL_INTERVAL_NS;

// Measure how fast the counter of cycles is; now: the time. The GIL guards this.
static void
calibrate(int64_t now, uint64_t cycles)
{
    static int64_t begin;
    static uint64_t begin_cycles;
    static bool is_done;
    if (is_done) {
        return;
    }
    if (begin == 0 || cycles <= begin_cycles) {
        begin = now;
        begin_cycles = cycles;
    } else if (now - begin >= CALIBRATION_NS) {
        double rate = (double)(cycles - begin_cycles) / (double)(now - begin);
        tl_timer_poll_cycles = (uint64_t)(rate * POLL_INTERVAL_NS);
        is_done = true;
    }
}

// A poll has just been made, or is not needed yet.
static void
note_look(struct tl_sched *s)
{
    s->looked = tl_clock_now();
    s->looked_cycles = tl_clock_cycles();
    s->looked_switches = s->switches;
    s->look_yields = s->yields + TL_TIMER_MAX_SWITCHES;
    calibrate(s->looked, s->looked_cycles);
}

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
        note_look(s);
        s->look_step = 1; // it is not known how long tasklets run between switches
        s->look_at = s->switches + 1;
        s->only_looks = s->limit == UINT64_MAX;
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

// Set the switch at which to poll next, or to look whether it is time. The longer
// tasklets run between switches, the fewer switches there are between polls.
static void
plan_next_look(struct tl_sched *s)
{
    int64_t past = -s->looked;
    note_look(s);
    past += s->looked;
    if (past > MAX_POLL_INTERVAL_NS) {
        s->look_step = s->look_step * MAX_POLL_INTERVAL_NS / (uint64_t)past;
        s->look_step += s->look_step == 0;
    } else if (past < MIN_POLL_INTERVAL_NS && s->look_step < MAX_POLL_STEP) {
        s->look_step *= 2;
    }
    bool pending = tl_timer_is_pending(s) || tl_poll_source_is_busy(s);
    uint64_t step = s->only_looks ? 1 : s->look_step;
    s->look_at = pending ? s->switches + step : UINT64_MAX;
}

void
tl_timer_poll(struct tl_sched *s)
{
    tl_flush_all(s);
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
    if (s->look_at != UINT64_MAX &&
        (s->yields >= s->look_yields || tl_timer_is_time_to_poll(s))) {
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
    tl_link_init(&s->unflushed);
}

void
tl_timer_fini(struct tl_sched *s)
{
    tl_timer_heap_clear(&s->timers);
    s->look_at = UINT64_MAX;
}
