// stacks.h - the stacks that tasklets run on: born from one base, and used again.
#ifndef TL_STACKS_H
#define TL_STACKS_H

#include "core/sched.h"

// A pooled fiber. While it runs or holds a tasklet it is that tasklet's; parked, it is
// in the pool of its thread.
struct tl_stack {
    PyObject *fiber;       // counted
    struct tl_sched *home; // NULL once that has gone
    void *chunk;           // its first frame memory, or NULL if not ours
    TaskletObject *job;    // borrowed; NULL while parked
    struct tl_stack *next; // in the pool
    PyObject *stopped_in;  // counted: of a stack that is kept for ever, where it stops
    unsigned char lane;    // which nursery bears it, or bore it
    bool fresh;            // never switched to
};

// Have a stack in the pool. Returns 0 if there was one, 1 if one was made (other code
// may have run), -1 with an exception set.
int tl_stacks_reserve(struct tl_sched *s);

// Give t, which is new, a stack from the pool, and return the fiber to switch to
// (borrowed).
PyObject *tl_stacks_start(struct tl_sched *s, TaskletObject *t);

// A birth was broken off by an exception, which is set: a trace function of greenlet's
// raised it. Report it, and return the fiber to switch to for another try (borrowed).
PyObject *tl_stacks_bear_again(struct tl_sched *s);

// t can never run again, but its frames, which nobody can end, are in use: keep them.
void tl_stacks_keep(struct tl_sched *s, TaskletObject *t);

// t, which is current, has ended: what it has set for itself ends, too. Other code runs.
void tl_stacks_strip(struct tl_sched *s, TaskletObject *t);

// Give the system back what the allocators have free. Done once nobody uses the stacks
// that ended.
void tl_stacks_trim(struct tl_sched *s);

// End the parked stacks and the nurseries.
void tl_stacks_free(struct tl_sched *s);

// The builtins that fibers run.
extern PyMethodDef tl_stacks_run_def, tl_stacks_nursery_def;

#endif // TL_STACKS_H
