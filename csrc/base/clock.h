// clock.h - the system's clocks, and deadlines on them, in nanoseconds.
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

// A counter that is cheap to read and grows steadily, at a rate that is not known: the
// CPU's own. Where that cannot be read, nanoseconds. It may jump when the thread moves
// to another CPU.  Thread: any.
static inline uint64_t
tl_clock_cycles(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t cycles;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(cycles));
    return cycles;
#else
    return (uint64_t)tl_clock_read(CLOCK_MONOTONIC);
#endif
}

// Monotonic time: what all deadlines of the core are compared with.  Thread: any.
static inline int64_t
tl_clock_now(void)
{
    return tl_clock_read(CLOCK_MONOTONIC);
}

// A time at which something ends, on such a clock or on a scheduler's (tl_timer_now()).
// The number is in nanoseconds, so the smaller of two deadlines is the earlier, and a
// deadline has passed if it is <= now. A wait without a deadline says so: in a struct
// tl_leave or tl_queued_wait, 0 is a mistake that assertions find.
typedef int64_t tl_deadline;
#define TL_DEADLINE_NEVER INT64_MAX // later than all times
#define TL_DEADLINE_PAST (-1)       // earlier than all times: do not wait

#endif // TL_CLOCK_H
