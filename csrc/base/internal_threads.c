#include "base/internal_threads.h"

#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

// The alarm's thread, the governor's, and the payer of nudges; each may begin anew in the
// child of a fork.
enum { THREADS_MOST = 8 };

// The process in the upper half: in the child of a fork the entries of before are free.
static _Atomic uint64_t threads[THREADS_MOST];

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
    for (int i = 0; i < THREADS_MOST; i++) {
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
    for (int i = 0; i < THREADS_MOST; i++) {
        if (atomic_load(&threads[i]) == key) {
            return true;
        }
    }
    return false;
}
