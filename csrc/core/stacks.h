// stacks.h - the stacks that tasklets run on. A stack outlives its tasklet: it is
// parked in its thread's pool and runs the next one. docs/internals/stacks.md has the
// reasons.
#ifndef TL_STACKS_H
#define TL_STACKS_H

#include "core/sched.h"

// A fiber that runs one tasklet after the other; between two it is in its thread's
// pool.
struct tl_stack {
    PyObject *fiber;       // counted
    struct tl_sched *home; // NULL once the thread has ended
    // First frame memory, from frame_slab.h; NULL: the interpreter's.
    void *chunk;
    TaskletObject *job;    // borrowed: the tasklet it runs; NULL while parked
    struct tl_stack *next; // in the pool, or in home->ending or state->lost
    PyObject *stopped_in;  // counted: the fiber on which a leaked stack pauses, or NULL
    unsigned char lane;    // index of the base fiber from which it is first entered
    bool fresh;            // never entered
};

// Make sure that the pool has a stack. Returns 0 if it had one; 1 if one was made,
// which may have run Python code; -1 with an exception set.
int tl_stacks_reserve(struct tl_sched *s);

// Give t, which is new, a stack from the pool, which has one. Returns the fiber to
// switch to (borrowed): the stack's or, if it is fresh, a base fiber that enters it.
PyObject *tl_stacks_start(struct tl_sched *s, TaskletObject *t);

// A trace function of greenlet's raised the exception that is set, and a fresh stack
// was not entered. Report the exception and return the fiber to switch to for another
// try (borrowed). May run Python code.
PyObject *tl_stacks_start_again(struct tl_sched *s);

// Leak t's stack on purpose: its thread is gone, so its frames can neither run nor be
// unwound.
// Thread: any.
void tl_stacks_keep(struct tl_sched *s, TaskletObject *t);

// t, which is current, has ended: drop its locals, trace functions, atomic flag, blocks
// and pending interruptions. May run Python code and give up the GIL.
void tl_stacks_strip(struct tl_sched *s, TaskletObject *t);

// Give free memory of the allocators back to the system, after many stacks have ended.
void tl_stacks_trim(struct tl_sched *s);

// The thread ends: end the parked stacks and the base fibers. May run Python code.
void tl_stacks_free(struct tl_sched *s);

// The builtins that fibers run.
extern PyMethodDef tl_stacks_run_def, tl_stacks_nursery_def;

#endif // TL_STACKS_H
