// life.c - what runs on a stack: one tasklet after the other, from its first step to
// the hand-over to the next; and the end of a stack.
#include "core/life.h"
#include "core/errors.h"
#include "core/fiber.h"
#include "core/interrupt.h"
#include "core/local.h"
#include "core/outcome.h"
#include "core/run.h"
#include "core/scope.h"
#include "core/stacks.h"
#include "core/stray.h"
#include "core/task_settings.h"
#include "core/tasklet_end.h"
#include "core/timer.h"
#include "cpython/gil.h"
#include "base/frame_slab.h"
#include "base/stress.h"

#include <limits.h>
#include <unistd.h>

// MAX_PARKED: stacks that the pool keeps, some 3 KB each. More would help only programs
// that start and end hundreds of tasklets at a time. MANY_TASKLETS: memory is given
// back to the system only after that many at once, because that walks through the whole
// heap.
#ifndef Py_DEBUG
enum { MAX_PARKED = TL_STRESS_OR(128, 1), MANY_TASKLETS = TL_STRESS_OR(20000, 64) };
#else
// For a debug build of CPython greenlet has assertions, which look at the greenlet that
// was switched to when switch() returns. It may be freed by then, so no stack is freed
// before its thread ends.
enum { MAX_PARKED = INT_MAX, MANY_TASKLETS = INT_MAX };
#endif

// How far the second lane of stacks lies below the first. Stacks of the first lane that
// are no deeper than that do not reach into it.
enum { LANE_GAP_BYTES = 6000 };

// ---- stacks begin: see stacks.c

// Enter the second base fiber from LANE_GAP_BYTES further down. It switches back at
// once.
__attribute__((noinline)) static void
begin_second_base(struct tl_sched *s)
{
    volatile char gap[LANE_GAP_BYTES];
    gap[0] = 0;
    (void)tl_fiber_switch(s->base_fibers[1]);
    gap[LANE_GAP_BYTES - 1] = gap[0];
}

static PyObject *
run_base_fiber(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_mine;
    int lane = s->bases_begun++;
    int status = lane == 1 ? tl_fiber_switch(s->base_fibers[0]) : 0;
    for (;;) {
        if (tl_sched_mine != s) {
            if (status == 0) {
                PyErr_SetString(PyExc_RuntimeError, "this greenlet's thread is ending");
            }
            return NULL;
        }
        struct tl_stack *starting = s->starting;
        if (status < 0 && starting != NULL) {
            tl_errors_unraisable(s->state, NULL); // of greenlet's trace function
        }
        if (starting != NULL && starting->lane == lane) {
            status = tl_fiber_switch(starting->fiber);
        } else if (starting != NULL) {
            if (s->bases_begun == 1) {
                begin_second_base(s);
            }
            status = tl_fiber_switch(s->base_fibers[1]);
        } else if (status < 0 && s->base_fibers[lane] == NULL) {
            return NULL; // tl_stacks_free() dropped it
        } else {
            status = tl_sched_bounce(s);
        }
    }
}

// ---- one tasklet's life

// t's function returned while another tasklet was current: greenlet's own API had
// continued it. It has ended all the same. The error goes through the fiber's parent to
// the current tasklet, which did that.
static void
end_out_of_turn(struct tl_sched *s, TaskletObject *t)
{
    TaskletObject *current = s->current;
    PyObject *own = current->stack ? current->stack->fiber : s->main_fiber;
    Py_XSETREF(current->fiber, Py_NewRef(own));
    if (tl_fiber_set_parent(t->stack->fiber, own) < 0) {
        PyErr_Clear();
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "a tasklet's function was continued by greenlet's switch(), and "
                    "ended, while another tasklet was running");
}

// Drop t's reference to the fiber it last paused on, which may be a greenlet made
// inside it.
static void
release_fiber(struct tl_sched *s, TaskletObject *t, struct tl_stack *stack)
{
    PyObject *fiber = t->fiber;
    t->fiber = NULL;
    if (fiber == stack->fiber) {
        Py_DECREF(fiber); // the stack has another reference
    } else {
        tl_sched_drop_later(s, fiber);
    }
}

// t has ended: detach it from its stack. Does not call into Python.
static void
forget_job(struct tl_sched *s, TaskletObject *t)
{
    t->life = TL_UNBOUND;
    t->ended = true;
    t->stack = NULL;
    if (TL_UNLIKELY(t->scopes != NULL)) {
        tl_scope_end(t, NULL);
    }
    if (TL_UNLIKELY(t->in_run)) {
        tl_run_forget(s, t);
    }
    tl_link_remove(&t->started);
    s->nstarted--;
    s->finished++;
    tl_sched_check_stacks(s);
    tl_task_check(t);
}

