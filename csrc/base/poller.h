// poller.h - which of many descriptors are ready.
//
// A watch reports once: when its descriptor is ready, which is then not reported again
// until it is watched anew. Between the two the descriptor may be closed, and its
// number be used for another file. A descriptor that is closed while it is watched is
// never reported; tl_poller_watch_again() finds that out.
//
// Locks: what guards the poller, the GIL. None of these blocks.
#ifndef TL_POLLER_H
#define TL_POLLER_H

#include "base/stress.h"

#include <stdbool.h>

enum { TL_POLLER_READ = 1, TL_POLLER_WRITE = 2 };

// Maximum number of events that tl_poller_collect() returns. The rest is returned by
// the next call.
enum { TL_POLLER_MAX_EVENTS = TL_STRESS_OR(64, 1) };

struct tl_poller {
    int fd; // readable when something is ready; -1 before tl_poller_init()
};

struct tl_poller_event {
    int fd, what; // what: TL_POLLER_READ, TL_POLLER_WRITE, or both
};

// Returns 0 or an errno.
int tl_poller_init(struct tl_poller *poller);
void tl_poller_fini(struct tl_poller *poller);

// Watch fd for exactly what; 0: not at all. Returns 0 or an errno: EBADF; EPERM if fd
// is always ready, as regular files are.
int tl_poller_watch(struct tl_poller *poller, int fd, int what);

// The same for fd that is being watched. Returns EBADF if it has been closed, ENOENT if
// its number now belongs to another file.
int tl_poller_watch_again(struct tl_poller *poller, int fd, int what);

// Collect the descriptors that are ready now into events, at most TL_POLLER_MAX_EVENTS.
// Returns how many.
int tl_poller_collect(struct tl_poller *poller, struct tl_poller_event *events);

// Whether fd is ready for what now, watched or not. Returns 1 or 0, or a negative
// errno.
int tl_poller_ask(int fd, int what);

#endif // TL_POLLER_H
