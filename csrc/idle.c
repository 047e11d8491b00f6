#include "idle.h"
#include "clock.h"
#include "descriptor.h"
#include "gil.h"
#include "loop.h"
#include "priority.h"
#include "thread.h"
#include "timer.h"
#include "watch.h"

#include <unistd.h>

// How often a thread looks whether those that could wake it are still there, when their
// end may tell nobody, as that of threads without a scheduler; or whether a signal came,
// when nobody tells that. In nanoseconds.
#define LOOK_AGAIN INT64_C(1000000000)

// How long the main thread sleeps without care for signals that other threads receive:
// the care costs more than a short sleep.
#define NAP INT64_C(1000000)

// The main thread is done with the program and only waits for the other threads.
static bool
has_ended(struct tl_state *state, unsigned long ident)
{
    return state->main_has_ended && ident == tl_gil_main_ident();
}

struct census {
    struct tl_state *state;
    long threads;
};

static int
count_thread(unsigned long ident, PyThreadState *Py_UNUSED(ts), void *arg)
{
    struct census *census = arg;
    census->threads += !has_ended(census->state, ident);
    return 0;
}

// Whether the thread of s runs, or will without our help. That a worker will wake it is
// for the worker's own thread to say.
static bool
may_run(struct tl_sched *s)
{
    return !s->waiting || s->head != NULL || s->timers.count > 0 ||
           s->awaited > s->worker_waits;
}

// A thread's scheduler, other than s, that may run, or NULL. *schedulers counts
// the threads that have one.
static struct tl_sched *
running_scheduler(struct tl_sched *s, long *schedulers)
{
    struct tl_state *state = s->state;
    *schedulers = 0;
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *other = TL_CONTAINER(i, struct tl_sched, all);
        if (other->dead || other->resting || has_ended(state, other->ident)) {
            continue;
        }
        ++*schedulers;
        if (other != s && may_run(other)) {
            return other;
        }
    }
    return NULL;
}

static bool
other_scheduler_runs(struct tl_sched *s, long *schedulers)
{
    struct tl_sched *other;
    do {
        other = running_scheduler(s, schedulers);
    } while (other != NULL && !tl_thread_is_there(other));
    return other != NULL;
}

// Whether there is a thread that has no scheduler, and work: it may make one any time.
static bool
plain_thread_runs(struct tl_sched *s, long schedulers)
{
    struct census census = {.state = s->state};
    tl_gil_each_thread(count_thread, &census);
    return census.threads - s->state->nresting > schedulers;
}

// Whether the calling thread is a daemon that outlives the program's own end: it is not
// told that nobody will wake it, it just stays asleep.
static bool
may_stay_asleep(struct tl_sched *s)
{
    if (!s->state->main_has_ended || tl_gil_is_main_thread()) {
        return false;
    }
    s->no_switch++;
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *thread =
        threading ? PyObject_CallMethod(threading, "current_thread", NULL) : NULL;
    PyObject *daemon = thread ? PyObject_GetAttrString(thread, "daemon") : NULL;
    bool result = daemon == Py_True;
    Py_XDECREF(daemon);
    Py_XDECREF(thread);
    Py_XDECREF(threading);
    PyErr_Clear();
    s->no_switch--;
    return result;
}

bool
tl_idle_others_can_run(struct tl_sched *s)
{
    long schedulers;
    return tl_timer_is_pending(s) || tl_watch_is_forever(s) ||
           other_scheduler_runs(s, &schedulers) || plain_thread_runs(s, schedulers) ||
           may_stay_asleep(s);
}

void
tl_idle_recheck(struct tl_state *state)
{
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        if (s->waiting) {
            tl_park_wake(&s->park);
        }
    }
}

// Run signal handlers. The current tasklet is in no state to be left meanwhile.
static int
run_signal_handlers(struct tl_sched *s)
{
    s->no_switch++;
    int result = PyErr_CheckSignals();
    s->no_switch--;
    return result;
}

// Have signal handlers write to fd, or to nothing with -1. Returns where they wrote
// before; -1, with no exception set, if that was nowhere or cannot be found out.
static int
set_wakeup_fd(struct tl_state *state, int fd)
{
    // Whether a program's own descriptor was to warn when full cannot be asked; asyncio's
    // is not, and a warning would be the greater harm.
    PyObject *args = Py_BuildValue("(i)", fd);
    PyObject *kwargs = Py_BuildValue("{s:O}", "warn_on_full_buffer", Py_False);
    PyObject *result =
        args && kwargs ? PyObject_Call(state->set_wakeup_fd, args, kwargs) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    long before = result == NULL ? -1 : PyLong_AsLong(result);
    Py_XDECREF(result);
    PyErr_Clear();
    return (int)before;
}

enum way { SLEEP, POLL };

static void
give_up_gil(struct tl_sched *s, bool in_main, enum way way, int64_t limit_ns)
{
    if (s->guard.marked) {
        tl_governor_pause(&s->guard);
    }
    tl_priority_leave();
    PyThreadState *ts = PyEval_SaveThread();
    tl_priority_left();
    bool slept = false;
    if (s->owes != NULL) {
        tl_nudge_pay(&s->nudge);
    }
    // Without the GIL in between: beside threads that compute it is long in coming. And
    // these need the CPUs.
    if (way == POLL || tl_priority_is_raid() ||
        !tl_park_spin(&s->park, tl_gil_is_free)) {
        slept = tl_park_sleep(&s->park, limit_ns, way == POLL);
    }
    while (!in_main && Py_IsFinalizing()) {
        // A daemon thread may not come back: the interpreter would end it in the
        // middle of a fiber's stack.
        pause();
    }
    tl_priority_take(ts, slept, s->park.many_cpus);
    if (s->guard.marked) {
        tl_governor_return(&s->guard);
    }
    tl_sched_settle(s);
}

