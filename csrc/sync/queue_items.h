// queue_items.h - the items that a queue stores, without regard to waiters.
#ifndef TL_QUEUE_ITEMS_H
#define TL_QUEUE_ITEMS_H

#include "sync/queue.h"

// I2 alone.
// Locks: the GIL.
TL_CHECKER(tl_queue_check_items, const QueueObject *q);

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

// Whether q has a mutex that is free, and plain items: no need to take the mutex.
static inline bool
tl_queue_is_open(QueueObject *q)
{
    return tl_queue_is_plain(q) && TL_LIKELY(q->mutex != NULL) &&
           TL_LIKELY(q->mutex->count == 0);
}

#endif // TL_QUEUE_ITEMS_H
