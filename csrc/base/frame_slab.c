// frame_slab.c - the slabs, their lists, and an index of their addresses.
#include "base/frame_slab.h"
#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
// Frames hold references, and the leak checker does not look into mappings by itself.
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_register_root_region(slab, size) ((void)0)
#define __lsan_unregister_root_region(slab, size) ((void)0)
#endif

// SLAB_SIZE: bytes of a slab, and its alignment. CLASSES: number of block sizes.
// FAULT_SIZE: bytes of small blocks whose pages are allocated at a time.
enum { SLAB_SIZE = 1 << 20, CLASSES = 2, FAULT_SIZE = 1 << 16 };

// MAX_BLOCKS: maximum number of blocks of a slab; usually no limit beyond its size.
// MAX_EMPTY: maximum number of empty slabs kept for each size, so that a program at the
// edge of a slab does not map and unmap one each time.
// MIN_INDEX: initial number of slots of the index.
enum {
    MAX_BLOCKS = TL_STRESS_OR(SLAB_SIZE, 16),
    MAX_EMPTY = TL_STRESS_OR(1, 0),
    MIN_INDEX = TL_STRESS_OR(64, 2),
};

struct block {
    struct block *next;
};

// One aligned megabyte, which begins with this header. The pages of blocks that were
// never used stay unallocated.
//
// Invariants
// I1: used is the number of blocks in use. The first `fresh` blocks of the slab have
//     been used at some time; freed links those of them that are not in use.
// I2: a slab is in the list with_room of its class iff used < total.
// I3: the cache's `empty` is the number of slabs of a class without a block in use.
struct slab {
    struct slab *prev, *next; // in with_room
    struct block *freed;
    uint32_t used, fresh;
    uint32_t total; // number of blocks
    uint32_t size;  // bytes of a block
};

// The one process-wide cache. Locks: the mutex, for all fields.
static struct {
    pthread_mutex_t mutex;
    struct slab with_room[CLASSES]; // list heads
    struct slab **index;   // open hash of slab addresses: a freed block may not be ours
    size_t index_size;     // number of slots, a power of two
    size_t slabs;          // number of slabs
    size_t empty[CLASSES]; // see I3
#ifndef NDEBUG
    size_t changes; // since the lists were last walked over
#endif
} cache = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static size_t
hash_of(const void *slab)
{
    return ((uintptr_t)slab >> 20) * (size_t)0x9E3779B97F4A7C15u >> 20;
}

static struct slab **
index_slot(const struct slab *slab)
{
    size_t mask = cache.index_size - 1;
    for (size_t i = hash_of(slab) & mask;; i = (i + 1) & mask) {
        if (cache.index[i] == NULL || cache.index[i] == slab) {
            return &cache.index[i];
        }
    }
}

// Make room in the index for one more slab. It stays at most half full.
static bool
index_reserve(void)
{
    if (cache.index != NULL && (cache.slabs + 1) * 2 <= cache.index_size) {
        return true;
    }
    size_t old_size = cache.index_size;
    struct slab **old = cache.index;
    size_t new_size = old_size ? old_size * 2 : MIN_INDEX;
    struct slab **fresh = calloc(new_size, sizeof *fresh);
    if (fresh == NULL) {
        return false;
    }
    cache.index = fresh;
    cache.index_size = new_size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i] != NULL) {
            *index_slot(old[i]) = old[i];
        }
    }
    free(old);
    return true;
}

static void
index_remove(struct slab *slab)
{
    size_t mask = cache.index_size - 1;
    size_t i = (size_t)(index_slot(slab) - cache.index);
    cache.index[i] = NULL;
    // Entries behind the hole may have been placed there by a collision: insert them
    // anew.
    for (size_t j = (i + 1) & mask; cache.index[j] != NULL; j = (j + 1) & mask) {
        struct slab *moved = cache.index[j];
        cache.index[j] = NULL;
        *index_slot(moved) = moved;
    }
}

static void
list_init(struct slab *head)
{
    if (head->next == NULL) {
        head->prev = head->next = head;
    }
}

static void
list_add(struct slab *head, struct slab *slab)
{
    slab->prev = head;
    slab->next = head->next;
    head->next->prev = slab;
    head->next = slab;
}

static void
list_remove(struct slab *slab)
{
    slab->prev->next = slab->next;
    slab->next->prev = slab->prev;
}

static struct slab *
slab_map(void)
{
    char *raw = mmap(NULL, 2 * SLAB_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) {
        return NULL;
    }
    char *slab =
        (char *)(((uintptr_t)raw + SLAB_SIZE - 1) & ~(uintptr_t)(SLAB_SIZE - 1));
    if (slab > raw) {
        munmap(raw, (size_t)(slab - raw));
    }
    munmap(slab + SLAB_SIZE, (size_t)(raw + SLAB_SIZE - slab));
#ifdef MADV_NOHUGEPAGE
    // Only the start of a large block is used: a huge page would make all of it
    // resident.
    madvise(slab, SLAB_SIZE, MADV_NOHUGEPAGE);
#endif
    return (struct slab *)slab;
}

