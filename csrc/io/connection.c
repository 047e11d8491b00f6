// connection.c - connecting, and accepting connections.
#include "io/connection.h"
#include "core/sleep.h"
#include "core/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Pauses while no descriptor is left: the first, and the longest. The kernel does not
// report a connection that stays in its queue once a descriptor is free again.
enum { FIRST_PAUSE_NS = 50000000, MAX_PAUSE_NS = 1000000000 };

// The first pause before a connect() to a Unix socket is repeated whose listener has a
// full queue: the kernel reports no event when there is room.
enum { FIRST_RETRY_NS = 1000000 };

// How long no descriptor may be left before connections are shed: clients wait that
// long without harm, and most shortages are over by then.
static const int64_t patience_ns = 5000000000;

static int
open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void
tl_listener_init(struct tl_listener *listener, PyObject *owner, int fd)
{
    tl_socket_init(&listener->socket, owner, fd);
    listener->socket.is_socket = true;
    listener->reserve = open_reserve();
    listener->full_at = 0;
    listener->pause_ns = FIRST_PAUSE_NS;
    listener->shed = 0;
}

void
tl_listener_fini(struct tl_listener *listener)
{
    (void)tl_socket_close(&listener->socket);
    if (listener->reserve >= 0) {
        close(listener->reserve);
        listener->reserve = -1;
    }
}

static bool
is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// Whether accept() reports an error of the connection, which is gone, not of the
// listener.
static bool
is_of_connection(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EOPNOTSUPP:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

// Close the connections that wait, with the help of the reserve: their clients are
// told.
static void
shed(struct tl_listener *listener)
{
    if (listener->reserve >= 0) {
        close(listener->reserve);
    }
    int fd;
    while ((fd = accept4(listener->socket.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        close(fd);
        listener->shed++;
    }
    listener->reserve = open_reserve();
}

// Sleep, but not beyond deadline. Returns 0, or -1 with an exception set.
static int
pause_for(struct tl_sched *s, int64_t nanoseconds, tl_deadline deadline)
{
    int64_t until = tl_timer_now(s) + nanoseconds;
    if (deadline < until) {
        PyErr_SetString(PyExc_TimeoutError, "timed out");
        return -1;
    }
    PyObject *value = tl_sleep(s, until);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

// No descriptor is left: wait a while. Returns 0, or -1 with an exception set.
static int
wait_for_descriptor(struct tl_sched *s, struct tl_listener *listener,
                    tl_deadline deadline)
{
    int64_t now = tl_timer_now(s);
    if (listener->full_at == 0) {
        listener->full_at = now;
        listener->pause_ns = FIRST_PAUSE_NS;
    } else if (now - listener->full_at >= patience_ns) {
        shed(listener);
    }
    int64_t pause_ns = listener->pause_ns;
    listener->pause_ns = 2 * pause_ns < MAX_PAUSE_NS ? 2 * pause_ns : MAX_PAUSE_NS;
    return pause_for(s, pause_ns, deadline);
}

int
tl_listener_accept(struct tl_sched *s, struct tl_listener *listener,
                   tl_deadline deadline, union tl_address *peer, socklen_t *length)
{
    struct tl_socket *socket = &listener->socket;
    if (tl_socket_give_way(s) < 0) {
        return -1;
    }
    for (;;) {
        if (socket->state == TL_SOCKET_CLOSED) {
            return tl_socket_raise_closed(socket);
        }
        if (socket->ready & TL_EDGE_READ) {
            *length = sizeof *peer;
            int fd =
                accept4(socket->fd, &peer->any, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                listener->full_at = 0;
                return fd;
            }
            if (is_of_connection(errno)) {
                continue;
            }
            if (is_shortage(errno)) {
                if (wait_for_descriptor(s, listener, deadline) < 0) {
                    return -1;
                }
                continue;
            }
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                return tl_socket_raise(socket, errno);
            }
            socket->ready &= ~TL_EDGE_READ;
        }
        if (tl_socket_wait(s, socket, TL_EDGE_READ, deadline) < 0) {
            return -1;
        }
    }
}

// connect() has begun: wait for its end. Returns 0, or -1 with an exception set.
static int
finish_connect(struct tl_sched *s, struct tl_socket *socket, tl_deadline deadline)
{
    socket->ready = 0; // the report of the end of connect() is awaited
    while (!(socket->ready & TL_EDGE_WRITE)) {
        if (tl_socket_wait(s, socket, TL_EDGE_WRITE, deadline) < 0) {
            return -1;
        }
        if (socket->state == TL_SOCKET_CLOSED) {
            return tl_socket_raise_closed(socket);
        }
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    socket->ready |= TL_EDGE_READ;
    return error != 0 ? tl_socket_raise(socket, error) : 0;
}

int
tl_connection_open(struct tl_sched *s, struct tl_socket *socket,
                   const struct sockaddr *address, socklen_t length,
                   tl_deadline deadline)
{
    int64_t pause_ns = FIRST_RETRY_NS;
    tl_socket_note_peer(socket, address, length);
    while (connect(socket->fd, address, length) < 0) {
        if (errno == EINPROGRESS || errno == EINTR) {
            return finish_connect(s, socket, deadline); // it goes on after EINTR, too
        }
        if (errno != EAGAIN || address->sa_family != AF_UNIX) {
            return tl_socket_raise(socket, errno);
        }
        if (pause_for(s, pause_ns, deadline) < 0) {
            return -1;
        }
        pause_ns = 2 * pause_ns < FIRST_PAUSE_NS ? 2 * pause_ns : FIRST_PAUSE_NS;
    }
    return 0;
}
