// spare.c - the queue of calls, and the threads that make them.
#include "base/spare.h"
#include "base/pthreads.h"
#include "base/stress.h"

#include <errno.h>
#include <time.h>

// MAX_THREADS: maximum number of threads, as in libuv's pool; further calls wait.
// IDLE_SECONDS: an idle thread ends after this time.
// STACK_BYTES: size of a thread's stack. The system's resolver needs some 100 KB.
enum { MAX_THREADS = 1024, IDLE_SECONDS = TL_STRESS_OR(5, 0), STACK_BYTES = 1 << 20 };

// Invariants
// I1: queue holds the calls that have not begun, the oldest first; queued counts them.
// I2: idle <= threads; idle counts the threads that wait for given.
static struct {
    pthread_mutex_t mutex; // guards all below
    pthread_cond_t given;  // a call was queued
    struct tl_link queue;  // list head
    int threads;           // number of threads
    int idle;              // number of threads that wait for a call
    int queued;            // length of queue
} spare = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .given = PTHREAD_COND_INITIALIZER,
    .queue = {&spare.queue, &spare.queue},
};

#ifndef NDEBUG
// Locks: the mutex.
static void
check(void)
{
    TL_CHECK("I1", "spare", &spare,
             tl_link_is_single(&spare.queue) == (spare.queued == 0));
    TL_CHECK("I2", "spare", &spare, spare.idle >= 0 && spare.idle <= spare.threads);
}
#else
TL_CHECKER(check, void);
#endif

// The next call, or NULL if none was queued for IDLE_SECONDS. Called with the mutex
// held; releases it while it waits.
static struct tl_spare *
next_call(void)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += IDLE_SECONDS;
    int error = 0;
    spare.idle++;
    while (tl_link_is_single(&spare.queue) && error == 0) {
        error = pthread_cond_timedwait(&spare.given, &spare.mutex, &end);
    }
    spare.idle--;
    if (tl_link_is_single(&spare.queue)) {
        return NULL;
    }
    struct tl_link *first = spare.queue.next;
    tl_link_remove(first);
    spare.queued--;
    check();
    return TL_CONTAINER(first, struct tl_spare, link);
}

static void *
serve(void *arg)
{
    (void)arg;
    struct tl_spare *call;
    pthread_mutex_lock(&spare.mutex);
    while ((call = next_call()) != NULL) {
        pthread_mutex_unlock(&spare.mutex);
        call->work(call);
        pthread_mutex_lock(&spare.mutex);
        call->done(call);
    }
    spare.threads--;
    check();
    pthread_mutex_unlock(&spare.mutex);
    return NULL;
}

// Returns 0 or an errno.
static int
start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int error = tl_pthread_start(&thread, &attr, serve);
    pthread_attr_destroy(&attr);
    return error;
}

int
tl_spare_run(struct tl_spare *call)
{
    int error = 0;
    pthread_mutex_lock(&spare.mutex);
    tl_link_insert_before(&call->link, &spare.queue);
    spare.queued++;
    if (spare.idle < spare.queued && spare.threads < MAX_THREADS) {
        error = start_thread();
        spare.threads += error == 0;
    }
    if (error != 0 && spare.threads == 0) {
        tl_link_remove(&call->link);
        spare.queued--;
    } else {
        error = 0; // an existing thread will make the call
        pthread_cond_signal(&spare.given);
    }
    check();
    pthread_mutex_unlock(&spare.mutex);
    return error;
}

bool
tl_spare_cancel(struct tl_spare *call)
{
    pthread_mutex_lock(&spare.mutex);
    bool queued = !tl_link_is_single(&call->link);
    if (queued) {
        tl_link_remove(&call->link);
        spare.queued--;
    }
    check();
    pthread_mutex_unlock(&spare.mutex);
    return queued;
}

void
tl_spare_settle(void)
{
    pthread_mutex_lock(&spare.mutex);
    pthread_mutex_unlock(&spare.mutex);
}

// ---- fork

void
tl_spare_hold(void)
{
    pthread_mutex_lock(&spare.mutex);
}

void
tl_spare_release(bool in_child)
{
    if (in_child) {
        // The old condition has waiters that do not exist here.
        pthread_cond_init(&spare.given, NULL);
        tl_link_init(&spare.queue);
        spare.threads = spare.idle = spare.queued = 0;
    }
    pthread_mutex_unlock(&spare.mutex);
}
