// park.h - one thread sleeps until another wakes it; many wakes count as one.
#ifndef TL_PARK_H
#define TL_PARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

// Descriptors that a sleep in poll() watches for its owner: one for each kind of source
// (core/poll_source.h).
enum { TL_PARK_SOURCES = 2 };

//   IDLE --wake--> WOKEN --tl_park_reset--> IDLE
//    |               ^
//    +--sleep--> SLEEPING or POLLING      (wake: through WOKEN, with a system call)
enum tl_park_state { TL_PARK_IDLE, TL_PARK_WOKEN, TL_PARK_SLEEPING, TL_PARK_POLLING };

struct tl_park {
    _Atomic uint32_t state;
    int event_fd; // -1 until the owner first sleeps in poll()
    // End a sleep in poll() when they are readable; -1: none.
    int source_fds[TL_PARK_SOURCES];
    int signal_fds[2];  // a pipe that signal handlers write to; -1 until needed
    unsigned shared;    // sleeps in a row that one ended who ran on the same CPU
    int64_t spin_limit; // how long the next spin may last, adapted to its success
    uint64_t cpus; // where its thread may run, a bit for each CPU, from 64 on shared
    _Atomic int waker_cpu; // where the one ran that ended the last sleep, or -1
    bool many_cpus;        // whether the threads that wake it may run elsewhere
    uint64_t sleeps, spins;
    uint64_t woken; // sleeps that others ended, before they began perhaps
    int64_t slept;  // in nanoseconds
};

void tl_park_init(struct tl_park *park);
void tl_park_fini(struct tl_park *park);

// Wake the owner, or its next sleep. One system call, if the owner sleeps.
// Thread: any.
void tl_park_wake(struct tl_park *park);

// Whether a wake would need a system call now.  Thread: any.
static inline bool
tl_park_is_asleep(struct tl_park *park)
{
    return atomic_load_explicit(&park->state, memory_order_relaxed) >= TL_PARK_SLEEPING;
}

// Forget earlier wakes.
static inline void
tl_park_reset(struct tl_park *park)
{
    atomic_store_explicit(&park->state, TL_PARK_IDLE, memory_order_relaxed);
}

// Spin for the adaptive limit until woken and may_go() is true. Returns whether a wake
// has come.
bool tl_park_spin(struct tl_park *park, bool (*may_go)(void));

// Sleep until woken, or limit_ns passed (< 0: no limit), or a signal handler ran in this
// thread; with poll, also until a byte comes down the signal pipe. Returns whether there
// was anything to wait for.
bool tl_park_sleep(struct tl_park *park, int64_t limit_ns, bool poll);

// Be kind to the other half of this CPU, in a loop that waits.
static inline void
tl_park_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

// Make the signal pipe and return the end that handlers write to, or -1.
int tl_park_signal_fd(struct tl_park *park);

#endif // TL_PARK_H
