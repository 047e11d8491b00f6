// preflight.c - opens descriptors and starts threads, and gives them back.
#include "base/preflight.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

// Size of libuv's pool without UV_THREADPOOL_SIZE, and its maximum: libuv's own values.
enum { DEFAULT_POOL = 4, MAX_POOL = 1024 };

int
tl_preflight_for_descriptors(int n)
{
    int fd = open("/", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int error = n > 1 ? tl_preflight_for_descriptors(n - 1) : 0;
    close(fd);
    return error;
}

static void *
pass(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

int
tl_preflight_for_threads(int n, unsigned long stack)
{
    pthread_t *threads = calloc((size_t)n, sizeof *threads);
    if (threads == NULL) {
        return ENOMEM;
    }
    pthread_mutex_t gate;
    pthread_attr_t attr;
    pthread_mutex_init(&gate, NULL);
    pthread_attr_init(&attr);
    int error = pthread_attr_setstacksize(&attr, stack), started = 0;
    // No thread may end before all of them exist: they wait at the gate.
    pthread_mutex_lock(&gate);
    while (error == 0 && started < n) {
        error = pthread_create(&threads[started], &attr, pass, &gate);
        started += error == 0;
    }
    pthread_mutex_unlock(&gate);
    while (started > 0) {
        pthread_join(threads[--started], NULL);
    }
    pthread_attr_destroy(&attr);
    pthread_mutex_destroy(&gate);
    free(threads);
    return error;
}

int
tl_preflight_pool_size(void)
{
    const char *text = getenv("UV_THREADPOOL_SIZE");
    int n = text == NULL ? DEFAULT_POOL : atoi(text);
    return n <= 0 ? 1 : n > MAX_POOL ? MAX_POOL : n;
}
