// A wake that is owed is paid: by the waker when it says so, else by the payer.
#include "base/clock.h"
#include "base/deferred_wakes.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 300 };

static struct tl_park sleeper;
static _Atomic long told, heard;

static void *
sleep_and_count(void *arg)
{
    while (atomic_load(&heard) < ROUNDS) {
        tl_park_reset(&sleeper);
        if (atomic_load(&told) == atomic_load(&heard)) {
            tl_park_sleep(&sleeper, -1, false);
        }
        if (atomic_load(&told) > atomic_load(&heard)) {
            atomic_fetch_add(&heard, 1);
        }
    }
    return arg;
}

static void
wait_until_heard(long n)
{
    struct timespec tick = {.tv_nsec = 20000};
    int64_t limit = tl_clock_now() + INT64_C(10000000000);
    while (atomic_load(&heard) < n) {
        assert(tl_clock_now() < limit);
        nanosleep(&tick, NULL);
    }
}

// More than there is room for: all are woken by and by, and each once.
static void
owe_many(struct tl_deferred_wakes *pending_wakes)
{
    enum { MANY = TL_DEFERRED_WAKES_MAX + 2 };
    struct tl_park parks[MANY];
    for (int i = 0; i < MANY; i++) {
        tl_park_init(&parks[i]);
        tl_deferred_wakes_add(pending_wakes, &parks[i]);
        tl_deferred_wakes_add(pending_wakes, &parks[i]);
    }
    for (int i = 0; i < MANY; i++) {
        tl_deferred_wakes_forget(&parks[i]);
        assert(atomic_load(&parks[i].state) == TL_PARK_WOKEN);
        tl_park_fini(&parks[i]);
    }
}

// A waker that pays, while another forgets its debts and frees the park.

static struct tl_deferred_wakes debts;
static _Atomic bool over;

static void *
pay_all_the_time(void *arg)
{
    while (!atomic_load(&over)) {
        tl_deferred_wakes_flush(&debts);
    }
    return arg;
}

static void
parks_that_are_forgotten_go(void)
{
    pthread_t thread;
    tl_deferred_wakes_init(&debts);
    int rc = pthread_create(&thread, NULL, pay_all_the_time, NULL);
    assert(rc == 0);
    for (int i = 0; i < 200 * ROUNDS; i++) {
        struct tl_park *park = malloc(sizeof *park);
        assert(park != NULL);
        tl_park_init(park);
        tl_deferred_wakes_add(&debts, park);
        tl_deferred_wakes_forget(park);
        assert(atomic_load(&park->state) == TL_PARK_WOKEN);
        tl_park_fini(park);
        free(park);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    tl_deferred_wakes_fini(&debts);
}

int
main(void)
{
    parks_that_are_forgotten_go();
    struct tl_deferred_wakes pending_wakes, idle;
    tl_park_init(&sleeper);
    tl_deferred_wakes_init(&pending_wakes);
    tl_deferred_wakes_init(&idle);
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, sleep_and_count, NULL);
    assert(rc == 0);
    for (long i = 1; i <= ROUNDS; i++) {
        atomic_store(&told, i);
        tl_deferred_wakes_add(&pending_wakes, &sleeper);
        if (i % 10 != 0) {
            tl_deferred_wakes_flush(&pending_wakes);
        }
        wait_until_heard(i); // every tenth is the payer's
        if (i == ROUNDS / 2) {
            struct timespec rest = {.tv_nsec = 60000000}; // it goes idle during this
            nanosleep(&rest, NULL);
        }
    }
    pthread_join(thread, NULL);
    tl_deferred_wakes_forget(&sleeper);
    owe_many(&pending_wakes);
    for (int i = 0; i < TL_DEFERRED_WAKES_MAX; i++) {
        assert(atomic_load(&pending_wakes.deferred[i]) == NULL);
    }
    tl_deferred_wakes_fini(&idle);
    tl_deferred_wakes_fini(&pending_wakes);
    tl_park_fini(&sleeper);
    printf("deferred wakes: %d wakes\n", ROUNDS);
    return 0;
}
