#include "core/stacks.h"
#include "core/errors.h"
#include "core/fiber.h"
#include "core/interrupt.h"
#include "core/local.h"
#include "core/outcome.h"
#include "core/scope.h"
#include "core/stray.h"
#include "core/tasklet_end.h"
#include "cpython/gil.h"
#include "base/frame_slab.h"
#include "base/stress.h"

#include <malloc.h>
#include <unistd.h>

// Parked stacks kept for the next tasklets; how many tasklets at once make it worth while
// to hand memory back to the system in the end.
#ifndef Py_DEBUG
enum { POOL_MOST = TL_STRESS_OR(128, 1), MANY = TL_STRESS_OR(20000, 64) };
#else
// A debug build of CPython builds greenlet with assertions, and these look at the greenlet
// that was switched to when its switch() returns. We hold no reference to it then, and
// so never free one before its thread ends.
enum { POOL_MOST = INT_MAX, MANY = INT_MAX };
#endif

// Stacks in the second lane; how far that lies below the first.
enum { DEEP_MOST = TL_STRESS_OR(64, 1), LANE_GAP = 6000 };

// ---- births
//
// A nursery is a fiber from which others are first switched to, so that all have the
// same base: born from each other, they would lie ever deeper.
//
// There are two, the second some way below the first. To continue a stack, greenlet
// saves what lies below that stack's base, and so a switch between two of one lane
// copies both. Two tasklets of different lanes that take turns, sender and receiver say,
// stay in place, but for one half of one of them. With many tasklets that wins nothing,
// so only a few stacks are born there.

static int
nursery_make(struct tl_sched *s)
{
    for (int lane = 0; lane < 2; lane++) {
        if (s->nursery[lane] == NULL) {
            PyObject *args = PyTuple_Pack(2, s->state->run_nursery, s->main_fiber);
            s->nursery[lane] = args == NULL ? NULL : tl_fiber_new(args);
            Py_XDECREF(args);
            if (s->nursery[lane] == NULL) {
                return -1;
            }
        }
    }
    if (s->stack_args == NULL) {
        s->stack_args = PyTuple_Pack(2, s->state->run_stack, s->main_fiber);
    }
    return s->stack_args == NULL ? -1 : 0;
}

static void
park(struct tl_sched *s, struct tl_stack *stack)
{
    stack->next = s->pool[stack->lane];
    s->pool[stack->lane] = stack;
    s->npool++;
    tl_sched_check_stacks(s);
}

static struct tl_stack *
unpark(struct tl_sched *s)
{
    int lane = s->pool[s->next_lane] != NULL ? s->next_lane : !s->next_lane;
    struct tl_stack *stack = s->pool[lane];
    s->pool[lane] = stack->next;
    s->npool--;
    tl_sched_check_stacks(s);
    return stack;
}

