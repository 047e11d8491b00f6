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

// Raise RuntimeError: q has no mutex, as __init__() was not called.
void tl_queue_raise_bare(QueueObject *q);

// Read a timeout in seconds, which may be negative: None or NULL is INFINITY, an
// infinite number is DBL_MAX. Returns 0, or -1 with an exception set. May run Python
// code.
int tl_queue_read_timeout(PyObject *timeout, double *seconds);

// The deadline that is that many seconds from now. Returns 0, or -1 with ValueError (it
// is negative) or OverflowError set.
int tl_queue_deadline(double seconds, tl_deadline *deadline);

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

#endif // TL_QUEUE_H
