// stacks.h - the stacks that tasklets run on. A stack outlives its tasklet: it is
// parked in its thread's pool and runs the next one. docs/internals/stacks.md has the
// reasons.
#ifndef TL_STACKS_H
#define TL_STACKS_H

#include "core/sched_state.h"
#include "cpython/gil.h"

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

// ---- the pool: used by life.c

// Put stack, which has no tasklet, into the pool.
static inline void
tl_stacks_park(struct tl_sched *s, struct tl_stack *stack)
{
    stack->next = s->pool[stack->lane];
    s->pool[stack->lane] = stack;
    s->npool++;
    tl_sched_check_stacks(s);
}

// Take a stack out of the pool, which has one.
static inline struct tl_stack *
tl_stacks_unpark(struct tl_sched *s)
{
    int lane = s->pool[s->next_lane] != NULL ? s->next_lane : !s->next_lane;
    struct tl_stack *stack = s->pool[lane];
    s->pool[lane] = stack->next;
    s->npool--;
    tl_sched_check_stacks(s);
    return stack;
}

// Give t, which is new, to stack, which has no tasklet.
static inline void
tl_stacks_assign(struct tl_sched *s, struct tl_stack *stack, TaskletObject *t)
{
    if (TL_UNLIKELY(PyObject_GC_IsFinalized((PyObject *)t))) {
        // It was revived, and may become garbage again.
        tl_gil_unfinalize((PyObject *)t);
    }
    stack->job = t;
    s->next_lane = !stack->lane;
    t->stack = stack;
    t->fiber = Py_NewRef(stack->fiber);
    t->life = TL_STARTED;
    tl_link_insert_before(&t->started, &s->started);
    if (++s->nstarted > s->peak) {
        s->peak = s->nstarted;
    }
    tl_sched_check_stacks(s);
    tl_task_check(t);
}

// Drop the base fibers: new ones are made when they are needed.
void tl_stacks_drop_base_fibers(struct tl_sched *s);

#endif // TL_STACKS_H
