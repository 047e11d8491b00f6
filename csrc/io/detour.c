// detour.c - running requests on spare threads while all threads of libuv are blocked.
#include "io/detour.h"
#include "base/clock.h"

#include <errno.h>

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

// ---- when

void
tl_detour_set_size(int size)
{
    threads.size = size;
}

bool
tl_detour_is_needed(void)
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
    TL_CHECK("I1", "detour", &threads, threads.busy >= 0 && threads.stuck >= 0);
    TL_CHECK("I1", "detour", &threads, threads.stuck <= threads.busy);
}
#else
TL_CHECKER(check, void);
#endif

// Whether libuv has request, and not an internal thread.
static bool
is_libuvs(const struct tl_uv_request *request)
{
    return request->uv_req != NULL && request->cancel == NULL;
}

void
tl_detour_begun(struct tl_uv_request *request)
{
    if (is_libuvs(request) && ++threads.busy == threads.size) {
        threads.progress = tl_clock_now();
    }
}

void
tl_detour_over(struct tl_uv_request *request)
{
    if (!is_libuvs(request)) {
        return;
    }
    threads.stuck -= request->is_abandoned;
    if (threads.busy-- >= threads.size && !request->is_cancelled) {
        threads.progress = tl_clock_now();
    }
    check();
}

// ---- on a spare thread

static void
spare_work(struct tl_spare *call)
{
    struct tl_uv_request *request = TL_CONTAINER(call, struct tl_uv_request, call);
    request->run(request);
}

static void
spare_done(struct tl_spare *call)
{
    tl_uv_loop_announce(TL_CONTAINER(call, struct tl_uv_request, call));
}

// ---- on the loop's thread

static void
cancel_spare(struct tl_uv_request *request)
{
    if (tl_spare_cancel(&request->call)) {
        request->fail(request, -ECANCELED);
        tl_uv_loop_announce(request);
    }
}

static bool
is_wanted(const struct tl_uv_request *request)
{
    return request->must_run || !tl_link_is_single(&request->waiters);
}

static void
take_one_back(struct tl_uv_request *request)
{
    if (is_libuvs(request) && !request->is_taken_back && is_wanted(request)) {
        request->is_taken_back = tl_uv_loop_cancel_uv(request);
    }
}

// Cancel the requests that wait in libuv's queue for a thread. libuv calls back for
// each, and tl_detour_takes() moves it to a spare thread.
static void
take_back(void)
{
    tl_uv_loop_each_request(take_one_back);
}

// Run request on a spare thread. Returns 0 or an errno.
static int
run_on_spare(struct tl_uv_request *request)
{
    threads.busy--; // it is not libuv's any more
    request->cancel = cancel_spare;
    request->call.work = spare_work;
    request->call.done = spare_done;
    tl_link_init(&request->call.link);
    return request->keep(request) ? tl_spare_run(&request->call) : ENOMEM;
}

int
tl_detour_start(struct tl_uv_request *request)
{
    int error = run_on_spare(request);
    take_back();
    return error;
}

bool
tl_detour_takes(struct tl_uv_request *request, bool cancelled)
{
    bool is_taken_back = request->is_taken_back && cancelled && is_wanted(request);
    request->is_taken_back = false;
    if (!is_taken_back) {
        return false;
    }
    int error = run_on_spare(request);
    if (error != 0) {
        request->fail(request, -error);
    }
    return error == 0;
}

void
tl_detour_abandoned(struct tl_uv_request *request)
{
    if (!request->is_abandoned) {
        request->is_abandoned = true;
        if (++threads.stuck >= threads.size) {
            take_back();
        }
    }
    check();
}

void
tl_detour_after_fork(void)
{
    threads.size = threads.busy = threads.stuck = 0;
}
