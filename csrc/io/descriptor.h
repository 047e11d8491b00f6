// descriptor.h - waiting until a file descriptor is readable or writable.
//
// Each scheduler that waits for descriptors has one poller (epoll) and a table that
// maps a descriptor number to its waiters: tasklets in tl_descriptor_wait(), and
// listeners, which are called instead of woken (for select()). The poller reports a
// descriptor once; it is watched again as long as there are waiters. An idle thread
// sleeps on the poller's own descriptor, too, as a poll source; a thread with
// runnable tasklets collects the ready ones from time to time (tl_timer_poll()).
//
// The kernel reports nothing about a descriptor that is closed while it is watched, and
// its number may be another file's by the next moment. So each descriptor counts its
// closings. A waiter notes the count when it begins, and fails with EBADF if the count
// has changed. Closings are found by tl_descriptor_notify_closing(), by watching the
// number again, and about once a second by check_closed().
#ifndef TL_DESCRIPTOR_H
#define TL_DESCRIPTOR_H

#include "core/poll_source.h"
#include "base/poller.h"

// Wait until fd is ready for what (TL_POLLER_READ or TL_POLLER_WRITE), or
// until deadline. Returns 0, or -1 with an exception set: TimeoutError, or OSError
// (EBADF) if fd is found closed during the wait.
// Switch: may.
int tl_descriptor_wait(struct tl_sched *s, int fd, int what, tl_deadline deadline);

// Waits for a descriptor without a tasklet: ready() is called once, when the descriptor
// is ready or found closed. All zero: it does not listen.
//
// Invariants
// I1: link is in the list of a descriptor of sched's iff sched is not NULL.
struct tl_descriptor_listener {
    struct tl_link link;
    struct tl_sched *sched;           // borrowed; NULL: it does not listen
    struct tl_descriptor *descriptor; // of sched; set by tl_descriptor_note()
    unsigned seen; // the descriptor's closings at tl_descriptor_note()
    // Called after the listener was unlinked. Must not call into Python.
    void (*ready)(struct tl_descriptor_listener *listener);
};

// fd has just been read from an object. If it is closed before listener listens to it,
// that will be noticed, even if the number belongs to another file by then. Returns 0,
// or -1 with an exception set.
int tl_descriptor_note(struct tl_sched *s, struct tl_descriptor_listener *listener,
                       int fd);

// Call listener->ready, which is set, when fd is ready for what. The listener must not
// be moved or freed until then, or until tl_descriptor_forget(). Returns 0; 1 if fd is
// always ready, as files are: then it does not listen; or -1 with an exception set.
int tl_descriptor_listen(struct tl_sched *s, struct tl_descriptor_listener *listener,
                         int fd, int what);

// Stop listening, if it listens.
void tl_descriptor_forget(struct tl_descriptor_listener *listener);

// Whether the descriptor has been closed since tl_descriptor_note().
bool tl_descriptor_has_closed(const struct tl_descriptor_listener *listener);

// Raise the OSError of a wait for fd, which has been closed. Returns -1.
int tl_descriptor_raise_closed(int fd);

// fd is being closed: fail its waiters, of all threads. Allocates no memory.
void tl_descriptor_notify_closing(struct tl_state *state, int fd);

// Whether fd is ready for what: 1 or 0, or -1 with an exception set.
int tl_descriptor_is_ready(int fd, int what);

// In the child of a fork: give s, the calling thread's, a poller of its own.
void tl_descriptor_after_fork(struct tl_sched *s);

#endif // TL_DESCRIPTOR_H
