// gil_priority.c - a process-wide budget of preemptions for threads that were woken.
//
// A thread that was woken is urgent: it preempts the holder of the GIL, a thread that
// computes, instead of waiting a switch interval. A preemption lasts until a thread
// that is not urgent gets the GIL, and is charged: REPAY_FACTOR times the time that
// urgent threads used in it, plus a fixed cost, must pass before the next one, except
// that CREDIT_NS may be owed; until then an urgent thread waits a switch interval like
// any other. Urgent threads preempt each other only after SLICE_NS, because most
// release the GIL long before. If they hand the GIL to each other for too long, the
// next one leaves it free for a moment: the other waiters are signalled at each release
// and may just be too slow.
#include "cpython/gil_priority.h"
#include "cpython/gil.h"
#include "base/clock.h"
#include "base/park.h"
#include "base/pthreads.h"
#include "base/stress.h"

#include <unistd.h>

// How long an urgent thread may keep the GIL before another urgent thread asks for it.
#define SLICE_NS INT64_C(500000)

// Longest sleep of an urgent waiter between two looks at the GIL: while another urgent
// thread has it, which usually releases it within microseconds, and while a thread that
// computes has it.
#define POLL_NS INT64_C(50000)
#define SLOW_POLL_NS INT64_C(1000000)

// How long one urgent waiter, after asking, spins until the GIL is free. A holder that
// was asked drops it within microseconds, and a waiter that sleeps would lose the race
// to the first thread in the queue of the GIL's condition.
#define SPIN_NS TL_STRESS_OR(INT64_C(20000), 0)

// Preemptions that use a time t begin at least REPAY_FACTOR * t apart: urgent threads
// get less than a fifth of the time by preempting.
enum { REPAY_FACTOR = 5 };

// How much of that distance may be owed when the next preemption begins: a short burst
// of wake-ups is served at once.
#define CREDIT_NS INT64_C(2000000)

// What a preemption costs the thread that computes, besides the time used: two switches
// and cold caches.
#define PREEMPTION_COST_NS INT64_C(20000)

// How long urgent threads may hand the GIL to each other before the others are let in.
// The limit doubles up to the maximum while no other thread wants the GIL.
#define MIN_RUN_NS INT64_C(500000)
#define MAX_RUN_NS INT64_C(100000000)

// How long the GIL is then left free: enough to wake a thread on another CPU.
enum { LET_IN_US = 50 };

// The fast path takes the slow one, which reads the clock, after this many takes.
enum { TAKES_PER_LOOK = TL_STRESS_OR(16, 1) };

// The one process-wide budget. Fields are written with the GIL's mutex held, or with
// the GIL where that is said. tl_gil_priority_take() also reads some with neither, to
// choose between its two paths: an old value only makes it take the wrong one.
static struct {
    unsigned long asking; // number of urgent threads between the mutex and the GIL
    int64_t repaid_at;    // when the past preemptions will have been repaid
    int64_t preempted_at; // when the current preemption began; 0: there is none
    int64_t released_at;  // when the last urgent holder released the GIL; set to
                          // the end of its slice when it takes the GIL
    PyThreadState *last_urgent; // last urgent holder, only compared. Locks: the GIL
    unsigned long last_switch;  // switch number of its take. Locks: the GIL
    int64_t run_start;     // since when only urgent threads had the GIL; 0: not known.
                           // Locks: the GIL
    unsigned takes;        // takes by urgent threads since then. Locks: the GIL
    int64_t max_run_ns;    // current limit of such a run
    pthread_cond_t passed; // an urgent thread released the GIL while others are asking
    bool checked;          // works has been decided. Locks: the GIL
    bool works;    // preemptions are possible. Locks: the GIL; the mutex to clear
    bool closed;   // the interpreter is ending
    bool spinning; // one waiter spins
} budget = {.max_run_ns = MIN_RUN_NS};

static int64_t
interval_ns(void)
{
    unsigned long us = tl_governor_interval(); // may be huge
    return us < 1000000000 ? (int64_t)us * 1000 : INT64_C(1000000000000);
}

bool
tl_gil_priority_is_preempting(void)
{
    return __atomic_load_n(&budget.preempted_at, __ATOMIC_RELAXED) != 0;
}

static void
set_preempted_at(int64_t when)
{
    __atomic_store_n(&budget.preempted_at, when, __ATOMIC_RELAXED);
}

// A relaxed read, for callers with neither the mutex nor the GIL.
static unsigned long
last_switch(void)
{
    return __atomic_load_n(&budget.last_switch, __ATOMIC_RELAXED);
}

// ---- with the GIL's mutex held

