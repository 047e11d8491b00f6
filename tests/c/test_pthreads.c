// Internal threads get no signals; a wait ends at its deadline, or when it is signalled.
#undef NDEBUG
#include "base/clock.h"
#include "base/pthreads.h"
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond;
static bool runs, blocks_all;

static void *
look(void *arg)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    pthread_mutex_lock(&mutex);
    blocks_all = sigismember(&mask, SIGINT) && sigismember(&mask, SIGALRM) &&
                 sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGCHLD);
    runs = true;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
    return arg;
}

static void
test_a_thread_blocks_all_signals_and_its_starter_none(void)
{
    pthread_t thread;
    assert(tl_pthread_start(&thread, NULL, look) == 0);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert(!sigismember(&mask, SIGINT) && !sigismember(&mask, SIGUSR1));
    pthread_mutex_lock(&mutex);
    int error = 0;
    while (!runs && error == 0) {
        error =
            tl_pthread_wait_until(&cond, &mutex, tl_clock_now() + INT64_C(60000000000));
    }
    pthread_mutex_unlock(&mutex);
    assert(error == 0 && blocks_all);
    pthread_join(thread, NULL);
}

static void
test_a_wait_ends_at_its_deadline_and_not_before(void)
{
    int64_t deadline = tl_clock_now() + 2000000;
    pthread_mutex_lock(&mutex);
    int error = 0;
    while (error == 0) { // a wait may end for no reason
        error = tl_pthread_wait_until(&cond, &mutex, deadline);
    }
    pthread_mutex_unlock(&mutex);
    assert(error == ETIMEDOUT && tl_clock_now() >= deadline);
}

static void
test_a_deadline_that_has_passed_ends_the_wait_at_once(void)
{
    pthread_mutex_lock(&mutex);
    assert(tl_pthread_wait_until(&cond, &mutex, 1) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
}

int
main(void)
{
    tl_pthread_cond_init(&cond);
    test_a_thread_blocks_all_signals_and_its_starter_none();
    test_a_wait_ends_at_its_deadline_and_not_before();
    test_a_deadline_that_has_passed_ends_the_wait_at_once();
    puts("ok");
    return 0;
}
