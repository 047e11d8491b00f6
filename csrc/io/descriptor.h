// descriptor.h - tasklets wait until a file descriptor is ready.
#ifndef TL_DESCRIPTOR_H
#define TL_DESCRIPTOR_H

#include "core/poll_source.h"
#include "base/poller.h"

// Wait until fd is ready for what, with a deadline as in struct tl_leave. Returns 0, or -1
// with an exception set; an OSError if fd is closed meanwhile and that is noticed.
// Switch: may.
int tl_descriptor_wait(struct tl_sched *s, int fd, int what, int64_t deadline);

// Is told once when a descriptor is ready or closed, while no tasklet waits for it. All
// zero: it does not listen.
//
// Invariants
// I1: link is in the list of a descriptor of sched's iff sched is not NULL.
struct tl_descriptor_listener {
    struct tl_link link;
    struct tl_sched *sched;
    struct tl_descriptor *descriptor;
    unsigned seen; // the descriptor's closings at tl_descriptor_note()
    // It does not listen any more. Must not call into Python.
    void (*ready)(struct tl_descriptor_listener *listener);
};

// fd has just been read from an object: if it is closed before listener listens to it, that
// is an error then, though its number may be another file's. Returns 0, or -1 with an
// exception set.
int tl_descriptor_note(struct tl_sched *s, struct tl_descriptor_listener *listener,
                       int fd);

// Have a listener, whose ready is set, told when fd is ready for what. It stays where it is
// until then, or until tl_descriptor_forget(). Returns 0; 1 if fd is ready now, and it does
// not listen; or -1 with an exception set.
int tl_descriptor_listen(struct tl_sched *s, struct tl_descriptor_listener *listener,
                         int fd, int what);
void tl_descriptor_forget(struct tl_descriptor_listener *listener);

// Whether the descriptor has been closed since tl_descriptor_note().
bool tl_descriptor_has_closed(const struct tl_descriptor_listener *listener);

// Raise the OSError of a wait for fd, which has been closed. Returns -1.
int tl_descriptor_raise_closed(int fd);

// All that wait for fd, in all threads, find that it is closed. Needs no memory.
void tl_descriptor_notify_closing(struct tl_state *state, int fd);

// Whether fd is ready for what. Returns 0 or 1, or -1 with an exception set.
int tl_descriptor_is_ready(int fd, int what);

// In the child of a fork, where s is the calling thread's.
void tl_descriptor_after_fork(struct tl_sched *s);

#endif // TL_DESCRIPTOR_H
