// scope.c - entering and leaving timeout(), TaskGroup and shield(), and the ends of
// their time.
#include "core/scope.h"
#include "core/interrupt.h"
#include "core/timer.h"
#include "cpython/gil.h"
#include "object/args.h"
#include "base/clock.h"

// ---- times

static void
end_shield(struct tl_scope *shield)
{
    shield->state = TL_SCOPE_SPENT;
    shield->expired = true;
    shield->who->shields--;
    tl_interrupt_wake(shield->who);
}

void
tl_scope_request(struct tl_scope *scope)
{
    if (scope->kind == TL_SCOPE_SHIELD) {
        end_shield(scope);
    } else {
        scope->state = TL_SCOPE_DUE;
        tl_interrupt_wake(scope->who);
    }
    tl_scope_check(scope);
}

static void
on_deadline(struct tl_timer *timer)
{
    tl_scope_request(TL_CONTAINER(timer, struct tl_scope, timer));
}

static int
set_timer(struct tl_sched *s, struct tl_scope *scope)
{
    if (scope->when == TL_DEADLINE_NEVER) {
        return 0;
    }
    if (scope->when <= tl_timer_now(s)) {
        tl_scope_request(scope);
        return 0;
    }
    if (tl_timer_reserve(s) < 0) {
        return -1;
    }
    scope->timer.fire = on_deadline;
    tl_timer_set(s, &scope->timer, scope->when);
    return 0;
}

static void
stop_timer(struct tl_scope *scope)
{
    if (tl_timer_is_set(&scope->timer)) {
        tl_timer_cancel(scope->who->home, &scope->timer);
    }
}

// ---- entering and leaving

// Take scope out of its tasklet's list.
static inline void
unlist(struct tl_scope *scope)
{
    struct tl_scope **place = &scope->who->scopes;
    while (*place != scope) {
        place = &(*place)->outer;
    }
    *place = scope->outer;
    scope->outer = NULL;
    stop_timer(scope);
    if (scope->kind == TL_SCOPE_SHIELD && scope->state == TL_SCOPE_ACTIVE) {
        scope->who->shields--;
    }
    scope->state = TL_SCOPE_IDLE;
}

static inline void
drop_later(struct tl_sched *s, PyObject **slot)
{
    PyObject *object = *slot;
    if (object != NULL) {
        *slot = NULL;
        tl_sched_drop_later(s, object);
    }
}

void
tl_scope_leave_quietly(struct tl_scope *scope)
{
    TaskletObject *who = scope->who;
    struct tl_sched *s = who->home;
    bool shield = scope->kind == TL_SCOPE_SHIELD;
    unlist(scope);
    if (TL_UNLIKELY(who->thrown || shield)) {
        tl_interrupt_update(who);
    }
    scope->who = NULL;
    scope->raised = NULL;
    tl_scope_check(scope);
    tl_scope_check_all(who);
    drop_later(s, &scope->handled);
    drop_later(s, &scope->where.code);
}

void
tl_scope_leave_at_exit(struct tl_scope *scope)
{
    PyObject *handled = scope->handled, *code = scope->where.code;
    scope->handled = scope->where.code = NULL;
    tl_scope_leave_quietly(scope);
    Py_XDECREF(handled); // may run Python code, as may the next line
    Py_XDECREF(code);
}

int
tl_scope_enter(struct tl_sched *s, struct tl_scope *scope)
{
    TaskletObject *me = s->current;
    scope->who = me;
    scope->outer = me->scopes;
    me->scopes = scope;
    scope->state = TL_SCOPE_ACTIVE;
    scope->expired = scope->swallowed = scope->outlived = false;
    scope->raised = NULL;
    scope->handled = tl_gil_handled(s->ts);
    tl_location_note(s->ts, &scope->where);
    if (scope->kind == TL_SCOPE_SHIELD) {
        me->shields++;
        tl_interrupt_update(me);
    }
    if (scope->when != TL_DEADLINE_NEVER && set_timer(s, scope) < 0) {
        tl_scope_leave_quietly(scope);
        return -1;
    }
    tl_scope_check(scope);
    return 0;
}

