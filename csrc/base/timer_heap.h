// timer_heap.h - a 4-ary heap of timers, the earliest first.
//
// A timer is a field of its owner and knows its place in the heap, so that it can be
// cancelled without a search. The items repeat the times, so that a comparison seldom
// touches a timer.
#ifndef TL_TIMER_HEAP_H
#define TL_TIMER_HEAP_H

#include "base/check.h"
#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Invariants
// I1: place is 0 while the timer is in no heap; else heap->items[place - 1].timer is
//     it.
struct tl_timer {
    int64_t when;   // deadline, in nanoseconds
    uint64_t order; // number in which it was set: breaks ties, the smaller fires first
    size_t place;
    void (*fire)(struct tl_timer *timer);
};

struct tl_timer_heap_item {
    int64_t when;
    struct tl_timer *timer;
};

// Invariants
// I1: no item is earlier than its parent, which is at (i - 1) / 4.
// I2: each item has the time of its timer; count <= room.
struct tl_timer_heap {
    struct tl_timer_heap_item *items;
    size_t count, room; // used and allocated length of items
    uint64_t order;     // of the next timer
#ifndef NDEBUG
    size_t changes; // since the last full check
#endif
};

// timer: it was just set, was cancelled or has fired.
// Locks: what guards the heap.
TL_CHECKER(tl_timer_heap_check, struct tl_timer_heap *heap,
           const struct tl_timer *timer);

// Whether timer is set in this heap.
static inline bool
tl_timer_heap_has(const struct tl_timer_heap *heap, const struct tl_timer *timer)
{
    size_t place = timer->place;
    return place > 0 && place <= heap->count && heap->items[place - 1].timer == timer;
}

static inline bool
tl_timer_is_set(const struct tl_timer *timer)
{
    return timer->place != 0;
}

// The time of the first timer; TL_DEADLINE_NEVER if there is none.
static inline tl_deadline
tl_timer_heap_next(const struct tl_timer_heap *heap)
{
    return heap->count > 0 ? heap->items[0].when : TL_DEADLINE_NEVER;
}

// Make room for one more timer. Returns false without memory.
bool tl_timer_heap_reserve(struct tl_timer_heap *heap);

// Set a timer that is not set. tl_timer_heap_reserve() has made room for it.
void tl_timer_heap_add(struct tl_timer_heap *heap, struct tl_timer *timer,
                       int64_t when);

// Cancel a timer that is set in this heap.
void tl_timer_heap_remove(struct tl_timer_heap *heap, struct tl_timer *timer);

// Remove the first timer and return it. The heap is not empty.
struct tl_timer *tl_timer_heap_pop(struct tl_timer_heap *heap);

// Move all timers by `by` nanoseconds into the future.
void tl_timer_heap_shift(struct tl_timer_heap *heap, int64_t by);

// Cancel all timers and free the memory.
void tl_timer_heap_clear(struct tl_timer_heap *heap);

#endif // TL_TIMER_HEAP_H
