// lookup.h - threads that look up addresses, and hold no lock of the C library at a fork.
//
// libuv has such threads, too. But it counts how many of them are busy, and keeps the
// count in the child of a fork, where they do not exist: lookups wait there forever.
#ifndef TL_LOOKUP_H
#define TL_LOOKUP_H

#include "base/list.h"

#include <netdb.h>
#include <stdbool.h>

enum tl_lookup_state {
    TL_LOOKUP_NEW,
    TL_LOOKUP_QUEUED,
    TL_LOOKUP_RUNNING,
    TL_LOOKUP_OVER
};

// Invariants
// I1: link is in the queue iff state is QUEUED, and among those under way iff it is
//     RUNNING. Guarded by the mutex in lookup.c, as is state.
// I2: answers is set, and owned by the caller, iff state is OVER and status is 0.
struct tl_lookup {
    struct tl_link link;
    enum tl_lookup_state state;
    bool is_abandoned; // it runs, and nobody waits for it any more
    int thread;        // the system's number of the thread that does it
    char *host, *port; // copies, or NULL
    struct addrinfo hints;
    int status; // 0, or one of EAI_...
    int error;  // errno, with EAI_SYSTEM
    struct addrinfo *answers;
    // Called with the mutex held when it is over, by the thread that did it or by
    // tl_lookup_cancel().
    void (*over)(struct tl_lookup *lookup);
};

// Fill in the question, host and port (may be NULL) are copied. Returns 0 or an errno.
int tl_lookup_init(struct tl_lookup *lookup, const char *host, const char *port,
                   const struct addrinfo *hints);

// Free what it has. It is not under way.
void tl_lookup_fini(struct tl_lookup *lookup);

// Do it as soon as a thread is free. At most threads of them are done at a time, besides
// those that were cancelled when they had begun. Returns 0 or an errno: then there is no
// thread.
int tl_lookup_submit(struct tl_lookup *lookup, int threads);

// End it without an answer, unless a thread has begun.
void tl_lookup_cancel(struct tl_lookup *lookup);

// Returns when no thread is inside over(): the caller is about to free what that uses.
void tl_lookup_settle(void);

// Around a fork: hold the mutex and start no lookup. Those that run are waited for, unless
// they wait for the network themselves. In the child there is no thread, and all lookups
// are lost.
void tl_lookup_hold(void);
void tl_lookup_release(bool in_child);

#endif // TL_LOOKUP_H
