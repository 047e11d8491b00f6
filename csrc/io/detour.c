#include "io/detour.h"
#include "base/clock.h"

#include <errno.h>

// The threads count as blocked if all are busy and nothing has come back for this long:
// longer than a disk takes, also on a busy machine.
#define STALL_NS INT64_C(1000000000)

// The threads of libuv. With the GIL.
//
// Invariants
// I1: busy counts the requests in flight that libuv has, stuck those of them that have
//     begun and that nobody waits for.
static struct {
    int size, busy, stuck;
    int64_t progress; // when all became busy, or when something has come back since
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

static bool
is_libuvs(const struct tl_uv_request *request)
{
    return request->handle != NULL && request->cancel == NULL;
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
    threads.stuck -= request->is_stuck;
    if (threads.busy-- >= threads.size && !request->is_cancelled) {
        threads.progress = tl_clock_now();
    }
    check();
}

// ---- on spare threads

static void
work(struct tl_spare *call)
{
    struct tl_uv_request *request = TL_CONTAINER(call, struct tl_uv_request, call);
    request->run(request);
}

static void
done(struct tl_spare *call)
{
    tl_uv_loop_announce(TL_CONTAINER(call, struct tl_uv_request, call));
}

// ---- on the loop's thread

static void
cancel(struct tl_uv_request *request)
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
    if (is_libuvs(request) && !request->moves && is_wanted(request)) {
        request->moves = tl_uv_loop_cancel_uv(request);
    }
}

// Take back from libuv what waits for a thread: tl_detour_takes() is called for each.
static void
take_back(void)
{
    tl_uv_loop_each_request(take_one_back);
}

static int
take(struct tl_uv_request *request)
{
    threads.busy--; // libuv does not have it
    request->cancel = cancel;
    request->call.work = work;
    request->call.done = done;
    tl_link_init(&request->call.link);
    return request->keep(request) ? tl_spare_run(&request->call) : ENOMEM;
}

int
tl_detour_start(struct tl_uv_request *request)
{
    int error = take(request);
    take_back();
    return error;
}

bool
tl_detour_takes(struct tl_uv_request *request, bool cancelled)
{
    bool moves = request->moves && cancelled && is_wanted(request);
    request->moves = false;
    if (!moves) {
        return false;
    }
    int error = take(request);
    if (error != 0) {
        request->fail(request, -error);
    }
    return error == 0;
}

void
tl_detour_abandoned(struct tl_uv_request *request)
{
    if (!request->is_stuck) {
        request->is_stuck = true;
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
