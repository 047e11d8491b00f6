// reacquire.h - a lock of any kind is acquired again, whatever interrupts that.
#ifndef TL_REACQUIRE_H
#define TL_REACQUIRE_H

#include "sync/wait_queue.h"

// What is raised in the end by a wait that goes on in spite of exceptions: the strongest,
// see interrupt.h, or of equal ones the later, as by a finally block.
struct tl_kept {
    PyObject *exc;     // the strongest so far
    int interruptions; // how many came from outside
    int failures;      // how many others
};

// Keep the exception that is set, if there is one. Returns whether there may be another
// attempt.
bool tl_kept_add(struct tl_kept *kept);

// The lock is held: raise what was kept, or what was held off meanwhile. Returns 0 if that
// is nothing, else -1.
int tl_kept_raise(struct tl_kept *kept);

// The lock is not held after all attempts. Returns -1 with RuntimeError set, whose cause is
// the last exception.
int tl_kept_give_up(struct tl_kept *kept);

// Call acquire(arg) (arg may be NULL: no argument), a method of lock, until it succeeds.
// What is set on entry, and comes meanwhile, is raised in the end. Returns 0, or -1 with an
// exception set. Only if the lock keeps refusing it is not held then.
// Switch: may.
int tl_reacquire(struct tl_state *state, PyObject *lock, PyObject *acquire,
                 PyObject *arg);

#endif // TL_REACQUIRE_H
