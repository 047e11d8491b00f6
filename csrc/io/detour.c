// detour.c - running requests on spare threads while all threads of libuv are blocked.
#include "io/detour.h"
#include "io/uv_threads.h"

#include <errno.h>

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

// Run request on a spare thread. Returns 0 or an errno.
static int
run_on_spare(struct tl_uv_request *request)
{
    tl_uv_threads_lose();
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
    tl_uv_loop_take_back();
    return error;
}

bool
tl_detour_takes(struct tl_uv_request *request, bool cancelled)
{
    bool is_taken_back =
        request->is_taken_back && cancelled && tl_uv_loop_is_wanted(request);
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
