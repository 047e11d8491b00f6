// detour.h - running requests on spare threads while all threads of libuv are blocked.
//
// libuv has a fixed number of threads (4, or UV_THREADPOOL_SIZE). A call that never
// returns, such as opening a named pipe without a peer, keeps one of them busy forever.
// When all are busy and nothing has been finished for a second, or all are known to be
// in calls without a waiter, new requests run on spare threads (base/spare.h). Requests
// that wait for a thread in libuv's queue are taken back from libuv by uv_cancel() and
// run there, too.
#ifndef TL_DETOUR_H
#define TL_DETOUR_H

#include "io/uv_loop.h"

// Whether all threads of libuv are blocked, so that a new request needs a spare thread.
bool tl_detour_is_needed(void);

// Run request, which is in flight, on a spare thread. Its loop reports it like a
// request of libuv's. Also takes back libuv's queued requests. Returns 0 or an errno.
int tl_detour_start(struct tl_uv_request *request);

// libuv has called back for request; cancelled: without having run it. Returns whether
// a spare thread runs it instead: then it is still in flight.
bool tl_detour_takes(struct tl_uv_request *request, bool cancelled);

// ---- for uv_loop.c

// Set the number of libuv's threads.
void tl_detour_set_size(int threads);

// request is in flight.
void tl_detour_begun(struct tl_uv_request *request);

// request is over or lost.
void tl_detour_over(struct tl_uv_request *request);

// request has lost its waiter, but cannot be cancelled because a thread has begun it.
void tl_detour_abandoned(struct tl_uv_request *request);

// In the child of a fork: libuv has no threads.
void tl_detour_after_fork(void);

#endif // TL_DETOUR_H
