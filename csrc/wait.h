// wait.h - a tasklet's claim on one event, finished or cancelled exactly once.
#ifndef TL_WAIT_H
#define TL_WAIT_H

#include "compat.h"
#include "list.h"

struct tl_wait;

// What kind of event it is.
struct tl_wait_kind {
    const char *verb; // for messages: "receive from", "send to", "join"
    // Told when a waiter has joined or left the queue. May be NULL.
    void (*joined)(struct tl_wait *wait);
    void (*left)(struct tl_wait *wait);
    // The wait's time is up: what it returns (new reference, may be a bomb; NULL: None).
    // Runs no code of others. Where it is NULL, TimeoutError is raised.
    PyObject *(*lapsed)(struct tl_wait *wait);
};

// Invariants
// I1: kind is NULL, on is NULL and link is single while the tasklet waits for nothing.
// I2: whoever finishes or cancels the wait does it through tl_wait_end(), which leaves
//     it unarmed, so a second end finds nothing.
// I3: the queue owns one reference to the tasklet while its wait is armed.
struct tl_wait {
    const struct tl_wait_kind *kind;
    PyObject *on; // borrowed: the object of the event unlinks its waiters when it dies;
                  // NULL: the event is a time
    struct tl_link *queue;
};

static inline bool
tl_wait_is_armed(const struct tl_wait *wait)
{
    return wait->kind != NULL;
}

static inline void
tl_wait_arm(struct tl_wait *wait, const struct tl_wait_kind *kind, PyObject *on,
            struct tl_link *link, struct tl_link *queue)
{
    assert(!tl_wait_is_armed(wait) && tl_link_is_single(link));
    wait->kind = kind;
    wait->on = on;
    wait->queue = queue;
    tl_link_insert_before(link, queue);
    if (kind->joined != NULL) {
        kind->joined(wait);
    }
}

// Take the waiter out of its queue. The queue's reference passes to the caller.
static inline void
tl_wait_end(struct tl_wait *wait, struct tl_link *link)
{
    assert(tl_wait_is_armed(wait) && !tl_link_is_single(link));
    tl_link_remove(link);
    if (wait->kind->left != NULL) {
        wait->kind->left(wait);
    }
    wait->kind = NULL;
    wait->on = NULL;
}

#endif // TL_WAIT_H
