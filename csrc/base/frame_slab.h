// frame_slab.h - a cache of frame memory: blocks of two sizes, carved out of slabs of
// one megabyte that are given back to the system when they are empty.
//
// The interpreter allocates 16 KiB for the first Python frame of every stack, directly
// from the system. That makes up most of the cost of a new stack, and 100,000 stacks
// need more mappings than Linux allows. The large size replaces that; the small size is
// a first piece for stacks that stay shallow, which halves the memory of a blocked
// tasklet.
//
// Locks: one mutex, a leaf: nothing else is locked with it held.
#ifndef TL_FRAME_SLAB_H
#define TL_FRAME_SLAB_H

#include "base/stress.h"

#include <stdbool.h>
#include <stddef.h>

enum { TL_FRAME_SLAB_SMALL = TL_STRESS_OR(1024, 256), TL_FRAME_SLAB_LARGE = 16384 };

// Allocate a block of TL_FRAME_SLAB_SMALL or TL_FRAME_SLAB_LARGE bytes. NULL without
// memory.
// Thread: any.  Locks: takes the mutex.
void *tl_frame_slab_alloc(size_t size);

// Free a block if it came from here. Returns whether it did; nothing is done otherwise.
// Thread: any.  Locks: takes the mutex.
bool tl_frame_slab_free(void *block);

// Give empty slabs back to the system.
// Thread: any.  Locks: takes the mutex.
void tl_frame_slab_trim(void);

// Number of slabs held now, for tests and statistics.
// Thread: any.  Locks: takes the mutex.
size_t tl_frame_slab_slabs(void);

// Around a fork: take the mutex, so that the child finds consistent lists.
void tl_frame_slab_hold(void);
void tl_frame_slab_release(bool in_child);

#endif // TL_FRAME_SLAB_H
