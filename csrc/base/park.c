// park.c - sleeping on a futex or in poll(), and an adaptive spin before it.
#include "base/park.h"
#include "base/clock.h"
#include "base/edge_set.h"
#include "base/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

// Bounds of the spin, in nanoseconds. To wake a sleeping thread on another CPU costs
// some 25 us; a longer spin would burn more than it saves.
enum { MAX_SPIN_NS = TL_STRESS_OR(20000, 0), MIN_SPIN_NS = TL_STRESS_OR(1000, 0) };

// A spin reads the clock once in this many turns: reading it costs as much as they do.
enum { TURNS_PER_CLOCK = 32 };

// The CPUs that the thread may run on are looked up once in this many sleeps: a program
// changes them rarely.
enum { SLEEPS_PER_LOOK = 16 };

// After MAX_SHARED sleeps in a row that a waker on the same CPU ended, there is no
// spin, which would keep the waker from running. One in SHARED_RETRY is tried all the
// same, because the system may have moved the threads apart.
enum { MAX_SHARED = 16, SHARED_RETRY = 64 };

// The CPUs that the calling thread may run on; all bits if unknown.
static uint64_t
allowed_cpus(void)
{
    uint64_t cpus = 0;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        uint64_t words[sizeof set / sizeof(uint64_t)];
        memcpy(words, &set, sizeof words);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            cpus |= words[i];
        }
    }
#endif
    return cpus != 0 ? cpus : ~(uint64_t)0;
}

void
tl_park_init(struct tl_park *park)
{
    atomic_store_explicit(&park->state, TL_PARK_IDLE, memory_order_relaxed);
    park->event_fd = -1;
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        park->source_fds[i] = -1;
    }
    park->signal_fds[0] = park->signal_fds[1] = -1;
    tl_park_use_edges(park, NULL);
    park->spin_limit = MAX_SPIN_NS;
    park->shared = 0;
    park->cpus = allowed_cpus();
    park->many_cpus = false;
    atomic_store_explicit(&park->waker_cpu, -1, memory_order_relaxed);
    park->sleeps = park->spins = park->woken = 0;
    park->slept = 0;
}

static void
close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void
tl_park_fini(struct tl_park *park)
{
    close_fd(&park->event_fd);
    close_fd(&park->signal_fds[0]);
    close_fd(&park->signal_fds[1]);
}

int
tl_park_signal_fd(struct tl_park *park)
{
    if (park->signal_fds[0] < 0) {
        if (pipe(park->signal_fds) < 0) {
            return -1;
        }
        for (int i = 0; i < 2; i++) {
            fcntl(park->signal_fds[i], F_SETFD, FD_CLOEXEC);
            fcntl(park->signal_fds[i], F_SETFL, O_NONBLOCK);
        }
    }
    return park->signal_fds[1];
}

void
tl_park_use_edges(struct tl_park *park, struct tl_edge_set *edges)
{
    park->edges = edges;
    for (int i = 0; i < TL_PARK_MEMBERS; i++) {
        park->members[i] = -1;
    }
}

void
tl_park_set_source(struct tl_park *park, int i, int fd)
{
    int *member = &park->members[2 + i];
    if (*member >= 0) {
        tl_edge_set_remove(park->edges, *member);
        *member = -1;
    }
    park->source_fds[i] = fd;
}

static void
wait_on_word(struct tl_park *park, int64_t limit_ns)
{
#ifdef __linux__
    struct timespec limit = {.tv_sec = limit_ns / 1000000000,
                             .tv_nsec = limit_ns % 1000000000};
    syscall(SYS_futex, &park->state, FUTEX_WAIT_PRIVATE, TL_PARK_SLEEPING,
            limit_ns < 0 ? NULL : &limit, NULL, 0);
#else
    // Without futexes: poll every millisecond.
    usleep(1000);
    (void)park;
    (void)limit_ns;
#endif
}

