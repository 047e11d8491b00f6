// uv_loop.c - libuv: loops, requests in flight, and what becomes of both at a thread's
// end, a fork and the end of the process.
#include "io/uv_loop.h"
#include "core/poll_source.h"
#include "io/uv_threads.h"
#include "base/clock.h"
#include "base/lookup.h"
#include "base/preflight.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

// How long the end of the interpreter waits for requests in flight, in nanoseconds. A
// disk needs less; a call that takes longer may be blocked forever.
#define EXIT_GRACE_NS INT64_C(500000000)

// The maximum number of descriptors that the first loop of a process opens. libuv
// aborts the process if it cannot open them.
enum { MAX_FIRST_DESCRIPTORS = 8 };

// The size to assume for the stack of each thread of libuv, in bytes.
enum { STACK_BYTES = 8 << 20 };

// Guarded by the GIL.
//
// Invariants
// I1: in_flight is the length of requests, plus one until first is over.
// I2: is_orphan iff its thread has ended; then a request was in flight when the loop
//     was run last.
// I3: pool.in_flight is the sum of the in_flight of all loops; pool.orphans counts the
//     orphans among them.
struct tl_uv_loop {
    struct tl_poll_source source;
    uv_loop_t uv;
    uv_work_t first;         // does nothing: see warm_up()
    uv_async_t news;         // sent when a request is ready
    struct tl_link all;      // in pool.loops
    struct tl_link requests; // in flight
    Py_ssize_t in_flight;
    bool is_orphan;
    bool is_ending; // the tasklets of its thread are being ended
#ifndef NDEBUG
    size_t changes; // since the requests were last walked over
#endif
};

// libuv's threads, which serve all loops of the process.
static struct {
    struct tl_link loops;
    Py_ssize_t in_flight, orphans;
    bool is_ready;          // loops was initialized
    bool was_used;          // the threads were started in this process
    bool has_stayed_behind; // they were started in the process that forked
    int status;             // the exit status of the process
} pool;

const char *
tl_uv_loop_version(void)
{
    return uv_version_string();
}

void *
tl_uv_loop_uv(struct tl_uv_loop *loop)
{
    return &loop->uv;
}

int
tl_uv_loop_fd(const struct tl_uv_loop *loop)
{
    return uv_backend_fd(&loop->uv);
}

struct tl_poll_source *
tl_uv_loop_source(struct tl_uv_loop *loop)
{
    return &loop->source;
}

struct tl_uv_loop *
tl_uv_loop_of(const struct tl_poll_source *source)
{
    return TL_CONTAINER(source, struct tl_uv_loop, source);
}

bool
tl_uv_loop_is_busy(const struct tl_uv_loop *loop)
{
    return loop->in_flight > 0;
}

static void
count(struct tl_uv_loop *loop, int n)
{
    loop->in_flight += n;
    pool.in_flight += n;
}

#ifndef NDEBUG
void
tl_uv_request_check(const struct tl_uv_request *request)
{
    bool in_flight = request->state == TL_REQUEST_IN_FLIGHT;
    TL_CHECK("R1", "tl_uv_request", request, in_flight == (request->loop != NULL));
    TL_CHECK("R1", "tl_uv_request", request,
             in_flight == !tl_link_is_single(&request->link));
    TL_CHECK("R1", "tl_uv_request", request,
             !in_flight || tl_link_may_be_in(&request->link, &request->loop->requests));
    TL_CHECK("R2", "tl_uv_request", request, request->refs > 0);
}

static void
check_pool(void)
{
    Py_ssize_t in_flight = 0, orphans = 0;
    for (struct tl_link *i = pool.loops.next; i != &pool.loops; i = i->next) {
        const struct tl_uv_loop *loop = TL_CONTAINER(i, struct tl_uv_loop, all);
        in_flight += loop->in_flight;
        orphans += loop->is_orphan;
    }
    TL_CHECK("I3", "tl_uv_loop", &pool, pool.in_flight == in_flight);
    TL_CHECK("I3", "tl_uv_loop", &pool, pool.orphans == orphans);
}

