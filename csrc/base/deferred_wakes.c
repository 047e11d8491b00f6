// deferred_wakes.c - deferring, flushing, and the flusher, an internal thread.
#include "base/deferred_wakes.h"
#include "base/clock.h"
#include "base/internal_threads.h"
#include "base/pthreads.h"
#include "base/stress.h"

#include <sched.h>
#include <stddef.h>
#include <time.h>

// The flusher's period: a wake-up that its waker does not flush is one to two of these
// late. After IDLE_TICKS periods without a new deferred wake-up the flusher sleeps
// until the next one, so that idle programs have no thread that ticks.
enum { TICK_NS = 1000000, IDLE_TICKS = 20 };

// A waker that slept within SOON_NS after it had woken another thread,
// MIN_PROMPT_SLEEPS times in a row, is expected to do so again. SOON_NS is about twice
// the time that a thread on another CPU takes to wake up: deferring for longer would
// delay it.
enum { SOON_NS = 100000, MIN_PROMPT_SLEEPS = 2 };

// The one process-wide flusher.
static struct {
    pthread_mutex_t
        mutex; // guards wakers; held while the flusher or a forget() flushes
    struct tl_deferred_wakes wakers; // list head
    _Atomic bool started;
    struct tl_park park;         // the flusher sleeps on it while nothing is deferred
    _Atomic bool idle;           // it sleeps there, or is about to
    _Atomic unsigned long added; // number of wake-ups ever deferred, to notice new ones
} flusher = {.mutex = PTHREAD_MUTEX_INITIALIZER,
             .wakers = {.prev = &flusher.wakers, .next = &flusher.wakers}};

// The park in a place, or NULL. Only a hint: the exchange in tl_deferred_wakes_flush()
// decides. Acquire: tl_deferred_wakes_forget(), if it finds the place empty here, then
// sees in `flushing` the thread that emptied it.
static struct tl_park *
peek(struct tl_deferred_wakes *wakes, int i)
{
    return atomic_load_explicit(&wakes->deferred[i], memory_order_acquire);
}

// Whether the wake-up of park is deferred; NULL: of any park.
static bool
has_deferred(struct tl_deferred_wakes *wakes, const struct tl_park *park)
{
    for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
        const struct tl_park *found = peek(wakes, i);
        if (found != NULL && (park == NULL || found == park)) {
            return true;
        }
    }
    return false;
}

// Flush the wakers whose wake-ups have been deferred since before the last tick.
static void
flush_old(void)
{
    pthread_mutex_lock(&flusher.mutex);
    struct tl_deferred_wakes *n = flusher.wakers.next;
    for (; n != &flusher.wakers; n = n->next) {
        if (has_deferred(n, NULL) &&
            atomic_fetch_add_explicit(&n->age, 1, memory_order_relaxed) > 0) {
            tl_deferred_wakes_flush(n);
        }
    }
    pthread_mutex_unlock(&flusher.mutex);
}

static void *
flush_for_all(void *arg)
{
    tl_internal_threads_note();
    unsigned long seen = 0;
    int quiet = 0;
    for (;;) {
        struct timespec tick = {.tv_nsec = TICK_NS};
        nanosleep(&tick, NULL);
        flush_old();
        // Acquire: pairs with the release in tl_deferred_wakes_add().
        unsigned long added =
            atomic_load_explicit(&flusher.added, memory_order_acquire);
        quiet = added == seen ? quiet + 1 : 0;
        seen = added;
        if (quiet < IDLE_TICKS) {
            continue;
        }
        tl_park_reset(&flusher.park);
        atomic_store(&flusher.idle, true);
        // Sequentially consistent, as in tl_deferred_wakes_add(): either this thread
        // sees the new wake-up here, or the waker sees that the flusher is idle.
        if (atomic_load(&flusher.added) == seen) {
            tl_park_sleep(&flusher.park, -1, false);
        }
        atomic_store(&flusher.idle, false);
        quiet = 0;
    }
    return arg;
}

// Returns whether the flusher runs.
static bool
start_flusher(void)
{
    pthread_mutex_lock(&flusher.mutex);
    if (!flusher.started) {
        tl_park_init(&flusher.park);
        pthread_t thread;
        flusher.started = tl_pthread_start(&thread, NULL, flush_for_all) == 0;
        if (flusher.started) {
            pthread_detach(thread);
        }
    }
    bool started = flusher.started;
    pthread_mutex_unlock(&flusher.mutex);
    return started;
}

void
tl_deferred_wakes_init(struct tl_deferred_wakes *wakes)
{
    for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
        atomic_store_explicit(&wakes->deferred[i], NULL, memory_order_relaxed);
    }
    atomic_store_explicit(&wakes->age, 0, memory_order_relaxed);
    atomic_store_explicit(&wakes->flushing, 0, memory_order_relaxed);
    wakes->woke_at = 0;
    wakes->prompt_sleeps = 0;
    pthread_mutex_lock(&flusher.mutex);
    wakes->prev = &flusher.wakers;
    wakes->next = flusher.wakers.next;
    wakes->next->prev = wakes;
    flusher.wakers.next = wakes;
    pthread_mutex_unlock(&flusher.mutex);
}

void
tl_deferred_wakes_fini(struct tl_deferred_wakes *wakes)
{
    pthread_mutex_lock(&flusher.mutex);
    tl_deferred_wakes_flush(wakes);
    wakes->prev->next = wakes->next;
    wakes->next->prev = wakes->prev;
    pthread_mutex_unlock(&flusher.mutex);
}

