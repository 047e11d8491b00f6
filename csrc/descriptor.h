// descriptor.h - tasklets wait until a file descriptor is ready.
#ifndef TL_DESCRIPTOR_H
#define TL_DESCRIPTOR_H

#include "poller.h"
#include "sched.h"

// Wait until fd is ready for what, with a deadline as in struct tl_leave. Returns 0, or -1
// with an exception set.
// Switch: may.
int tl_descriptor_wait(struct tl_sched *s, int fd, int what, int64_t deadline);

// Make those runnable whose descriptors are ready.
void tl_descriptor_look(struct tl_sched *s);

// Whether some tasklet of s waits for one.
bool tl_descriptor_is_awaited(const struct tl_sched *s);

// The thread is gone.
void tl_descriptor_fini(struct tl_sched *s);

// In the child of a fork, where s is the calling thread's.
void tl_descriptor_after_fork(struct tl_sched *s);

#endif // TL_DESCRIPTOR_H
