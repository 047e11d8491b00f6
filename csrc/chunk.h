// chunk.h - blocks of two sizes, carved out of slabs that go back when empty.
//
// The interpreter takes 16 KiB for the first Python frame of every stack, straight from
// the system: the cost of a birth, and with 100,000 stacks more mappings than Linux
// allows. The small size is a first piece for stacks that stay shallow.
#ifndef TL_CHUNK_H
#define TL_CHUNK_H

#include "stress.h"

#include <stdbool.h>
#include <stddef.h>

enum { TL_CHUNK_SMALL = TL_STRESS_OR(1024, 256), TL_CHUNK_LARGE = 16384 };

// size is TL_CHUNK_SMALL or TL_CHUNK_LARGE. NULL without memory.  Thread: any.
void *tl_chunk_alloc(size_t size);

// Take a block back if it came from here; false, and nothing done, otherwise.
// Thread: any.
bool tl_chunk_free(void *block);

// Give spare slabs back.  Thread: any.
void tl_chunk_trim(void);

// Slabs held now, for tests and statistics.  Thread: any.
size_t tl_chunk_slabs(void);

// Around a fork: hold the lock, so that the child finds whole lists.
void tl_chunk_hold(void);
void tl_chunk_release(bool in_child);

#endif // TL_CHUNK_H