void
tl_uv_loop_check(struct tl_uv_loop *loop)
{
    bool has_none = tl_link_is_single(&loop->requests);
    TL_CHECK("I1", "tl_uv_loop", loop, loop->in_flight >= !has_none);
    TL_CHECK("I1", "tl_uv_loop", loop, !has_none || loop->in_flight <= 1);
    if (!tl_check_is_due(&loop->changes, (size_t)loop->in_flight + 8)) {
        return;
    }
    Py_ssize_t count = 0;
    for (struct tl_link *i = loop->requests.next; i != &loop->requests; i = i->next) {
        const struct tl_uv_request *request =
            TL_CONTAINER(i, struct tl_uv_request, link);
        TL_CHECK("R1", "tl_uv_request", request, request->loop == loop);
        count++;
    }
    TL_CHECK("I1", "tl_uv_loop", loop,
             loop->in_flight == count || loop->in_flight == count + 1);
    check_pool();
}
#endif

// ---- the end of the process

#ifdef __GLIBC__
static void
note_status(int status, void *Py_UNUSED(arg))
{
    pool.status = status;
}

// libuv's own destructor runs after this one, and joins its threads. It would never
// return while one of them is blocked, and crash in a forked child, where they do not
// exist.
__attribute__((destructor)) static void
leave_without_threads(void)
{
    if (pool.in_flight > 0 || pool.has_stayed_behind) {
        fflush(NULL);
        _exit(pool.status);
    }
}
#endif

// Returns 0 or a negative errno.
static int
pool_init(void)
{
    if (pool.was_used) {
        return 0;
    }
    int error = tl_preflight_for_descriptors(MAX_FIRST_DESCRIPTORS);
    if (error == 0) {
        error = tl_preflight_for_threads(tl_preflight_pool_size(), STACK_BYTES);
    }
    if (error != 0) {
        return -error;
    }
    if (!pool.is_ready) {
        tl_link_init(&pool.loops);
#ifdef __GLIBC__
        (void)on_exit(note_status, NULL);
#endif
        pool.is_ready = true;
    }
    return 0;
}

// ---- making a loop

static void
do_nothing(uv_work_t *Py_UNUSED(work))
{
}

static void
first_is_over(uv_work_t *work, int Py_UNUSED(status))
{
    count(TL_CONTAINER(work, struct tl_uv_loop, first), -1);
}

// Make a first request, for two reasons. It starts libuv's threads, here with all
// signals blocked, so that these stay with Python's threads. And the loop registers its
// own descriptors, which it does only while it is in use.
static int
warm_up(struct tl_uv_loop *loop)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = uv_queue_work(&loop->uv, &loop->first, do_nothing, first_is_over);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
        count(loop, 1);
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
    return error;
}

// Report the requests that internal threads have done.
static void
report_ready(uv_async_t *news)
{
    struct tl_uv_loop *loop = TL_CONTAINER(news, struct tl_uv_loop, news);
    struct tl_link *next, *i = loop->requests.next;
    for (; i != &loop->requests; i = next) {
        struct tl_uv_request *request = TL_CONTAINER(i, struct tl_uv_request, link);
        next = i->next;
        // Acquire: pairs with the release in tl_uv_loop_announce().
        if (atomic_load_explicit(&request->ready, memory_order_acquire)) {
            tl_uv_loop_over(request);
        }
    }
}

