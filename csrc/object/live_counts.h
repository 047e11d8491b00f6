// live_counts.h - how many objects of each kind exist, for leak tests.
//
// The counts belong to the process, because an object may outlive its module state
// while the interpreter shuts down. Allocations and deallocations are counted, so that
// tp_clear makes no difference.
#ifndef TL_LIVE_COUNTS_H
#define TL_LIVE_COUNTS_H

#include "cpython/compat.h"

#include <stdatomic.h>

enum tl_live_kind {
    TL_LIVE_NONE = -1,
#define TL_COUNT(kind, name) TL_LIVE_##kind,
#include "object/types.def"
    TL_LIVE_KINDS
};

extern _Atomic long tl_live[TL_LIVE_KINDS];
extern const char *const tl_live_names[TL_LIVE_KINDS];

// Thread: any.  Locks: none.
static inline void
tl_live_add(enum tl_live_kind kind, int n)
{
    // Relaxed: tests read the counts when no other thread changes them.
    atomic_fetch_add_explicit(&tl_live[kind], n, memory_order_relaxed);
}

// The end of a tp_dealloc: frees the object and drops its reference to the type.
static inline void
tl_object_free(void *self, enum tl_live_kind kind)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    type->tp_free(self);
    if (kind != TL_LIVE_NONE) {
        tl_live_add(kind, -1);
    }
    Py_DECREF(type);
}

#endif // TL_LIVE_COUNTS_H
