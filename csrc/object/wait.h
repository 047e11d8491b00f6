// wait.h - the wait of a tasklet, or of an OS thread without one, for one event. It is
// armed once, and ended exactly once: by the event, a timeout or a kill.
//
// Locks: the GIL, for all of it.
#ifndef TL_WAIT_H
#define TL_WAIT_H

#include "cpython/compat.h"
#include "base/list.h"

struct tl_wait;

// A kind of event.
struct tl_wait_kind {
    const char *verb; // for messages: "receive from", "send to", "join"
    // Called after a waiter has joined or left the queue. Must not call into Python.
    // May be NULL.
    void (*joined)(struct tl_wait *wait);
    void (*left)(struct tl_wait *wait);
    // Called when the wait has timed out. Returns its result (new reference, may be a
    // bomb;
    // NULL: None). Must not call into Python. NULL: the wait raises TimeoutError.
    PyObject *(*on_timeout)(struct tl_wait *wait);
    // Exempt from deadlock detection: a signal handler may still end the wait.
    bool exempt;
    // The same, decided for one wait of this kind. May be NULL.
    bool (*is_exempt)(const struct tl_wait *wait);
    bool is_lock; // the waiter waits until it owns a lock
};

// How the wait of a lock, condition, queue or the like ended, or what happened to it so
// far. A waiter that then leaves with an exception must pass on a notification, a
// retry or an ownership that it received.
enum {
    TL_GIVEN_TIMED_OUT = 1,    // timed out
    TL_GIVEN_NOTIFICATION = 2, // notified: the event has happened
    TL_GIVEN_RETRY = 4, // retry: what it waits for is free, but was not reserved for it
    TL_GIVEN_OWNERSHIP = 8, // handed off: it owns what it waited for
};

// How a function that waits has ended. The values are such that a method of Python can
// return all but TL_WAITED_FAILED as a bool.
enum tl_waited {
    TL_WAITED_FAILED = -1,   // an exception is set
    TL_WAITED_TIMED_OUT = 0, // the caller has nothing
    TL_WAITED_DONE = 1       // the event has happened, or the object is the caller's
};

// Invariants
// I1: kind and on are NULL while the wait is not armed; then link is single, unless it
//     is that of a tasklet in a ring.
// I2: every end of the wait goes through tl_wait_end(), which leaves it unarmed, so
//     that a second one finds nothing.
// I3: the queue owns a reference to the tasklet while its wait is armed. An OS thread
//     needs none: it cannot end before its wait does.
struct tl_wait {
    const struct tl_wait_kind *kind; // NULL: not armed
    PyObject
        *on; // borrowed: the event's object, which unlinks its waiters when it dies;
             // NULL: the event is a time
    struct tl_link *queue; // list head
    unsigned char given;   // TL_GIVEN_... of the last wait for a lock or the like
    bool native;           // the waiter is an OS thread: see core/os_thread.h
};

// A waiter: part of a tasklet or, with wait.native, of a sleeping OS thread.
struct tl_waiter {
    struct tl_link link;
    struct tl_wait wait;
};

static inline bool
tl_wait_is_armed(const struct tl_wait *wait)
{
    return wait->kind != NULL;
}

#ifndef NDEBUG
// link is the waiter's.
static inline void
tl_wait_check(const struct tl_wait *wait, const struct tl_link *link)
{
    bool single = tl_link_is_single(link);
    if (tl_wait_is_armed(wait)) {
        TL_CHECK("I1", "tl_wait", wait,
                 !single && tl_link_may_be_in(link, wait->queue));
    } else {
        TL_CHECK("I1", "tl_wait", wait, wait->on == NULL && (single || !wait->native));
    }
}
#else
TL_CHECKER(tl_wait_check, const struct tl_wait *wait, const struct tl_link *link);
#endif

// Begin to wait: append the waiter, whose link is given, to queue.
static inline void
tl_wait_arm(struct tl_wait *wait, const struct tl_wait_kind *kind, PyObject *on,
            struct tl_link *link, struct tl_link *queue)
{
    TL_CHECK("I1", "tl_wait", wait, !tl_wait_is_armed(wait) && tl_link_is_single(link));
    wait->kind = kind;
    wait->on = on;
    wait->queue = queue;
    tl_link_insert_before(link, queue);
    if (kind->joined != NULL) {
        kind->joined(wait);
    }
    tl_wait_check(wait, link);
}

// End the wait: remove the waiter from its queue. The queue's reference passes to the
// caller.
static inline void
tl_wait_end(struct tl_wait *wait, struct tl_link *link)
{
    TL_CHECK("I2", "tl_wait", wait, tl_wait_is_armed(wait) && !tl_link_is_single(link));
    tl_link_remove(link);
    if (wait->kind->left != NULL) {
        wait->kind->left(wait);
    }
    wait->kind = NULL;
    wait->on = NULL;
    TL_CHECK("I2", "tl_wait", wait, !tl_wait_is_armed(wait) && tl_link_is_single(link));
}

#endif // TL_WAIT_H
