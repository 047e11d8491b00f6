// Blocks are apart, keep their contents, come back to any thread, and slabs are given
// up.
#include "base/frame_slab.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3, HELD = 3000, ROUNDS = 40000 };

static void *shared[HELD]; // blocks made by one thread and freed by another
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static size_t
size_of(size_t i)
{
    return i % 5 == 0 ? TL_FRAME_SLAB_LARGE : TL_FRAME_SLAB_SMALL;
}

static void *
churn(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = (size_t)rand_r(&seed) % HELD, size = size_of(i);
        unsigned char *fresh = tl_frame_slab_alloc(size);
        assert(fresh != NULL && (uintptr_t)fresh % TL_FRAME_SLAB_SMALL == 0);
        memset(fresh, (int)(i & 0xff), 64);
        fresh[size - 1] = (unsigned char)i;
        pthread_mutex_lock(&mutex);
        unsigned char *old = shared[i];
        shared[i] = fresh;
        pthread_mutex_unlock(&mutex);
        if (old != NULL) {
            assert(old[0] == (i & 0xff) && old[63] == (i & 0xff));
            assert(old[size - 1] == (unsigned char)i);
            bool ours = tl_frame_slab_free(old);
            assert(ours);
        }
    }
    return NULL;
}

int
main(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        int rc = pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
        assert(rc == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert(tl_frame_slab_slabs() >= HELD / 5 / 64);
    void *foreign = malloc(64);
    assert(!tl_frame_slab_free(foreign));
    free(foreign);
    for (int i = 0; i < HELD; i++) {
        assert(shared[i] == NULL || tl_frame_slab_free(shared[i]));
    }
    assert(tl_frame_slab_slabs() <= 2);
    tl_frame_slab_trim();
    assert(tl_frame_slab_slabs() == 0);
    printf("chunk: %d blocks\n", THREADS * ROUNDS);
    return 0;
}
