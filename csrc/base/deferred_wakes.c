#include "base/deferred_wakes.h"
#include "base/clock.h"
#include "base/internal_threads.h"
#include "base/stress.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

enum { TICK = 1000000, TICKS_BEFORE_REST = 20 };

// Who sleeps itself within SOON nanoseconds after it woke another, PROMPT times in a row,
// is expected to do so again.
enum { SOON = 100000, PROMPT = 2 };

// The one process-wide payer.
static struct {
    pthread_mutex_t mutex; // guards wakers, and every payment by the payer
    struct tl_deferred_wakes wakers;
    _Atomic bool started;
    struct tl_park rest; // where the payer sleeps
    _Atomic bool resting;
    _Atomic unsigned long debts; // counts all, to see whether there are new ones
} payer = {.mutex = PTHREAD_MUTEX_INITIALIZER,
           .wakers = {.prev = &payer.wakers, .next = &payer.wakers}};

// A hint: the exchanges in tl_deferred_wakes_flush() decide. Acquire: who finds it empty there, in
// tl_deferred_wakes_forget(), sees whoever emptied it among the payers.
static struct tl_park *
seen(struct tl_deferred_wakes *nudge, int i)
{
    return atomic_load_explicit(&nudge->owed[i], memory_order_acquire);
}

// Whether it owes park a wake; NULL: anybody.
static bool
owes(struct tl_deferred_wakes *nudge, const struct tl_park *park)
{
    for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
        const struct tl_park *owed = seen(nudge, i);
        if (owed != NULL && (park == NULL || owed == park)) {
            return true;
        }
    }
    return false;
}

static void
pay_old_debts(void)
{
    pthread_mutex_lock(&payer.mutex);
    struct tl_deferred_wakes *n = payer.wakers.next;
    for (; n != &payer.wakers; n = n->next) {
        if (owes(n, NULL) &&
            atomic_fetch_add_explicit(&n->age, 1, memory_order_relaxed) > 0) {
            tl_deferred_wakes_flush(n);
        }
    }
    pthread_mutex_unlock(&payer.mutex);
}

static void *
pay_for_all(void *arg)
{
    tl_internal_threads_note();
    unsigned long seen = 0;
    int quiet = 0;
    for (;;) {
        struct timespec tick = {.tv_nsec = TICK};
        nanosleep(&tick, NULL);
        pay_old_debts();
        // Acquire: pairs with the release in tl_deferred_wakes_add().
        unsigned long debts = atomic_load_explicit(&payer.debts, memory_order_acquire);
        quiet = debts == seen ? quiet + 1 : 0;
        seen = debts;
        if (quiet < TICKS_BEFORE_REST) {
            continue;
        }
        tl_park_reset(&payer.rest);
        atomic_store(&payer.resting, true);
        // Sequentially consistent, as in tl_deferred_wakes_add(): either we see its debt here, or
        // it sees us resting.
        if (atomic_load(&payer.debts) == seen) {
            tl_park_sleep(&payer.rest, -1, false);
        }
        atomic_store(&payer.resting, false);
        quiet = 0;
    }
    return arg;
}

// Returns whether the payer runs.
static bool
start_payer(void)
{
    pthread_mutex_lock(&payer.mutex);
    if (!payer.started) {
        tl_park_init(&payer.rest);
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before); // signals are for others
        pthread_t thread;
        payer.started = pthread_create(&thread, NULL, pay_for_all, NULL) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (payer.started) {
            pthread_detach(thread);
        }
    }
    bool started = payer.started;
    pthread_mutex_unlock(&payer.mutex);
    return started;
}

void
tl_deferred_wakes_init(struct tl_deferred_wakes *nudge)
{
    for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
        atomic_store_explicit(&nudge->owed[i], NULL, memory_order_relaxed);
    }
    atomic_store_explicit(&nudge->age, 0, memory_order_relaxed);
    atomic_store_explicit(&nudge->payers, 0, memory_order_relaxed);
    nudge->woke = 0;
    nudge->prompt = 0;
    pthread_mutex_lock(&payer.mutex);
    nudge->prev = &payer.wakers;
    nudge->next = payer.wakers.next;
    nudge->next->prev = nudge;
    payer.wakers.next = nudge;
    pthread_mutex_unlock(&payer.mutex);
}

void
tl_deferred_wakes_fini(struct tl_deferred_wakes *nudge)
{
    pthread_mutex_lock(&payer.mutex);
    tl_deferred_wakes_flush(nudge);
    nudge->prev->next = nudge->next;
    nudge->next->prev = nudge->prev;
    pthread_mutex_unlock(&payer.mutex);
}

