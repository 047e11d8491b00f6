// Calls that block take no thread from the others, and each call is done or taken back
// once.
#include "base/spare.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

enum { BLOCKED = 30, CALLS = 2000 };

static struct tl_spare blocked[BLOCKED], calls[CALLS];
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int begun, done_calls, done_blocked;

static void
block(struct tl_spare *call)
{
    (void)call;
    begun++;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void
count_blocked(struct tl_spare *call)
{
    (void)call;
    done_blocked++;
}

static void
pass(struct tl_spare *call)
{
    (void)call;
}

static void
count(struct tl_spare *call)
{
    (void)call;
    done_calls++;
}

int
main(void)
{
    pthread_mutex_lock(&gate);
    for (int i = 0; i < BLOCKED; i++) {
        blocked[i] = (struct tl_spare){.work = block, .done = count_blocked};
        int error = tl_spare_run(&blocked[i]);
        assert(error == 0);
    }
    while (begun < BLOCKED) {
        sched_yield();
    }
    assert(!tl_spare_cancel(&blocked[0])); // it has begun
    int taken_back = 0;
    for (int i = 0; i < CALLS; i++) {
        calls[i] = (struct tl_spare){.work = pass, .done = count};
        int error = tl_spare_run(&calls[i]);
        assert(error == 0);
        if (i % 7 == 0) {
            taken_back += tl_spare_cancel(&calls[i]);
        }
    }
    while (done_calls < CALLS - taken_back) {
        sched_yield();
    }
    assert(done_blocked == 0);
    pthread_mutex_unlock(&gate);
    while (done_blocked < BLOCKED) {
        sched_yield();
    }
    tl_spare_settle();
    assert(done_calls == CALLS - taken_back);
    puts("ok");
    return 0;
}
