// frame_slab.h - blocks of two sizes, carved out of slabs that go back when empty.
//
// The interpreter takes 16 KiB for the first Python frame of every stack, straight from
// the system: the cost of a birth, and with 100,000 stacks more mappings than Linux
// allows. The small size is a first piece for stacks that stay shallow.
#ifndef TL_FRAME_SLAB_H
#define TL_FRAME_SLAB_H

#include "base/stress.h"

#include <stdbool.h>
#include <stddef.h>

enum { TL_FRAME_SLAB_SMALL = TL_STRESS_OR(1024, 256), TL_FRAME_SLAB_LARGE = 16384 };

// size is TL_FRAME_SLAB_SMALL or TL_FRAME_SLAB_LARGE. NULL without memory.  Thread: any.
void *tl_frame_slab_alloc(size_t size);

// Take a block back if it came from here; false, and nothing done, otherwise.
// Thread: any.
bool tl_frame_slab_free(void *block);

// Give spare slabs back.  Thread: any.
void tl_frame_slab_trim(void);

// Slabs held now, for tests and statistics.  Thread: any.
size_t tl_frame_slab_slabs(void);

// Around a fork: hold the lock, so that the child finds whole lists.
void tl_frame_slab_hold(void);
void tl_frame_slab_release(bool in_child);

#endif // TL_FRAME_SLAB_H
