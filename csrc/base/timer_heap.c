// timer_heap.c - moves items up and down the heap.
#include "base/timer_heap.h"
#include "base/stress.h"

#include <assert.h>
#include <stdlib.h>

// ARITY: children of an item. Four make the heap half as high as two, and lie together.
// MIN_ROOM: initial length of the array. MAX_KEPT_ROOM: an array of this length, 64
// KiB, or less is never shrunk.
enum {
    ARITY = 4,
    MIN_ROOM = TL_STRESS_OR(16, 1),
    MAX_KEPT_ROOM = TL_STRESS_OR(4096, 1),
};

static inline bool
is_before(const struct tl_timer_heap_item *a, const struct tl_timer_heap_item *b)
{
    return a->when != b->when ? a->when < b->when : a->timer->order < b->timer->order;
}

#ifndef NDEBUG
static void
check_place(const struct tl_timer_heap *heap, size_t i)
{
    const struct tl_timer_heap_item *item = &heap->items[i];
    TL_CHECK("I1", "tl_timer", item->timer, item->timer->place == i + 1);
    TL_CHECK("I1", "tl_timer_heap", heap,
             i == 0 || !is_before(item, &heap->items[(i - 1) / ARITY]));
    TL_CHECK("I2", "tl_timer_heap", heap, item->when == item->timer->when);
}

static void
check_children(const struct tl_timer_heap *heap, size_t i)
{
    for (size_t j = i * ARITY + 1; j < heap->count && j <= (i + 1) * ARITY; j++) {
        check_place(heap, j);
    }
}

void
tl_timer_heap_check(struct tl_timer_heap *heap, const struct tl_timer *timer)
{
    size_t i = timer->place;
    TL_CHECK("I1", "tl_timer", timer, i == 0 || tl_timer_heap_has(heap, timer));
    TL_CHECK("I2", "tl_timer_heap", heap, heap->count <= heap->room);
    if (i > 0) {
        check_place(heap, i - 1);
        check_children(heap, i - 1);
    }
    if (tl_check_is_due(&heap->changes, heap->count)) {
        for (size_t j = 0; j < heap->count; j++) {
            check_place(heap, j);
        }
    }
}
#endif

static inline void
put(struct tl_timer_heap *heap, size_t i, struct tl_timer_heap_item item)
{
    heap->items[i] = item;
    item.timer->place = i + 1;
}

static void
move_up(struct tl_timer_heap *heap, size_t i, struct tl_timer_heap_item item)
{
    while (i > 0) {
        size_t parent = (i - 1) / ARITY;
        if (!is_before(&item, &heap->items[parent])) {
            break;
        }
        put(heap, i, heap->items[parent]);
        i = parent;
    }
    put(heap, i, item);
}

static void
move_down(struct tl_timer_heap *heap, size_t i, struct tl_timer_heap_item item)
{
    for (;;) {
        size_t first = i * ARITY + 1, min = first;
        if (first >= heap->count) {
            break;
        }
        size_t end = first + ARITY < heap->count ? first + ARITY : heap->count;
        for (size_t child = first + 1; child < end; child++) {
            if (is_before(&heap->items[child], &heap->items[min])) {
                min = child;
            }
        }
        if (!is_before(&heap->items[min], &item)) {
            break;
        }
        put(heap, i, heap->items[min]);
        i = min;
    }
    put(heap, i, item);
}

bool
tl_timer_heap_reserve(struct tl_timer_heap *heap)
{
    if (heap->count == heap->room) {
        size_t room = heap->room > 0 ? 2 * heap->room : MIN_ROOM;
        struct tl_timer_heap_item *grown = realloc(heap->items, room * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        heap->items = grown;
        heap->room = room;
    }
    return true;
}

void
tl_timer_heap_add(struct tl_timer_heap *heap, struct tl_timer *timer, int64_t when)
{
    assert(timer->place == 0 && heap->count < heap->room);
    timer->when = when;
    timer->order = heap->order++;
    move_up(heap, heap->count++, (struct tl_timer_heap_item){when, timer});
    tl_timer_heap_check(heap, timer);
}

// Halve a large array of which less than an eighth is used.
static void
give_back(struct tl_timer_heap *heap)
{
    if (heap->room > MAX_KEPT_ROOM && heap->count < heap->room / 8) {
        struct tl_timer_heap_item *shrunk =
            realloc(heap->items, heap->room / 2 * sizeof *shrunk);
        if (shrunk != NULL) {
            heap->items = shrunk;
            heap->room /= 2;
        }
    }
}

void
tl_timer_heap_remove(struct tl_timer_heap *heap, struct tl_timer *timer)
{
    size_t i = timer->place - 1;
    assert(timer->place > 0 && heap->items[i].timer == timer);
    timer->place = 0;
    struct tl_timer_heap_item last = heap->items[--heap->count];
    give_back(heap);
    if (i == heap->count) {
        tl_timer_heap_check(heap, timer);
        return;
    }
    if (i > 0 && is_before(&last, &heap->items[(i - 1) / ARITY])) {
        move_up(heap, i, last);
    } else {
        move_down(heap, i, last);
    }
    tl_timer_heap_check(heap, timer);
    tl_timer_heap_check(heap, last.timer);
}

struct tl_timer *
tl_timer_heap_pop(struct tl_timer_heap *heap)
{
    struct tl_timer *timer = heap->items[0].timer;
    tl_timer_heap_remove(heap, timer);
    return timer;
}

void
tl_timer_heap_shift(struct tl_timer_heap *heap, int64_t by)
{
    for (size_t i = 0; i < heap->count; i++) {
        heap->items[i].when += by;
        heap->items[i].timer->when += by;
    }
    if (heap->count > 0) {
        tl_timer_heap_check(heap, heap->items[0].timer);
    }
}

void
tl_timer_heap_clear(struct tl_timer_heap *heap)
{
    while (heap->count > 0) {
        heap->items[--heap->count].timer->place = 0;
    }
    free(heap->items);
    heap->items = NULL;
    heap->room = 0;
}
