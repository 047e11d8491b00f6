// sched.c - switching and blocking. Only this file and life.c switch fibers.
// Why the steps of a function stand in their order: see its declaration in sched.h.
#include "core/sched.h"
#include "core/errors.h"
#include "core/fiber.h"
#include "core/foreign_threads.h"
#include "core/idle.h"
#include "core/interrupt.h"
#include "core/run_frame.h"
#include "core/stacks.h"
#include "core/stray.h"
#include "core/stress_points.h"
#include "core/task_settings.h"
#include "core/timer.h"
#include "cpython/frames.h"
#include "cpython/gil.h"

// ---- preparing a switch

int
tl_sched_prepare(struct tl_sched *s, TaskletObject *t)
{
    bool stays = t == s->current && t->place == TL_RUNNABLE;
    if (TL_UNLIKELY((s->trap != 0 || tl_sched_is_held(s)) && !stays)) {
        tl_errors_no_switch(s);
        return -1;
    }
    if (t->life == TL_NEW && s->npool == 0) {
        return tl_stacks_reserve(s);
    }
    if (!s->current->atomic && tl_takes_detour()) {
        tl_stress_let_threads_run();
        return 1;
    }
    return 0;
}

TL_COLD static void
tell_callback(struct tl_sched *s, TaskletObject *from, TaskletObject *to)
{
    PyObject *callback = Py_NewRef(s->state->schedule_callback);
    s->no_switch++;
    s->target = to;
    PyObject *result =
        PyObject_CallFunctionObjArgs(callback, (PyObject *)from, (PyObject *)to, NULL);
    if (result == NULL) {
        tl_errors_unraisable(s->state, callback);
    }
    Py_XDECREF(result);
    s->target = NULL;
    s->no_switch--;
    tl_sched_drop_later(s, callback);
}

// The last decisions before a switch to `to`, which is in the ring. From here on a
// switch cannot be refused. The schedule callback comes last: `to` is final for it.
static inline TaskletObject *
decide(struct tl_sched *s, TaskletObject *from, TaskletObject *to)
{
    if (TL_UNLIKELY(s->switches >= s->limit) && !tl_timer_skips_look(s)) {
        to = tl_run_frame_at_switch(s, to);
    }
    s->head = to;
    to->turn = ++s->switches;
    if (TL_UNLIKELY(s->state->schedule_callback != NULL) && to != from) {
        tell_callback(s, from, to);
    }
    return to;
}

// ---- making a tasklet the next

// Put t, which is about to run, into the ring, whatever place it has.
static void
into_ring(struct tl_sched *s, TaskletObject *t)
{
    if (t->place == TL_WAITING) {
        tl_task_end_wait(t);
        tl_ring_append(s, t);
    } else if (t->place == TL_FLOATING) {
        tl_ring_append(s, (TaskletObject *)Py_NewRef(t));
    }
    t->turn = 0;
}

// A bomb of exc (stolen), or of the exception that is set if exc could not be made.
static PyObject *
bomb_of(struct tl_sched *s, PyObject *exc)
{
    return tl_bomb_of_error(s->state, exc != NULL ? exc : PyErr_GetRaisedException());
}

// Make t the next tasklet, which will raise bomb (stolen). Returns t.
static TaskletObject *
deliver(struct tl_sched *s, TaskletObject *t, PyObject *bomb)
{
    tl_sched_drop_later(s, tl_interrupt_force(t, tl_interrupt_rated(s->state, bomb)));
    into_ring(s, t);
    if (TL_UNLIKELY(s->nrounds > 0)) {
        tl_ring_put_before(s, t, s->head);
    }
    s->head = t;
    return t;
}

// ---- switching

int
tl_sched_bounce(struct tl_sched *s)
{
    // The current tasklet called greenlet's API and gets the error; the one here goes
    // on waiting.
    TaskletObject *current = s->current;
    PyObject *here = tl_fiber_current();
    PyObject *thrown = PyErr_GetRaisedException();
    PyErr_SetString(PyExc_RuntimeError,
                    "a greenlet's switch(), throw() or end reached the stack of a "
                    "tasklet that is not running: continue it with insert(), run() or "
                    "its channel");
    if (thrown != NULL) {
        PyObject *exc = PyErr_GetRaisedException();
        PyException_SetContext(exc, thrown);
        PyErr_SetRaisedException(exc);
    }
    if (current->fiber == here || !tl_fiber_is_active(current->fiber)) {
        // current paused last on this very fiber, which is not its own, or in a
        // greenlet that has ended: continue it on its own.
        PyObject *own = current->stack ? current->stack->fiber : s->main_fiber;
        assert(own != here); // no other tasklet may wait there
        Py_SETREF(current->fiber, Py_NewRef(own));
    }
    Py_XDECREF(here);
    return tl_fiber_throw(current->fiber);
}

