// simple_queue.h - SimpleQueue: a queue without a mutex, whose put() never waits.
#ifndef TL_SIMPLE_QUEUE_H
#define TL_SIMPLE_QUEUE_H

#include "sync/wait_queue.h"

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

// Take the first item, waiting for it until deadline. Returns it (a new reference), or
// NULL with an exception set: Empty if it timed out.
// Switch: may.
PyObject *tl_simple_queue_get(SimpleQueueObject *q, tl_deadline deadline);

#endif // TL_SIMPLE_QUEUE_H
