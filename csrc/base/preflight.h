// preflight.h - checks for descriptors and threads that libuv would abort without.
//
// The idea: libuv aborts the process if it cannot open its first descriptors or start
// its threads. So we try to get as many just before, and give them back: a program that
// has reached a limit gets an exception instead. The system may still refuse them to
// libuv, if other threads take the last ones in between.
#ifndef TL_PREFLIGHT_H
#define TL_PREFLIGHT_H

// Whether n more descriptors can be opened. Returns 0 or an errno.
int tl_preflight_for_descriptors(int n);

// Whether n more threads can be started, with stacks of `stack` bytes each. Returns 0
// or an errno.
int tl_preflight_for_threads(int n, unsigned long stack);

// How many threads libuv's pool is going to have: see UV_THREADPOOL_SIZE.
int tl_preflight_pool_size(void);

#endif // TL_PREFLIGHT_H