// Whether a tasklet of this thread will continue on fiber.
static bool
is_awaited(struct tl_sched *s, PyObject *fiber)
{
    struct tl_link *i = s->started.next;
    for (; i != &s->started; i = i->next) {
        if (TL_CONTAINER(i, TaskletObject, started)->fiber == fiber) {
            return true;
        }
    }
    return s->main->fiber == fiber;
}

// Back from a pause that was not plain: status is what the switch returned. Returns 0
// if me goes on here; -1 with an exception set if me has ended and must not be touched:
// only this greenlet, made inside it, is left. In the loop another tasklet is current;
// TL_SWITCHING keeps code that runs here from switching. After it, me is current.
TL_COLD static int
after_unusual_pause(struct tl_sched *s, TaskletObject *me, int status)
{
    if (tl_sched_mine != s) {
        // A finalizer continued this greenlet after the thread's end: s may be freed.
        if (status == 0) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the tasklet that this greenlet waited for has ended");
        }
        return -1;
    }
    for (;;) {
        PyObject *here = tl_fiber_current();
        if (here == NULL) {
            PyErr_Clear();
        }
        Py_XDECREF(here); // greenlet holds it
        if (s->current == me && (here == NULL || me->fiber == here)) {
            break;
        }
        if (here != NULL && !is_awaited(s, here)) {
            if (status == 0) {
                PyErr_SetString(PyExc_RuntimeError,
                                "the tasklet that this greenlet waited for has ended");
            }
            return -1;
        }
        PyObject *again = s->starting != NULL ? tl_stacks_start_again(s) : NULL;
        status = again != NULL ? tl_fiber_switch(again) : tl_sched_bounce(s);
    }
    s->no_switch &= ~TL_SWITCHING;
    me->top = NULL;
    tl_sched_drop_later(s, me->seen_context);
    me->seen_context = NULL;
    if (status < 0) {
        tl_errors_unraisable(s->state,
                             (PyObject *)me); // a trace function's, of greenlet
    }
    if (me->revived) {
        me->revived = false;
        tl_gil_unfinalize((PyObject *)me);
    }
    if (me->context != NULL) {
        tl_sched_drop_later(s, tl_gil_swap_context(s->ts, me->context));
        me->context = NULL;
    }
    if (me->hooks != NULL) {
        tl_trace_hooks_swap(s->ts, me->hooks);
    }
    if (me->atomic) {
        tl_governor_enter(&s->guard);
    }
    return 0;
}

// Step 5 and 6 of a switch whose from is atomic, has trace functions or is inside one.
TL_COLD static int
switch_traced(struct tl_sched *s, TaskletObject *from, TaskletObject *to,
              struct tl_tracing *tracing)
{
    if (from->atomic) {
        tl_governor_leave(&s->guard);
    }
    tl_trace_hooks_leave_tracing(s->ts, tracing);
    if (from->hooks != NULL) {
        tl_trace_hooks_swap(s->ts, from->hooks);
    }
    return tl_fiber_switch(to->life == TL_NEW ? tl_stacks_start(s, to) : to->fiber);
}

