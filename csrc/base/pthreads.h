// pthreads.h - internal threads and their condition variables.
#ifndef TL_PTHREADS_H
#define TL_PTHREADS_H

#include <pthread.h>
#include <stdint.h>

// Start a thread that blocks all signals, so that the program's threads get them. attr:
// NULL: the usual. Returns 0 or an errno.  Thread: any.
int tl_pthread_start(pthread_t *thread, const pthread_attr_t *attr,
                     void *(*run)(void *));

// Initialize a condition variable for tl_pthread_wait_until().  Thread: any.
void tl_pthread_cond_init(pthread_cond_t *cond);

// Wait for cond until tl_clock_now() is deadline. Returns 0 or ETIMEDOUT.
// Thread: any.  Locks: mutex, which is released while the thread sleeps.
int tl_pthread_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex,
                          int64_t deadline);

#endif // TL_PTHREADS_H
