// stacks.c - the pool of stacks, and how new ones begin.
#include "core/stacks.h"
#include "core/errors.h"
#include "core/fiber.h"
#include "cpython/gil.h"
#include "base/stress.h"

// MAX_DEEP: stacks in the second lane, which helps only while few tasklets take turns.
enum { MAX_DEEP = TL_STRESS_OR(64, 1) };

// ---- stacks begin
//
// A base fiber is one from which stacks are entered for the first time, so that all
// have the same base address: entered from each other, they would begin ever deeper.
//
// There are two, the second some way below the first. To continue a stack, greenlet
// copies away all that lies below that stack's base, so a switch between two stacks of
// one lane copies both. Of two tasklets of different lanes that take turns, say sender
// and receiver, only the one in the lower lane is copied. With many tasklets that gains
// nothing, so only a few stacks begin in the second lane.

static int
make_base_fibers(struct tl_sched *s)
{
    for (int lane = 0; lane < 2; lane++) {
        if (s->base_fibers[lane] == NULL) {
            PyObject *args = PyTuple_Pack(2, s->state->run_base_fiber, s->main_fiber);
            s->base_fibers[lane] = args == NULL ? NULL : tl_fiber_new(args);
            Py_XDECREF(args);
            if (s->base_fibers[lane] == NULL) {
                return -1;
            }
        }
    }
    if (s->stack_args == NULL) {
        s->stack_args = PyTuple_Pack(2, s->state->run_stack, s->main_fiber);
    }
    return s->stack_args == NULL ? -1 : 0;
}

int
tl_stacks_reserve(struct tl_sched *s)
{
    if (s->npool > 0) {
        return 0;
    }
    if (make_base_fibers(s) < 0) {
        return -1;
    }
    struct tl_stack *stack = PyMem_Calloc(1, sizeof *stack);
    if (stack == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    stack->fiber = tl_fiber_new(s->stack_args);
    if (stack->fiber == NULL) {
        PyMem_Free(stack);
        return -1;
    }
    stack->home = s;
    stack->fresh = true;
    stack->lane = s->next_lane == 1 && s->deep < MAX_DEEP;
    s->deep += stack->lane;
    tl_stacks_park(s, stack);
    return 1;
}

PyObject *
tl_stacks_start(struct tl_sched *s, TaskletObject *t)
{
    struct tl_stack *stack = tl_stacks_unpark(s);
    tl_stacks_assign(s, stack, t);
    if (!stack->fresh) {
        return stack->fiber;
    }
    stack->fresh = false;
    s->starting = stack;
    // The second base fiber is entered from the first.
    return s->base_fibers[s->bases_begun == 2 ? stack->lane : 0];
}

PyObject *
tl_stacks_start_again(struct tl_sched *s)
{
    struct tl_stack *stack = s->starting;
    tl_errors_unraisable(s->state, NULL);
    s->starting = NULL;
    tl_stacks_drop_base_fibers(s);
    if (make_base_fibers(s) < 0) {
        Py_FatalError("tasklets: no memory to begin a tasklet again");
    }
    PyObject *fiber = tl_fiber_new(s->stack_args);
    if (fiber == NULL) {
        Py_FatalError("tasklets: no memory to begin a tasklet again");
    }
    Py_SETREF(stack->fiber, fiber);
    Py_SETREF(stack->job->fiber, Py_NewRef(fiber));
    s->starting = stack;
    return s->base_fibers[0];
}

void
tl_stacks_drop_base_fibers(struct tl_sched *s)
{
    for (int lane = 1; lane >= 0; lane--) {
        Py_CLEAR(s->base_fibers[lane]);
    }
    s->bases_begun = 0;
}