static struct slab *
slab_new(int class, size_t size)
{
    if (!index_reserve()) {
        return NULL;
    }
    struct slab *slab = slab_map();
    if (slab == NULL) {
        return NULL;
    }
    slab->freed = NULL;
    slab->used = slab->fresh = 0;
    slab->size = (uint32_t)size;
    // The header takes the place of the first block.
    slab->total = (uint32_t)(SLAB_SIZE / size) - 1;
    if (slab->total > MAX_BLOCKS) {
        slab->total = MAX_BLOCKS;
    }
    *index_slot(slab) = slab;
    __lsan_register_root_region(slab, SLAB_SIZE);
    cache.slabs++;
    cache.empty[class]++;
    list_add(&cache.with_room[class], slab);
    return slab;
}

static void
slab_free(int class, struct slab *slab)
{
    list_remove(slab);
    index_remove(slab);
    cache.slabs--;
    cache.empty[class]--;
    __lsan_unregister_root_region(slab, SLAB_SIZE);
    munmap(slab, SLAB_SIZE);
}

// Small blocks are used whole, one after the other: allocate their pages many at a
// time, which is cheaper than a page fault for each.
static void
fault_in(char *block, size_t size)
{
#ifdef MADV_POPULATE_WRITE
    if (size == TL_FRAME_SLAB_SMALL && (uintptr_t)block % FAULT_SIZE == 0) {
        int before = errno;
        // Only a hint: Linux before 5.14 refuses it.
        madvise(block, FAULT_SIZE, MADV_POPULATE_WRITE);
        errno = before;
    }
#else
    (void)block;
    (void)size;
#endif
}

static int
class_of(size_t size)
{
    return size == TL_FRAME_SLAB_SMALL ? 0 : 1;
}

#ifndef NDEBUG
static void
check_list(int class)
{
    size_t empty = 0;
    const struct slab *head = &cache.with_room[class];
    for (const struct slab *i = head->next; i != NULL && i != head; i = i->next) {
        uint32_t freed = 0;
        for (const struct block *b = i->freed; b != NULL && freed <= i->fresh;
             b = b->next) {
            freed++;
        }
        TL_CHECK("I1", "slab", i, i->used + freed == i->fresh);
        TL_CHECK("I2", "slab", i, i->used < i->total);
        empty += i->used == 0;
    }
    TL_CHECK("I3", "slab", head, cache.empty[class] == empty);
}

// Locks: the mutex is held.
static void
check(const struct slab *slab)
{
    TL_CHECK("I1", "slab", slab,
             slab->used <= slab->fresh && slab->fresh <= slab->total);
    TL_CHECK("I1", "slab", slab, (slab->freed == NULL) == (slab->used == slab->fresh));
    TL_CHECK("I2", "slab", slab,
             slab->used == slab->total ||
                 (slab->prev->next == slab && slab->next->prev == slab));
    // A walk visits each free block of each slab with room, about a thousand per slab.
    if (tl_check_is_due(&cache.changes, cache.slabs * 1024)) {
        for (int class = 0; class < CLASSES; class++) {
            check_list(class);
        }
    }
}
#else
TL_CHECKER(check, const struct slab *slab);
#endif

void *
tl_frame_slab_alloc(size_t size)
{
    int class = class_of(size);
    void *found = NULL;
    pthread_mutex_lock(&cache.mutex);
    struct slab *head = &cache.with_room[class];
    list_init(head);
    struct slab *slab = head->next != head ? head->next : slab_new(class, size);
    if (slab != NULL) {
        if (slab->freed != NULL) {
            found = slab->freed;
            slab->freed = slab->freed->next;
        } else {
            found = (char *)slab + (size_t)(++slab->fresh) * slab->size;
            fault_in(found, slab->size);
        }
        if (slab->used++ == 0) {
            cache.empty[class]--;
        }
        if (slab->used == slab->total) {
            list_remove(slab);
        }
        check(slab);
    }
    pthread_mutex_unlock(&cache.mutex);
    return found;
}

bool
tl_frame_slab_free(void *block)
{
    struct slab *slab = (struct slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_SIZE - 1));
    pthread_mutex_lock(&cache.mutex);
    bool ours = cache.index != NULL && *index_slot(slab) == slab;
    if (ours) {
        int class = class_of(slab->size);
        struct block *freed = block;
        freed->next = slab->freed;
        slab->freed = freed;
        if (slab->used-- == slab->total) {
            list_add(&cache.with_room[class], slab);
        }
        if (slab->used == 0 && ++cache.empty[class] > MAX_EMPTY) {
            slab_free(class, slab);
        } else {
            check(slab);
        }
    }
    pthread_mutex_unlock(&cache.mutex);
    return ours;
}

void
tl_frame_slab_trim(void)
{
    pthread_mutex_lock(&cache.mutex);
    for (int class = 0; class < CLASSES; class++) {
        struct slab *head = &cache.with_room[class], *next;
        list_init(head);
        for (struct slab *slab = head->next; slab != head; slab = next) {
            next = slab->next;
            if (slab->used == 0) {
                slab_free(class, slab);
            }
        }
    }
    pthread_mutex_unlock(&cache.mutex);
}

size_t
tl_frame_slab_slabs(void)
{
    pthread_mutex_lock(&cache.mutex);
    size_t slabs = cache.slabs;
    pthread_mutex_unlock(&cache.mutex);
    return slabs;
}

void
tl_frame_slab_hold(void)
{
    pthread_mutex_lock(&cache.mutex);
}

void
tl_frame_slab_release(bool in_child)
{
    (void)in_child; // the child has the same blocks
    pthread_mutex_unlock(&cache.mutex);
}
