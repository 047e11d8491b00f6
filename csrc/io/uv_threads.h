// uv_threads.h - how many of libuv's threads are busy, and whether all are blocked.
//
// libuv has a fixed number of threads (4, or UV_THREADPOOL_SIZE). A call that never
// returns, such as opening a named pipe without a peer, keeps one of them busy forever.
// They count as blocked when all are busy and nothing has been finished for a second,
// or when all are in calls without a waiter.
#ifndef TL_UV_THREADS_H
#define TL_UV_THREADS_H

#include "io/uv_loop.h"

// Set the number of libuv's threads.
void tl_uv_threads_set_size(int size);

// Whether all threads of libuv are blocked, so that a new request would wait for long.
bool tl_uv_threads_are_blocked(void);

// Whether libuv has request, and not an internal thread.
bool tl_uv_threads_have(const struct tl_uv_request *request);

// request is in flight; it is over or lost.
void tl_uv_threads_begun(struct tl_uv_request *request);
void tl_uv_threads_over(struct tl_uv_request *request);

// request has lost its waiter, but cannot be cancelled because a thread has begun it.
// Returns whether that has blocked the last thread.
bool tl_uv_threads_abandoned(struct tl_uv_request *request);

// A request that libuv had is about to be given to an internal thread.
void tl_uv_threads_lose(void);

// In the child of a fork: libuv has no threads.
void tl_uv_threads_after_fork(void);

#endif // TL_UV_THREADS_H
