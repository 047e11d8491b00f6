// uv_loop.h - libuv: a loop for each thread that needs one, and the requests in flight.
//
// Who runs a loop. No thread ever blocks inside uv_run(). An idle thread sleeps in
// poll() on the loop's own descriptor, a poll source, besides its others, and then runs
// the loop without waiting. A thread with runnable tasklets runs it from time to time
// (tl_timer_poll()).
//
// Who does a request. libuv's thread pool, which all loops of the process share, or an
// internal thread (base/lookup.h for names, base/spare.h in place of blocked threads of
// libuv). Such a thread sets ready and calls uv_async_send(); the loop then reports the
// request as if it were libuv's.
//
// How long a request lives. It is on the heap and counted: by the tasklet that waits
// for it, and by libuv while it is in flight. A killed waiter cancels the request,
// which has no effect once that has begun, and drops its reference. So a request can
// outlive its waiter, the thread and even the interpreter, and everything that libuv
// may still write to must belong to it.
//
// How long a loop lives. A loop whose thread ends with requests in flight becomes an
// orphan. The next new request of any thread, or the end of the interpreter, runs it
// and closes it when nothing is in flight.
//
// Everything is guarded by the GIL, except where it says so, and called by the loop's
// own thread, except for orphans and forks.
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

// An operation of libuv's or of an internal thread. The kinds (files, addresses) embed
// it.
//
// Invariants R1: loop is set, and link is in its list, iff state is IN FLIGHT. R2: refs
// counts the tasklet that has made the request, and libuv while it is in flight.
struct tl_uv_request {
    struct tl_link link;
    struct tl_uv_loop *loop;
    void *uv_req;           // libuv's uv_req_t; NULL: an internal thread does it
    struct tl_link waiters; // at most one tasklet
    const struct tl_wait_kind *kind;
    PyObject *held; // an object whose memory the request uses, or NULL
    int refs;
    unsigned char state; // enum tl_uv_request_state
    bool must_run;       // it must not be cancelled
    _Atomic bool ready;  // an internal thread has done it; not reported yet
    // Cancel it unless it has begun; NULL: by uv_cancel().
    void (*cancel)(struct tl_uv_request *request);
    // Of libuv's requests, which a spare thread may do instead: see detour.h.
    struct tl_spare call;
    bool is_cancelled;  // uv_cancel() has succeeded; libuv will call back
    bool is_abandoned;  // it has begun, and has no waiter any more
    bool is_taken_back; // it was cancelled so that a spare thread does it
    // libuv has given the request back: copy what run() needs. Returns false if there
    // is no memory. Does not call into Python.
    bool (*keep)(struct tl_uv_request *request);
    // Do it. Thread: any, without the GIL.
    void (*run)(struct tl_uv_request *request);
    // It will not be done: store error, a negative errno, as its result.
    void (*fail)(struct tl_uv_request *request, int error);
    // Called when it is over or lost. Must not call into Python.
    void (*over)(struct tl_uv_request *request);
    // Free everything except held. Must not call into Python.
    void (*free)(struct tl_uv_request *request);
};

// Locks: the GIL.
TL_CHECKER(tl_uv_request_check, const struct tl_uv_request *request);
TL_CHECKER(tl_uv_loop_check, struct tl_uv_loop *loop);

// A new loop. Returns NULL with OSError or MemoryError set if it cannot be made. The
// first one of a process starts libuv's threads.
struct tl_uv_loop *tl_uv_loop_new(void);

// Report the requests that are over, without waiting for others.
void tl_uv_loop_run(struct tl_uv_loop *loop);

// Whether a request is in flight.
bool tl_uv_loop_is_busy(const struct tl_uv_loop *loop);

// A descriptor that is readable when a request is over.
int tl_uv_loop_fd(const struct tl_uv_loop *loop);

// The loop as a poll source of its thread, whose kind and fd the caller sets; and back.
struct tl_poll_source *tl_uv_loop_source(struct tl_uv_loop *loop);
struct tl_uv_loop *tl_uv_loop_of(const struct tl_poll_source *source);

// The loop's thread ends: cancel the requests that have not begun, and close the loop,
// or make it an orphan if other requests are in flight.
// TL_UV_LOOP_QUIETLY: the thread has ended already, so nothing is reported now.
enum tl_uv_loop_ending { TL_UV_LOOP_REPORTING, TL_UV_LOOP_QUIETLY };
void tl_uv_loop_end(struct tl_uv_loop *loop, enum tl_uv_loop_ending how);

// Run the orphans, and close those without a request in flight.
// Thread: any.
void tl_uv_loop_sweep(void);

// The interpreter ends: end loop, the caller's own (may be NULL), and give all orphans
// a moment to finish.
// Locks: releases the GIL for that time.
void tl_uv_loop_at_exit(struct tl_uv_loop *loop);

// Before and after a fork, with the GIL: hold and release the mutexes that libuv's
// threads take to report.
void tl_uv_loop_hold_all(void);
void tl_uv_loop_release_all(bool in_child);

// In the child of a fork: dispose of all loops. Their requests are lost.
void tl_uv_loop_after_fork(void);

// ---- for the kinds of requests

// The loop's uv_loop_t.
void *tl_uv_loop_uv(struct tl_uv_loop *loop);

// request, which is new, was given to libuv or is about to be given to an internal
// thread: it is in flight.
void tl_uv_loop_begun(struct tl_uv_loop *loop, struct tl_uv_request *request);

// libuv has called back, or the request could not be started: it is over.
void tl_uv_loop_over(struct tl_uv_request *request);

// An internal thread has done the request: make its loop report it.
// Thread: any.  Locks: none.
void tl_uv_loop_announce(struct tl_uv_request *request);

// Cancel the request unless it has begun. It is reported in both cases, later.
void tl_uv_loop_cancel(struct tl_uv_request *request);

// The tasklets of the loop's thread are being ended, or not any more: none of its
// requests moves to a spare thread.
void tl_uv_loop_is_ending(struct tl_uv_loop *loop, bool is_ending);

// Whether a waiter or the program needs request to be done.
bool tl_uv_loop_is_wanted(const struct tl_uv_request *request);

// Cancel the requests that wait in libuv's queue for a thread, except of loops whose
// threads are ending. libuv calls back for each, and is_taken_back tells why.
void tl_uv_loop_take_back(void);

// The version of the libuv that is loaded: a static string.
const char *tl_uv_loop_version(void);

#endif // TL_UV_LOOP_H
