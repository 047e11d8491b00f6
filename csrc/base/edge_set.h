// edge_set.h - descriptors that are watched until they are closed.
//
// Each is added once, for reading and writing. From then on every change that makes it
// ready is reported once (edge-triggered): its user need not tell when it waits, and
// must try an operation until it would block before it waits for the next report. An
// idle thread sleeps on the set itself (tl_park_sleep()), which fills found[].
//
// Locks: what guards the set, the GIL; tl_edge_set_wait() is called by the owner, who
// may do without.
#ifndef TL_EDGE_SET_H
#define TL_EDGE_SET_H

#include "base/stress.h"

#include <stdbool.h>
#include <stdint.h>

// Maximum number of events that one call collects: 3 KB of memory. The rest is
// collected by the next call.
enum { TL_EDGE_SET_MAX_EVENTS = TL_STRESS_OR(256, 1) };

enum {
    TL_EDGE_READ = 1,  // a read may succeed, or finds the end or an error
    TL_EDGE_WRITE = 2, // the same for a write
    // From now on a read that returns less than requested does not mean that nothing is
    // left: the peer has finished, an error is pending, or there is urgent data.
    TL_EDGE_CAREFUL = 4,
};

struct tl_edge_event {
    uint64_t key; // as given to tl_edge_set_add()
    int what;     // TL_EDGE_..., or'ed
};

struct tl_edge_set {
    int fd; // -1: not initialized
    int nfound;
    struct tl_edge_event found[TL_EDGE_SET_MAX_EVENTS]; // [0 .. nfound) not handled yet
};

// Returns 0 or an errno.
int tl_edge_set_init(struct tl_edge_set *set);
void tl_edge_set_fini(struct tl_edge_set *set);

// Watch fd; if it is ready now, that is reported, too. Returns 0 or an errno: EPERM if
// it is always ready, as files are; EEXIST if it is watched already.
int tl_edge_set_add(struct tl_edge_set *set, int fd, uint64_t key);

// The same, but report whenever it is readable (level-triggered), and nothing else.
int tl_edge_set_add_level(struct tl_edge_set *set, int fd, uint64_t key);

// Stop watching fd, which is still open. Closing alone does not stop that while a
// duplicate is open, perhaps in another process.
void tl_edge_set_remove(struct tl_edge_set *set, int fd);

// Wait until something is ready or limit_ns have passed (< 0: no limit, 0: do not
// wait), and fill found[], which is empty.
void tl_edge_set_wait(struct tl_edge_set *set, int64_t limit_ns);

#endif // TL_EDGE_SET_H
