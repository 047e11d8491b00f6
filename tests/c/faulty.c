// faulty.c - a library to preload that makes system calls on sockets fail or shortens
// them, at random but the same way for the same FAULTY_SEED. Only what a kernel does,
// too: no read of a ready socket reports that it would block, and none is shortened.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

static uint64_t state;

// Whether this call has the fault: one in about `one_in`.
static int
strikes(unsigned one_in)
{
    if (state == 0) {
        const char *seed = getenv("FAULTY_SEED");
        state = seed == NULL ? 1 : strtoull(seed, NULL, 10) * 2654435761u + 1;
    }
    state ^= state << 13; // xorshift64
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 20) % one_in == 0;
}

#define REAL(result, name, ...)                                  \
    static result (*real)(__VA_ARGS__);                          \
    if (real == NULL) {                                          \
        real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name); \
    }

#define FAIL(error)    \
    do {               \
        errno = error; \
        return -1;     \
    } while (0)

ssize_t
recv(int fd, void *buffer, size_t size, int flags)
{
    REAL(ssize_t, recv, int, void *, size_t, int)
    if (strikes(20)) {
        FAIL(EINTR);
    }
    if (strikes(500)) {
        FAIL(ECONNRESET);
    }
    return real(fd, buffer, size, flags);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int)
    if (strikes(20)) {
        FAIL(EINTR);
    }
    if (strikes(500)) {
        FAIL(EPIPE);
    }
    if (strikes(3) && message->msg_iovlen > 0 && message->msg_iov[0].iov_len > 1) {
        struct iovec piece = message->msg_iov[0];
        piece.iov_len = piece.iov_len / 2;
        struct msghdr part = *message;
        part.msg_iov = &piece;
        part.msg_iovlen = 1;
        return real(fd, &part, flags);
    }
    return real(fd, message, flags);
}

int
accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    REAL(int, accept4, int, struct sockaddr *, socklen_t *, int)
    if (strikes(10)) {
        FAIL(EINTR);
    }
    if (strikes(20)) {
        FAIL(ECONNABORTED);
    }
    if (strikes(50)) {
        FAIL(EMFILE);
    }
    return real(fd, address, length, flags);
}

int
connect(int fd, const struct sockaddr *address, socklen_t length)
{
    REAL(int, connect, int, const struct sockaddr *, socklen_t)
    if (strikes(50)) {
        FAIL(ENETUNREACH);
    }
    return real(fd, address, length);
}

int
epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    REAL(int, epoll_ctl, int, int, int, struct epoll_event *)
    if (op == EPOLL_CTL_ADD && strikes(200)) {
        FAIL(ENOSPC);
    }
    return real(set, op, fd, event);
}

int
epoll_wait(int set, struct epoll_event *events, int size, int limit)
{
    REAL(int, epoll_wait, int, struct epoll_event *, int, int)
    if (strikes(20)) {
        FAIL(EINTR);
    }
    return real(set, events, size, limit);
}
