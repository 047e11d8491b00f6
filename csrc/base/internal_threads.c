// internal_threads.c - a short array of thread ids.
#include "base/internal_threads.h"
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

// Maximum number of entries: there are three internal threads, and each is started at
// most once in a process.
enum { MAX_THREADS = 8 };

// Process id in the upper half, thread id in the lower one: in the child of a fork the
// parent's entries count as free.
static _Atomic uint64_t threads[MAX_THREADS];

static uint64_t
key_of(unsigned long tid)
{
    return (uint64_t)getpid() << 32 | (uint32_t)tid;
}

void
tl_internal_threads_note(void)
{
#ifdef __linux__
    uint64_t key = key_of((unsigned long)syscall(SYS_gettid));
    for (int i = 0; i < MAX_THREADS; i++) {
        uint64_t before = atomic_load(&threads[i]);
        if (before >> 32 != key >> 32 &&
            atomic_compare_exchange_strong(&threads[i], &before, key)) {
            return;
        }
    }
#endif
}

bool
tl_internal_threads_is(unsigned long tid)
{
    uint64_t key = key_of(tid);
    for (int i = 0; i < MAX_THREADS; i++) {
        if (atomic_load(&threads[i]) == key) {
            return true;
        }
    }
    return false;
}
