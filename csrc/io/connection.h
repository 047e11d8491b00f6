// connection.h - connecting, and accepting connections.
#ifndef TL_CONNECTION_H
#define TL_CONNECTION_H

#include "io/socket.h"

// A socket that listens.
struct tl_listener {
    struct tl_socket socket;
    int reserve;      // a spare descriptor, closed to shed connections; -1: none
    int64_t full_at;  // since when no descriptor has been left; 0: there are some
    int64_t pause_ns; // the next pause while there is none
    uint64_t shed;    // number of connections that were closed at once for that
};

void tl_listener_init(struct tl_listener *listener, PyObject *owner, int fd);
void tl_listener_fini(struct tl_listener *listener);

// Accept the next connection; deadline as in struct tl_leave. While the process or the
// system has no descriptor left, tries again after pauses of 50 ms to 1 s; after five
// seconds of that it closes new connections at once, so that their clients do not hang.
// Returns a non-blocking descriptor, or -1 with an exception set.
// Switch: may.
int tl_listener_accept(struct tl_sched *s, struct tl_listener *listener,
                       tl_deadline deadline, union tl_address *peer, socklen_t *length);

// Connect socket, which is new and FRESH, to the address. Returns 0, or -1 with an
// exception set.
// Switch: may.
int tl_connection_open(struct tl_sched *s, struct tl_socket *socket,
                       const struct sockaddr *address, socklen_t length,
                       tl_deadline deadline);

#endif // TL_CONNECTION_H
