// datagram.c - sending and receiving datagrams.
#include "io/datagram.h"

#include <errno.h>

ssize_t
tl_datagram_receive(struct tl_sched *s, struct tl_socket *socket, void *buffer,
                    size_t size, tl_deadline deadline, union tl_address *sender,
                    socklen_t *length, bool *is_truncated)
{
    if (tl_socket_give_way(s) < 0) {
        return -1;
    }
    for (;;) {
        if (socket->state == TL_SOCKET_CLOSED) {
            return tl_socket_raise_closed(socket);
        }
        if (socket->ready & TL_EDGE_READ) {
            struct iovec piece = {buffer, size};
            struct msghdr message = {.msg_name = sender,
                                     .msg_namelen = sizeof *sender,
                                     .msg_iov = &piece,
                                     .msg_iovlen = 1};
            ssize_t n = recvmsg(socket->fd, &message, 0);
            if (n >= 0) {
                *length = message.msg_namelen;
                *is_truncated = (message.msg_flags & MSG_TRUNC) != 0;
                return n;
            }
            if (errno == EINTR) {
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

int
tl_datagram_send(struct tl_sched *s, struct tl_socket *socket, const void *data,
                 size_t size, const struct sockaddr *address, socklen_t length,
                 tl_deadline deadline)
{
    if (tl_socket_give_way(s) < 0) {
        return -1;
    }
    for (;;) {
        if (socket->state == TL_SOCKET_CLOSED) {
            return tl_socket_raise_closed(socket);
        }
        if (socket->ready & TL_EDGE_WRITE) {
            if (sendto(socket->fd, data, size, MSG_NOSIGNAL, address,
                       address == NULL ? 0 : length) >= 0) {
                return 0;
            }
            if (errno == EINTR) {
                continue;
            }
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                return tl_socket_raise(socket, errno);
            }
            socket->ready &= ~TL_EDGE_WRITE;
        }
        if (tl_socket_wait(s, socket, TL_EDGE_WRITE, deadline) < 0) {
            return -1;
        }
    }
}
