// edge_set.c - epoll, edge-triggered.
#include "base/edge_set.h"

#include <errno.h>
#include <unistd.h>

#ifdef __linux__
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>

int
tl_edge_set_init(struct tl_edge_set *set)
{
    set->nfound = 0;
    set->fd = epoll_create1(EPOLL_CLOEXEC);
    return set->fd < 0 ? errno : 0;
}

void
tl_edge_set_fini(struct tl_edge_set *set)
{
    if (set->fd >= 0) {
        close(set->fd);
        set->fd = -1;
    }
    set->nfound = 0;
}

static int
add(struct tl_edge_set *set, int fd, uint64_t key, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = key};
    return epoll_ctl(set->fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

int
tl_edge_set_add(struct tl_edge_set *set, int fd, uint64_t key)
{
    return add(set, fd, key, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET);
}

int
tl_edge_set_add_level(struct tl_edge_set *set, int fd, uint64_t key)
{
    return add(set, fd, key, EPOLLIN);
}

void
tl_edge_set_remove(struct tl_edge_set *set, int fd)
{
    struct epoll_event event = {0}; // kernels before 2.6.9 want one
    (void)epoll_ctl(set->fd, EPOLL_CTL_DEL, fd, &event);
}

static int
what_of(uint32_t bits)
{
    int what = 0;
    if (bits & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        what |= TL_EDGE_READ;
    }
    if (bits & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        what |= TL_EDGE_WRITE;
    }
    if (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) {
        what |= TL_EDGE_CAREFUL;
    }
    return what;
}

// epoll_pwait2() is new in Linux 5.11, and takes nanoseconds. Before that the thread
// sleeps in ppoll() on the set's own descriptor.
static int
wait_events(int fd, struct epoll_event *events, int64_t limit_ns)
{
    if (limit_ns == 0) {
        return epoll_wait(fd, events, TL_EDGE_SET_MAX_EVENTS, 0);
    }
    struct timespec limit = {.tv_sec = limit_ns / 1000000000,
                             .tv_nsec = limit_ns % 1000000000};
    struct timespec *until = limit_ns < 0 ? NULL : &limit;
#ifdef SYS_epoll_pwait2
    static bool is_missing; // written by any thread, always with the same value
    if (!__atomic_load_n(&is_missing, __ATOMIC_RELAXED)) {
        int n = (int)syscall(SYS_epoll_pwait2, fd, events, TL_EDGE_SET_MAX_EVENTS,
                             until, NULL, 0);
        if (n >= 0 || errno != ENOSYS) {
            return n;
        }
        __atomic_store_n(&is_missing, true, __ATOMIC_RELAXED);
    }
#endif
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return ppoll(&entry, 1, until, NULL) > 0
               ? epoll_wait(fd, events, TL_EDGE_SET_MAX_EVENTS, 0)
               : 0;
}

void
tl_edge_set_wait(struct tl_edge_set *set, int64_t limit_ns)
{
    struct epoll_event events[TL_EDGE_SET_MAX_EVENTS];
    int n = wait_events(set->fd, events, limit_ns);
    for (int i = 0; i < n; i++) {
        set->found[i] = (struct tl_edge_event){.key = events[i].data.u64,
                                               .what = what_of(events[i].events)};
    }
    set->nfound = n < 0 ? 0 : n;
}

#else // without epoll nothing can be watched

int
tl_edge_set_init(struct tl_edge_set *set)
{
    set->fd = -1;
    set->nfound = 0;
    return ENOSYS;
}

void
tl_edge_set_fini(struct tl_edge_set *set)
{
    set->nfound = 0;
}

int
tl_edge_set_add(struct tl_edge_set *set, int fd, uint64_t key)
{
    (void)set;
    (void)fd;
    (void)key;
    return ENOSYS;
}

int
tl_edge_set_add_level(struct tl_edge_set *set, int fd, uint64_t key)
{
    return tl_edge_set_add(set, fd, key);
}

void
tl_edge_set_remove(struct tl_edge_set *set, int fd)
{
    (void)set;
    (void)fd;
}

void
tl_edge_set_wait(struct tl_edge_set *set, int64_t limit_ns)
{
    (void)set;
    (void)limit_ns;
}

#endif
