// uv_loop.h - libuv: a loop for each thread that needs one, and what it is asked to do.
//
// The loop is never waited in: who sleeps sleeps on its descriptor too, and then runs it.
#ifndef TL_UV_LOOP_H
#define TL_UV_LOOP_H

#include "cpython/compat.h" // before all of the system's

#include "base/spare.h"

#include <stdatomic.h>

struct tl_poll_source;
struct tl_uv_loop;
struct tl_wait_kind;

//   NEW --tl_uv_loop_begun--> IN FLIGHT --tl_uv_loop_over--> OVER
//                             +--tl_uv_loop_after_fork--> LOST
enum tl_uv_request_state {
    TL_REQUEST_NEW,
    TL_REQUEST_IN_FLIGHT,
    TL_REQUEST_OVER,
    TL_REQUEST_LOST
};

// Something that libuv does. It lies on the heap, and lives as long as libuv has it, also
// when nobody waits for it any more.
//
// Invariants
// R1: loop is set, and link is in its list, iff state is IN FLIGHT.
// R2: refs counts who asked for it, and libuv while it is in flight.
struct tl_uv_request {
    struct tl_link link;
    struct tl_uv_loop *loop;
    void *handle;           // libuv's uv_req_t, or NULL: a thread of ours does it
    struct tl_link waiters; // one tasklet at most
    const struct tl_wait_kind *kind;
    PyObject *held; // an object whose memory libuv uses, or NULL
    int refs;
    unsigned char state;
    bool must_run;      // it is not cancelled
    _Atomic bool ready; // done by a thread of ours, and not reported yet
    // Cancels it unless it has begun; NULL: libuv does that.
    void (*cancel)(struct tl_uv_request *request);
    // What libuv is asked to do may be done by a spare thread instead: see detour.c.
    struct tl_spare call;
    bool is_cancelled; // libuv does not do it, and will say so
    bool is_stuck;     // it has begun, and nobody waits for it any more
    bool moves;        // it was taken back from libuv
    // Copy what is needed to do it without libuv, which does not have it any more. Returns
    // false if there is no memory. Does not call into Python.
    bool (*keep)(struct tl_uv_request *request);
    // Do it. Thread: any, without the GIL.
    void (*run)(struct tl_uv_request *request);
    // It has not been done; error is a negative errno.
    void (*fail)(struct tl_uv_request *request, int error);
    // Told when it is over or lost. Runs no code of others.
    void (*over)(struct tl_uv_request *request);
    // Frees all but held. Runs no code of others.
    void (*free)(struct tl_uv_request *request);
};

// Locks: the GIL.
TL_CHECKER(tl_uv_request_check, const struct tl_uv_request *request);
TL_CHECKER(tl_uv_loop_check, struct tl_uv_loop *loop);

// Returns NULL with OSError or MemoryError set if it cannot be made.
struct tl_uv_loop *tl_uv_loop_new(void);

// Let it report what is over.
void tl_uv_loop_run(struct tl_uv_loop *loop);

// Whether something is in flight.
bool tl_uv_loop_is_busy(const struct tl_uv_loop *loop);

// Readable when something is over.
int tl_uv_loop_fd(const struct tl_uv_loop *loop);

// The loop as a source of its thread, whose kind and fd the caller sets; and back.
struct tl_poll_source *tl_uv_loop_source(struct tl_uv_loop *loop);
struct tl_uv_loop *tl_uv_loop_of(const struct tl_poll_source *source);

// Its thread needs it no more. What has not begun is cancelled; with the rest the loop
// lives on until that is over. quiet: nothing is reported now.
void tl_uv_loop_end(struct tl_uv_loop *loop, bool quiet);

// Close those that lived on, if they are not needed any more.
void tl_uv_loop_sweep(void);

// The same at the end of the interpreter, for the caller's own (may be NULL) too: wait a
// moment for what is in flight, without the GIL.
void tl_uv_loop_at_exit(struct tl_uv_loop *loop);

// Around a fork, with the GIL: hold the locks that libuv's threads take to report.
void tl_uv_loop_hold_all(void);
void tl_uv_loop_release_all(bool in_child);

// In the child of a fork: there are no loops any more, and what was in flight is lost.
void tl_uv_loop_after_fork(void);

// ---- for those who make requests

// The uv_loop_t.
void *tl_uv_loop_uv(struct tl_uv_loop *loop);

// libuv has taken the request.
void tl_uv_loop_begun(struct tl_uv_loop *loop, struct tl_uv_request *request);

// libuv has called back: report it.
void tl_uv_loop_over(struct tl_uv_request *request);

// A thread of ours has done it: have the loop report it. Thread: any, without the GIL.
void tl_uv_loop_announce(struct tl_uv_request *request);

// Have it not done, if it has not begun. It is reported all the same.
void tl_uv_loop_cancel(struct tl_uv_request *request);

// Have libuv not do it, which reports it all the same. Returns false if it has begun.
bool tl_uv_loop_cancel_uv(struct tl_uv_request *request);

// Whether the tasklets of the loop's thread are being ended.
void tl_uv_loop_is_ending(struct tl_uv_loop *loop, bool is_ending);

// Call visit for each request in flight of all loops whose threads go on. It must not end
// one.
void tl_uv_loop_each_request(void (*visit)(struct tl_uv_request *request));

// The version of the libuv that is loaded, as text.
const char *tl_uv_loop_version(void);

#endif // TL_UV_LOOP_H