static int
go(struct tl_sched *s, TaskletObject *from, TaskletObject *to)
{
    // Step 1 of those at tl_sched_go().
    bool plain = tl_stray_is_at_home(s, from);
    if (TL_UNLIKELY(!plain) && tl_stray_note(s, from) < 0) {
        deliver(s, from, bomb_of(s, NULL));
        return 0; // from goes on with the error
    }
    to = decide(s, from, to); // steps 2 and 3
    if (TL_UNLIKELY(to == from)) {
        return 0;
    }
    from->depth = tl_gil_recursion_depth(s->ts); // step 4
    from->top = tl_frames_top(s->ts);
    if (TL_UNLIKELY(from->top == NULL)) {
        // greenlet does not tell the context of a fiber that has no frame.
        from->seen_context = Py_XNewRef(tl_gil_current_context(s->ts));
    }
    s->current = to; // steps 5 and 6
    s->no_switch |= TL_SWITCHING;
    int status;
    struct tl_tracing tracing = {0};
    if (TL_UNLIKELY(from->hooks != NULL || from->atomic || s->ts->tracing > 0)) {
        status = switch_traced(s, from, to, &tracing);
    } else {
        status =
            tl_fiber_switch(to->life == TL_NEW ? tl_stacks_start(s, to) : to->fiber);
    }
    // Step 7.
    if (TL_UNLIKELY(!plain || status < 0 || tl_sched_mine != s || s->current != from ||
                    from->top == NULL || from->revived || from->context != NULL ||
                    from->hooks != NULL || from->atomic || tracing.depth > 0)) {
        status = after_unusual_pause(s, from, status);
        if (status == 0 && tracing.depth > 0) {
            tl_trace_hooks_enter_tracing(s->ts, &tracing);
        }
        return status;
    }
    s->no_switch &= ~TL_SWITCHING;
    from->top = NULL;
    return 0;
}

int
tl_sched_go(struct tl_sched *s, TaskletObject *from, TaskletObject *to)
{
    return go(s, from, to);
}

PyObject *
tl_sched_arrive(struct tl_sched *s)
{
    tl_sched_check_current(s);
    PyObject *value = tl_task_swap(s->current, NULL);
    bool drops = s->ndrop > 0;
    if (TL_LIKELY(value == NULL)) {
        if (drops) {
            tl_sched_drop_now(s);
        }
        Py_RETURN_NONE;
    }
    s->current->handed = NULL; // a finalizer may wait, and be handed something else
    if (TL_UNLIKELY(tl_bomb_check(s->state, value))) {
        return tl_interrupt_arrive(s, value);
    }
    if (drops) {
        tl_sched_drop_now(s);
    }
    return value;
}

// ---- the ring became empty

// Whether the innermost run() goes on while no tasklet is runnable. timed: a wait that
// the system, a worker or time ends is about to begin.
static bool
run_goes_on(struct tl_sched *s, bool timed)
{
    if (s->nframes == 0) {
        return false;
    }
    const struct tl_budget *budget = &s->frames[s->nframes - 1]->budget;
    return tl_run_frame_waits(s, budget) || (budget->wait && timed);
}

// A deadlock. Returns the tasklet to resume, or NULL if leaver must get the error.
static TaskletObject *
after_deadlock(struct tl_sched *s, TaskletObject *leaver, enum tl_leaving how)
{
    TaskletObject *caller = tl_sched_resumed_caller(s);
    bool is_exempt = how == TL_LEAVING_FOR_GOOD || tl_task_is_exempt(leaver);
    if (caller->place == TL_FLOATING &&
        (is_exempt || tl_gil_is_main_thread() || tl_run_frame_just_waits(s))) {
        into_ring(s, caller);
        return caller;
    }
    if (!is_exempt) {
        return NULL;
    }
    return deliver(s, caller, bomb_of(s, tl_errors_stranded(s->state, caller)));
}

// leaver, which has left the ring, goes on with exc (stolen): put it back. Returns
// NULL.
static TaskletObject *
stay_with(struct tl_sched *s, TaskletObject *leaver, PyObject *exc)
{
    into_ring(s, leaver);
    s->head = leaver;
    PyErr_SetRaisedException(exc);
    return NULL;
}