// t, current and in the ring, is about to call its function: give the thread t's
// context, trace functions and atomic section, and drop what the switch left. Returns
// false with an exception set if one was thrown at t before its first step. Python code
// may run and switch from tl_sched_arrive() on, so that comes last; the recursion depth
// is reset first, since dropping the previous context may run some.
static __attribute__((noinline)) bool
begin_job(struct tl_sched *s, TaskletObject *t)
{
    PyObject *context = t->context;
    t->context = NULL;
    tl_gil_reset_recursion(s->ts);
    Py_XDECREF(tl_gil_swap_context(s->ts, context));
    if (t->hooks != NULL) {
        tl_trace_hooks_swap(s->ts, t->hooks);
    }
    if (t->atomic) {
        tl_governor_enter(&s->guard);
    }
    PyObject *value = tl_sched_arrive(s);
    Py_XDECREF(value);
    return value != NULL;
}

TL_COLD static void
finish_out_of_turn(struct tl_sched *s, TaskletObject *t)
{
    end_out_of_turn(s, t);
    PyObject *exc = PyErr_GetRaisedException();
    t->top = NULL; // the frame where it paused last may be gone
    forget_job(s, t);
    if (t->place == TL_WAITING) {
        tl_task_end_wait(t);
        tl_sched_drop_later(s, (PyObject *)t);
    } else if (t->place == TL_RUNNABLE) {
        tl_ring_remove(s, t);
        tl_sched_drop_later(s, (PyObject *)t);
    }
    tl_sched_drop_now(s); // ends greenlets made inside it, and what these hold
    PyErr_SetRaisedException(exc);
}

// The tasklet's function has returned result, or NULL with an exception set. Returns
// the next tasklet, now current; or NULL with an exception set that must end the stack.
//
// Most steps may run Python code: finalizers, callbacks, the error handler. That code
// finds t current, runnable and on its stack, so it may even switch. The order:
// 1. The exception is fetched, and the name for its note while func is there: the steps
//    that follow run without an exception set.
// 2. Trace functions and the atomic section end: they cover t's function, not
//    callbacks.
// 3. func and its arguments go before anyone is told, so that a waiter finds them
//    released. From here on args == NULL tells that the function has returned (I3 of
//    TaskletObject).
// 4. The outcome is delivered. Error handler and callbacks see t's locals and context.
// 5. Locals and context go, since no code of t is left that could ask for them.
// 6. The fiber is released: only then do its references tell whether anyone else knows
//    the stack. If so it is not used again, and another one must be in the pool now,
//    while an allocation may still run Python code. If that switches, t holds a fiber
//    once more.
// 7. Interruptions that arrived during steps 2 to 6 have nothing left to interrupt.
// 8. forget_job() and tl_sched_after_end(): t leaves the ring. From here to the switch
//    in run_stack() Python code runs only where no_switch is raised. References that
//    remain are dropped by the tasklet that arrives: this stack cannot drop the last
//    one to itself.
static __attribute__((noinline)) TaskletObject *
finish_job(struct tl_sched *s, struct tl_stack *stack, PyObject *result)
{
    TaskletObject *t = stack->job;
    PyObject *exc = TL_UNLIKELY(result == NULL) ? PyErr_GetRaisedException() : NULL;
    PyObject *name = NULL; // for the note in exc
    if (TL_UNLIKELY(exc != NULL)) {
        name = tl_task_name(t);
        PyErr_Clear();
    }
    if (TL_UNLIKELY(t->hooks != NULL)) {
        tl_task_drop_hooks(s, t);
    }
    if (TL_UNLIKELY(t->atomic)) {
        tl_task_set_atomic(t, false);
    }
    if (t->outcome != NULL && t->outcome->name == NULL) {
        t->outcome->name = tl_task_name(t); // without memory it has none
        PyErr_Clear();
    }
    Py_CLEAR(t->args);
    Py_CLEAR(t->kwargs);
    Py_CLEAR(t->func);
    if (t->outcome == NULL && exc == NULL) {
        Py_DECREF(result);
    } else {
        exc = tl_tasklet_settle(s, t, result, exc, name);
        Py_XDECREF(name);
    }
    PyObject *bomb = NULL;
    bool exits = false;
    if (TL_UNLIKELY(exc != NULL)) {
        exits = PyErr_GivenExceptionMatches(exc, PyExc_SystemExit);
        bomb = tl_bomb_of_error(s->state, exc);
    }
    if (TL_UNLIKELY(t->locals != NULL)) {
        tl_local_forget(&t->locals);
    }
    Py_CLEAR(t->tempval);
    Py_XDECREF(tl_gil_swap_context(s->ts, NULL));
    release_fiber(s, t, stack);
    if (TL_UNLIKELY(!tl_fiber_is_private(stack->fiber))) {
        if (tl_stacks_reserve(s) < 0) {
            PyErr_Clear(); // this stack will be used again all the same
        }
        release_fiber(s, t, stack);
    }
    if (TL_UNLIKELY(t->pending != NULL)) {
        tl_sched_drop_later(s, tl_interrupt_clear(t));
    }
    t->thrown = false;
    if (TL_UNLIKELY(s->current != t)) {
        Py_XDECREF(bomb);
        finish_out_of_turn(s, t);
        return NULL;
    }
    forget_job(s, t);
    return tl_sched_after_end(s, t, bomb, exits);
}

