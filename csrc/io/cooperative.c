// cooperative.c - calls of sockets that look as if they blocked the thread.
#include "io/cooperative.h"
#include "core/sleep.h"
#include "core/timer.h"
#include "io/descriptor.h"

#include <errno.h>
#include <poll.h>

// Of tl_cooperative_pause(): 100 system calls a second cost next to nothing, and a peer
// whose queue is full is late already.
static const int64_t pause_ns = 10000000;

void
tl_cooperative_init(struct tl_cooperative *socket, PyObject *owner, int fd)
{
    tl_socket_init(&socket->io, owner, fd);
    socket->timeout_ns = TL_COOPERATIVE_NO_TIMEOUT;
    socket->one_shot = 0;
    int type = 0, protocol = 0;
    socklen_t size = sizeof type;
    socket->family = AF_UNSPEC;
    if (fd < 0) {
        socket->io.state = TL_SOCKET_CLOSED;
    } else {
        (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &socket->family, &size);
        (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
        (void)getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
    }
    socket->io.is_socket = true;
    socket->io.is_tcp = type == SOCK_STREAM && protocol == IPPROTO_TCP;
    socket->is_stream = type == SOCK_STREAM;
}

void
tl_cooperative_end(struct tl_state *state, struct tl_cooperative *socket)
{
    int fd = tl_socket_detach(&socket->io);
    if (fd >= 0 && socket->one_shot > 0) {
        tl_descriptor_notify_closing(state, fd);
    }
}

// ---- waits

tl_deadline
tl_cooperative_deadline(struct tl_sched *s, const struct tl_cooperative *socket)
{
    return socket->timeout_ns < 0 ? TL_DEADLINE_NEVER
                                  : tl_timer_now(s) + socket->timeout_ns;
}

int
tl_cooperative_wait_once(struct tl_sched *s, struct tl_cooperative *socket, int what,
                         tl_deadline deadline)
{
    if (socket->io.state == TL_SOCKET_CLOSED) {
        return 0;
    }
    socket->one_shot++;
    int result = tl_descriptor_wait(
        s, socket->io.fd, what == TL_EDGE_READ ? TL_POLLER_READ : TL_POLLER_WRITE,
        deadline);
    socket->one_shot--;
    if (result < 0 && socket->io.state == TL_SOCKET_CLOSED &&
        PyErr_ExceptionMatches(PyExc_OSError) &&
        !PyErr_ExceptionMatches(PyExc_TimeoutError)) {
        PyErr_Clear(); // the operation will fail with the same error
        result = 0;
    }
    return result;
}

// The same for an operation that uses ready.
static int
wait_elsewhere(struct tl_sched *s, struct tl_cooperative *socket, int what,
               tl_deadline deadline)
{
    int result = tl_cooperative_wait_once(s, socket, what, deadline);
    socket->io.ready |= what;
    return result;
}

int
tl_cooperative_wait(struct tl_sched *s, struct tl_cooperative *socket, int what,
                    tl_deadline deadline)
{
    struct tl_socket *io = &socket->io;
    if (io->state == TL_SOCKET_CLOSED) {
        return 0;
    }
    if (io->state == TL_SOCKET_WATCHED && tl_socket_home(io) != s) {
        // The other thread may be busy with something else, and not look.
        if (!tl_link_is_single(&io->readers) || !tl_link_is_single(&io->writers)) {
            return wait_elsewhere(s, socket, what, deadline);
        }
        // Nobody waits there: it moves here, where the set reports its state anew.
        int ready = io->ready;
        bool is_tcp = io->is_tcp;
        tl_socket_init(io, io->owner, tl_socket_detach(io));
        io->is_socket = true;
        io->is_tcp = is_tcp;
        io->ready = (unsigned char)(ready & ~what);
    }
    // Another object may be watched with the same descriptor, for example.
    if (tl_socket_watch(s, io) != 0) {
        return wait_elsewhere(s, socket, what, deadline);
    }
    return tl_socket_wait(s, io, what, deadline);
}

int
tl_cooperative_pause(struct tl_sched *s, tl_deadline deadline)
{
    int64_t until = tl_timer_now(s) + pause_ns;
    if (deadline < until) {
        until = deadline;
        if (deadline <= tl_timer_now(s)) {
            PyErr_SetString(PyExc_TimeoutError, "timed out");
            return -1;
        }
    }
    PyObject *value = tl_sleep(s, until);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

// ---- operations

static int
raise_errno(void)
{
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static bool
would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

// Whether a call with that errno will be tried again. Otherwise an exception is set.
static bool
tries_again(const struct tl_cooperative *socket, int flags)
{
    if (errno == EINTR) {
        return PyErr_CheckSignals() == 0;
    }
    // On a descriptor that blocks these return at once. With a timeout, sockets wait
    // before the call.
    int at_once = MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE;
    if (would_block() && socket->timeout_ns != 0 &&
        (socket->timeout_ns > 0 || !(flags & at_once))) {
        errno = EAGAIN;
        return true;
    }
    return raise_errno() == 0;
}

ssize_t
tl_cooperative_receive(struct tl_sched *s, struct tl_cooperative *socket, void *buffer,
                       size_t size, int flags)
{
    struct tl_socket *io = &socket->io;
    bool all = (flags & MSG_WAITALL) && !(flags & MSG_PEEK) && socket->is_stream &&
               socket->timeout_ns < 0;
    tl_deadline deadline = TL_DEADLINE_NEVER;
    size_t received = 0;
    bool has_waited = false;
    for (;;) {
        if (flags != 0 || socket->timeout_ns == 0 || (io->ready & TL_EDGE_READ) ||
            io->state == TL_SOCKET_CLOSED) {
            size_t wanted = size - received;
            ssize_t n = recv(io->fd, (char *)buffer + received, wanted, flags);
            if (n >= 0) {
                if (n > 0 && (size_t)n < wanted && io->is_tcp && !io->careful &&
                    flags == 0) {
                    io->ready &= ~TL_EDGE_READ;
                }
                received += (size_t)n;
                if (!all || n == 0 || received == size) {
                    return (ssize_t)received;
                }
                continue;
            }
            if (!tries_again(socket, flags)) {
                return -1;
            }
            if (errno != EAGAIN) {
                continue;
            }
            if (flags == 0) {
                io->ready &= ~TL_EDGE_READ;
            }
        }
        if (!has_waited) {
            has_waited = true;
            deadline = tl_cooperative_deadline(s, socket);
        }
        if ((flags == 0 ? tl_cooperative_wait : tl_cooperative_wait_once)(
                s, socket, TL_EDGE_READ, deadline) < 0) {
            return -1;
        }
    }
}

ssize_t
tl_cooperative_send(struct tl_sched *s, struct tl_cooperative *socket, const void *data,
                    size_t size, int flags, bool all)
{
    struct tl_socket *io = &socket->io;
    tl_deadline deadline = TL_DEADLINE_NEVER;
    size_t sent = 0;
    bool has_waited = false;
    for (;;) {
        if (socket->timeout_ns == 0 || (io->ready & TL_EDGE_WRITE) ||
            io->state == TL_SOCKET_CLOSED) {
            ssize_t n = send(io->fd, (const char *)data + sent, size - sent, flags);
            if (n >= 0) {
                sent += (size_t)n;
                if (sent == size ||
                    !(all || (socket->is_stream && socket->timeout_ns < 0 &&
                              !(flags & MSG_DONTWAIT)))) {
                    return (ssize_t)sent;
                }
                continue; // only EAGAIN promises a report
            }
            if (sent > 0 && !all && errno != EINTR &&
                (!would_block() || socket->timeout_ns == 0)) {
                return (ssize_t)sent; // the next call gets the error
            }
            if (!tries_again(socket, flags)) {
                return -1;
            }
            if (errno != EAGAIN) {
                continue;
            }
            io->ready &= ~TL_EDGE_WRITE;
        }
        if (!has_waited) {
            has_waited = true;
            deadline = tl_cooperative_deadline(s, socket);
        }
        if (tl_cooperative_wait(s, socket, TL_EDGE_WRITE, deadline) < 0) {
            return -1;
        }
    }
}

// Whether a connect() that had begun is over.
static bool
is_connected(int fd)
{
    struct pollfd state = {.fd = fd, .events = POLLOUT};
    return poll(&state, 1, 0) != 0; // also after an error
}

int
tl_cooperative_connect(struct tl_sched *s, struct tl_cooperative *socket, int error,
                       tl_deadline deadline, bool *again)
{
    struct tl_socket *io = &socket->io;
    *again = false;
    if (error == EAGAIN) {
        *again = true; // a Unix socket whose listener has a full queue
        return tl_cooperative_pause(s, deadline);
    }
    do {
        // An old report may be found: of a socket that is not connected.
        io->ready &= ~TL_EDGE_WRITE;
        if (!is_connected(io->fd) &&
            tl_cooperative_wait(s, socket, TL_EDGE_WRITE, deadline) < 0) {
            return -1;
        }
        if (io->state == TL_SOCKET_CLOSED) {
            return EBADF;
        }
    } while (!is_connected(io->fd));
    int result = 0;
    socklen_t size = sizeof result;
    if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &result, &size) < 0) {
        result = errno;
    }
    io->ready = TL_EDGE_READ | TL_EDGE_WRITE;
    return result == EISCONN ? 0 : result;
}