// tl_sched_wait_for_others(), with no_switch raised: the current tasklet is not in the
// ring, so Python code that runs here (signal handlers, finalizers) must not switch. It
// may fill the ring or end the leaver's wait, so after each step that can run any, the
// loop looks again.
static TaskletObject *
wait_and_decide(struct tl_sched *s, TaskletObject *leaver, enum tl_leaving how)
{
    TaskletObject *to;
    PyObject *exc;
    for (;;) {
        switch (tl_idle_wait(s, how == TL_LEAVING_FOR_GOOD ? NULL : leaver)) {
        case TL_IDLE_OVER:
            to = tl_sched_resumed_caller(s);
            into_ring(s, to);
            return to;
        case TL_IDLE_EXPIRED:
            to = tl_run_frame_expired(s);
            if (to != NULL) {
                return to;
            }
            break;
        case TL_IDLE_ERROR:
            exc = PyErr_GetRaisedException();
            return leaver != s->main ? deliver(s, s->main, bomb_of(s, exc))
                                     : stay_with(s, leaver, exc);
        case TL_IDLE_DEADLOCK:
            to = after_deadlock(s, leaver, how);
            if (to != NULL) {
                return to;
            }
            // May run Python code.
            exc = tl_errors_deadlock(leaver, leaver->wait.kind, leaver->wait.on,
                                     how == TL_LEAVING_CLASSICALLY);
            if (s->head == NULL) {
                return stay_with(s, leaver, exc);
            }
            Py_DECREF(exc); // a tasklet has become runnable: no deadlock
            break;
        case TL_IDLE_WORK:
            // Making a stack may run Python code, which may empty the ring.
            while (s->head != NULL && s->head->life == TL_NEW && s->npool == 0) {
                if (tl_stacks_reserve(s) < 0) {
                    return stay_with(s, leaver, PyErr_GetRaisedException());
                }
            }
            if (s->head != NULL) {
                return s->head;
            }
            break;
        }
    }
}

TL_COLD TaskletObject *
tl_sched_wait_for_others(struct tl_sched *s, TaskletObject *leaver, enum tl_leaving how)
{
    s->no_switch++;
    TaskletObject *to = wait_and_decide(s, leaver, how);
    s->no_switch--;
    return to;
}

// ---- the public moves

// The tasklet after the current one in the ring, ready to be entered. If the current
// one is alone: itself, or the caller of a run() that ends. NULL with an exception set
// if a switch is not allowed, or an interruption is due.
TL_COLD static TaskletObject *
find_next(struct tl_sched *s)
{
    TaskletObject *to;
    int ready;
    do {
        if (tl_sched_check_thrown(s) < 0) {
            return NULL;
        }
        to = tl_task_next(s->current);
        if (to == s->current) {
            tl_timer_poll_alone(s);
            to = tl_task_next(s->current);
        }
        if (to == s->current) {
            return tl_run_frame_at_yield(s);
        }
        ready = tl_sched_prepare(s, to);
    } while (ready > 0);
    return ready < 0 ? NULL : to;
}

PyObject *
tl_sched_yield(struct tl_sched *s, PyObject *value)
{
    TaskletObject *me = s->current, *to = tl_task_next(me);
    tl_sched_check_current(s);
    if (TL_UNLIKELY(!tl_sched_is_plain(s)) || tl_takes_detour()) {
        to = find_next(s);
        if (to == NULL || to == me) {
            return to == NULL ? NULL : Py_NewRef(value);
        }
    }
    PyObject *old = tl_task_swap(me, Py_NewRef(value));
    if (TL_UNLIKELY(old != NULL)) {
        tl_sched_drop_later(s, old);
    }
    return go(s, me, to) < 0 ? NULL : tl_sched_arrive(s);
}

PyObject *
tl_sched_rotate(struct tl_sched *s)
{
    TaskletObject *me = s->current;
    return go(s, me, tl_task_next(me)) < 0 ? NULL : tl_sched_arrive(s);
}

PyObject *
tl_sched_jump(struct tl_sched *s, TaskletObject *t, bool leave)
{
    TaskletObject *me = s->current;
    if (t != me) {
        bool in_turn = t->place == TL_RUNNABLE;
        into_ring(s, t);
        if (TL_UNLIKELY(s->nrounds > 0)) {
            // Tasklets that have had their turn of the round stay behind the others.
            tl_ring_put_before(s, t, in_turn ? tl_task_next(me) : me);
            me->turn = in_turn || leave ? me->turn : 0; // it goes on after t
        }
        if (leave) {
            tl_ring_remove(s, me);
            tl_sched_drop_later(s, (PyObject *)me);
        }
        if (go(s, me, t) < 0) {
            return NULL;
        }
    }
    return tl_sched_arrive(s);
}

// What runs when the current tasklet leaves the ring.
enum next {
    NEXT_REFUSED, // it must not leave: an exception is set
    NEXT_IN_RING, // the next tasklet of the ring
    // The others: no other tasklet is in the ring.
    NEXT_CALLER,  // the paused caller of the innermost run(), which returns
    NEXT_ITSELF,  // it pauses, is that caller itself, and goes on at once
    NEXT_SLEEP,   // the thread sleeps until a tasklet is runnable
    NEXT_DEADLOCK // nothing could wake the thread
};

