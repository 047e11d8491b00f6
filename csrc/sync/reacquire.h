// reacquire.h - re-acquiring a lock of any kind, whatever interrupts that.
#ifndef TL_REACQUIRE_H
#define TL_REACQUIRE_H

#include "sync/wait_queue.h"

// The exceptions of a call that goes on in spite of them. Raised in the end: the
// strongest (interrupt.h), or of equally strong ones the last, as from a finally block.
struct tl_kept {
    PyObject *exc;     // the strongest so far, or NULL
    int interruptions; // number of exceptions that are not an Exception
    int failures;      // number of Exceptions, and of refusals
};

// Keep the exception that is set, if there is one. Returns whether the caller may try
// again.
bool tl_kept_add(struct tl_kept *kept);

// The caller holds the lock: raise the exception that was kept, or an interruption that
// was held off. Returns 0 if there is neither, else -1.
int tl_kept_raise(struct tl_kept *kept);

// The caller gives up without the lock. Returns -1 with RuntimeError set, whose cause
// is the exception that was kept.
int tl_kept_give_up(struct tl_kept *kept);

// Call acquire(arg), a method of lock, until it succeeds; arg may be NULL: no argument.
// The exception that is set on entry, and exceptions that occur during the call, are
// raised in the end. Returns 0, or -1 with an exception set. In either case the caller
// holds the lock, except for RuntimeError: the lock kept refusing.
// Switch: may.
int tl_reacquire(struct tl_state *state, PyObject *lock, PyObject *acquire,
                 PyObject *arg);

#endif // TL_REACQUIRE_H
