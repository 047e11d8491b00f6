// preflight.h - whether the system has left what libuv is about to take.
//
// libuv ends the process when it cannot have its first descriptors or its threads. So we
// ask before: not for ever, but a program that has used up either is told so.
#ifndef TL_PREFLIGHT_H
#define TL_PREFLIGHT_H

// For so many descriptors more. Returns 0 or an errno.
int tl_preflight_for_descriptors(int n);

// For so many threads more, with stacks of so many bytes. Returns 0 or an errno.
int tl_preflight_for_threads(int n, unsigned long stack);

// How many threads libuv is going to have.
int tl_preflight_pool_size(void);

#endif // TL_PREFLIGHT_H
