// Two threads wake each other in turn, and no wake is lost, however it finds the other.
#include "base/park.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

enum { ROUNDS = 20000 };

static struct tl_park parks[2];
static _Atomic int turn; // whose move it is
static long moves[2];

static bool
always(void)
{
    return true;
}

static void
await_turn(int me)
{
    while (atomic_load(&turn) != me) {
        tl_park_reset(&parks[me]);
        if (atomic_load(&turn) == me) {
            break;
        }
        if (!tl_park_spin(&parks[me], always)) {
            // Each way to sleep has its turn; a limit tests that nobody relies on it.
            tl_park_sleep(&parks[me], moves[me] % 3 == 0 ? 50000000 : -1,
                          moves[me] % 2 == 0);
        }
    }
}

static void *
play(void *arg)
{
    int me = (int)(size_t)arg;
    parks[me].many_cpus = me == 0; // one of them never spins
    for (int i = 0; i < ROUNDS; i++) {
        await_turn(me);
        moves[me]++;
        atomic_store(&turn, !me);
        tl_park_wake(&parks[!me]);
    }
    return NULL;
}

int
main(void)
{
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        tl_park_init(&parks[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        int rc = pthread_create(&threads[i], NULL, play, (void *)i);
        assert(rc == 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert(moves[0] == ROUNDS && moves[1] == ROUNDS);
    for (int i = 0; i < 2; i++) {
        tl_park_fini(&parks[i]);
    }
    printf("park: %d rounds\n", ROUNDS);
    return 0;
}
