// uv_request.h - tasklets wait for what libuv does for them.
#ifndef TL_UV_REQUEST_H
#define TL_UV_REQUEST_H

#include "core/sched.h"
#include "io/uv_loop.h"

// What is waited for.
extern const struct tl_wait_kind tl_uv_request_file, tl_uv_request_address;

// A new request of size bytes that begin with a struct tl_uv_request, the rest zeroed; the
// caller has the only reference. free is as there. Returns NULL with MemoryError set if
// there is no memory.
void *tl_uv_request_new(size_t size, const struct tl_wait_kind *kind,
                        void (*free)(struct tl_uv_request *request));

// Drop the caller's reference, which may be the last. Other code may run.
void tl_uv_request_unref(struct tl_uv_request *request);

// The loop of s for a request of the current tasklet, which may wait so long. Returns NULL
// with an exception set: it may not wait, has no time (deadline is negative), or there can
// be no loop.
struct tl_uv_loop *tl_uv_request_prepare(struct tl_sched *s, int64_t deadline);

// The request is in flight, and the caller has a reference to it: wait until it is over,
// with a deadline as in struct tl_leave. Returns 0, or -1 with an exception set; the
// request goes on then, unless it had not begun.
// Switch: yes.
int tl_uv_request_wait(struct tl_sched *s, struct tl_uv_request *request,
                       int64_t deadline);

// In the child of a fork: no thread has a loop, and all requests are lost.
void tl_uv_request_after_fork(struct tl_state *state);

// The interpreter ends; s is the calling thread's, or NULL. Other code may run.
void tl_uv_request_at_exit(struct tl_sched *s);

#endif // TL_UV_REQUEST_H