// ---- the life of a stack

// The stack will not be used again. When the last reference to its fiber goes, greenlet
// throws GreenletExit into it, and it ends; Python code may have another. Returns the
// fiber, owned.
static PyObject *
let_end(struct tl_sched *s, struct tl_stack *stack)
{
    PyObject *fiber = stack->fiber;
    tl_stray_forget(s, fiber);
    stack->fiber = NULL;
    stack->next = s->ending;
    s->ending = stack;
    return fiber;
}

// The thread has ended, and the stack has not: it has no scheduler any more. If
// greenlet's own API continues it, it ends with an error.
static void
outlive(struct tl_state *state, struct tl_stack *stack)
{
    stack->home = NULL;
    stack->next = state->lost;
    state->lost = stack;
}

// Free stack, the running one, which is about to return to greenlet.
static void
stack_end(struct tl_state *state, struct tl_stack *stack)
{
    struct tl_sched *s = stack->home;
    struct tl_stack **link = s != NULL ? &s->ending : &state->lost;
    while (*link != NULL && *link != stack) {
        link = &(*link)->next;
    }
    if (*link == stack) {
        *link = stack->next;
    }
    if (s != NULL) {
        s->deep -= stack->lane;
        if (stack->fiber != NULL) {
            tl_stray_forget(s, stack->fiber);
        }
    }
    void *chunk = tl_gil_take_chunk(PyThreadState_Get(), stack->chunk);
    if (chunk != NULL) {
        tl_frame_slab_free(chunk);
    }
    // Not the last reference: greenlet's thread state has one to the running fiber.
    Py_XDECREF(stack->fiber);
    Py_XDECREF(stack->stopped_in);
    PyMem_Free(stack);
}

// End stack, the running one, with the exception that is set or, if none is, with an
// error that its thread's tasklets have ended. Always returns NULL.
TL_COLD static PyObject *
die(struct tl_state *state, struct tl_stack *stack)
{
    PyObject *exc = PyErr_GetRaisedException();
    stack_end(state, stack);
    if (exc == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a greenlet's switch() reached a stack of a thread whose "
                        "tasklets have ended");
    } else {
        PyErr_SetRaisedException(exc);
    }
    return NULL;
}

// Whether most of very many tasklets have ended. Their stacks are scattered over much
// memory, and each that is kept can keep a slab of a megabyte, so none is.
static bool
is_shrinking(struct tl_sched *s)
{
    return s->peak >= MANY_TASKLETS && s->nstarted < s->peak / 4;
}

// End the parked stacks; when no tasklet is left, have memory given back to the system.
TL_COLD static void
shrink(struct tl_sched *s)
{
    while (s->npool > 0) {
        struct tl_stack *stack = tl_stacks_unpark(s);
        if (stack->fresh) {
            s->deep -= stack->lane;
            tl_sched_drop_later(s, stack->fiber);
            PyMem_Free(stack);
        } else {
            tl_sched_drop_later(s, let_end(s, stack));
        }
    }
    if (s->nstarted == 0) {
        s->peak = 0;
        s->trim_due = true;
    }
}

// A stack has been entered for the first time: return its description, s->starting,
// with its first frame memory, which must be there before any Python code runs on it.
// NULL with an exception set.
static struct tl_stack *
begin_stack(struct tl_sched *s)
{
    struct tl_stack *stack = s != NULL ? s->starting : NULL;
    if (stack == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "only the scheduler starts a stack");
        return NULL;
    }
    s->starting = NULL;
    s->no_switch &= ~TL_SWITCHING;
    stack->chunk = tl_frame_slab_alloc(TL_FRAME_SLAB_SMALL);
    if (stack->chunk != NULL &&
        !tl_gil_give_chunk(s->ts, stack->chunk, TL_FRAME_SLAB_SMALL)) {
        // A trace function of greenlet's has run on it, and has frame memory.
        tl_frame_slab_free(stack->chunk);
        stack->chunk = NULL;
    }
    return stack;
}

