// Each lookup is over exactly once, also beside cancels and forks.
#include "base/clock.h"
#include "base/lookup.h"

#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { LOOKUPS = 400, THREADS = 2, HOLDS = 50 };

static struct tl_lookup lookups[LOOKUPS];
static atomic_int ended, late; // late: ended while a fork held the mutex
static atomic_bool held;

static void
over(struct tl_lookup *lookup)
{
    assert(lookup->state == TL_LOOKUP_OVER);
    atomic_fetch_add(&late, atomic_load(&held));
    atomic_fetch_add(&ended, 1);
}

static void *
hold_and_release(void *arg)
{
    for (int i = 0; i < HOLDS; i++) {
        tl_lookup_hold();
        atomic_store(&held, true);
        usleep(100);
        atomic_store(&held, false);
        tl_lookup_release(false);
        usleep(500);
    }
    return arg;
}

// ---- what a fork waits for

enum work { LOOKS_UP, COMPUTES, WAITS };

static const int64_t COMPUTE_NS = 300000000;

static atomic_bool begun, answered, may_end;
static atomic_int work;

// Computes, or waits for something like the network.
int
getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
            struct addrinfo **answers)
{
    atomic_store(&begun, true);
    int64_t end = tl_clock_now() + COMPUTE_NS;
    while (atomic_load(&work) == COMPUTES && tl_clock_now() < end) {
    }
    while (atomic_load(&work) == WAITS && !atomic_load(&may_end)) {
        usleep(1000);
    }
    if (atomic_load(&work) != LOOKS_UP) {
        return EAI_FAIL;
    }
    int (*real)(const char *, const char *, const struct addrinfo *,
                struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(host, port, hints, answers);
}

static void
answer(struct tl_lookup *lookup)
{
    (void)lookup;
    atomic_store(&answered, true);
}

// Returns whether a lookup that computes or waits is over when a fork goes on.
static bool
is_over_at_fork(enum work what)
{
    struct addrinfo hints = {0};
    struct tl_lookup lookup = {0};
    atomic_store(&work, what);
    atomic_store(&begun, false);
    atomic_store(&answered, false);
    atomic_store(&may_end, false);
    assert(tl_lookup_init(&lookup, "x", "80", &hints) == 0);
    lookup.over = answer;
    assert(tl_lookup_submit(&lookup, THREADS) == 0);
    while (!atomic_load(&begun)) {
        usleep(100);
    }
    tl_lookup_hold();
    bool over = atomic_load(&answered);
    tl_lookup_release(false);
    atomic_store(&may_end, true);
    while (!atomic_load(&answered)) {
        usleep(100);
    }
    tl_lookup_settle();
    tl_lookup_fini(&lookup);
    return over;
}

int
main(void)
{
#ifdef __linux__
    assert(is_over_at_fork(COMPUTES));
    assert(!is_over_at_fork(WAITS));
#endif
    atomic_store(&work, LOOKS_UP);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
    pthread_t forker;
    assert(pthread_create(&forker, NULL, hold_and_release, NULL) == 0);
    for (int i = 0; i < LOOKUPS; i++) {
        const char *host = i % 3 == 0 ? "no number" : "127.0.0.1";
        assert(tl_lookup_init(&lookups[i], host, "80", &hints) == 0);
        lookups[i].over = over;
        assert(tl_lookup_submit(&lookups[i], THREADS) == 0);
        if (i % 7 == 0) {
            tl_lookup_cancel(&lookups[i]);
        }
    }
    while (atomic_load(&ended) < LOOKUPS) {
        usleep(1000);
    }
    pthread_join(forker, NULL);
    tl_lookup_settle();
    assert(atomic_load(&late) == 0);
    int found = 0, cancelled = 0;
    for (int i = 0; i < LOOKUPS; i++) {
        int status = lookups[i].status;
        assert((status == 0) == (lookups[i].answers != NULL));
        assert(status != 0 || i % 3 != 0);
        assert(status != EAI_AGAIN || i % 7 == 0);
        found += status == 0;
        cancelled += status == EAI_AGAIN;
        tl_lookup_fini(&lookups[i]);
    }
    assert(atomic_load(&ended) == LOOKUPS && found > 0);
    printf("lookup: %d found, %d cancelled\n", found, cancelled);
    return 0;
}