// The loop is not used any more: close its only uv_handle_t, and the loop. Returns as
// uv_loop_close().
static int
close_uv(struct tl_uv_loop *loop)
{
    if (!uv_is_closing((uv_handle_t *)&loop->news)) {
        tl_lookup_settle();
        tl_spare_settle();
        uv_close((uv_handle_t *)&loop->news, NULL);
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
    return uv_loop_close(&loop->uv);
}

// Returns 0 or a negative errno.
static int
loop_init(struct tl_uv_loop *loop)
{
    int error = pool_init();
    if (error == 0) {
        error = uv_loop_init(&loop->uv);
    }
    if (error != 0) {
        return error;
    }
    tl_link_init(&loop->requests);
    // An active handle, so that uv_run() looks for events at all.
    error = uv_async_init(&loop->uv, &loop->news, report_ready);
    if (error != 0) {
        (void)uv_loop_close(&loop->uv);
        return error;
    }
    error = warm_up(loop);
    if (error != 0) {
        (void)close_uv(loop);
        return error;
    }
    pool.was_used = true;
    pool.has_stayed_behind = false;
    tl_uv_threads_set_size(tl_preflight_pool_size());
    tl_link_init(&loop->all);
    tl_link_insert_before(&loop->all, &pool.loops);
    return 0;
}

struct tl_uv_loop *
tl_uv_loop_new(void)
{
    // Raw memory: the loop may outlive the interpreter.
    struct tl_uv_loop *loop = PyMem_RawCalloc(1, sizeof *loop);
    if (loop == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    int error = loop_init(loop);
    if (error != 0) {
        PyMem_RawFree(loop);
        errno = -error;
        PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    return loop;
}

// ---- requests

void
tl_uv_loop_begun(struct tl_uv_loop *loop, struct tl_uv_request *request)
{
    assert(request->state == TL_REQUEST_NEW);
    request->state = TL_REQUEST_IN_FLIGHT;
    request->loop = loop;
    request->refs++;
    tl_link_insert_before(&request->link, &loop->requests);
    count(loop, 1);
    tl_uv_threads_begun(request);
    tl_uv_request_check(request);
    tl_uv_loop_check(loop);
}

static void
finish(struct tl_uv_request *request, enum tl_uv_request_state state)
{
    assert(request->state == TL_REQUEST_IN_FLIGHT);
    tl_link_remove(&request->link);
    tl_uv_threads_over(request);
    count(request->loop, -1);
    tl_uv_loop_check(request->loop);
    request->loop = NULL;
    request->state = state;
    tl_uv_request_check(request);
    request->over(request);
}

void
tl_uv_loop_over(struct tl_uv_request *request)
{
    finish(request, TL_REQUEST_OVER);
}

void
tl_uv_loop_announce(struct tl_uv_request *request)
{
    uv_async_t *news = &request->loop->news;
    // Release: pairs with the acquire in report_ready(). The owner may free the request
    // as soon as it has seen this.
    atomic_store_explicit(&request->ready, true, memory_order_release);
    (void)uv_async_send(news);
}

bool
tl_uv_loop_is_wanted(const struct tl_uv_request *request)
{
    return request->must_run || !tl_link_is_single(&request->waiters);
}

// Cancel a request that libuv has. Returns false if it has begun.
static bool
cancel_uv(struct tl_uv_request *request)
{
    request->is_cancelled |= uv_cancel(request->uv_req) == 0;
    return request->is_cancelled;
}

void
tl_uv_loop_cancel(struct tl_uv_request *request)
{
    if (request->state != TL_REQUEST_IN_FLIGHT || request->must_run) {
        return;
    }
    if (request->cancel != NULL) {
        request->cancel(request);
    } else if (!cancel_uv(request) && tl_uv_threads_abandoned(request)) {
        tl_uv_loop_take_back();
    }
}

void
tl_uv_loop_is_ending(struct tl_uv_loop *loop, bool is_ending)
{
    loop->is_ending = is_ending;
}

void
tl_uv_loop_take_back(void)
{
    for (struct tl_link *i = pool.loops.next; i != &pool.loops; i = i->next) {
        struct tl_uv_loop *loop = TL_CONTAINER(i, struct tl_uv_loop, all);
        struct tl_link *requests = &loop->requests, *j = requests->next;
        for (; j != requests && !loop->is_ending; j = j->next) {
            struct tl_uv_request *request = TL_CONTAINER(j, struct tl_uv_request, link);
            if (tl_uv_threads_have(request) && !request->is_taken_back &&
                tl_uv_loop_is_wanted(request)) {
                request->is_taken_back = cancel_uv(request);
            }
        }
    }
}

void
tl_uv_loop_run(struct tl_uv_loop *loop)
{
    if (loop->in_flight > 0) {
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
}

// ---- ending a loop

static void
cancel_all(struct tl_uv_loop *loop)
{
    (void)uv_cancel((uv_req_t *)&loop->first); // fails if that is over
    struct tl_link *i = loop->requests.next;
    for (; i != &loop->requests; i = i->next) {
        tl_uv_loop_cancel(TL_CONTAINER(i, struct tl_uv_request, link));
    }
}

// Close and free loop unless a request is in flight. Returns whether that was possible.
static bool
close_loop(struct tl_uv_loop *loop)
{
    if (loop->in_flight > 0 || close_uv(loop) != 0) {
        return false;
    }
    pool.orphans -= loop->is_orphan;
    tl_link_remove(&loop->all);
    PyMem_RawFree(loop);
    return true;
}

void
tl_uv_loop_end(struct tl_uv_loop *loop, enum tl_uv_loop_ending how)
{
    if (loop->in_flight > 0) {
        cancel_all(loop);
    }
    if (how == TL_UV_LOOP_REPORTING) {
        tl_uv_loop_run(loop);
        while (loop->in_flight > 0 && tl_link_is_single(&loop->requests)) {
            // Only first is left, and a thread of libuv is about to do it.
            (void)uv_run(&loop->uv, UV_RUN_ONCE);
        }
    }
    if (!close_loop(loop)) {
        loop->is_orphan = true;
        pool.orphans++;
    }
}

void
tl_uv_loop_sweep(void)
{
    struct tl_link *next, *i = pool.orphans > 0 ? pool.loops.next : &pool.loops;
    for (; i != &pool.loops; i = next) {
        next = i->next;
        struct tl_uv_loop *loop = TL_CONTAINER(i, struct tl_uv_loop, all);
        if (loop->is_orphan) {
            tl_uv_loop_run(loop);
            (void)close_loop(loop);
        }
    }
}

void
tl_uv_loop_at_exit(struct tl_uv_loop *loop)
{
    if (loop != NULL) {
        tl_uv_loop_end(loop, TL_UV_LOOP_REPORTING);
    }
    tl_deadline deadline = tl_clock_now() + EXIT_GRACE_NS;
    for (;;) {
        tl_uv_loop_sweep();
        if (pool.orphans == 0 || tl_clock_now() >= deadline) {
            return;
        }
        struct tl_link *i = pool.loops.next;
        while (!TL_CONTAINER(i, struct tl_uv_loop, all)->is_orphan) {
            i = i->next;
        }
        // Another orphan may be the next to report: wait for this one only 10 ms at a
        // time.
        int fd = tl_uv_loop_fd(TL_CONTAINER(i, struct tl_uv_loop, all));
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        Py_BEGIN_ALLOW_THREADS;
        (void)poll(&entry, 1, 10);
        Py_END_ALLOW_THREADS;
    }
}

// ---- fork

void
tl_uv_loop_hold_all(void)
{
    struct tl_link *i = pool.is_ready ? pool.loops.next : &pool.loops;
    for (; i != &pool.loops; i = i->next) {
        uv_mutex_lock(&TL_CONTAINER(i, struct tl_uv_loop, all)->uv.wq_mutex);
    }
}

void
tl_uv_loop_release_all(bool in_child)
{
    struct tl_link *i = pool.is_ready ? pool.loops.next : &pool.loops;
    for (; i != &pool.loops; i = i->next) {
        uv_mutex_t *mutex = &TL_CONTAINER(i, struct tl_uv_loop, all)->uv.wq_mutex;
        if (in_child) {
            // Do not unlock: debug builds of libuv check the owner of a mutex and
            // abort, because the thread has another number in the child.
            (void)uv_mutex_init(mutex);
        } else {
            uv_mutex_unlock(mutex);
        }
    }
}

// In the child of a fork: close a loop whose threads do not exist here.
static void
dispose(struct tl_uv_loop *loop)
{
    // Replace the loop's descriptors, which are shared with the parent, before closing
    // them.
    if (uv_loop_fork(&loop->uv) != 0) {
        return; // leaks the loop
    }
    // A thread of libuv may have put a finished request into the queue, and may hold
    // the mutex if the interpreter was ending: make both new.
    (void)uv_mutex_init(&loop->uv.wq_mutex);
    void **wq = (void **)&loop->uv.wq;
    wq[0] = wq[1] = wq;
    loop->uv.active_reqs.count = 0;
    if (close_uv(loop) == 0) {
        PyMem_RawFree(loop);
    }
}

void
tl_uv_loop_after_fork(void)
{
    if (!pool.was_used) {
        return;
    }
    pool.has_stayed_behind = true;
    pool.was_used = false;
    while (!tl_link_is_single(&pool.loops)) {
        struct tl_uv_loop *loop = TL_CONTAINER(pool.loops.next, struct tl_uv_loop, all);
        while (!tl_link_is_single(&loop->requests)) {
            finish(TL_CONTAINER(loop->requests.next, struct tl_uv_request, link),
                   TL_REQUEST_LOST);
        }
        pool.in_flight -= loop->in_flight;
        pool.orphans -= loop->is_orphan;
        tl_link_remove(&loop->all);
        dispose(loop);
    }
    tl_uv_threads_after_fork();
    assert(pool.in_flight == 0 && pool.orphans == 0);
}