// End the current preemption and charge it.
static void
end_preemption(int64_t now)
{
    int64_t used = budget.released_at - budget.preempted_at + PREEMPTION_COST_NS;
    int64_t start = budget.repaid_at > now ? budget.repaid_at : now;
    budget.repaid_at = start + REPAY_FACTOR * used;
    set_preempted_at(0);
}

// Whether the holder is an urgent thread, and has had the GIL ever since it took it.
static bool
holder_is_urgent(void)
{
    return tl_gil_holder() == budget.last_urgent && tl_gil_switches() == last_switch();
}

// When a thread that has waited since `began` may ask the holder: as soon as the budget
// allows, and after a switch interval at the latest.
static int64_t
may_ask_at(int64_t began)
{
    int64_t at = began + interval_ns();
    if (budget.repaid_at - CREDIT_NS < at) {
        at = budget.repaid_at - CREDIT_NS;
    }
    return holder_is_urgent() && began + SLICE_NS > at ? began + SLICE_NS : at;
}

// Spin until the GIL is free, or for SPIN_NS. Only one thread spins at a time. Releases
// the mutex while it spins.
static void
spin(int64_t now)
{
    int64_t end = now + SPIN_NS;
    budget.spinning = true;
    pthread_mutex_unlock(tl_gil_mutex());
    while (!tl_gil_is_free() && tl_clock_now() < end) {
        tl_park_relax();
    }
    pthread_mutex_lock(tl_gil_mutex());
    budget.spinning = false;
}

// Wait until the GIL is free or its holder may be asked for it. Releases the mutex
// while it sleeps.
static void
wait_until_may_ask(void)
{
    int64_t began = tl_clock_now(), now = began;
    while (tl_gil_is_locked() && !budget.closed) {
        int64_t at = may_ask_at(began);
        if (at <= now) {
            return;
        }
        bool urgent = holder_is_urgent();
        int64_t end = now + (urgent ? POLL_NS : SLOW_POLL_NS);
        end = at < end ? at : end;
        tl_pthread_wait_until(urgent ? &budget.passed : tl_gil_cond(), tl_gil_mutex(),
                              end);
        now = tl_clock_now();
    }
}

// Urgent threads have had the free GIL for long enough: leave it free for a moment, for
// a waiter that was signalled but is slower. Releases the mutex for LET_IN_US.
static void
let_others_in(void)
{
    unsigned long number = budget.last_switch;
    pthread_cond_signal(tl_gil_cond());
    pthread_mutex_unlock(tl_gil_mutex());
    usleep(LET_IN_US);
    pthread_mutex_lock(tl_gil_mutex());
    if (tl_gil_switches() != number) {
        budget.max_run_ns = MIN_RUN_NS;
        if (budget.preempted_at != 0) {
            end_preemption(tl_clock_now());
        }
    } else {
        set_preempted_at(0); // no other thread is waiting
        budget.max_run_ns =
            budget.max_run_ns < MAX_RUN_NS ? 2 * budget.max_run_ns : MAX_RUN_NS;
    }
    budget.run_start = budget.takes = 0;
}

// ---- taking the GIL

// The calling thread has taken the GIL. Locks: the GIL; the mutex is not needed.
static void
note_take(PyThreadState *ts)
{
    unsigned long number = tl_gil_switches();
    if (number - budget.last_switch > 1) {
        budget.run_start = budget.takes = 0;
    }
    budget.last_urgent = ts;
    budget.takes++;
    __atomic_store_n(&budget.last_switch, number, __ATOMIC_RELAXED);
}

// The same on the slow path, with the mutex held: keep the times, too.
static void
note_timed_take(PyThreadState *ts, bool asked)
{
    int64_t now = tl_clock_now();
    if (tl_gil_switches() - budget.last_switch >
        1) { // another thread had it in between
        if (budget.preempted_at != 0) {
            end_preemption(now);
        }
        set_preempted_at(asked ? now : 0);
    }
    note_take(ts);
    budget.released_at = now + SLICE_NS; // unless tl_gil_priority_leave() says sooner
    if (budget.run_start == 0) {
        budget.run_start = now;
    }
}

// Find out whether the interpreter is as expected. Called with the GIL, after the first
// take that had to wait, which took the GIL as any thread does.
TL_COLD static void
check(void)
{
    budget.checked = true;
    PyObject *exc = PyErr_GetRaisedException();
    tl_pthread_cond_init(&budget.passed);
    budget.works = tl_governor_is_ready();
    PyErr_SetRaisedException(exc);
}

