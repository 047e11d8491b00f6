// pthreads.c - internal threads and their condition variables.
#include "base/pthreads.h"
#include <signal.h>
#include <time.h>

int
tl_pthread_start(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *))
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, attr, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void
tl_pthread_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

int
tl_pthread_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline)
{
    struct timespec until = {deadline / 1000000000, deadline % 1000000000};
    return pthread_cond_timedwait(cond, mutex, &until);
}
