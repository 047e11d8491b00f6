// poller.c - epoll, with EPOLLONESHOT.
#include "base/poller.h"
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>

int
tl_poller_init(struct tl_poller *poller)
{
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    return poller->fd < 0 ? errno : 0;
}

void
tl_poller_fini(struct tl_poller *poller)
{
    if (poller->fd >= 0) {
        close(poller->fd);
        poller->fd = -1;
    }
}

static struct epoll_event
event_for(int fd, int what)
{
    struct epoll_event event = {.data.fd = fd};
    event.events = EPOLLONESHOT | (what & TL_POLLER_READ ? EPOLLIN | EPOLLRDHUP : 0U) |
                   (what & TL_POLLER_WRITE ? EPOLLOUT : 0U);
    return event;
}

int
tl_poller_watch_again(struct tl_poller *poller, int fd, int what)
{
    struct epoll_event event = event_for(fd, what);
    return epoll_ctl(poller->fd, EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : errno;
}

int
tl_poller_watch(struct tl_poller *poller, int fd, int what)
{
    struct epoll_event event = event_for(fd, what);
    if (what == 0) {
        // This fails if fd is closed, or another file by now: nothing is watched then.
        (void)epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, &event);
        return 0;
    }
    if (epoll_ctl(poller->fd, EPOLL_CTL_MOD, fd, &event) == 0) {
        return 0;
    }
    if (errno == ENOENT && epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event) == 0) {
        return 0;
    }
    return errno;
}

int
tl_poller_collect(struct tl_poller *poller, struct tl_poller_event *events)
{
    struct epoll_event found[TL_POLLER_MAX_EVENTS];
    int n = epoll_wait(poller->fd, found, TL_POLLER_MAX_EVENTS, 0);
    for (int i = 0; i < n; i++) {
        unsigned bits = found[i].events;
        int both = bits & (EPOLLERR | EPOLLHUP) ? TL_POLLER_READ | TL_POLLER_WRITE : 0;
        events[i].fd = found[i].data.fd;
        events[i].what = both | (bits & (EPOLLIN | EPOLLRDHUP) ? TL_POLLER_READ : 0) |
                         (bits & EPOLLOUT ? TL_POLLER_WRITE : 0);
    }
    return n < 0 ? 0 : n;
}

#else // without epoll no descriptor can be watched

int
tl_poller_init(struct tl_poller *poller)
{
    poller->fd = -1;
    return ENOSYS;
}

void
tl_poller_fini(struct tl_poller *poller)
{
    poller->fd = -1;
}

int
tl_poller_watch(struct tl_poller *poller, int fd, int what)
{
    (void)poller;
    (void)fd;
    return what == 0 ? 0 : ENOSYS;
}

int
tl_poller_watch_again(struct tl_poller *poller, int fd, int what)
{
    return tl_poller_watch(poller, fd, what);
}

int
tl_poller_collect(struct tl_poller *poller, struct tl_poller_event *events)
{
    (void)poller;
    (void)events;
    return 0;
}

#endif

int
tl_poller_ask(int fd, int what)
{
    struct pollfd entry = {.fd = fd};
    entry.events = (short)((what & TL_POLLER_READ ? POLLIN : 0) |
                           (what & TL_POLLER_WRITE ? POLLOUT : 0));
    int n = poll(&entry, 1, 0);
    if (n > 0 && entry.revents & POLLNVAL) {
        return -EBADF;
    }
    return n < 0 ? -errno : n > 0;
}