int
tl_stacks_reserve(struct tl_sched *s)
{
    if (s->npool > 0) {
        return 0;
    }
    if (nursery_make(s) < 0) {
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
    stack->lane = s->next_lane == 1 && s->deep < DEEP_MOST;
    s->deep += stack->lane;
    park(s, stack);
    return 1;
}

static void
assign(struct tl_sched *s, struct tl_stack *stack, TaskletObject *t)
{
    if (TL_UNLIKELY(PyObject_GC_IsFinalized((PyObject *)t))) {
        tl_gil_unfinalize((PyObject *)t); // it was garbage, and was revived
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

PyObject *
tl_stacks_start(struct tl_sched *s, TaskletObject *t)
{
    struct tl_stack *stack = unpark(s);
    assign(s, stack, t);
    if (!stack->fresh) {
        return stack->fiber;
    }
    stack->fresh = false;
    s->birth = stack;
    // The second nursery begins out of the first.
    return s->nursery[s->nurseries_begun == 2 ? stack->lane : 0];
}

static void
drop_nurseries(struct tl_sched *s)
{
    for (int lane = 1; lane >= 0; lane--) {
        Py_CLEAR(s->nursery[lane]);
    }
    s->nurseries_begun = 0;
}

PyObject *
tl_stacks_bear_again(struct tl_sched *s)
{
    struct tl_stack *stack = s->birth;
    tl_errors_unraisable(s->state, NULL);
    s->birth = NULL;
    drop_nurseries(s);
    if (nursery_make(s) < 0) {
        Py_FatalError("tasklets: no memory to begin a tasklet again");
    }
    PyObject *fiber = tl_fiber_new(s->stack_args);
    if (fiber == NULL) {
        Py_FatalError("tasklets: no memory to begin a tasklet again");
    }
    Py_SETREF(stack->fiber, fiber);
    Py_SETREF(stack->job->fiber, Py_NewRef(fiber));
    s->birth = stack;
    return s->nursery[0];
}

// Begin the second nursery, from far down. It comes back at once.
__attribute__((noinline)) static void
begin_second_nursery(struct tl_sched *s)
{
    volatile char gap[LANE_GAP];
    gap[0] = 0;
    (void)tl_fiber_switch(s->nursery[1]);
    gap[LANE_GAP - 1] = gap[0];
}

static PyObject *
run_nursery(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_mine;
    int lane = s->nurseries_begun++;
    int status = lane == 1 ? tl_fiber_switch(s->nursery[0]) : 0;
    for (;;) {
        if (tl_sched_mine != s) {
            if (status == 0) {
                PyErr_SetString(PyExc_RuntimeError, "this greenlet's thread is ending");
            }
            return NULL;
        }
        struct tl_stack *birth = s->birth;
        if (status < 0 && birth != NULL) {
            tl_errors_unraisable(s->state, NULL); // a trace function's, of greenlet
        }
        if (birth != NULL && birth->lane == lane) {
            status = tl_fiber_switch(birth->fiber);
        } else if (birth != NULL) {
            if (s->nurseries_begun == 1) {
                begin_second_nursery(s);
            }
            status = tl_fiber_switch(s->nursery[1]);
        } else if (status < 0 && s->nursery[lane] == NULL) {
            return NULL; // tl_stacks_free() dropped it
        } else {
            status = tl_sched_bounce(s);
        }
    }
}

// ---- one tasklet's life

// Its function returned while another tasklet was the current one: code of it had been
// continued by greenlet's own API. It is over all the same; the error goes to whoever
// did it, through the fiber's parent.
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

// t no longer holds the fiber it stopped on; it may be one of its own making.
static void
release_fiber(struct tl_sched *s, TaskletObject *t, struct tl_stack *stack)
{
    PyObject *fiber = t->fiber;
    t->fiber = NULL;
    if (fiber == stack->fiber) {
        Py_DECREF(fiber); // the stack holds another
    } else {
        tl_sched_drop_later(s, fiber);
    }
}

static void
forget_job(struct tl_sched *s, TaskletObject *t)
{
    t->life = TL_UNBOUND;
    t->ended = true;
    t->stack = NULL;
    if (TL_UNLIKELY(t->scopes != NULL)) {
        tl_scope_end(t, NULL);
    }
    tl_link_remove(&t->started);
    s->nstarted--;
    s->finished++;
    tl_sched_check_stacks(s);
    tl_task_check(t);
}

// Put the tasklet's context in force, and look at what was thrown at it before its
// first step. Returns whether there was nothing.
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
end_of_stolen(struct tl_sched *s, TaskletObject *t)
{
    end_out_of_turn(s, t);
    PyObject *exc = PyErr_GetRaisedException();
    t->top = NULL; // it stopped elsewhere, in a frame that it will not come back to
    forget_job(s, t);
    if (t->place == TL_WAITING) {
        tl_task_end_wait(t);
        tl_sched_drop_later(s, (PyObject *)t);
    } else if (t->place == TL_RUNNABLE) {
        tl_ring_remove(s, t);
        tl_sched_drop_later(s, (PyObject *)t);
    }
    tl_sched_drop_now(s); // greenlets inside it end, and so may what they hold
    PyErr_SetRaisedException(exc);
}

TL_COLD static void
drop_hooks(struct tl_sched *s, TaskletObject *t)
{
    struct tl_trace_hooks *hooks = t->hooks;
    t->hooks = NULL;
    tl_trace_hooks_swap(s->ts, hooks);
    tl_trace_hooks_free(hooks);
}

TL_COLD void
tl_stacks_strip(struct tl_sched *s, TaskletObject *t)
{
    tl_local_forget(&t->locals);
    if (t->hooks != NULL) {
        drop_hooks(s, t);
    }
    if (t->atomic) {
        tl_sched_set_atomic(t, false);
    }
    tl_scope_end(t, NULL);
    tl_sched_drop_later(s, tl_interrupt_clear(t));
}

// The tasklet's function has returned result, or NULL with an exception set. Returns who
// is next, made current; or NULL with an exception set if the stack is to die of it.
static __attribute__((noinline)) TaskletObject *
finish_job(struct tl_sched *s, struct tl_stack *stack, PyObject *result)
{
    TaskletObject *t = stack->job;
    PyObject *exc = TL_UNLIKELY(result == NULL) ? PyErr_GetRaisedException() : NULL;
    PyObject *name = NULL; // for the note of exc
    if (TL_UNLIKELY(exc != NULL)) {
        name = tl_task_name(t);
        PyErr_Clear();
    }
    if (TL_UNLIKELY(t->hooks != NULL)) {
        drop_hooks(s, t);
    }
    if (TL_UNLIKELY(t->atomic)) {
        tl_sched_set_atomic(t, false);
    }
    if (t->outcome != NULL && t->outcome->name == NULL) {
        t->outcome->name = tl_task_name(t); // or NULL: a name is not worth an error
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
            PyErr_Clear(); // this stack serves once more, known or not
        }
        release_fiber(s, t, stack);
    }
    if (TL_UNLIKELY(t->pending != NULL)) {
        tl_sched_drop_later(s, tl_interrupt_clear(t));
    }
    t->thrown = false;
    if (TL_UNLIKELY(s->current != t)) {
        Py_XDECREF(bomb);
        end_of_stolen(s, t);
        return NULL;
    }
    forget_job(s, t);
    return tl_sched_after_end(s, t, bomb, exits);
}

// ---- the life of a stack

// A stack that is not kept: with the last reference gone, greenlet ends it where it
// stops. Somebody else may hold it for longer. Returns its fiber, owned.
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

// The thread is ending: from here on the stack knows no scheduler. Where greenlet's own
// API continues it all the same, it ends with an error.
static void
outlive(struct tl_state *state, struct tl_stack *stack)
{
    stack->home = NULL;
    stack->next = state->lost;
    state->lost = stack;
}

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
    // We run on it: greenlet's thread state holds another reference.
    Py_XDECREF(stack->fiber);
    Py_XDECREF(stack->stopped_in);
    PyMem_Free(stack);
}

// End the stack that runs, of an exception: the one that is set or, if none is, that it
// was continued when its thread had ended. Always returns NULL.
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

// When most of very many tasklets have ended, their stacks are scattered over all the
// memory that they had: none is kept, lest it keep a megabyte, until nearly all are gone.
static bool
is_shrinking(struct tl_sched *s)
{
    return s->peak >= MANY && s->nstarted < s->peak / 4;
}

// Have the parked stacks end, and when all is over, memory given back.
TL_COLD static void
shrink(struct tl_sched *s)
{
    while (s->npool > 0) {
        struct tl_stack *stack = unpark(s);
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

void
tl_stacks_trim(struct tl_sched *s)
{
    s->trim_due = false;
    tl_frame_slab_trim();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

// The stack is born, with s->birth as its description. Returns that, or NULL with an
// exception set.
static struct tl_stack *
take_birth(struct tl_sched *s)
{
    struct tl_stack *stack = s != NULL ? s->birth : NULL;
    if (stack == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "only the scheduler starts a stack");
        return NULL;
    }
    s->birth = NULL;
    s->no_switch &= ~TL_SWITCHING;
    stack->chunk = tl_frame_slab_alloc(TL_FRAME_SLAB_SMALL);
    if (stack->chunk != NULL &&
        !tl_gil_give_chunk(s->ts, stack->chunk, TL_FRAME_SLAB_SMALL)) {
        // A trace function of greenlet's was here first.
        tl_frame_slab_free(stack->chunk);
        stack->chunk = NULL;
    }
    return stack;
}

// Leave the stack, whose tasklet has ended, for to. Returns 0 when it has another
// tasklet; -1, with or without an exception set, if it is to end.
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
        tl_errors_unraisable(s->state, NULL); // a trace function's, of greenlet
    }
    return 0;
}

// Up to Python 3.13 the interpreter ends a daemon thread, when the program has ended, by
// unwinding its C stack. Beyond the base of a tasklet there is none, only what others
// have left there: the thread stays here instead, as it does from 3.14.
static void
stay_if_unwound(const bool *returns)
{
    while (!*returns) {
        pause();
    }
}

static PyObject *
run_stack(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_mine;
    __attribute__((cleanup(stay_if_unwound))) bool returns = true;
    struct tl_stack *stack = take_birth(s);
    if (stack == NULL) {
        return NULL;
    }
    for (;;) {
        returns = false;
        TaskletObject *t = stack->job;
        PyObject *result =
            begin_job(s, t) ? PyObject_Call(t->func, t->args, t->kwargs) : NULL;
        if (TL_UNLIKELY(stack->home == NULL)) {
            Py_XDECREF(result); // it went on when all was over, t too
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
            assign(s, stack, to);
            continue;
        }
        bool shrinking = is_shrinking(s);
        if (clean && s->npool < POOL_MOST && !shrinking) {
            park(s, stack);
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
        struct tl_stack *stack = unpark(s);
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
    drop_nurseries(s);
    Py_CLEAR(s->stack_args);
    Py_CLEAR(s->left);
}

// clang-format off

PyMethodDef tl_stacks_run_def = {
    "run_stack", run_stack, METH_NOARGS, "What the stacks of tasklets run."};

PyMethodDef tl_stacks_nursery_def = {
    "run_nursery", run_nursery, METH_NOARGS, "What bears the stacks of tasklets."};