void
tl_park_wake(struct tl_park *park)
{
#ifdef __linux__
    if (tl_park_is_asleep(park)) {
        atomic_store_explicit(&park->waker_cpu, sched_getcpu(), memory_order_relaxed);
    }
#endif
    // Release: the waker's changes are seen by the owner after its acquire in
    // tl_park_spin() or tl_park_sleep().
    uint32_t old =
        atomic_exchange_explicit(&park->state, TL_PARK_WOKEN, memory_order_acq_rel);
#ifdef __linux__
    if (old == TL_PARK_POLLING) {
        uint64_t one = 1;
        ssize_t n = write(park->event_fd, &one, sizeof one);
        (void)n; // a write to a full counter fails, but then poll() returns anyway
    } else if (old == TL_PARK_SLEEPING) {
        syscall(SYS_futex, &park->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
#else
    (void)old;
#endif
}

bool
tl_park_spin(struct tl_park *park, bool (*may_go)(void))
{
    if (!park->many_cpus || park->spin_limit == 0) {
        // Acquire: pairs with the release in tl_park_wake().
        return atomic_load_explicit(&park->state, memory_order_acquire) ==
               TL_PARK_WOKEN;
    }
    int64_t start = 0;
    bool woken = false;
    for (unsigned turn = 0;; turn++) {
        // Acquire: pairs with the release in tl_park_wake().
        woken =
            atomic_load_explicit(&park->state, memory_order_acquire) == TL_PARK_WOKEN;
        if (woken && may_go()) {
            park->spins++;
            park->spin_limit *= 2;
            if (park->spin_limit > MAX_SPIN_NS) {
                park->spin_limit = MAX_SPIN_NS;
            }
            return true;
        }
        tl_park_relax();
        if (turn % TURNS_PER_CLOCK == 0) {
            int64_t now = tl_clock_now();
            if (start == 0) {
                start = now;
            } else if (now - start > park->spin_limit) {
                return woken;
            }
        }
    }
}

// After a sleep: allow a full spin next time if this sleep was so short that a spin
// might have caught the wake-up, and halve the spin otherwise.
static void
adapt(struct tl_park *park, int64_t slept)
{
    park->slept += slept;
    if (park->sleeps % SLEEPS_PER_LOOK == 1) {
        park->cpus = allowed_cpus();
    }
    bool shared = false;
#ifdef __linux__
    // On the same CPU a spin would have kept the waker from running.
    shared =
        atomic_load_explicit(&park->waker_cpu, memory_order_relaxed) == sched_getcpu();
#endif
    park->shared = shared ? park->shared + 1 : 0;
    if (slept < 2 * MAX_SPIN_NS && !shared) {
        park->spin_limit = MAX_SPIN_NS;
    } else if (park->shared >= MAX_SHARED) {
        park->spin_limit = park->shared % SHARED_RETRY == 0 ? MAX_SPIN_NS : 0;
    } else if (park->spin_limit > MIN_SPIN_NS) {
        park->spin_limit /= 2;
    }
}

#ifdef __linux__
static void
drain(int fd)
{
    char buffer[64];
    while (read(fd, buffer, sizeof buffer) > 0) {
    }
}

// Have park->edges watch fd as its member. Returns whether it does.
static bool
is_member(struct tl_park *park, int i, int fd)
{
    if (fd >= 0 && park->members[i] != fd && fd != park->edges->fd) {
        if (tl_edge_set_add_level(park->edges, fd, (uint64_t)i) != 0) {
            return false;
        }
        park->members[i] = fd;
    }
    return true;
}

// The same as wait_in_poll(), in the edge set, which saves asking it afterwards.
// Returns false if that is impossible now.
static bool
wait_in_set(struct tl_park *park, int64_t limit_ns)
{
    bool complete = park->edges != NULL && is_member(park, 0, park->event_fd) &&
                    is_member(park, 1, park->signal_fds[0]);
    for (int i = 0; complete && i < TL_PARK_SOURCES; i++) {
        complete = is_member(park, 2 + i, park->source_fds[i]);
    }
    if (!complete || park->edges->nfound > 0) {
        return false;
    }
    tl_edge_set_wait(park->edges, limit_ns);
    for (int i = 0; i < park->edges->nfound; i++) {
        if (park->edges->found[i].key == 0) {
            drain(park->event_fd);
        } else if (park->edges->found[i].key == 1) {
            drain(park->signal_fds[0]);
        }
    }
    return true;
}

// Sleep in poll(), so that descriptors can end the wait too.
static void
wait_in_poll(struct tl_park *park, int64_t limit_ns)
{
    // poll() ignores negative descriptors.
    struct pollfd fds[2 + TL_PARK_SOURCES] = {
        {.fd = park->event_fd, .events = POLLIN},
        {.fd = park->signal_fds[0], .events = POLLIN}};
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        fds[2 + i] = (struct pollfd){.fd = park->source_fds[i], .events = POLLIN};
    }
    struct timespec limit = {.tv_sec = limit_ns / 1000000000,
                             .tv_nsec = limit_ns % 1000000000};
    if (ppoll(fds, 2 + TL_PARK_SOURCES, limit_ns < 0 ? NULL : &limit, NULL) > 0) {
        if (fds[0].revents) {
            drain(park->event_fd);
        }
        if (fds[1].revents) {
            drain(park->signal_fds[0]);
        }
    }
}
#endif

bool
tl_park_sleep(struct tl_park *park, int64_t limit_ns, bool poll)
{
#ifdef __linux__
    if (poll && park->event_fd < 0) {
        park->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    poll = poll && park->event_fd >= 0;
#else
    poll = false;
#endif
    atomic_store_explicit(&park->waker_cpu, -1, memory_order_relaxed);
    uint32_t asleep = poll ? TL_PARK_POLLING : TL_PARK_SLEEPING;
    uint32_t expected = TL_PARK_IDLE;
    // Acquire, on failure: pairs with the release in tl_park_wake().
    if (!atomic_compare_exchange_strong_explicit(&park->state, &expected, asleep,
                                                 memory_order_acq_rel,
                                                 memory_order_acquire)) {
        park->woken++;
        return false;
    }
    int64_t start = tl_clock_now();
    park->sleeps++;
#ifdef __linux__
    if (!poll) {
        wait_on_word(park, limit_ns);
    } else if (!wait_in_set(park, limit_ns)) {
        wait_in_poll(park, limit_ns);
    }
#else
    wait_on_word(park, limit_ns);
#endif
    expected = asleep;
    // Acquire, on failure: pairs with the release in tl_park_wake().
    park->woken += !atomic_compare_exchange_strong_explicit(
        &park->state, &expected, TL_PARK_IDLE, memory_order_acq_rel,
        memory_order_acquire);
    adapt(park, tl_clock_now() - start);
    return true;
}