static enum next
choose_next(struct tl_sched *s, const struct tl_leave *how)
{
    TaskletObject *me = s->current, *caller = tl_sched_resumed_caller(s);
    if (!tl_link_is_single(&me->link)) {
        return NEXT_IN_RING;
    }
    bool ends_by_itself = how->deadline != TL_DEADLINE_NEVER || how->comes;
    bool is_paused = caller->place == TL_FLOATING;
    if (!run_goes_on(s, ends_by_itself || how->maybe_external || how->exempt)) {
        if (is_paused) {
            return NEXT_CALLER;
        }
        if (caller == me && how->kind == NULL) {
            return NEXT_ITSELF;
        }
    }
    bool is_exempt = how->exempt || (how->kind != NULL && how->kind->exempt);
    if (ends_by_itself || (is_exempt && !is_paused) || tl_idle_others_can_run(s)) {
        return NEXT_SLEEP;
    }
    if (tl_sched_resumed_caller(s)->place == TL_FLOATING) {
        return NEXT_CALLER; // of run(threadblock=True)
    }
    return tl_foreign_threads_may_run() ? NEXT_SLEEP : NEXT_DEADLOCK;
}

// Step 2 of tl_sched_leave(). *to: the next tasklet, unless there is none.
TL_COLD static enum next
find_successor(struct tl_sched *s, const struct tl_leave *how, TaskletObject **to)
{
    TaskletObject *me = s->current;
    enum next next;
    int ready;
    bool waits_on; // what is due is held off now, and will be raised later
    do {
        if (tl_sched_check_thrown(s) < 0) {
            return NEXT_REFUSED;
        }
        waits_on = me->thrown;
        if (tl_sched_is_held(s)) {
            tl_errors_no_switch(s);
            return NEXT_REFUSED;
        }
        next = choose_next(s, how);
        if (next == NEXT_DEADLOCK) {
            PyErr_SetRaisedException(
                tl_errors_deadlock(me, how->kind, how->on, how->classic));
            return NEXT_REFUSED;
        }
        if (next == NEXT_SLEEP) {
            if (s->trap != 0) {
                tl_errors_no_switch(s);
                return NEXT_REFUSED;
            }
            ready = me->tempval != NULL;
            Py_CLEAR(me->tempval); // the wait may be long
        } else {
            *to = next == NEXT_IN_RING  ? tl_task_next(me)
                  : next == NEXT_CALLER ? tl_sched_resumed_caller(s)
                                        : me;
            ready = tl_sched_prepare(s, *to);
        }
    } while (ready > 0 || (ready == 0 && me->thrown && !waits_on));
    return ready < 0 ? NEXT_REFUSED : next;
}

// The ring is empty, and me has left it: put caller, which me resumes, into it.
static void
resume_caller(struct tl_sched *s, TaskletObject *me, TaskletObject *caller,
              bool classic)
{
    // The caller gets the bomb of a tasklet that has paused. The bomb of a waiting
    // sender belongs to its receiver, but Stackless raises it in the caller as well.
    if ((me->place == TL_FLOATING || classic) && me->tempval != NULL &&
        tl_bomb_check(s->state, me->tempval)) {
        tl_sched_drop_later(s, tl_task_swap(caller, Py_NewRef(me->tempval)));
    }
    into_ring(s, caller);
}

// The ring is empty, and me has left it: sleep. Returns the next tasklet, in the ring;
// or NULL with an exception set if me, in the ring again, must go on.
static TaskletObject *
sleep_until_runnable(struct tl_sched *s, TaskletObject *me, bool classic)
{
    TaskletObject *to = tl_sched_wait_for_others(
        s, me, classic ? TL_LEAVING_CLASSICALLY : TL_LEAVING_TO_WAIT);
    if (to == NULL) {
        PyObject *exc = PyErr_GetRaisedException();
        tl_sched_drop_later(s, tl_interrupt_displace(me));
        tl_sched_drop_now(s);
        PyErr_SetRaisedException(exc);
    }
    return to;
}

