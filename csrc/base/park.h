// park.h - a thread sleeps until another one wakes it. Wake-ups are not counted: many
// before a sleep are one.
//
// The owner calls tl_park_reset(), checks what it waits for, and then spins or sleeps;
// a waker changes what the owner waits for and then calls tl_park_wake(). So a wake-up
// between the check and the sleep is not lost: the sleep returns at once.
#ifndef TL_PARK_H
#define TL_PARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

// Number of poll sources that a park can sleep on (core/poll_source.h).
enum { TL_PARK_SOURCES = 3 };

// Number of descriptors that end a sleep in poll(): event_fd, signal_fds[0], and those
// of the poll sources, in this order.
enum { TL_PARK_MEMBERS = 2 + TL_PARK_SOURCES };

// The first key of an edge set that is not the park's own.
enum { TL_PARK_FIRST_KEY = 16 };

//   IDLE --wake--> WOKEN --tl_park_reset--> IDLE
//    |               ^
//    |               +-----wake, by a system call----+
//    |                                               |
//    +--sleep--> SLEEPING or POLLING ----------------+
//    ^                     |
//    +----time is up-------+
enum tl_park_state { TL_PARK_IDLE, TL_PARK_WOKEN, TL_PARK_SLEEPING, TL_PARK_POLLING };

struct tl_edge_set;

// All fields but the atomic ones are the owner's.
struct tl_park {
    _Atomic uint32_t state; // enum tl_park_state
    int event_fd;           // an eventfd; -1 until the owner first sleeps in poll()
    // A sleep in poll() ends when one is readable; -1: none.
    int source_fds[TL_PARK_SOURCES];
    int signal_fds[2]; // a pipe that signal handlers write to; -1 until needed
    // The set in which the owner sleeps in place of poll(), or NULL: see
    // tl_park_use_edges().
    struct tl_edge_set *edges;
    int members[TL_PARK_MEMBERS]; // the descriptors that edges watches, or -1
    unsigned shared;              // sleeps in a row ended by a waker on the same CPU
    int64_t spin_limit;           // duration of the next spin in ns, adapted to success
    uint64_t cpus;                // CPUs that the owner may run on, CPU n in bit n % 64
    _Atomic int waker_cpu;        // CPU of the waker that ended the last sleep, or -1
    bool many_cpus;               // whether its wakers may run on other CPUs
    uint64_t sleeps;              // number of sleeps, for statistics, as all below
    uint64_t spins;               // number of spins that a wake-up ended
    uint64_t woken; // number of sleeps that a wake-up ended or forestalled
    int64_t slept;  // time slept, in ns
};

void tl_park_init(struct tl_park *park);
void tl_park_fini(struct tl_park *park);

// Wake the owner, or make its next sleep return at once. One system call if it sleeps,
// none otherwise.
// Thread: any.  Locks: none.
void tl_park_wake(struct tl_park *park);

// Whether a wake-up would need a system call now.
// Thread: any.  Locks: none.
static inline bool
tl_park_is_asleep(struct tl_park *park)
{
    return atomic_load_explicit(&park->state, memory_order_relaxed) >= TL_PARK_SLEEPING;
}

// Forget earlier wake-ups.
static inline void
tl_park_reset(struct tl_park *park)
{
    atomic_store_explicit(&park->state, TL_PARK_IDLE, memory_order_relaxed);
}

// Spin until the owner has been woken and may_go() is true, at most for spin_limit.
// Does not spin where many_cpus is false. Returns whether the owner has been woken.
// Locks: none; called without the GIL.
bool tl_park_spin(struct tl_park *park, bool (*may_go)(void));

// Sleep until the owner is woken, limit_ns has passed (< 0: no limit), or a signal
// handler has run in this thread; with poll, also until a byte arrives in the signal
// pipe or one of source_fds is readable. Returns false if the owner had been woken
// before, and did not sleep.
// Locks: none; called without the GIL.
bool tl_park_sleep(struct tl_park *park, int64_t limit_ns, bool poll);

// The descriptor of poll source i is fd from now on; -1: it has none. Called before the
// old one is closed.
void tl_park_set_source(struct tl_park *park, int i, int fd);

// From now on a sleep in poll() is one in edges, which stays the caller's; NULL: in
// poll() again. Such a sleep may leave events in edges->found, of which those with keys
// below TL_PARK_FIRST_KEY need no handling.
void tl_park_use_edges(struct tl_park *park, struct tl_edge_set *edges);

// Tell the CPU that this is a spin loop, which leaves more of a core to its other
// thread.
static inline void
tl_park_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

// Create the signal pipe, unless it exists, and return the end that handlers write to;
// -1 with errno set if that fails.
int tl_park_signal_fd(struct tl_park *park);

#endif // TL_PARK_H
