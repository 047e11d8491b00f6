// wait.h - a claim on one event, finished or cancelled exactly once: a tasklet's, or that of
// an OS thread that has none.
#ifndef TL_WAIT_H
#define TL_WAIT_H

#include "cpython/compat.h"
#include "base/list.h"

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
    // Nobody is to be told that it never ends, because nobody can run: a signal handler
    // may end it.
    bool patient;
    // The same for one wait of this kind. May be NULL.
    bool (*is_patient)(const struct tl_wait *wait);
    bool is_lock; // the waiter waits until it owns a lock
};

// What a waiter of a lock or the like was given, when its wait ended or while it goes on.
// If it does not return as usual after that, it passes on what it got.
enum {
    TL_GIVEN_LAPSED = 1,   // nothing: its time was up
    TL_GIVEN_NOTICE = 2,   // what it waited for has happened
    TL_GIVEN_CALL = 4,     // it may try again to get what it waits for
    TL_GIVEN_PROPERTY = 8, // it has it
};

// Invariants
// I1: kind is NULL and on is NULL while the waiter waits for nothing; then link is single,
//     but for that of a tasklet in a ring.
// I2: whoever finishes or cancels the wait does it through tl_wait_end(), which leaves
//     it unarmed, so a second end finds nothing.
// I3: the queue owns one reference to the tasklet while its wait is armed. A thread is not
//     counted: it does not go away meanwhile.
struct tl_wait {
    const struct tl_wait_kind *kind;
    PyObject *on; // borrowed: the object of the event unlinks its waiters when it dies;
                  // NULL: the event is a time
    struct tl_link *queue;
    unsigned char given; // TL_GIVEN_..., of the last wait for a lock or the like
    bool native;         // it is a thread that waits: see native.h
};

// Who waits: part of a tasklet or, with wait.native, of a sleeping thread.
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
// Locks: the GIL.
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

// Take the waiter out of its queue. The queue's reference passes to the caller.
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
