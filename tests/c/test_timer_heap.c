// Timers come out in the order of their times, those of one time in the order they were
// set, whatever was cancelled in between.
#include "base/timer_heap.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 500, ROUNDS = 200, TIMES = 100 };

static struct tl_timer timers[COUNT];

static void
set(struct tl_timer_heap *heap, struct tl_timer *timer)
{
    assert(tl_timer_heap_reserve(heap));
    tl_timer_heap_add(heap, timer, rand() % TIMES);
}

static void
check(const struct tl_timer_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        const struct tl_timer_heap_item *item = &heap->items[i], *parent;
        parent = &heap->items[i > 0 ? (i - 1) / 4 : 0];
        assert(item->timer->place == i + 1 && item->timer->when == item->when);
        assert(parent->when <= item->when);
    }
}

static void
drain(struct tl_timer_heap *heap)
{
    int64_t when = INT64_MIN;
    uint64_t order = 0;
    while (heap->count > 0) {
        assert(tl_timer_heap_next(heap) >= when);
        struct tl_timer *timer = tl_timer_heap_pop(heap);
        assert(!tl_timer_is_set(timer));
        assert(timer->when > when || timer->order > order);
        when = timer->when;
        order = timer->order;
    }
    assert(tl_timer_heap_next(heap) == INT64_MAX);
}

int
main(void)
{
    struct tl_timer_heap heap = {0};
    for (int round = 0; round < ROUNDS; round++) {
        srand((unsigned)round);
        for (int i = 0; i < 4 * COUNT; i++) {
            struct tl_timer *timer = &timers[rand() % COUNT];
            if (tl_timer_is_set(timer)) {
                tl_timer_heap_remove(&heap, timer);
            } else {
                set(&heap, timer);
            }
        }
        check(&heap);
        tl_timer_heap_shift(&heap, 1000);
        check(&heap);
        drain(&heap);
    }
    set(&heap, &timers[0]);
    tl_timer_heap_clear(&heap);
    assert(!tl_timer_is_set(&timers[0]) && heap.count == 0);
    puts("heap: passed");
    return 0;
}
