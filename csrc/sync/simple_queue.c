// simple_queue.c - SimpleQueue: a circular buffer of items, and the getters that wait.
//
// put() reserves an item for the first waiter and wakes it. The item stays in the
// buffer and counts as promised until the waiter runs and takes the first item, or
// passes its promise on because it was interrupted. Other callers get only items that
// are not promised, so a waiter cannot lose a race.
#include "sync/simple_queue.h"
#include "core/stress_points.h"

static const struct tl_wait_kind get_wait = {
    .verb = "get from", .exempt = true, .on_timeout = tl_wait_queue_timed_out};

// ---- items

// Double the buffer. Returns 0, or -1 with MemoryError set.
TL_COLD static int
grow(SimpleQueueObject *q)
{
    Py_ssize_t room = q->room > 0 ? 2 * q->room : TL_STRESS_OR(8, 1);
    PyObject **items = NULL;
    if (room <= PY_SSIZE_T_MAX / (Py_ssize_t)(2 * sizeof *items)) {
        items = PyMem_Malloc((size_t)room * sizeof *items);
    }
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < q->count; i++) {
        items[i] = q->items[(q->first + i) & (q->room - 1)];
    }
    PyMem_Free(q->items);
    q->items = items;
    q->room = room;
    q->first = 0;
    return 0;
}

// Free the large buffer of an empty queue.
TL_COLD static void
shrink(SimpleQueueObject *q)
{
    PyMem_Free(q->items);
    q->items = NULL;
    q->room = q->first = 0;
}

// An empty queue keeps a buffer of up to this many slots, 8 KiB of pointers.
enum { MAX_ROOM_KEPT = TL_STRESS_OR(1024, 1) };

// Take the first item, of which there is one.
static PyObject *
take_first(SimpleQueueObject *q)
{
    assert(q->count > 0);
    PyObject *item = q->items[q->first];
    q->first = (q->first + 1) & (q->room - 1);
    if (--q->count == 0 && TL_UNLIKELY(q->room > MAX_ROOM_KEPT)) {
        shrink(q);
    }
    return item;
}

#ifndef NDEBUG
void
tl_simple_queue_check(const SimpleQueueObject *q)
{
    TL_CHECK("I1", "simple queue", q, q->count >= 0 && q->count <= q->room);
    TL_CHECK("I1", "simple queue", q, (q->room & (q->room - 1)) == 0);
    TL_CHECK("I1", "simple queue", q,
             q->first >= 0 && (q->first < q->room || q->room + q->first == 0));
    if (q->promised > 0 && q->forks != q->state->forks) {
        return; // unpromised() has not been called since the fork
    }
    TL_CHECK("I2", "simple queue", q, q->promised >= 0 && q->promised <= q->count);
    TL_CHECK("I3", "simple queue", q,
             q->count == q->promised ||
                 tl_wait_queue_first((struct tl_link *)&q->waiters) == NULL);
}
#endif

// ---- promises

// The number of items that any caller may take.
static inline Py_ssize_t
unpromised(SimpleQueueObject *q)
{
    if (TL_UNLIKELY(q->promised > 0) && q->forks != q->state->forks) {
        q->promised = 0; // most waiters that were woken before a fork are not here
    }
    return q->count - q->promised;
}

// Promise free items to waiters, and wake these.
static void
promise(SimpleQueueObject *q)
{
    struct tl_waiter *waiter;
    while (unpromised(q) > 0 && (waiter = tl_wait_queue_first(&q->waiters)) != NULL) {
        q->forks = q->state->forks;
        q->promised++;
        tl_wait_queue_wake(waiter, TL_GIVEN_NOTIFICATION);
    }
}

int
tl_simple_queue_put(SimpleQueueObject *q, PyObject *item)
{
    if (TL_UNLIKELY(q->count == q->room) && grow(q) < 0) {
        return -1;
    }
    q->items[(q->first + q->count) & (q->room - 1)] = Py_NewRef(item);
    q->count++;
    if (!tl_link_is_single(&q->waiters)) {
        promise(q);
    }
    tl_simple_queue_check(q);
    return 0;
}

static bool
has_free_item(struct tl_queued_wait *how)
{
    return unpromised((SimpleQueueObject *)how->on) > 0;
}

PyObject *
tl_simple_queue_get(SimpleQueueObject *q, tl_deadline deadline)
{
    while (unpromised(q) <= 0 || (deadline != TL_DEADLINE_PAST && tl_waits_anyway())) {
        if (deadline == TL_DEADLINE_PAST) {
            PyErr_SetNone(q->state->queue.empty);
            return NULL;
        }
        struct tl_queued_wait how = {.kind = &get_wait,
                                     .on = (PyObject *)q,
                                     .queue = &q->waiters,
                                     .deadline = deadline,
                                     .last_check = has_free_item};
        int result = tl_wait_queue_wait(q->state, &how);
        if ((how.given & TL_GIVEN_NOTIFICATION) && q->promised > 0) {
            q->promised--;
        }
        if (result < 0) {
            promise(q);
            tl_simple_queue_check(q);
            return NULL;
        }
        if (how.given & TL_GIVEN_TIMED_OUT) {
            deadline = TL_DEADLINE_PAST;
        }
    }
    PyObject *item = take_first(q);
    tl_simple_queue_check(q);
    return item;
}