// Step 5 of tl_sched_leave(): from here to the switch no Python code runs.
static inline void
move_out(struct tl_sched *s, TaskletObject *me, const struct tl_wait_kind *kind,
         PyObject *on, struct tl_link *queue, PyObject *value)
{
    tl_sched_drop_later(s, tl_task_swap(me, Py_XNewRef(value)));
    tl_ring_remove(s, me);
    if (kind != NULL) {
        if (TL_UNLIKELY(s->stamp_left-- == 0)) {
            tl_sched_stamp(s);
        }
        me->since = s->stamp;
        me->place = TL_WAITING;
        tl_wait_arm(&me->wait, kind, on, &me->link, queue);
        tl_task_check(me);
    } else {
        tl_sched_drop_later(s, (PyObject *)me);
    }
}

PyObject *
tl_sched_leave(struct tl_sched *s, const struct tl_leave *how)
{
    TaskletObject *me = s->current, *to;
    tl_sched_check_current(s);
    assert(how->deadline != 0);
    // Step 1 of those in sched.h.
    if (TL_UNLIKELY(how->deadline == TL_DEADLINE_PAST)) {
        return tl_sched_check_thrown(s) < 0
                   ? NULL
                   : tl_bomb_raise(Py_NewRef(s->state->timed_out));
    }
    enum next next = find_successor(s, how, &to); // step 2
    if (next == NEXT_REFUSED) {
        return NULL;
    }
    if (how->deadline != TL_DEADLINE_NEVER && tl_timer_reserve(s) < 0) { // step 3
        return NULL;
    }
    if (how->last_check != NULL && how->last_check(how)) { // step 4
        if (how->came != NULL) {
            *how->came = true;
        }
        Py_RETURN_NONE;
    }
    if (next != NEXT_IN_RING && !tl_link_is_single(&me->link)) {
        next = NEXT_IN_RING; // last_check() has woken a tasklet
        to = tl_task_next(me);
    }
    if (next == NEXT_ITSELF) {
        tl_sched_drop_later(s, tl_task_swap(me, Py_XNewRef(how->value)));
        return tl_sched_arrive(s);
    }
    move_out(s, me, how->kind, how->on, how->queue, how->value); // step 5
    if (how->deadline != TL_DEADLINE_NEVER) {
        tl_timer_arm(s, me, how->deadline);
    }
    if (next == NEXT_CALLER) { // step 6
        resume_caller(s, me, to, how->classic);
    } else if (next == NEXT_SLEEP) {
        to = sleep_until_runnable(s, me, how->classic);
        if (to == NULL) {
            return NULL;
        }
    }
    return go(s, me, to) < 0 ? NULL : tl_sched_arrive(s); // step 7
}

PyObject *
tl_sched_wait(struct tl_sched *s, const struct tl_wait_kind *kind, PyObject *on,
              struct tl_link *queue, PyObject *value)
{
    TaskletObject *me = s->current, *to = tl_task_next(me);
    assert(tl_sched_is_plain(s));
    move_out(s, me, kind, on, queue, value);
    return go(s, me, to) < 0 ? NULL : tl_sched_arrive(s);
}

// ---- endings

TaskletObject *
tl_sched_after_end(struct tl_sched *s, TaskletObject *ended, PyObject *bomb, bool exits)
{
    TaskletObject *to;
    // From here to the switch, Python code runs only with no_switch raised.
    tl_ring_remove(s, ended);
    tl_sched_drop_later(s, (PyObject *)ended);
    if (bomb != NULL) {
        to = deliver(s, exits ? s->main : tl_sched_resumed_caller(s), bomb);
    } else if (s->head != NULL) {
        to = s->head;
    } else if (tl_sched_resumed_caller(s)->place == TL_FLOATING &&
               !run_goes_on(s, false)) {
        to = tl_sched_resumed_caller(s);
        into_ring(s, to);
    } else {
        to = tl_sched_wait_for_others(s, ended, TL_LEAVING_FOR_GOOD);
        if (to == NULL) {
            // There was no memory for the stack of the next tasklet.
            tl_ring_remove(s, ended);
            Py_DECREF(ended); // the drop list has another reference
            to = deliver(s, s->main, bomb_of(s, NULL));
        }
    }
    to = decide(s, ended, to);
    if (TL_UNLIKELY(ended->scopes != NULL || ended->locals != NULL ||
                    ended->hooks != NULL || ended->atomic)) {
        // A signal handler or callback has set something for ended, still current.
        s->no_switch++;
        s->target = to;
        tl_task_clear_settings(s, ended);
        s->target = NULL;
        s->no_switch--;
    }
    s->current = to;
    return to;
}