// The waker is about to wake a sleeping thread. Whether it can be expected to sleep
// soon itself, judging by what it did the last times.
static bool
is_prompt(struct tl_deferred_wakes *wakes)
{
    int64_t now = tl_clock_now();
    if (wakes->woke_at != 0 && now - wakes->woke_at >= SOON_NS) {
        wakes->prompt_sleeps = 0;
    }
    wakes->woke_at = now;
    return wakes->prompt_sleeps == MIN_PROMPT_SLEEPS;
}

void
tl_deferred_wakes_wake(struct tl_deferred_wakes *wakes, struct tl_park *park)
{
    if (TL_STRESS_DEFERS && wakes != NULL) {
        tl_deferred_wakes_add(wakes, park);
        tl_deferred_wakes_flush(wakes);
    } else if (wakes != NULL && tl_park_is_asleep(park) &&
               (is_prompt(wakes) || !park->many_cpus)) {
        tl_deferred_wakes_add(wakes, park);
    } else {
        tl_park_wake(park);
    }
}

void
tl_deferred_wakes_before_sleep(struct tl_deferred_wakes *wakes)
{
    if (wakes->woke_at != 0) {
        bool soon = tl_clock_now() - wakes->woke_at < SOON_NS;
        bool more = wakes->prompt_sleeps < MIN_PROMPT_SLEEPS;
        wakes->prompt_sleeps = !soon ? 0 : wakes->prompt_sleeps + more;
        wakes->woke_at = 0;
    }
}

void
tl_deferred_wakes_add(struct tl_deferred_wakes *wakes, struct tl_park *park)
{
    int place = 0;
    for (int i = TL_DEFERRED_WAKES_MAX - 1; i >= 0; i--) {
        struct tl_park *other = peek(wakes, i);
        if (other == park) {
            return;
        }
        place = other == NULL ? i : place;
    }
    if (peek(wakes, place) != NULL || (!flusher.started && !start_flusher())) {
        tl_park_wake(park);
        return;
    }
    // Release: the thread that flushes, and the woken thread, see what the waker
    // changed. A store will do, because no other thread fills a place.
    atomic_store_explicit(&wakes->deferred[place], park, memory_order_release);
    atomic_fetch_add(&flusher.added, 1);
    if (atomic_load(&flusher.idle)) {
        tl_park_wake(&flusher.park);
    }
}

void
tl_deferred_wakes_flush(struct tl_deferred_wakes *wakes)
{
    if (!has_deferred(wakes, NULL)) {
        return;
    }
    atomic_fetch_add_explicit(&wakes->flushing, 1, memory_order_relaxed);
    for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
        if (peek(wakes, i) == NULL) {
            continue;
        }
        // Acquire: pairs with the release in tl_deferred_wakes_add(). Release: pairs
        // with the acquire in peek().
        struct tl_park *park =
            atomic_exchange_explicit(&wakes->deferred[i], NULL, memory_order_acq_rel);
        if (park != NULL) {
            atomic_store_explicit(&wakes->age, 0, memory_order_relaxed);
            tl_park_wake(park);
        }
    }
    // Release: pairs with the acquire in tl_deferred_wakes_forget(), after which the
    // park is freed.
    atomic_fetch_sub_explicit(&wakes->flushing, 1, memory_order_release);
}

#ifndef NDEBUG
bool
tl_deferred_wakes_is_coming(struct tl_deferred_wakes *wakes, struct tl_park *park)
{
    // In the order of a flush, which counts itself first, empties the place, and wakes.
    return (wakes != NULL &&
            (has_deferred(wakes, park) ||
             atomic_load_explicit(&wakes->flushing, memory_order_acquire) > 0)) ||
           atomic_load_explicit(&park->state, memory_order_acquire) == TL_PARK_WOKEN;
}
#endif

void
tl_deferred_wakes_forget(struct tl_park *park)
{
    pthread_mutex_lock(&flusher.mutex);
    for (struct tl_deferred_wakes *n = flusher.wakers.next; n != &flusher.wakers;
         n = n->next) {
        if (has_deferred(n, park)) {
            tl_deferred_wakes_flush(n);
        }
        // Acquire: pairs with the release in tl_deferred_wakes_flush(). The waker,
        // which flushes without the mutex, may have emptied a place and not have woken
        // the park yet.
        while (atomic_load_explicit(&n->flushing, memory_order_acquire) > 0) {
            sched_yield();
        }
    }
    pthread_mutex_unlock(&flusher.mutex);
}

void
tl_deferred_wakes_hold(void)
{
    pthread_mutex_lock(&flusher.mutex);
}

// In the child only the calling thread exists: none can be woken, and none is in
// the middle of tl_deferred_wakes_flush().
static void
forget_threads(void)
{
    flusher.started = false;
    atomic_store(&flusher.idle, false);
    struct tl_deferred_wakes *n = flusher.wakers.next;
    for (; n != &flusher.wakers; n = n->next) {
        for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
            atomic_store_explicit(&n->deferred[i], NULL, memory_order_relaxed);
        }
        atomic_store_explicit(&n->flushing, 0, memory_order_relaxed);
    }
}

void
tl_deferred_wakes_release(bool in_child)
{
    if (in_child) {
        forget_threads();
    }
    pthread_mutex_unlock(&flusher.mutex);
}
