// idle.c - the loop in which an idle thread sleeps, and the verdict on deadlocks.
#include "core/idle.h"
#include "core/foreign_threads.h"
#include "core/poll_source.h"
#include "core/run_frame.h"
#include "core/thread.h"
#include "core/thread_sleep.h"
#include "core/timer.h"
#include "cpython/gil.h"
#include "base/clock.h"

// An idle thread that only foreign threads could wake looks at these again after 1, 10
// and 100 ms (MAX_SOON_LOOKS times), since most that seem to run are about to end or to
// sleep, and then each second. WARN_AT: it warns at its 7th look, after three seconds;
// a library's thread that answers earlier is nothing to warn of.
enum { MAX_SOON_LOOKS = 3, WARN_AT = 7 };

static int64_t
pause_before_look(int looks)
{
    int64_t pause = 1000000;
    for (int i = 0; i < looks && i < MAX_SOON_LOOKS; i++) {
        pause *= 10;
    }
    return pause < TL_THREAD_SLEEP_RECHECK_NS ? pause : TL_THREAD_SLEEP_RECHECK_NS;
}

// Whether ident is the main thread's, which has run the program to its end and now only
// waits for other threads.
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

// Whether the thread of s runs, or will be woken without help from the calling thread.
// A wait for a worker does not count: the worker's own thread counts instead.
static bool
may_run(struct tl_sched *s)
{
    return !s->waiting || s->head != NULL || s->timers.count > 0 ||
           s->awaited > s->worker_waits;
}

// A scheduler other than s whose thread may run, or NULL; then *schedulers counts the
// threads that have a scheduler and are not idle workers.
static struct tl_sched *
running_scheduler(struct tl_sched *s, long *schedulers)
{
    struct tl_state *state = s->state;
    *schedulers = 0;
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *other = TL_CONTAINER(i, struct tl_sched, all);
        if (other->dead || other->is_idle_worker || has_ended(state, other->ident)) {
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
    } while (other != NULL && !other->state->thread_is_there(other));
    return other != NULL;
}

// Whether a Python thread without a scheduler runs: it may wake a tasklet at any time.
static bool
plain_thread_runs(struct tl_sched *s, long schedulers)
{
    struct census census = {.state = s->state};
    tl_gil_each_thread(count_thread, &census);
    return census.threads - s->state->nidle_workers > schedulers;
}

