// queue.h - Queue, LifoQueue and PriorityQueue: who may put and get, and who waits.
//
// What a call of put() or get() does is atomic under the GIL as long as no code of others
// runs in it: then it needs the mutex to be free, but does not take it. The comparisons of
// a PriorityQueue, the methods of a subclass and containers that we do not know are code of
// others: then it holds the mutex.
#ifndef TL_QUEUE_H
#define TL_QUEUE_H

#include "sync/condition.h"

enum tl_queue_order { TL_QUEUE_FIFO, TL_QUEUE_LIFO, TL_QUEUE_PRIORITY };

// Invariants
// I1: mutex and the conditions are made by the first __init__(), and stay.
// I2: is_exact iff items is exactly a deque or, in another order than FIFO, a list.
// I3: is_hooked and is_routed are right while type_version is that of the type, not 0.
// I4: who waits in put(), get() or join() is in the queue of a condition, with a kind of its
//     own, which tells it from one who calls the condition's wait().
typedef struct QueueObject {
    PyObject_HEAD
    struct tl_state *state;
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *maxsize;
    Py_ssize_t limit; // the same as a number of items; <= 0: there is none
    PyObject *items;  // "queue"; NULL: it has been deleted
    LockObject *mutex;
    ConditionObject *not_empty, *not_full, *all_tasks_done;
    Py_ssize_t unfinished;
    unsigned int type_version;
    unsigned char order;
    bool is_exact;
    bool is_hooked;  // has other methods _put() and so on than ours
    bool is_routed;  // has another put() or get() than ours
    bool is_patched; // has, or had, one of these itself and not from its type
    bool is_shutdown;
    bool get_hurries,
        put_hurries; // the next who is woken has been too late often enough
} QueueObject;

// Of I3 only what needs no look at the type, which may run code of a metaclass.
// Locks: the GIL.
TL_CHECKER(tl_queue_check, const QueueObject *q);

// I2 alone.
// Locks: the GIL.
TL_CHECKER(tl_queue_check_items, const QueueObject *q);

// ---- queue_items.c: what is stored, without regard to who waits

// Make the container that __init__() makes. Returns 0, or -1 with an exception set.
int tl_queue_items_init(QueueObject *q);

// How many there are; store one; take one (a new reference). -1 or NULL with an exception
// set. Run code of others unless is_exact and the order is another than PRIORITY.
Py_ssize_t tl_queue_items_size(QueueObject *q);
int tl_queue_items_put(QueueObject *q, PyObject *item);
PyObject *tl_queue_items_get(QueueObject *q);

// The same through the methods that a subclass may have overridden.
Py_ssize_t tl_queue_hook_size(QueueObject *q);
int tl_queue_hook_put(QueueObject *q, PyObject *item);
PyObject *tl_queue_hook_get(QueueObject *q);

// The container (borrowed), or NULL with AttributeError set.
PyObject *tl_queue_items(QueueObject *q);

// Have a new container. Steals items, which may be NULL.
void tl_queue_set_items(QueueObject *q, PyObject *items);

// Have I3 hold.
void tl_queue_look_at_type(QueueObject *q);

static inline void
tl_queue_know_type(QueueObject *q)
{
    unsigned int version = Py_TYPE(q)->tp_version_tag;
    if (TL_UNLIKELY(version == 0 || q->type_version != version)) {
        tl_queue_look_at_type(q);
    }
}

// Whether nothing of others runs while items are counted, stored and taken.
static inline bool
tl_queue_is_plain(QueueObject *q)
{
    tl_queue_know_type(q);
    return TL_LIKELY(q->is_exact) && !q->is_hooked && q->order != TL_QUEUE_PRIORITY;
}

// ---- queue.c: who waits

// Raise RuntimeError: q has no mutex, as __init__() was not called.
void tl_queue_raise_bare(QueueObject *q);

// Whether q has a mutex, that is free, and plain items.
static inline bool
tl_queue_is_open(QueueObject *q)
{
    return tl_queue_is_plain(q) && TL_LIKELY(q->mutex != NULL) &&
           TL_LIKELY(q->mutex->count == 0);
}

// Read a timeout: None or NULL is infinite, what is infinite else DBL_MAX. It may be
// negative. Returns 0, or -1 with an exception set. Runs code of others.
int tl_queue_read_timeout(PyObject *timeout, double *seconds);

// When a wait of so many seconds ends, as in struct tl_queued_wait; negative: at once. Returns 0,
// or -1 with ValueError or OverflowError set.
int tl_queue_deadline(double seconds, int64_t *deadline);

// What the methods of these names do. timeout: as given, NULL or None for no limit.
// Switch: may.
int tl_queue_put(QueueObject *q, PyObject *item, bool block, PyObject *timeout);
PyObject *tl_queue_get(QueueObject *q, bool block, PyObject *timeout);
int tl_queue_task_done(QueueObject *q);
int tl_queue_join(QueueObject *q);
Py_ssize_t tl_queue_size(QueueObject *q);
int tl_queue_shutdown(QueueObject *q, bool immediate);

// q has one item more or less than before, and its mutex is free: wake who waits for that.
void tl_queue_wake(QueueObject *q, bool getter);

// The object on goes away: nobody waits for it any more in that queue.
void tl_queue_forget(struct tl_link *queue, PyObject *on);

// ---- simple_queue.c

// Invariants
// I1: count items from first on, in a ring of room, which is 0 or a power of two.
// I2: promised of them are for waiters that have been woken and have not come yet, unless
//     the process has been forked since.
// I3: nobody waits whose thread exists while there is an item that is not promised.
typedef struct SimpleQueueObject {
    PyObject_HEAD
    struct tl_state *state;
    PyObject **items;
    Py_ssize_t first, count, room, promised;
    unsigned forks; // of state, when the first of them was promised
    struct tl_link waiters;
    PyObject *weakrefs;
} SimpleQueueObject;

// Locks: the GIL.
TL_CHECKER(tl_simple_queue_check, const SimpleQueueObject *q);

// Store item. Returns 0, or -1 with MemoryError set. Runs no code of others.
int tl_simple_queue_put(SimpleQueueObject *q, PyObject *item);

// Take the first item for the calling one, waiting for it unless deadline is negative.
// Returns it, or NULL with an exception set: Empty if none came in time.
// Switch: may.
PyObject *tl_simple_queue_get(SimpleQueueObject *q, int64_t deadline);

#endif // TL_QUEUE_H
