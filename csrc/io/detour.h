// detour.h - requests that go round libuv's threads while calls block all of these.
//
// libuv has a fixed number of threads. A call that never returns, to open a pipe without a
// peer say, keeps one of them. While none is left, spare threads do what is new or waits.
#ifndef TL_DETOUR_H
#define TL_DETOUR_H

#include "io/uv_loop.h"

// Whether libuv's threads are all blocked, so that a request must go round them.
bool tl_detour_is_needed(void);

// Have a spare thread do request, which is in flight: it is reported as those of libuv are.
// Returns 0 or an errno.
int tl_detour_start(struct tl_uv_request *request);

// libuv has called back for request; cancelled: it has not been done. Returns whether a
// spare thread does it instead, so that it is not over.
bool tl_detour_takes(struct tl_uv_request *request, bool cancelled);

// ---- for loop.c

// How many threads libuv has.
void tl_detour_set_size(int threads);

// Account for a request that is in flight, and that is over; and for one that cannot be
// cancelled, because it has begun, and that nobody waits for any more.
void tl_detour_begun(struct tl_uv_request *request);
void tl_detour_over(struct tl_uv_request *request);
void tl_detour_abandoned(struct tl_uv_request *request);

// In the child of a fork: there are no threads.
void tl_detour_after_fork(void);

#endif // TL_DETOUR_H