// How a thread takes the GIL.
enum way {
    AS_ANY_THREAD, // no other thread seems to want it, or preemptions are impossible
    WITH_A_LOOK,   // the same, but now and then the clock is read
    URGENTLY       // other threads may want it, and one of them may be faster
};

// is_free: whether the GIL is. slept: whether the calling thread has slept without it.
static inline enum way
choose_way(bool is_free, bool slept)
{
    bool others = tl_gil_priority_is_preempting() || budget.takes < TAKES_PER_LOOK ||
                  tl_gil_switches() != last_switch();
    if (!budget.works) {
        return AS_ANY_THREAD;
    }
    if (others || !is_free) {
        return URGENTLY;
    }
    if (budget.takes % TAKES_PER_LOOK != TAKES_PER_LOOK - 1) {
        return AS_ANY_THREAD;
    }
    return slept ? URGENTLY : WITH_A_LOOK;
}

// Whether urgent threads have handed the free GIL to each other for too long.
static bool
must_let_others_in(void)
{
    return budget.run_start != 0 && !tl_gil_is_locked() &&
           tl_gil_switches() == budget.last_switch &&
           tl_clock_now() - budget.run_start >
               (budget.preempted_at != 0 ? MIN_RUN_NS : budget.max_run_ns);
}

// Wait until the calling thread may take the GIL. Returns whether it has asked the
// holder for it.
static bool
queue_for_gil(enum way way, bool many_cpus)
{
    pthread_mutex_lock(tl_gil_mutex());
    __atomic_store_n(&budget.asking, budget.asking + 1, __ATOMIC_RELAXED);
    if (must_let_others_in()) {
        let_others_in();
    }
    if (way == URGENTLY) {
        wait_until_may_ask();
    }
    bool asked = way == URGENTLY && !budget.closed;
    if (asked) {
        tl_governor_add_urgent(); // even if the GIL is free: another may be faster
        if (many_cpus && !budget.spinning) {
            spin(tl_clock_now());
        }
    }
    pthread_mutex_unlock(tl_gil_mutex());
    return asked;
}

// The calling thread has queued for the GIL, and has taken it.
static void
account_for_take(PyThreadState *ts, bool asked)
{
    pthread_mutex_lock(tl_gil_mutex());
    __atomic_store_n(&budget.asking, budget.asking - 1, __ATOMIC_RELAXED);
    note_timed_take(ts, asked);
    if (asked) {
        tl_governor_remove_urgent();
        // That may have counted a switch.
        __atomic_store_n(&budget.last_switch, tl_gil_switches(), __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_gil_priority_take(PyThreadState *ts, bool slept, bool many_cpus)
{
    bool is_free = tl_gil_is_free();
    enum way way = choose_way(is_free, slept);
    if (way == AS_ANY_THREAD) {
        PyEval_RestoreThread(ts);
        note_take(ts);
        if (TL_UNLIKELY(!budget.checked) && !is_free && !budget.closed) {
            check();
        }
        return;
    }
    bool asked = queue_for_gil(way, many_cpus);
    // A holder that was asked goes on only when another thread has taken the GIL, so
    // nothing may keep us from this call.
    PyEval_RestoreThread(ts);
    account_for_take(ts, asked);
}

void
tl_gil_priority_leave(void)
{
    if (TL_UNLIKELY(tl_gil_priority_is_preempting())) {
        pthread_mutex_lock(tl_gil_mutex());
        if (tl_gil_switches() == budget.last_switch) {
            budget.released_at = tl_clock_now();
        }
        pthread_mutex_unlock(tl_gil_mutex());
    }
}

void
tl_gil_priority_left(void)
{
    // A read without the mutex may miss a waiter, which polls every POLL_NS anyway.
    if (TL_UNLIKELY(__atomic_load_n(&budget.asking, __ATOMIC_RELAXED) != 0)) {
        pthread_mutex_lock(tl_gil_mutex());
        pthread_cond_signal(&budget.passed);
        pthread_mutex_unlock(tl_gil_mutex());
    }
}

void
tl_gil_priority_stop(void)
{
    pthread_mutex_lock(tl_gil_mutex());
    budget.closed = true;
    while (budget.asking > 0) {
        // Once the interpreter is ending, waiters do not get the GIL any more, and a
        // holder that they asked would wait forever for one of them to take it.
        pthread_mutex_unlock(tl_gil_mutex());
        usleep(100);
        pthread_mutex_lock(tl_gil_mutex());
    }
    budget.works = false;
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_gil_priority_forget_threads(void)
{
    budget.asking = 0;
    budget.spinning = false;
    budget.preempted_at = 0;
    budget.last_urgent = NULL;
    tl_pthread_cond_init(&budget.passed);
}
