// detour.h - running requests on spare threads while all threads of libuv are blocked.
//
// While they are (uv_threads.h), new requests run on spare threads (base/spare.h).
// Requests that wait for a thread in libuv's queue are taken back from libuv by
// uv_cancel() and run there, too.
#ifndef TL_DETOUR_H
#define TL_DETOUR_H

#include "io/uv_loop.h"

// Run request, which is in flight, on a spare thread. Its loop reports it like a
// request of libuv's. Also takes back libuv's queued requests. Returns 0 or an errno.
int tl_detour_start(struct tl_uv_request *request);

// libuv has called back for request; cancelled: without having run it. Returns whether
// a spare thread runs it instead: then it is still in flight.
bool tl_detour_takes(struct tl_uv_request *request, bool cancelled);

#endif // TL_DETOUR_H
