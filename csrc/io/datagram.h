// datagram.h - sending and receiving datagrams: UDP, and Unix datagram sockets.
#ifndef TL_DATAGRAM_H
#define TL_DATAGRAM_H

#include "io/socket.h"

// Receive the next datagram into buffer. *length: of the sender's address, 0 if it has
// none. *is_truncated: whether the datagram was longer than size. Returns the number of
// bytes, or -1 with an exception set.
// Switch: may.
ssize_t tl_datagram_receive(struct tl_sched *s, struct tl_socket *socket, void *buffer,
                            size_t size, tl_deadline deadline, union tl_address *sender,
                            socklen_t *length, bool *is_truncated);

// Send one datagram to address (NULL: the connected peer). Returns 0, or -1 with an
// exception set; then nothing was sent.
// Switch: may.
int tl_datagram_send(struct tl_sched *s, struct tl_socket *socket, const void *data,
                     size_t size, const struct sockaddr *address, socklen_t length,
                     tl_deadline deadline);

#endif // TL_DATAGRAM_H
