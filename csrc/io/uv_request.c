// uv_request.c - tasklets that wait for a request of uv_loop.h.
#include "io/uv_request.h"
#include "core/errors.h"
#include "core/poll_source.h"
#include "core/timer.h"
#include "object/live_counts.h"

static void
joined(struct tl_wait *wait)
{
    struct tl_sched *s = tl_task_of_wait(wait)->home;
    s->awaited++;
    tl_timer_expect(s);
}

static void
left(struct tl_wait *wait)
{
    tl_task_of_wait(wait)->home->awaited--;
}

const struct tl_wait_kind tl_uv_request_file = {
    .verb = "waits for the file system", .joined = joined, .left = left};
const struct tl_wait_kind tl_uv_request_address = {
    .verb = "waits for an address", .joined = joined, .left = left};

// ---- requests

// Drop a reference without calling into Python: held is dropped after the next switch.
static void
unref_later(struct tl_uv_request *request)
{
    if (--request->refs > 0) {
        return;
    }
    PyObject *held = request->held;
    assert(request->state != TL_REQUEST_IN_FLIGHT);
    request->free(request);
    tl_live_add(TL_LIVE_REQUEST, -1);
    if (tl_sched_mine != NULL) {
        tl_sched_drop_later(tl_sched_mine, held);
    } // else in the child of a fork, or at the end of the process: held leaks
}

void
tl_uv_request_unref(struct tl_uv_request *request)
{
    PyObject *held = request->held;
    if (request->refs == 1) {
        request->held = NULL;
    } else {
        held = NULL;
    }
    unref_later(request);
    Py_XDECREF(held);
}

static void
over(struct tl_uv_request *request)
{
    if (!tl_link_is_single(&request->waiters)) {
        TaskletObject *t = tl_task_of(request->waiters.next);
        tl_task_end_wait(t);
        tl_sched_ready(t);
    }
    unref_later(request);
}

void *
tl_uv_request_new(size_t size, const struct tl_wait_kind *kind,
                  void (*free)(struct tl_uv_request *))
{
    // Raw memory: the request may outlive the interpreter.
    struct tl_uv_request *request = PyMem_RawCalloc(1, size);
    if (request == NULL) {
        return PyErr_NoMemory();
    }
    tl_live_add(TL_LIVE_REQUEST, 1);
    tl_link_init(&request->link);
    tl_link_init(&request->waiters);
    request->kind = kind;
    request->refs = 1;
    request->over = over;
    request->free = free;
    return request;
}

// ---- the loop of a thread

static void
look(struct tl_sched *Py_UNUSED(s), struct tl_poll_source *source)
{
    tl_uv_loop_run(tl_uv_loop_of(source));
}

static bool
is_busy(const struct tl_poll_source *source)
{
    return tl_uv_loop_is_busy(tl_uv_loop_of(source));
}

static void
set_ending(struct tl_poll_source *source, bool is_ending)
{
    tl_uv_loop_is_ending(tl_uv_loop_of(source), is_ending);
}

static void
thread_ends(struct tl_sched *s, struct tl_poll_source *source)
{
    tl_poll_source_remove(s, source);
    tl_uv_loop_end(tl_uv_loop_of(source), TL_UV_LOOP_REPORTING);
}

static void
fini(struct tl_sched *s, struct tl_poll_source *source)
{
    tl_poll_source_remove(s, source);
    tl_uv_loop_end(tl_uv_loop_of(source), TL_UV_LOOP_QUIETLY);
}

static const struct tl_poll_source_kind source_kind = {.look = look,
                                                       .is_busy = is_busy,
                                                       .set_ending = set_ending,
                                                       .thread_ends = thread_ends,
                                                       .fini = fini};

// The loop of s, or NULL.
static struct tl_uv_loop *
loop_of(const struct tl_sched *s)
{
    struct tl_poll_source *source = tl_poll_source_find(s, &source_kind);
    return source == NULL ? NULL : tl_uv_loop_of(source);
}

// Take the loop from s, if it has one. Returns it, or NULL.
static struct tl_uv_loop *
take_loop(struct tl_sched *s)
{
    struct tl_uv_loop *loop = loop_of(s);
    if (loop != NULL) {
        tl_poll_source_remove(s, tl_uv_loop_source(loop));
    }
    return loop;
}

// ---- waiting

struct tl_uv_loop *
tl_uv_request_prepare(struct tl_sched *s, tl_deadline deadline)
{
    if (tl_errors_check_may_wait(s) < 0) {
        return NULL;
    }
    if (deadline == TL_DEADLINE_PAST) {
        PyErr_SetString(PyExc_TimeoutError, "timed out");
        return NULL;
    }
    tl_uv_loop_sweep();
    struct tl_uv_loop *loop = loop_of(s);
    if (loop == NULL && (loop = tl_uv_loop_new()) != NULL) {
        struct tl_poll_source *source = tl_uv_loop_source(loop);
        *source = (struct tl_poll_source){&source_kind, tl_uv_loop_fd(loop)};
        tl_poll_source_add(s, source);
    }
    return loop;
}

static bool
is_over(const struct tl_leave *how)
{
    return TL_CONTAINER(how->queue, struct tl_uv_request, waiters)->state !=
           TL_REQUEST_IN_FLIGHT;
}

int
tl_uv_request_wait(struct tl_sched *s, struct tl_uv_request *request,
                   tl_deadline deadline)
{
    tl_timer_expect(s);
    struct tl_leave how = {.kind = request->kind,
                           .queue = &request->waiters,
                           .deadline = deadline,
                           .comes = true,
                           .last_check = is_over};
    PyObject *value = tl_sched_leave(s, &how);
    if (value == NULL) {
        tl_uv_loop_cancel(request);
        return -1;
    }
    Py_DECREF(value);
    if (request->state == TL_REQUEST_LOST) {
        PyErr_SetString(PyExc_RuntimeError,
                        "what was waited for has stayed behind in the process that "
                        "forked");
        return -1;
    }
    return 0;
}

void
tl_uv_request_after_fork(struct tl_state *state)
{
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        (void)take_loop(TL_CONTAINER(i, struct tl_sched, all));
    }
    tl_uv_loop_after_fork();
}

void
tl_uv_request_at_exit(struct tl_sched *s)
{
    tl_uv_loop_at_exit(s == NULL ? NULL : take_loop(s));
    if (s != NULL) {
        tl_sched_drop_now(s);
    }
}
