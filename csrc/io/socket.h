// socket.h - reading and writing without blocking the thread: on sockets and pipes.
//
// An operation first tries the system call. Where that would block, the tasklet waits
// until the descriptor may be ready, and tries again. Nothing is ever in flight
// elsewhere: a kill, a timeout or a closing ends the wait, and there is nothing to take
// back.
//
// Each scheduler has one edge set (base/edge_set.h). A socket is added to the set of
// the first thread that must wait for it, once, for both directions. A waiter of
// another thread is woken by that thread.
#ifndef TL_SOCKET_H
#define TL_SOCKET_H

#include "core/sched.h"
#include "io/address.h"
#include "base/edge_set.h"

#include <sys/uio.h>

struct tl_socket_set;

//   FRESH --first wait--> WATCHED --close, detach--> CLOSED
//     |  ^                  |                          ^
//     |  +--its thread ends-+-- fork, in the child     |
//     +----------------- close, detach ----------------+
enum tl_socket_state { TL_SOCKET_FRESH, TL_SOCKET_WATCHED, TL_SOCKET_CLOSED };

// Invariants
// S1: WATCHED iff set is not NULL; then set's slot has this socket.
// S2: ready lacks a direction only if the set will report when the next operation may
//     succeed: the last one would have blocked, or a read of a TCP stream that is not
//     careful returned less than requested. While FRESH, adding it to a set makes that
//     report.
// S3: nobody waits while it is CLOSED.
struct tl_socket {
    int fd;              // -1: CLOSED
    unsigned char state; // enum tl_socket_state
    unsigned char ready; // TL_EDGE_READ, TL_EDGE_WRITE: what was reported and not used
    bool is_socket;      // else a pipe, terminal or the like
    bool is_tcp;         // a short read leaves nothing behind, unless careful
    bool careful;        // only a read that would block shows that nothing is left
    bool closing;        // no further operation may begin; its output is being sent
    bool output_waits;   // see tl_socket_expect()
    struct tl_socket_set *set; // borrowed: it watches the socket, or NULL
    uint32_t slot;             // in set
    int last_error;            // errno of the last tl_socket_raise()
    PyObject *owner;           // borrowed: the object that contains it, for messages
    unsigned char peer[TL_ADDRESS_SHORT]; // the peer's address,
    unsigned char peer_length;            // and its length; 0: not known, or longer
    struct tl_link readers, writers;      // waiting tasklets
    // Called when a write may succeed, before the writers are woken; may be NULL. Must
    // not call into Python.
    void (*writable)(struct tl_socket *socket);
    // Called when the set of a socket that is closing goes away: close it now. NULL if
    // closing is never set. Must not call into Python.
    void (*close_now)(struct tl_socket *socket);
};

// Locks: the GIL.
TL_CHECKER(tl_socket_check, const struct tl_socket *socket);

// Begin with fd, which is non-blocking already.
void tl_socket_init(struct tl_socket *socket, PyObject *owner, int fd);

// Note the peer's address, for messages; NULL: ask the system.
void tl_socket_note_peer(struct tl_socket *socket, const struct sockaddr *address,
                         socklen_t length);

// The exception for a use after close(): raises ClosedError. Returns -1.
int tl_socket_raise_closed(struct tl_socket *socket);

// Raise the OSError of that errno, with the text of the peer's address in it if the
// socket has one. Returns -1.
int tl_socket_raise(struct tl_socket *socket, int error);

// Wait until an operation in direction what (TL_EDGE_READ or TL_EDGE_WRITE) may
// succeed; deadline as in struct tl_leave. Returns 0, also when the socket was closed
// during the wait, or -1 with an exception set.
// Switch: may.
int tl_socket_wait(struct tl_sched *s, struct tl_socket *socket, int what,
                   tl_deadline deadline);

// Try to read once. Returns the number of bytes, 0 at the end, or -1 with errno set;
// EAGAIN: nothing can be read now, and a report will follow once the socket is watched.
ssize_t tl_socket_try_read(struct tl_socket *socket, void *buffer, size_t size);

// Read up to size bytes, at least one. Returns how many, 0 at the end, or -1 with an
// exception set.
// Switch: may.
ssize_t tl_socket_read(struct tl_sched *s, struct tl_socket *socket, void *buffer,
                       size_t size, tl_deadline deadline);

// Try to write once. Returns the number of bytes, or -1 with errno set; EAGAIN: nothing
// can be written now, and a report will follow once the socket is watched.
ssize_t tl_socket_try_write(struct tl_socket *socket, const struct iovec *pieces,
                            int count);

// Write all of it. *written: the number of bytes, also after an error. Returns 0, or -1
// with an exception set.
// Switch: may.
int tl_socket_write(struct tl_sched *s, struct tl_socket *socket, const void *data,
                    size_t size, tl_deadline deadline, size_t *written);

// Have a set watch the socket, unless one does. Returns 0 or an errno.
int tl_socket_watch(struct tl_sched *s, struct tl_socket *socket);

// A tasklet whose sockets are always ready never waits: after 16 operations in one
// slice others get their turn. Called before an operation. Returns 0, or -1 with an
// exception set.
// Switch: may.
int tl_socket_give_way(struct tl_sched *s);

// Memory of the thread into which to read, TL_SOCKET_SCRATCH bytes, or NULL with
// MemoryError set. Used and emptied without a switch in between.
char *tl_socket_scratch(struct tl_sched *s);
enum { TL_SOCKET_SCRATCH = 65536 };

// The scheduler whose set watches the socket, which is WATCHED.
struct tl_sched *tl_socket_home(const struct tl_socket *socket);

// Whether output waits without a tasklet until the socket, which is watched, can be
// written to: the thread goes on looking then.
void tl_socket_expect(struct tl_socket *socket, bool output_waits);

// End all waits for the socket: its waiters look at it again.
void tl_socket_wake(struct tl_socket *socket);

// End all waits for the socket, and forget it. Returns its descriptor, which is open;
// -1: it was closed.
int tl_socket_detach(struct tl_socket *socket);

// The same, and close the descriptor. Returns 0 or an errno.
int tl_socket_close(struct tl_socket *socket);

// In the child of a fork: the sockets of mine, the calling thread's, are FRESH again,
// and their waiters try again. Those of other threads become so when their schedulers
// are dropped.
void tl_socket_after_fork(struct tl_sched *mine);

#endif // TL_SOCKET_H