int
tl_scope_check_leave(struct tl_sched *s, const struct tl_scope *scope, const char *what)
{
    if (scope->who == s->current) {
        return 0;
    }
    if (scope->who == NULL) {
        PyErr_Format(PyExc_RuntimeError, "this %s was not entered", what);
    } else {
        PyErr_Format(PyExc_RuntimeError,
                     "a %s can only be left by the tasklet that entered it", what);
    }
    return -1;
}

// Whether exc is the interruption of scope. Another instance of its type that the
// program has raised counts, too, unless it is another block's. The type is compared
// first: the exception that was raised for scope may be gone, and a kill may have its
// address.
static bool
is_own(const struct tl_scope *scope, PyObject *exc)
{
    struct tl_state *state = scope->who->home->state;
    bool group = scope->kind == TL_SCOPE_GROUP;
    if (scope->raised == NULL || exc == NULL ||
        !PyErr_GivenExceptionMatches(exc,
                                     group ? state->group_exit : state->timeout_exit)) {
        return false;
    }
    return scope->raised == exc || (scope->state == TL_SCOPE_SPENT &&
                                    tl_interrupt_strength(scope->who, exc) == 0);
}

PyObject *
tl_scope_leave(struct tl_sched *s, struct tl_scope *scope, PyObject *exc, bool *own)
{
    PyObject *stronger = NULL;
    *own = TL_UNLIKELY(scope->raised != NULL) && is_own(scope, exc);
    if (*own) {
        int strength = tl_interrupt_strength(s->current, scope->raised);
        stronger = tl_interrupt_replaced(s->current, exc, scope->handled, strength);
    }
    tl_scope_leave_quietly(scope);
    return stronger;
}

int
tl_scope_move(struct tl_sched *s, struct tl_scope *scope, tl_deadline when)
{
    scope->when = when;
    if (scope->state == TL_SCOPE_IDLE) {
        return 0;
    }
    stop_timer(scope);
    scope->state = TL_SCOPE_ACTIVE;
    tl_interrupt_update(scope->who); // its interruption may have been due
    return set_timer(s, scope);
}

void
tl_scope_forget_all(struct tl_scope *scope)
{
    if (scope->who != NULL) {
        unlist(scope);
        scope->who = NULL;
    }
    tl_scope_check(scope);
    Py_CLEAR(scope->handled);
    tl_location_clear(&scope->where);
}

void
tl_scope_end(TaskletObject *t, const struct tl_scope *outer)
{
    while (t->scopes != NULL && t->scopes != outer) {
        struct tl_scope *scope = t->scopes;
        scope->outlived = true;
        tl_scope_leave_quietly(scope);
    }
}

void
tl_scope_abandon(TaskletObject *t)
{
    while (t->scopes != NULL) {
        struct tl_scope *scope = t->scopes;
        scope->outlived = true;
        tl_scope_forget_all(scope);
    }
}

int
tl_scope_traverse(struct tl_scope *scope, visitproc visit, void *arg)
{
    Py_VISIT(scope->handled);
    Py_VISIT(scope->where.code);
    return 0;
}

PyObject *
tl_scope_repr(PyObject *self, const char *name, const char *word,
              const struct tl_scope *scope, int64_t after)
{
    struct tl_sched *s = scope->who != NULL ? scope->who->home : tl_sched_mine;
    int64_t left = after;
    bool lasts = after < TL_TIMER_MAX_NS;
    bool runs =
        scope->when != TL_DEADLINE_NEVER && (!lasts || scope->state != TL_SCOPE_IDLE);
    if (runs) {
        int64_t now = s != NULL ? tl_timer_now(s) : tl_clock_now();
        left = scope->when > now ? scope->when - now : 0;
    }
    PyObject *type =
        name != NULL ? PyUnicode_FromString(name) : tl_args_type_name(Py_TYPE(self));
    PyObject *text = NULL;
    if (type != NULL && (lasts || runs)) {
        char seconds[40];
        PyOS_snprintf(seconds, sizeof seconds, "%.3f s%s",
                      left > 0 ? (double)left / 1e9 : 0.0, runs ? " left" : "");
        text = PyUnicode_FromFormat("<%U %s, %s, at %p>", type, word, seconds, self);
    } else if (type != NULL) {
        text = PyUnicode_FromFormat("<%U %s at %p>", type, word, self);
    }
    Py_XDECREF(type);
    return text;
}
