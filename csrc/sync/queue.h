// queue.h - Queue, LifoQueue and PriorityQueue: items, mutex and waiters; SimpleQueue.
//
// A put() or get() that does not call into Python is atomic under the GIL. It requires
// the mutex to be free, but does not take it. A call that may run Python code holds the
// mutex: a PriorityQueue compares items, a subclass may override methods, and the
// container may have been replaced by one of another type.
#ifndef TL_QUEUE_H
#define TL_QUEUE_H

#include "sync/condition.h"

enum tl_queue_order { TL_QUEUE_FIFO, TL_QUEUE_LIFO, TL_QUEUE_PRIORITY };

// Invariants
// I1: mutex and the conditions are made by the first __init__(), and stay.
// I2: is_exact iff items is exactly a deque or, in another order than FIFO, a list.
// I3: is_hooked and is_routed are right while type_version is that of the type, not 0.
// I4: a waiter in put(), get() or join() is in the queue of a condition, with a kind of
//     queue.c, which tells it from a caller of the condition's wait().
typedef struct QueueObject {
    PyObject_HEAD
    struct tl_state *state;
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *maxsize;
    Py_ssize_t limit; // maxsize as a number of items; <= 0: none
    PyObject *items;  // the attribute "queue"; NULL: it has been deleted
    LockObject *mutex;
    ConditionObject *not_empty, *not_full, *all_tasks_done;
    Py_ssize_t unfinished; // the number of items that await a task_done()
    unsigned int type_version;
    unsigned char order; // enum tl_queue_order
    bool is_exact;
    bool is_hooked;  // _put(), _get() or _qsize() is overridden
    bool is_routed;  // put() or get() is overridden
    bool is_patched; // an instance attribute overrides one of these, or did
    bool is_shutdown;
    bool must_hand_off_to_getter; // the first getter has lost MAX_LOST_RACES
    bool must_hand_off_to_putter; // the first putter has
} QueueObject;

// Asserts of I3 only what can be checked without a look at the type, which may run
// Python code of a metaclass.
// Locks: the GIL.
TL_CHECKER(tl_queue_check, const QueueObject *q);

// I2 alone.
// Locks: the GIL.
TL_CHECKER(tl_queue_check_items, const QueueObject *q);

// ---- queue_items.c: the stored items, without regard to waiters

// Make the container that __init__() makes. Returns 0, or -1 with an exception set.
int tl_queue_items_init(QueueObject *q);

// Count the items, store one, take one (a new reference). Return -1 or NULL with an
// exception set. They may run Python code, unless is_exact is set and the order is not
// PRIORITY.
Py_ssize_t tl_queue_items_size(QueueObject *q);
int tl_queue_items_put(QueueObject *q, PyObject *item);
PyObject *tl_queue_items_get(QueueObject *q);

// The same through the methods that a subclass may have overridden.
Py_ssize_t tl_queue_hook_size(QueueObject *q);
int tl_queue_hook_put(QueueObject *q, PyObject *item);
PyObject *tl_queue_hook_get(QueueObject *q);

// The container (borrowed), or NULL with AttributeError set.
PyObject *tl_queue_items(QueueObject *q);

// Replace the container. Steals items, which may be NULL. May run Python code.
void tl_queue_set_items(QueueObject *q, PyObject *items);

// Refresh the flags of I3. May run Python code of a metaclass.
void tl_queue_look_at_type(QueueObject *q);

static inline void
tl_queue_know_type(QueueObject *q)
{
    unsigned int version = Py_TYPE(q)->tp_version_tag;
    if (TL_UNLIKELY(version == 0 || q->type_version != version)) {
        tl_queue_look_at_type(q);
    }
}

// Whether counting, storing and taking items does not call into Python.
static inline bool
tl_queue_is_plain(QueueObject *q)
{
    tl_queue_know_type(q);
    return TL_LIKELY(q->is_exact) && !q->is_hooked && q->order != TL_QUEUE_PRIORITY;
}

// ---- queue.c: the methods, and waiting

// Raise RuntimeError: q has no mutex, as __init__() was not called.
void tl_queue_raise_bare(QueueObject *q);

// Whether q has a mutex that is free, and plain items: no need to take the mutex.
static inline bool
tl_queue_is_open(QueueObject *q)
{
    return tl_queue_is_plain(q) && TL_LIKELY(q->mutex != NULL) &&
           TL_LIKELY(q->mutex->count == 0);
}

// Read a timeout in seconds, which may be negative: None or NULL is INFINITY, an
// infinite number is DBL_MAX. Returns 0, or -1 with an exception set. May run Python
// code.
int tl_queue_read_timeout(PyObject *timeout, double *seconds);

// The deadline that is that many seconds from now, as in struct tl_queued_wait;
// negative: do not wait. Returns 0, or -1 with ValueError or OverflowError set.
int tl_queue_deadline(double seconds, int64_t *deadline);

// The methods of these names. timeout is the argument, in seconds; NULL or None: no
// limit. tl_queue_get() returns a new reference; the others return -1 with an exception
// set.
// Switch: may.
int tl_queue_put(QueueObject *q, PyObject *item, bool block, PyObject *timeout);
PyObject *tl_queue_get(QueueObject *q, bool block, PyObject *timeout);
int tl_queue_task_done(QueueObject *q);
int tl_queue_join(QueueObject *q);
Py_ssize_t tl_queue_size(QueueObject *q);
int tl_queue_shutdown(QueueObject *q, bool immediate);

// q has one item more (getter) or less than before, and its mutex is free: wake the
// first waiter on the other side.
void tl_queue_wake(QueueObject *q, bool getter);

// The object on goes away: end the waits of the tasklets that wait for it in queue.
void tl_queue_forget(struct tl_link *queue, PyObject *on);

// ---- simple_queue.c

// Invariants
// I1: items is a circular buffer of room slots, 0 or a power of two; count of them are
//     in use, from first on.
// I2: promised is the number of items that are reserved for waiters that have been
//     woken and have not run yet, unless the process has forked since.
// I3: while an item is not promised, there is no waiter whose thread exists.
typedef struct SimpleQueueObject {
    PyObject_HEAD
    struct tl_state *state;
    PyObject **items;
    Py_ssize_t first, count, room, promised;
    unsigned forks; // state->forks when an item was last promised
    struct tl_link waiters;
    PyObject *weakrefs;
} SimpleQueueObject;

// Locks: the GIL.
TL_CHECKER(tl_simple_queue_check, const SimpleQueueObject *q);

// Store item, or reserve it for the first waiter. Returns 0, or -1 with MemoryError
// set. Does not call into Python.
int tl_simple_queue_put(SimpleQueueObject *q, PyObject *item);

// Take the first item, waiting for it unless deadline is negative. Returns it (a new
// reference), or NULL with an exception set: Empty if it timed out.
// Switch: may.
PyObject *tl_simple_queue_get(SimpleQueueObject *q, int64_t deadline);

#endif // TL_QUEUE_H
