// lookup.h - getaddrinfo() on internal threads, safe against fork().
//
// The idea: a queue of lookups, and threads that are started as needed and call
// getaddrinfo(). Before a fork no new lookup begins, and running ones are waited for,
// because they may hold locks of the C library, which would stay locked in the child. A
// lookup that merely waits for the network holds none, and is not waited for. libuv's
// own threads do not fit: libuv counts how many of them are busy, and keeps the count
// in the child, where they do not exist, so that lookups would wait there forever.
//
// Locks: the mutex in lookup.c guards the queue and the states of all lookups. It is
// taken with and without the GIL, so nothing that is done with it held may wait for the
// GIL.
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

// One lookup.
//
//   NEW --submit--> QUEUED --a thread begins--> RUNNING --> OVER
//                     +----------cancel----------------------^
//
// Invariants
// I1: link is in the queue iff state is QUEUED, and in the list of running lookups iff
//     it is RUNNING. Guarded by the mutex in lookup.c, as is state.
// I2: answers is set, and owned by the caller, iff state is OVER and status is 0.
struct tl_lookup {
    struct tl_link link;
    enum tl_lookup_state state;
    bool is_abandoned;        // cancelled while it was running
    int thread;               // system id of the thread that runs it
    char *host, *port;        // copies, or NULL
    struct addrinfo hints;    // of the call of getaddrinfo()
    int status;               // 0, or one of EAI_...
    int error;                // errno, if status is EAI_SYSTEM
    struct addrinfo *answers; // see I2
    // Called when the state becomes OVER, by the thread that ran the lookup or in
    // tl_lookup_cancel(). The lookup may be freed from then on.
    // Locks: the mutex is held.
    void (*over)(struct tl_lookup *lookup);
};

// Initialize a lookup. host and port (may be NULL) are copied. Returns 0 or an errno.
int tl_lookup_init(struct tl_lookup *lookup, const char *host, const char *port,
                   const struct addrinfo *hints);

// Free what the lookup owns. It is neither queued nor running.
void tl_lookup_fini(struct tl_lookup *lookup);

// Queue the lookup. At most threads lookups run at a time, not counting abandoned ones.
// Returns 0, or an errno if there is no thread; then the lookup is not queued.
int tl_lookup_submit(struct tl_lookup *lookup, int threads);

// Take back a queued lookup: over() is called with the status EAI_AGAIN. A running one
// is abandoned: it ends as it would have, and another thread may be started in its
// place.
void tl_lookup_cancel(struct tl_lookup *lookup);

// Wait until no thread is inside over(). The caller is about to free what over() uses.
void tl_lookup_settle(void);

// Around a fork: take the mutex and begin no lookup. Waits up to two seconds for
// running lookups, unless they all wait for the network. In the child there are no
// threads and the lookups are lost.
void tl_lookup_hold(void);
void tl_lookup_release(bool in_child);

#endif // TL_LOOKUP_H
