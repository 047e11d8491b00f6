// poller.h - which of many descriptors are ready.
//
// A descriptor is watched once: it is reported when it is ready, and then not again until
// it is watched anew. One that was closed and opened again meanwhile is no trouble, one
// that is closed while it is watched is never reported; tl_poller_watch_again() finds it.
#ifndef TL_POLLER_H
#define TL_POLLER_H

#include "base/stress.h"

#include <stdbool.h>

enum { TL_POLLER_READ = 1, TL_POLLER_WRITE = 2, TL_POLLER_MOST = TL_STRESS_OR(64, 1) };

struct tl_poller {
    int fd; // readable when something is ready; -1 before tl_poller_init()
};

struct tl_poller_event {
    int fd, what;
};

// Returns 0 or an errno.
int tl_poller_init(struct tl_poller *poller);
void tl_poller_fini(struct tl_poller *poller);

// Watch fd for what, which may be 0, and nothing else. Returns 0 or an errno: EBADF; EPERM
// if it is always ready, as files are.
int tl_poller_watch(struct tl_poller *poller, int fd, int what);

// The same for fd that is watched. Returns EBADF if it has been closed, ENOENT if its number
// is another file's since then.
int tl_poller_watch_again(struct tl_poller *poller, int fd, int what);

// Fill in which are ready now, TL_POLLER_MOST at most. Returns how many.
int tl_poller_collect(struct tl_poller *poller, struct tl_poller_event *events);

// Whether fd is ready for what now. Returns 1 or 0, or a negative errno.
int tl_poller_ask(int fd, int what);

#endif // TL_POLLER_H
