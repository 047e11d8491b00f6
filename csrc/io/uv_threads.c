// uv_threads.c - how many of libuv's threads are busy, and whether all are blocked.
#include "io/uv_threads.h"
#include "base/clock.h"

// libuv's threads count as blocked if all are busy and none has finished a request for
// this long: longer than a disk needs, even on a busy machine.
#define STALL_NS INT64_C(1000000000)

// The threads of libuv. Guarded by the GIL.
//
// Invariants
// I1: busy counts the requests in flight that libuv has; stuck counts those of them
//     that have begun and have no waiter.
static struct {
    int size; // number of threads
    int busy, stuck;
    int64_t progress; // when all became busy, or a request was last finished since then
} threads;

void
tl_uv_threads_set_size(int size)
{
    threads.size = size;
}

bool
tl_uv_threads_are_blocked(void)
{
    if (TL_LIKELY(threads.busy < threads.size)) {
        return false;
    }
    return threads.stuck >= threads.size ||
           tl_clock_now() - threads.progress >= STALL_NS;
}

#ifndef NDEBUG
// Locks: the GIL.
static void
check(void)
{
    TL_CHECK("I1", "uv_threads", &threads, threads.busy >= 0 && threads.stuck >= 0);
    TL_CHECK("I1", "uv_threads", &threads, threads.stuck <= threads.busy);
}
#else
TL_CHECKER(check, void);
#endif

bool
tl_uv_threads_have(const struct tl_uv_request *request)
{
    return request->uv_req != NULL && request->cancel == NULL;
}

void
tl_uv_threads_begun(struct tl_uv_request *request)
{
    if (tl_uv_threads_have(request) && ++threads.busy == threads.size) {
        threads.progress = tl_clock_now();
    }
}

void
tl_uv_threads_over(struct tl_uv_request *request)
{
    if (!tl_uv_threads_have(request)) {
        return;
    }
    threads.stuck -= request->is_abandoned;
    if (threads.busy-- >= threads.size && !request->is_cancelled) {
        threads.progress = tl_clock_now();
    }
    check();
}

bool
tl_uv_threads_abandoned(struct tl_uv_request *request)
{
    if (request->is_abandoned) {
        return false;
    }
    request->is_abandoned = true;
    threads.stuck++;
    check();
    return threads.stuck >= threads.size;
}

void
tl_uv_threads_lose(void)
{
    threads.busy--;
}

void
tl_uv_threads_after_fork(void)
{
    threads.size = threads.busy = threads.stuck = 0;
}
