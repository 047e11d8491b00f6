// block.h - a tasklet or an OS thread waits in the queue of a lock or the like.
//
// A queue is a ring of tl_waiter links, the first come first. All is guarded by the GIL.
#ifndef TL_BLOCK_H
#define TL_BLOCK_H

#include "native.h"

// One wait.
struct tl_block {
    const struct tl_wait_kind *kind; // for a wait without an error if nobody can run:
                                     // patient; with a deadline: lapsed is
                                     // tl_block_lapsed()
    PyObject *on;                    // borrowed: the caller holds it
    struct tl_link *queue;
    int64_t deadline; // of tl_block_deadline(); not negative
    // Asked last, at most once, when no other code can run any more before the caller
    // waits: whether what it would wait for has come. May wake others. May be NULL.
    bool (*has_come)(struct tl_block *how);
    bool insists; // waits whatever block_trap says
    bool comes; // another thread ends the wait: no deadlock, and run(wait=True) goes on
    // Afterwards: what it was given, and whether it got so far that it was asked.
    unsigned char given;
    bool asked;
};

// Wait until tl_block_wake() ends it, or its time is up, which given tells. The current
// tasklet waits, and others run; or the thread sleeps, if it has none or must not leave
// it. Returns 0, or -1 with an exception set: whatever was given then is to be passed on.
// Switch: yes.
int tl_block(struct tl_state *state, struct tl_block *how);

// What a kind has in lapsed.
PyObject *tl_block_lapsed(struct tl_wait *wait);

// End the wait of the first or any other waiter of a queue, with given in addition to what
// it has, and let it run. Runs no code of others.
void tl_block_wake(struct tl_waiter *waiter, unsigned char given);

// The same for the first most of a queue that can still run. Returns how many there were.
Py_ssize_t tl_block_wake_many(struct tl_link *queue, Py_ssize_t most,
                              unsigned char given);

// Have waiter, that has got given, wait in the queue of another object, without a deadline.
void tl_block_move(struct tl_waiter *waiter, const struct tl_wait_kind *kind,
                   PyObject *on, struct tl_link *queue, unsigned char given);

// The first waiter of a queue that can still run, or NULL.
struct tl_waiter *tl_block_first(struct tl_link *queue);

// The first that is also expected to: not one that waits on although it was told to end
// with its thread. What is given to a waiter for good, a lock say, is given to this one.
struct tl_waiter *tl_block_heir(struct tl_link *queue);

// tp_traverse of what has a queue: the queue's references.
int tl_block_traverse(const struct tl_link *queue, visitproc visit, void *arg);

// Whether waiter is a tasklet of the calling thread.
static inline bool
tl_block_is_mine(const struct tl_waiter *waiter)
{
    return !waiter->wait.native && tl_task_of_waiter(waiter)->home == tl_sched_mine;
}

// A deadline so many nanoseconds from now; <= 0: it has passed, which is -1.
int64_t tl_block_deadline(int64_t nanoseconds);

// threading.TIMEOUT_MAX, in seconds: nanoseconds are counted in 64 bits.
#define TL_BLOCK_LONGEST 9223372036.0

// The same for seconds, infinity included; what nobody sees the end of has no deadline: 0.
int64_t tl_block_deadline_in(double seconds);

// The same for threading's timeout arguments: seconds, None or NULL is 0 for no deadline.
// Returns 0, or -1 with TypeError, ValueError (NaN) or OverflowError set.
int tl_block_deadline_of(PyObject *seconds, int64_t *deadline);

// Read the arguments (blocking=True, timeout=-1) of a lock's acquire(). *deadline is
// negative if it must not block. Returns as above.
int tl_block_acquire_args(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                          int64_t *deadline);

#endif // TL_BLOCK_H