// Whether this thread and those that may wake it can run at the same time.
static void
look_for_cpus(struct tl_sched *s)
{
    struct tl_state *state = s->state;
    uint64_t cpus = s->park.cpus;
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        if ((cpus & (cpus - 1)) != 0) {
            break;
        }
        cpus |= TL_CONTAINER(i, struct tl_sched, all)->park.cpus;
    }
    s->park.many_cpus = (cpus & (cpus - 1)) != 0;
}

// The main thread sleeps. A signal that comes in, on whatever thread, between our look
// at it and the sleep must end the sleep: its handler writes to our pipe. A program that
// has its own descriptor there keeps it: then we look again after a while.
static int
sleep_in_main(struct tl_sched *s, int64_t limit_ns)
{
    int fd = tl_park_signal_fd(&s->park);
    int before = fd >= 0 ? set_wakeup_fd(s->state, fd) : -1;
    if (before >= 0) {
        set_wakeup_fd(s->state, before);
        limit_ns = limit_ns < 0 || limit_ns > LOOK_AGAIN ? LOOK_AGAIN : limit_ns;
    }
    int result = run_signal_handlers(s);
    if (result == 0 && s->head == NULL) {
        give_up_gil(s, true, POLL, limit_ns);
    }
    if (fd >= 0 && before < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        set_wakeup_fd(s->state, -1);
        PyErr_SetRaisedException(exc);
    }
    if (s->guard.marked) {
        tl_governor_return(
            &s->guard); // the interpreter looks at a descriptor without the GIL
    }
    return result;
}

// Whether somebody may still wake this thread, and how long it is sure of that. *told:
// whether the others know already that this one does not run.
static bool
may_be_woken(struct tl_sched *s, int64_t *limit_ns, bool *told)
{
    long schedulers;
    bool sure = tl_timer_is_pending(s) || tl_watch_is_forever(s);
    *limit_ns = -1;
    if (sure && s->worker_waits == 0) {
        return true;
    }
    bool runs = other_scheduler_runs(s, &schedulers);
    if (!sure && (!runs || TL_GIL_ENDS_UNSEEN)) {
        *limit_ns = LOOK_AGAIN;
    }
    if (runs || plain_thread_runs(s, schedulers)) {
        return true;
    }
    if (sure && !*told) {
        // The worker itself waits, perhaps in vain: then it gets the error, and we get
        // what comes of it.
        *told = true;
        tl_idle_recheck(s->state);
    }
    return sure || may_stay_asleep(s);
}

// Shorten the sleep to what the callers of run() have. Returns false if that is over.
static bool
has_time_left(struct tl_sched *s, int64_t *limit_ns)
{
    int64_t deadline = tl_watch_deadline(s);
    if (deadline == INT64_MAX) {
        return true;
    }
    int64_t left = deadline - tl_clock_now();
    if (*limit_ns < 0 || left < *limit_ns) {
        *limit_ns = left;
    }
    return left > 0;
}

// Shorten the sleep to what is due next. Returns false if something is now.
static bool
nothing_is_due(struct tl_sched *s, int64_t *limit_ns)
{
    int64_t left = tl_timer_left(s);
    if (left >= 0 && (*limit_ns < 0 || left < *limit_ns)) {
        *limit_ns = left;
    }
    return left != 0;
}

enum tl_idle
tl_idle_wait(struct tl_sched *s)
{
    bool in_main = tl_gil_is_main_thread(), told = false;
    enum tl_idle result = TL_IDLE_WORK;
    enum way way = SLEEP;
    s->waiting = true;
    for (;;) {
        if (way == SLEEP) {
            tl_park_reset(&s->park);
        }
        if (in_main && run_signal_handlers(s) < 0) {
            result = TL_IDLE_ERROR;
            break;
        }
        tl_timer_look(s);
        if (s->head != NULL) {
            break;
        }
        if (tl_watch_is_over(s)) {
            result = TL_IDLE_OVER;
            break;
        }
        int64_t limit_ns;
        if (!may_be_woken(s, &limit_ns, &told)) {
            result = TL_IDLE_DEADLOCK;
            break;
        }
        if (!has_time_left(s, &limit_ns)) {
            result = TL_IDLE_EXPIRED;
            break;
        }
        if (!nothing_is_due(s, &limit_ns)) {
            continue;
        }
        bool needs_poll = tl_descriptor_is_awaited(s) || tl_loop_is_busy(s->loop);
        if (way == SLEEP && !needs_poll) {
            look_for_cpus(s);
            give_up_gil(s, in_main, SLEEP,
                        in_main && (limit_ns < 0 || limit_ns > NAP) ? NAP : limit_ns);
            way = in_main ? POLL : SLEEP;
        } else if (!in_main) {
            give_up_gil(s, false, POLL, limit_ns);
            way = SLEEP;
        } else {
            if (sleep_in_main(s, limit_ns) < 0) {
                result = TL_IDLE_ERROR;
                break;
            }
            way = SLEEP;
        }
    }
    s->waiting = false;
    return result;
}