// The waker is about to wake a thread that sleeps: whether it can be expected to sleep
// itself soon, judging by what it did before.
static bool
is_prompt(struct tl_deferred_wakes *nudge)
{
    int64_t now = tl_clock_now();
    if (nudge->woke != 0 && now - nudge->woke >= SOON) {
        nudge->prompt = 0;
    }
    nudge->woke = now;
    return nudge->prompt == PROMPT;
}

void
tl_deferred_wakes_wake(struct tl_deferred_wakes *nudge, struct tl_park *park)
{
    if (TL_STRESS_OWES_ALL && nudge != NULL) {
        tl_deferred_wakes_add(nudge, park);
        tl_deferred_wakes_flush(nudge);
    } else if (nudge != NULL && tl_park_is_asleep(park) &&
               (is_prompt(nudge) || !park->many_cpus)) {
        tl_deferred_wakes_add(nudge, park);
    } else {
        tl_park_wake(park);
    }
}

void
tl_deferred_wakes_before_sleep(struct tl_deferred_wakes *nudge)
{
    if (nudge->woke != 0) {
        bool soon = tl_clock_now() - nudge->woke < SOON;
        nudge->prompt = !soon ? 0 : nudge->prompt + (nudge->prompt < PROMPT);
        nudge->woke = 0;
    }
}

void
tl_deferred_wakes_add(struct tl_deferred_wakes *nudge, struct tl_park *park)
{
    int place = 0;
    for (int i = TL_DEFERRED_WAKES_MAX - 1; i >= 0; i--) {
        struct tl_park *other = seen(nudge, i);
        if (other == park) {
            return;
        }
        place = other == NULL ? i : place;
    }
    if (seen(nudge, place) != NULL || (!payer.started && !start_payer())) {
        tl_park_wake(park);
        return;
    }
    // Release: what the waker changed is seen by whoever pays, and by the woken. Nobody
    // else fills a place.
    atomic_store_explicit(&nudge->owed[place], park, memory_order_release);
    atomic_fetch_add(&payer.debts, 1);
    if (atomic_load(&payer.resting)) {
        tl_park_wake(&payer.rest);
    }
}

void
tl_deferred_wakes_flush(struct tl_deferred_wakes *nudge)
{
    if (!owes(nudge, NULL)) {
        return;
    }
    atomic_fetch_add_explicit(&nudge->payers, 1, memory_order_relaxed);
    for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
        if (seen(nudge, i) == NULL) {
            continue;
        }
        // Acquire: pairs with the release in tl_deferred_wakes_add(). Release: with the acquire in
        // seen().
        struct tl_park *park =
            atomic_exchange_explicit(&nudge->owed[i], NULL, memory_order_acq_rel);
        if (park != NULL) {
            atomic_store_explicit(&nudge->age, 0, memory_order_relaxed);
            tl_park_wake(park);
        }
    }
    // Release: pairs with the acquire in tl_deferred_wakes_forget(), after which the park is freed.
    atomic_fetch_sub_explicit(&nudge->payers, 1, memory_order_release);
}

#ifndef NDEBUG
bool
tl_deferred_wakes_is_coming(struct tl_deferred_wakes *nudge, struct tl_park *park)
{
    // In this order: who pays says so first, takes the debt, and wakes.
    return (nudge != NULL &&
            (owes(nudge, park) ||
             atomic_load_explicit(&nudge->payers, memory_order_acquire) > 0)) ||
           atomic_load_explicit(&park->state, memory_order_acquire) == TL_PARK_WOKEN;
}
#endif

void
tl_deferred_wakes_forget(struct tl_park *park)
{
    pthread_mutex_lock(&payer.mutex);
    for (struct tl_deferred_wakes *n = payer.wakers.next; n != &payer.wakers;
         n = n->next) {
        if (owes(n, park)) {
            tl_deferred_wakes_flush(n);
        }
        // Acquire: pairs with the release in tl_deferred_wakes_flush(). The waker itself may have
        // taken the debt, and not have woken anybody yet.
        while (atomic_load_explicit(&n->payers, memory_order_acquire) > 0) {
            sched_yield();
        }
    }
    pthread_mutex_unlock(&payer.mutex);
}

void
tl_deferred_wakes_hold(void)
{
    pthread_mutex_lock(&payer.mutex);
}

// In the child there is no thread to be woken but the calling one, which runs, and no
// thread in the middle of tl_deferred_wakes_flush().
static void
forget_threads(void)
{
    payer.started = false;
    atomic_store(&payer.resting, false);
    struct tl_deferred_wakes *n = payer.wakers.next;
    for (; n != &payer.wakers; n = n->next) {
        for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
            atomic_store_explicit(&n->owed[i], NULL, memory_order_relaxed);
        }
        atomic_store_explicit(&n->payers, 0, memory_order_relaxed);
    }
}

void
tl_deferred_wakes_release(bool in_child)
{
    if (in_child) {
        forget_threads();
    }
    pthread_mutex_unlock(&payer.mutex);
}
