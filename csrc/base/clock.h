// clock.h - the system's clocks, in nanoseconds.
#ifndef TL_CLOCK_H
#define TL_CLOCK_H

#include <stdint.h>
#include <time.h>

// The time of a clock, 0 if the system has no such clock.  Thread: any.
static inline int64_t
tl_clock_read(clockid_t clock)
{
    struct timespec time = {0};
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// Monotonic time: what all deadlines of the core are compared with.  Thread: any.
static inline int64_t
tl_clock_now(void)
{
    return tl_clock_read(CLOCK_MONOTONIC);
}

#endif // TL_CLOCK_H