// Switch from the stack, whose tasklet has ended, to `to`. Returns 0 when it has
// another tasklet to run; -1, with or without an exception set, if it must end.
static int
leave_for(struct tl_sched *s, struct tl_stack *stack, TaskletObject *to)
{
    PyObject *target = to->life == TL_NEW ? tl_stacks_start(s, to) : to->fiber;
    s->no_switch |= TL_SWITCHING;
    int status = tl_fiber_switch(target);
    while (stack->job == NULL) {
        if (stack->home == NULL || (status < 0 && stack->fiber == NULL)) {
            return -1;
        }
        status = tl_sched_bounce(s);
    }
    s->no_switch &= ~TL_SWITCHING;
    if (status < 0) {
        tl_errors_unraisable(s->state, NULL); // of greenlet's trace function
    }
    return 0;
}

// Up to Python 3.13 the interpreter, at its end, ends a daemon thread by unwinding its
// C stack. Beyond a tasklet's base there is no stack to unwind, only leftovers of
// other fibers: the thread sleeps here forever instead, as all daemon threads do from
// 3.14 on.
static void
stay_if_unwound(const bool *returns)
{
    while (!*returns) {
        pause();
    }
}

// What each stack runs, one tasklet per turn of the loop. Python code runs in
// begin_job(), in the function and in finish_job(); between finish_job() and the switch
// none does, since s->current is another tasklet already.
// - If the thread has ended while the function ran, s is not touched: it may be freed.
// - job is cleared first: leave_for() takes a job for a sign that the stack is used
//   again.
// - A new tasklet runs on this very stack, without a switch, if no one else knows the
//   stack, or if there is no other.
// - The stack is parked before the switch, so that the next tasklet to start can use
//   it. A stack that is not kept cannot drop its own fiber: the next tasklet does, on
//   arrival.
static PyObject *
run_stack(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_mine;
    __attribute__((cleanup(stay_if_unwound))) bool returns = true;
    struct tl_stack *stack = begin_stack(s);
    if (stack == NULL) {
        return NULL;
    }
    for (;;) {
        returns = false;
        TaskletObject *t = stack->job;
        PyObject *result =
            begin_job(s, t) ? PyObject_Call(t->func, t->args, t->kwargs) : NULL;
        if (TL_UNLIKELY(stack->home == NULL)) {
            Py_XDECREF(result); // a finalizer continued it after the thread's end
            returns = true;
            return die(state, stack);
        }
        TaskletObject *to = finish_job(s, stack, result);
        stack->job = NULL;
        if (to == NULL) {
            returns = true;
            return die(state, stack);
        }
        bool clean = tl_fiber_is_private(stack->fiber);
        if (to->life == TL_NEW && (clean || s->npool == 0)) {
            tl_stacks_assign(s, stack, to);
            continue;
        }
        bool shrinking = is_shrinking(s);
        if (clean && s->npool < MAX_PARKED && !shrinking) {
            tl_stacks_park(s, stack);
        } else {
            tl_sched_drop_later(s, let_end(s, stack));
        }
        if (TL_UNLIKELY(shrinking) && to->life != TL_NEW &&
            (s->npool > 0 || s->nstarted == 0)) {
            shrink(s);
        }
        if (leave_for(s, stack, to) < 0) {
            returns = true;
            return die(state, stack);
        }
    }
}

void
tl_stacks_keep(struct tl_sched *s, TaskletObject *t)
{
    struct tl_stack *stack = t->stack;
    if (stack != NULL) {
        t->stack = NULL;
        outlive(s->state, stack);
        stack->stopped_in = t->fiber;
        t->fiber = NULL;
    }
}

void
tl_stacks_free(struct tl_sched *s)
{
    while (s->npool > 0) {
        struct tl_stack *stack = tl_stacks_unpark(s);
        PyObject *fiber = stack->fiber;
        if (stack->fresh) {
            s->deep -= stack->lane;
            PyMem_Free(stack);
        } else {
            (void)let_end(s, stack);
        }
        Py_DECREF(fiber);
    }
    while (s->ending != NULL) {
        struct tl_stack *stack = s->ending;
        s->ending = stack->next;
        outlive(s->state, stack);
    }
    tl_stacks_drop_base_fibers(s);
    Py_CLEAR(s->stack_args);
    Py_CLEAR(s->left);
}

// clang-format off

PyMethodDef tl_stacks_run_def = {
    "run_stack", run_stack, METH_NOARGS, "Run tasklets, one after the other."};

PyMethodDef tl_stacks_base_def = {
    "run_base_fiber", run_base_fiber, METH_NOARGS, "Enter the stacks of tasklets first."};
