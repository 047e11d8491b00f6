// uv_request.h - tasklets that wait for a request of uv_loop.h.
#ifndef TL_UV_REQUEST_H
#define TL_UV_REQUEST_H

#include "core/sched.h"
#include "io/uv_loop.h"

// Waiting for the file system, and for the look-up of an address.
extern const struct tl_wait_kind tl_uv_request_file, tl_uv_request_address;

// A new request: size bytes that begin with a struct tl_uv_request, and are zero behind
// it. free is as in that. The caller has the only reference. Returns NULL with
// MemoryError set if there is no memory.
void *tl_uv_request_new(size_t size, const struct tl_wait_kind *kind,
                        void (*free)(struct tl_uv_request *request));

// Drop the caller's reference, which may be the last. May run Python code.
void tl_uv_request_unref(struct tl_uv_request *request);

// The loop of s, for a request of the current tasklet with that deadline. Returns NULL
// with an exception set if the tasklet must not wait, deadline is PAST (TimeoutError),
// or the loop cannot be made.
struct tl_uv_loop *tl_uv_request_prepare(struct tl_sched *s, tl_deadline deadline);

// Wait until request, which is in flight and to which the caller has a reference, is
// over, or until deadline. Returns 0, or -1 with an exception set. If the wait was
// interrupted or timed out, the request is cancelled unless it has begun; a request
// that has begun goes on.
// Switch: yes.
int tl_uv_request_wait(struct tl_sched *s, struct tl_uv_request *request,
                       tl_deadline deadline);

// In the child of a fork: no thread has a loop, and all requests are lost.
void tl_uv_request_after_fork(struct tl_state *state);

// The interpreter ends: end the loop of s, the calling thread's (may be NULL), and all
// orphans. May run Python code.
void tl_uv_request_at_exit(struct tl_sched *s);

#endif // TL_UV_REQUEST_H
