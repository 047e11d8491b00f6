#include "cpython/gil_priority.h"
#include "cpython/gil.h"
#include "base/clock.h"
#include "base/park.h"
#include "base/stress.h"

#include <pthread.h>
#include <unistd.h>

// All in nanoseconds. How long one of us may have the GIL before another of us asks for
// it; how often the other looks whether it still has it; how often those look that have
// to wait longer.
#define SLICE INT64_C(500000)
#define TICK INT64_C(50000)
#define LOOK_AGAIN INT64_C(1000000)

// For how long one that has asked looks without a pause whether the GIL comes free.
#define SPIN TL_STRESS_OR(INT64_C(20000), 0)

// What is taken by asking is paid for by waiting SHARE times as long, up to ADVANCE of it
// afterwards. Being interrupted costs the others COST.
enum { SHARE = 5 };
#define ADVANCE INT64_C(2000000)
#define COST INT64_C(20000)

// If the GIL went from one of us to the next for BURST, and longer each time that nobody
// else wanted it, others are given GRACE microseconds to get it. The clock is read every
// LOOK times.
enum { GRACE = 50, LOOK = TL_STRESS_OR(16, 1) };
#define BURST INT64_C(500000)
#define BURST_MOST INT64_C(100000000)

// The one process-wide account of the raids: each begins when a thread is made to drop
// the GIL, and lasts until one gets it that is not one of us: that has not slept before.
// Changed with the GIL's own mutex, but number, favoured, run and takes, for which the
// GIL will do, and checked and works, for which it has to.
static struct {
    unsigned long asking;    // how many threads are on their way to the GIL
    int64_t paid;            // when the others will have had their share
    int64_t raid;            // when it began; 0: none
    int64_t left;            // when the last one of us gave the GIL up, or will have
    PyThreadState *favoured; // the last one of us that got it, only to be compared,
    unsigned long number;    // and by which switch
    int64_t run;             // since when no other has had it; 0: not known
    unsigned takes;          // how often we got it meanwhile
    int64_t burst;           // how long that may go on
    pthread_cond_t passed;   // one of us gave up the GIL while others are asking
    bool checked, works, closed, spinning;
} account = {.burst = BURST};

static int64_t
interval(void)
{
    unsigned long us = tl_governor_interval(); // may be huge
    return us < 1000000000 ? (int64_t)us * 1000 : INT64_C(1000000000000);
}

bool
tl_gil_priority_is_raid(void)
{
    return __atomic_load_n(&account.raid, __ATOMIC_RELAXED) != 0;
}

static void
set_raid(int64_t raid)
{
    __atomic_store_n(&account.raid, raid, __ATOMIC_RELAXED);
}

// The mutex is held, as in all below.
static void
pay(int64_t now)
{
    int64_t used = account.left - account.raid + COST;
    account.paid = (account.paid > now ? account.paid : now) + SHARE * used;
    set_raid(0);
}

// Whether the holder slept before, and has had the GIL since.
static bool
is_one_of_us(void)
{
    return tl_gil_holder() == account.favoured &&
           tl_gil_switches() == __atomic_load_n(&account.number, __ATOMIC_RELAXED);
}

// From when on one that waits since began may ask the holder.
static int64_t
may_ask_from(int64_t began)
{
    int64_t from = began + interval();
    if (account.paid - ADVANCE < from) {
        from = account.paid - ADVANCE;
    }
    // One of us is soon done with it.
    return is_one_of_us() && began + SLICE > from ? began + SLICE : from;
}

// Look for some time whether the GIL comes free: one that sleeps is too slow to get it
// before another that was first in the queue. One at a time. The mutex is given up
// meanwhile.
static void
spin(int64_t now)
{
    int64_t end = now + SPIN;
    account.spinning = true;
    pthread_mutex_unlock(tl_gil_mutex());
    while (!tl_gil_is_free() && tl_clock_now() < end) {
        tl_park_relax();
    }
    pthread_mutex_lock(tl_gil_mutex());
    account.spinning = false;
}

// Wait until the GIL is free, or its holder may be asked for it. The mutex is given up
// meanwhile.
static void
wait_for_leave(void)
{
    int64_t began = tl_clock_now(), now = began;
    while (tl_gil_is_locked() && !account.closed) {
        int64_t from = may_ask_from(began);
        if (from <= now) {
            return;
        }
        bool ours = is_one_of_us();
        int64_t end = now + (ours ? TICK : LOOK_AGAIN);
        end = from < end ? from : end;
        struct timespec until = {end / 1000000000, end % 1000000000};
        pthread_cond_timedwait(ours ? &account.passed : tl_gil_cond(), tl_gil_mutex(),
                               &until);
        now = tl_clock_now();
    }
}