// Whether the calling thread is a daemon and the program has ended: it gets no deadlock
// error but stays asleep until the process exits.
static bool
may_stay_asleep(struct tl_sched *s)
{
    if (!s->state->main_has_ended || tl_gil_is_main_thread()) {
        return false;
    }
    s->no_switch++;
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *thread =
        threading ? tl_call_method(threading, "current_thread", NULL) : NULL;
    PyObject *daemon = thread ? tl_getattr(thread, "daemon") : NULL;
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
    return tl_timer_is_pending(s) || tl_run_frame_is_forever(s) ||
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

static bool
has_empty_ring(void *s)
{
    return ((struct tl_sched *)s)->head == NULL;
}

// Whether something may still wake this thread. *limit_ns: after how long it must check
// again, since some changes come without a wake-up; -1: it need not. exempt: from
// deadlock detection. *told: whether the other idle threads have checked again since
// this thread became idle.
static bool
may_be_woken(struct tl_sched *s, bool exempt, int64_t *limit_ns, bool *told)
{
    long schedulers;
    // Once the program has ended, the main thread's tasklets do not finish their
    // imports.
    Py_ssize_t lost = s->state->main_has_ended ? s->import_waits : 0;
    bool sure = s->timers.count > 0 || s->awaited > lost ||
                tl_run_frame_is_forever(s) || exempt;
    *limit_ns = -1;
    if (sure && s->worker_waits == 0 && !exempt) {
        return true;
    }
    bool runs = other_scheduler_runs(s, &schedulers);
    if (!sure && (!runs || TL_GIL_ENDS_UNSEEN)) {
        *limit_ns = TL_THREAD_SLEEP_RECHECK_NS;
    }
    if (runs || plain_thread_runs(s, schedulers)) {
        return true;
    }
    if (sure && !*told) {
        // The worker, or the owner of the lock, is idle itself, perhaps in a deadlock:
        // then it gets the error, and its tasklet's end wakes this thread.
        *told = true;
        tl_idle_recheck(s->state);
    }
    return sure || may_stay_asleep(s);
}

// Limit the sleep by the deadlines of the run frames. Returns false if one has passed.
static bool
has_time_left(struct tl_sched *s, int64_t *limit_ns)
{
    tl_deadline deadline = tl_run_frame_deadline(s);
    if (deadline == TL_DEADLINE_NEVER) {
        return true;
    }
    int64_t left = deadline - tl_clock_now();
    if (*limit_ns < 0 || left < *limit_ns) {
        *limit_ns = left;
    }
    return left > 0;
}

// Limit the sleep by the next timer, and by the next check of the poll sources.
// Returns false if a timer is due now. Moves a fake clock to the next timer.
static bool
nothing_is_due(struct tl_sched *s, int64_t *limit_ns)
{
    int64_t left = tl_timer_ns_left(s);
    tl_deadline check_at = tl_poll_source_next_check(s);
    if (left >= 0 && (*limit_ns < 0 || left < *limit_ns)) {
        *limit_ns = left;
    }
    int64_t until_check = check_at > s->looked ? check_at - s->looked : 0;
    if (check_at != TL_DEADLINE_NEVER && (*limit_ns < 0 || until_check < *limit_ns)) {
        *limit_ns = until_check;
    }
    return left != 0;
}

// Whether no tasklet may be given a deadlock error: all that would get it are exempt.
// leaver: the tasklet that left the ring last; NULL: it has ended.
static bool
is_exempt(struct tl_sched *s, TaskletObject *leaver)
{
    return (leaver == NULL || tl_task_is_exempt(leaver)) &&
           tl_task_is_exempt(tl_sched_resumed_caller(s));
}

enum tl_idle
tl_idle_wait(struct tl_sched *s, TaskletObject *leaver)
{
    bool in_main = tl_gil_is_main_thread(), told = false, poll = false, cared = false;
    int looks = 0;
    bool first = true;
    uint64_t sleeps = s->park.sleeps;
    enum tl_idle result = TL_IDLE_WORK;
    s->waiting = true;
    for (;;) {
        if (!poll) {
            tl_park_reset(&s->park);
        }
        if (in_main && tl_thread_sleep_run_handlers() < 0) {
            result = TL_IDLE_ERROR;
            break;
        }
        s->sleep_follows = s->park.edges != NULL && first;
        tl_timer_poll(s);
        s->sleep_follows = first = false;
        if (s->head != NULL) {
            break;
        }
        if (tl_run_frame_is_over(s)) {
            result = TL_IDLE_OVER;
            break;
        }
        int64_t limit_ns;
        if (!may_be_woken(s, is_exempt(s, leaver), &limit_ns, &told)) {
            if (tl_sched_resumed_caller(s)->place == TL_FLOATING ||
                s->state->main_has_ended || !tl_foreign_threads_may_run()) {
                result = TL_IDLE_DEADLOCK;
                break;
            }
            limit_ns = pause_before_look(looks);
            if (++looks == WARN_AT && tl_foreign_threads_warn() < 0) {
                result = TL_IDLE_ERROR;
                break;
            }
        }
        if (!has_time_left(s, &limit_ns)) {
            result = TL_IDLE_EXPIRED;
            break;
        }
        if (!nothing_is_due(s, &limit_ns)) {
            continue;
        }
        bool needs_poll = tl_poll_source_is_busy(s);
        if (!poll && !needs_poll) {
            tl_thread_sleep_look_for_cpus(s->state, &s->park);
            bool nap = in_main && (limit_ns < 0 || limit_ns > TL_THREAD_SLEEP_SHORT_NS);
            tl_thread_sleep(&s->park, in_main ? TL_SLEEP_IN_MAIN : 0,
                            nap ? TL_THREAD_SLEEP_SHORT_NS : limit_ns);
            poll = in_main;
        } else if (!in_main) {
            tl_thread_sleep(&s->park, TL_SLEEP_POLL, limit_ns);
            poll = false;
        } else if (!cared) {
            // As above: most sleeps on a busy network are shorter.
            bool is_long = limit_ns < 0 || limit_ns > TL_THREAD_SLEEP_SHORT_NS;
            tl_thread_sleep(&s->park, TL_SLEEP_IN_MAIN | TL_SLEEP_POLL,
                            is_long ? TL_THREAD_SLEEP_SHORT_NS : limit_ns);
            cared = true;
            poll = false;
        } else {
            if (tl_thread_sleep_in_main(s->state, &s->park, limit_ns, has_empty_ring,
                                        s) < 0) {
                result = TL_IDLE_ERROR;
                break;
            }
            poll = false;
        }
    }
    s->waiting = false;
    if (s->park.sleeps != sleeps) {
        s->stamp_left = 0; // time has passed: the next wait reads the clock
    }
    return result;
}
