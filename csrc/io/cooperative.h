// cooperative.h - calls of sockets that look as if they blocked the thread.
//
// The descriptor never blocks. A call that would is tried, and its tasklet waits until
// it may succeed or the socket's timeout is over. What the calls return, and the errors
// they raise, are those of a blocking socket.
#ifndef TL_COOPERATIVE_H
#define TL_COOPERATIVE_H

#include "io/socket.h"
#include "object/module_state.h"

#define TL_COOPERATIVE_NO_TIMEOUT (-1)

struct tl_cooperative {
    struct tl_socket io;
    int64_t timeout_ns; // TL_COOPERATIVE_NO_TIMEOUT; 0: calls never wait
    int family;
    bool is_stream;
    int one_shot; // number of tasklets that wait in tl_descriptor_wait()
};

// Begin with fd, which is non-blocking already; -1: closed.
void tl_cooperative_init(struct tl_cooperative *socket, PyObject *owner, int fd);

// The descriptor is about to be closed, or given away: its waiters try again, and find
// that. May be repeated.
void tl_cooperative_end(struct tl_state *state, struct tl_cooperative *socket);

// The deadline of a call that begins now.
tl_deadline tl_cooperative_deadline(struct tl_sched *s,
                                    const struct tl_cooperative *socket);

// An operation in direction what (TL_EDGE_READ or TL_EDGE_WRITE) would have blocked,
// and ready has been without that direction since before it was tried: wait until it
// may succeed. Returns 0, also if the socket is closed during the wait, or -1 with an
// exception set.
// Switch: may.
int tl_cooperative_wait(struct tl_sched *s, struct tl_cooperative *socket, int what,
                        tl_deadline deadline);

// The same for operations that say nothing about what ready stands for: those with
// flags. Ready is neither used nor changed.
// Switch: may.
int tl_cooperative_wait_once(struct tl_sched *s, struct tl_cooperative *socket,
                             int what, tl_deadline deadline);

// Sleep for 10 ms, but not beyond deadline, where no event tells when an operation may
// succeed: the queue of a peer's Unix socket is full, to which this one is not
// connected. Returns 0, or -1 with an exception set: TimeoutError after deadline.
// Switch: may.
int tl_cooperative_pause(struct tl_sched *s, tl_deadline deadline);

// Receive up to size bytes; with MSG_WAITALL in flags exactly as many, unless the
// stream ends. Returns the number, or -1 with an exception set.
// Switch: may.
ssize_t tl_cooperative_receive(struct tl_sched *s, struct tl_cooperative *socket,
                               void *buffer, size_t size, int flags);

// Send what send() of a blocking socket sends: all of it on a stream without a timeout,
// else what the system takes. all: as sendall(), always all of it. Returns the number
// of bytes, or -1 with an exception set.
// Switch: may.
ssize_t tl_cooperative_send(struct tl_sched *s, struct tl_cooperative *socket,
                            const void *data, size_t size, int flags, bool all);

// connect() has returned error, one of EINPROGRESS, EALREADY and EAGAIN. Wait for its
// end, as a blocking socket would. Returns 0, the errno of the connection, or -1 with
// an exception set. *again: connect() must be called again.
// Switch: may.
int tl_cooperative_connect(struct tl_sched *s, struct tl_cooperative *socket, int error,
                           tl_deadline deadline, bool *again);

#endif // TL_COOPERATIVE_H
