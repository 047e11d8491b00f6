// Only one has the turn at a time, everybody gets it, in order of arrival.
#include "base/section_lock.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 20000 };

static long inside, total; // guarded by the turn
static char names[THREADS];
static atomic_int arrived;

static void *
work(void *me)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (!tl_section_lock_try(me)) {
            tl_section_lock_take(me);
        }
        assert(tl_section_lock_try(me)); // again, it has it
        assert(++inside == 1);
        total++;
        assert(--inside == 0);
        tl_section_lock_give(me);
    }
    return NULL;
}

// Notes when it has got the turn.
static char order[THREADS];
static int got;

static void *
queue_up(void *me)
{
    atomic_fetch_add(&arrived, 1);
    tl_section_lock_take(me);
    order[got++] = (char)((char *)me - names);
    tl_section_lock_give(me);
    return NULL;
}

static void
start(pthread_t *threads, void *(*function)(void *), int pause)
{
    for (int i = 0; i < THREADS; i++) {
        atomic_store(&arrived, 0);
        assert(pthread_create(&threads[i], NULL, function, &names[i]) == 0);
        while (pause > 0 && atomic_load(&arrived) == 0) {
            usleep(1000);
        }
        usleep((useconds_t)pause);
    }
}

static void
join(const pthread_t *threads)
{
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

int
main(void)
{
    pthread_t threads[THREADS];
    start(threads, work, 0);
    join(threads);
    assert(total == (long)THREADS * ROUNDS);

    char me;
    assert(tl_section_lock_try(&me));
    assert(!tl_section_lock_try(&names[0]));
    tl_section_lock_give(&names[0]); // has no say
    assert(!tl_section_lock_try(&names[0]));
    start(threads, queue_up, 50000);
    tl_section_lock_give(&me);
    join(threads);
    for (int i = 0; i < THREADS; i++) {
        assert(order[i] == i);
    }

    puts("turn: passed");
    return 0;
}