// The GIL is free, and we have had it for long enough: others, who were told each time
// that it came free, may just have been slower. The mutex is given up meanwhile.
static void
let_others_in(void)
{
    unsigned long number = account.number;
    pthread_cond_signal(tl_gil_cond());
    pthread_mutex_unlock(tl_gil_mutex());
    usleep(GRACE);
    pthread_mutex_lock(tl_gil_mutex());
    if (tl_gil_switches() != number) {
        account.burst = BURST;
        if (account.raid != 0) {
            pay(tl_clock_now());
        }
    } else {
        set_raid(0); // nobody is waiting
        account.burst = account.burst < BURST_MOST ? 2 * account.burst : BURST_MOST;
    }
    account.run = account.takes = 0;
}

// The calling thread has got the GIL. Needs no mutex.
static void
remember(PyThreadState *ts)
{
    unsigned long number = tl_gil_switches();
    if (number - account.number > 1) {
        account.run = account.takes = 0;
    }
    account.favoured = ts;
    account.takes++;
    __atomic_store_n(&account.number, number, __ATOMIC_RELAXED);
}

// The same with the mutex held, and the time counted.
static void
note(PyThreadState *ts, bool hurries)
{
    int64_t now = tl_clock_now();
    if (tl_gil_switches() - account.number > 1) { // somebody else was in between
        if (account.raid != 0) {
            pay(now);
        }
        set_raid(hurries ? now : 0);
    }
    remember(ts);
    account.left = now + SLICE; // should it not tell
    if (account.run == 0) {
        account.run = now;
    }
}

static void
init_condition(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&account.passed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

// The first time is like any other thread's: after it we know whether the interpreter is
// as expected.
TL_COLD static void
check(void)
{
    account.checked = true;
    PyObject *exc = PyErr_GetRaisedException();
    init_condition();
    account.works = tl_governor_is_ready();
    PyErr_SetRaisedException(exc);
}

void
tl_gil_priority_take(PyThreadState *ts, bool slept, bool many_cpus)
{
    bool is_free = tl_gil_is_free();
    // Whether there are others, of whom one may be faster. The count may be a little old.
    bool others =
        tl_gil_priority_is_raid() || account.takes < LOOK ||
        tl_gil_switches() != __atomic_load_n(&account.number, __ATOMIC_RELAXED);
    bool asks = slept || others || !is_free;
    if (!account.works || (!others && is_free && account.takes % LOOK != LOOK - 1)) {
        PyEval_RestoreThread(ts);
        remember(ts);
        if (TL_UNLIKELY(!account.checked) && !is_free && !account.closed) {
            check();
        }
        return;
    }
    pthread_mutex_lock(tl_gil_mutex());
    __atomic_store_n(&account.asking, account.asking + 1, __ATOMIC_RELAXED);
    if (account.run != 0 && !tl_gil_is_locked() &&
        tl_gil_switches() == account.number &&
        tl_clock_now() - account.run > (account.raid != 0 ? BURST : account.burst)) {
        let_others_in();
    }
    if (asks) {
        wait_for_leave();
    }
    bool hurries = asks && !account.closed;
    if (hurries) {
        tl_governor_hurry(); // also if the GIL is free: another may be faster
        if (many_cpus && !account.spinning) {
            spin(tl_clock_now());
        }
    }
    pthread_mutex_unlock(tl_gil_mutex());
    // Whoever was asked goes on only when another has the GIL: never without this.
    PyEval_RestoreThread(ts);
    pthread_mutex_lock(tl_gil_mutex());
    __atomic_store_n(&account.asking, account.asking - 1, __ATOMIC_RELAXED);
    note(ts, hurries);
    if (hurries) {
        tl_governor_hurried();
        // It has counted a switch.
        __atomic_store_n(&account.number, tl_gil_switches(), __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_gil_priority_leave(void)
{
    if (TL_UNLIKELY(tl_gil_priority_is_raid())) {
        pthread_mutex_lock(tl_gil_mutex());
        if (tl_gil_switches() == account.number) {
            account.left = tl_clock_now();
        }
        pthread_mutex_unlock(tl_gil_mutex());
    }
}

void
tl_gil_priority_left(void)
{
    // A look without the mutex may miss one, which looks for itself soon.
    if (TL_UNLIKELY(__atomic_load_n(&account.asking, __ATOMIC_RELAXED) != 0)) {
        pthread_mutex_lock(tl_gil_mutex());
        pthread_cond_signal(&account.passed);
        pthread_mutex_unlock(tl_gil_mutex());
    }
}

void
tl_gil_priority_stop(void)
{
    pthread_mutex_lock(tl_gil_mutex());
    account.closed = true;
    while (account.asking > 0) {
        // They would not get the GIL once the interpreter is ending, and whoever was
        // asked by them would wait for ever.
        pthread_mutex_unlock(tl_gil_mutex());
        usleep(100);
        pthread_mutex_lock(tl_gil_mutex());
    }
    account.works = false;
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_gil_priority_forget_threads(void)
{
    account.asking = 0;
    account.spinning = false;
    account.raid = 0;
    account.favoured = NULL;
    init_condition();
}
