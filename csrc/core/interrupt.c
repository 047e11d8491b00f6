// interrupt.c - exceptions that are raised in a tasklet from outside: their order, and
// when each is raised.
#include "core/interrupt.h"
#include "core/scope.h"
#include "cpython/frames.h"

// The length up to which a chain of contexts is followed: Python code can make it
// circular.
enum { MAX_CONTEXTS = 1000 };

// Strengths of exceptions, as of tl_interrupt_strength(). The interruptions of blocks
// have 1 (the innermost) and more, but less than STRENGTH_KILL.
enum { STRENGTH_KILL = 1 << 24, STRENGTH_EXIT = 1 << 25 };

static inline BombObject *
bomb_of(PyObject *object)
{
    return (BombObject *)object;
}

// ---- ranks

static bool
ends_program(struct tl_state *state, PyObject *exc)
{
    return PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt) ||
           (PyErr_GivenExceptionMatches(exc, PyExc_SystemExit) &&
            !PyErr_GivenExceptionMatches(exc, state->tasklet_exit));
}

PyObject *
tl_interrupt_rated(struct tl_state *state, PyObject *bomb)
{
    if (bomb == NULL) {
        return NULL;
    }
    PyObject *type = bomb_of(bomb)->type;
    unsigned char rank = TL_RANK_THROW;
    if (type == state->tasklet_exit) {
        rank = TL_RANK_KILL; // the usual case, without a search
    } else if (type != NULL && ends_program(state, type)) {
        rank = TL_RANK_EXIT;
    } else if (type != NULL && PyErr_GivenExceptionMatches(type, state->tasklet_exit)) {
        rank = TL_RANK_KILL;
    }
    bomb_of(bomb)->rank = rank;
    return bomb;
}

PyObject *
tl_interrupt_kill(struct tl_state *state)
{
    return tl_interrupt_rated(state, tl_bomb_of_exit(state));
}

static unsigned char
rank_of(TaskletObject *t, PyObject *value)
{
    return value != NULL && tl_bomb_check(t->home->state, value) ? bomb_of(value)->rank
                                                                 : TL_RANK_VALUE;
}

static bool
is_plain_kill(TaskletObject *t, PyObject *value)
{
    return rank_of(t, value) == TL_RANK_KILL && bomb_of(value)->value == NULL &&
           bomb_of(value)->type == t->home->state->tasklet_exit;
}

// Whether exc is the interruption of the block. Its address is not enough: the
// exception that was raised may be gone, and its memory used again.
static bool
was_raised_for(struct tl_state *state, const struct tl_scope *scope, PyObject *exc)
{
    bool group = scope->kind == TL_SCOPE_GROUP;
    return scope->raised == exc &&
           PyErr_GivenExceptionMatches(exc,
                                       group ? state->group_exit : state->timeout_exit);
}

int
tl_interrupt_strength(TaskletObject *t, PyObject *exc)
{
    struct tl_state *state = t->home->state;
    if ((PyObject *)Py_TYPE(exc) == state->tasklet_exit) {
        return STRENGTH_KILL;
    }
    if (ends_program(state, exc)) {
        return STRENGTH_EXIT;
    }
    if (!PyErr_GivenExceptionMatches(exc, state->tasklet_exit)) {
        return 0;
    }
    int place = 1;
    for (const struct tl_scope *i = t->scopes; i != NULL; i = i->outer, place++) {
        if (was_raised_for(state, i, exc)) {
            return place;
        }
    }
    bool stray = PyErr_GivenExceptionMatches(exc, state->timeout_exit) ||
                 PyErr_GivenExceptionMatches(exc, state->group_exit);
    return stray ? 0 : STRENGTH_KILL;
}

PyObject *
tl_interrupt_replaced(TaskletObject *t, PyObject *exc, PyObject *until, int least)
{
    PyObject *best = NULL, *i = PyException_GetContext(exc);
    for (int left = MAX_CONTEXTS; i != NULL && i != until && left > 0; left--) {
        int strength = tl_interrupt_strength(t, i);
        if (strength > least) {
            least = strength;
            Py_XSETREF(best, Py_NewRef(i));
        }
        Py_SETREF(i, PyException_GetContext(i));
    }
    Py_XDECREF(i);
    return best;
}

// ---- what is due

static const struct tl_scope *
innermost_shield(const TaskletObject *t)
{
    const struct tl_scope *i = t->shields > 0 ? t->scopes : NULL;
    while (i != NULL && (i->kind != TL_SCOPE_SHIELD || i->state != TL_SCOPE_ACTIVE)) {
        i = i->outer;
    }
    return i;
}

// The outermost block inside the innermost shield whose interruption is requested, or
// NULL. fresh: without blocks whose interruption a finalizer has swallowed.
static struct tl_scope *
due_scope(TaskletObject *t, bool fresh)
{
    const struct tl_scope *shield = innermost_shield(t);
    struct tl_scope *due = NULL;
    for (struct tl_scope *i = t->scopes; i != shield; i = i->outer) {
        if (i->state == TL_SCOPE_DUE && !(fresh && i->swallowed)) {
            due = i;
        }
    }
    return due;
}

// Whether a shield holds off bomb. The end of the program (KeyboardInterrupt,
// SystemExit) passes a shield.
static bool
is_shielded(const TaskletObject *t, PyObject *bomb)
{
    return t->shields > 0 && bomb_of(bomb)->rank < TL_RANK_EXIT;
}

// The link to the strongest pending bomb, if that may be raised now, or NULL. fresh:
// without bombs that a finalizer has swallowed.
static PyObject **
pending_place(TaskletObject *t, bool fresh)
{
    PyObject **link = &t->pending;
    while (fresh && *link != NULL && bomb_of(*link)->swallowed) {
        link = &bomb_of(*link)->next;
    }
    return *link == NULL || is_shielded(t, *link) ? NULL : link;
}

void
tl_interrupt_update(TaskletObject *t)
{
    t->thrown = t->holds == 0 && (pending_place(t, false) != NULL ||
                                  (t->scopes != NULL && due_scope(t, false) != NULL));
}

// Take bomb out of the list of which it is the first. Returns the rest of the list.
static PyObject *
take_out(PyObject *bomb)
{
    PyObject *rest = bomb_of(bomb)->next;
    bomb_of(bomb)->next = NULL;
    bomb_of(bomb)->in_line = false;
    return rest;
}

static bool
in_finalizer(TaskletObject *t, void *top)
{
    return tl_location_in_finalizer(top, t->home->state->del_name);
}

// Take the strongest interruption that is due in t, whose innermost frame is top: a
// bomb, or NULL. An interruption that a finalizer has swallowed is due again after the
// finalizer's end.
static PyObject *
take_next(TaskletObject *t, void *top)
{
    PyObject *bomb = NULL;
    if (t->holds > 0) {
        return NULL;
    }
    PyObject **place = pending_place(t, false);
    struct tl_scope *due = place == NULL ? due_scope(t, false) : NULL;
    bool swallowed =
        place != NULL ? bomb_of(*place)->swallowed : due != NULL && due->swallowed;
    if (TL_UNLIKELY(swallowed) && in_finalizer(t, top)) {
        place = pending_place(t, true);
        due = place == NULL ? due_scope(t, true) : NULL;
    }
    if (place != NULL) {
        bomb = *place;
        *place = take_out(bomb);
    } else if (due != NULL) {
        due->state = TL_SCOPE_COMING;
        bomb = Py_NewRef(t->home->state->interrupted);
    }
    tl_interrupt_update(t);
    return bomb;
}

static struct tl_scope *
coming_scope(TaskletObject *t)
{
    struct tl_scope *i = t->scopes;
    while (i != NULL && i->state != TL_SCOPE_COMING) {
        i = i->outer;
    }
    return i;
}

// ---- requests

// Put bomb into t->pending, behind bombs of the same rank. Returns the bomb that is no
// longer needed, or NULL: several plain kills are raised once, and of two throws only
// the later one is raised, as in Stackless.
static PyObject *
put_in_line(TaskletObject *t, PyObject *bomb)
{
    bool kill = is_plain_kill(t, bomb);
    unsigned char rank = bomb_of(bomb)->rank;
    PyObject *old = NULL;
    if (kill && is_plain_kill(t, t->tempval)) {
        return bomb;
    }
    PyObject **link = &t->pending;
    while (*link != NULL && bomb_of(*link)->rank >= rank) {
        if (kill && is_plain_kill(t, *link)) {
            return bomb;
        }
        if (rank == TL_RANK_THROW && bomb_of(*link)->rank == rank) {
            old = *link;
            *link = take_out(old);
            break;
        }
        link = &bomb_of(*link)->next;
    }
    if (bomb_of(bomb)->in_line) {
        tl_sched_report_lost(t->home); // the spare bomb for want of memory is in use
        return bomb;
    }
    bomb_of(bomb)->in_line = true;
    bomb_of(bomb)->next = *link;
    *link = bomb;
    return old;
}

PyObject *
tl_interrupt_add(TaskletObject *t, PyObject *bomb)
{
    PyObject *drop = put_in_line(t, bomb);
    tl_interrupt_update(t);
    return drop;
}

// old (stolen, may be NULL) was t's tempval, and a stronger interruption has taken its
// place. Returns what must be dropped, or NULL.
static PyObject *
displaced(TaskletObject *t, PyObject *old)
{
    PyObject *channel = t->handed;
    t->handed = NULL;
    unsigned char rank = rank_of(t, old);
    if (rank == TL_RANK_THROW && rank_of(t, t->tempval) == rank) {
        return old; // of two throws only the later one is raised
    }
    if (rank > TL_RANK_SCOPE) {
        return put_in_line(t, old);
    }
    if (rank == TL_RANK_SCOPE) {
        struct tl_scope *scope = coming_scope(t);
        if (scope != NULL) {
            scope->state = TL_SCOPE_DUE;
        }
    } else if (channel != NULL && old != NULL) {
        t->home->state->take_back(channel, old);
        return NULL;
    }
    return old;
}

PyObject *
tl_interrupt_displace(TaskletObject *t)
{
    PyObject *drop = displaced(t, tl_task_swap(t, NULL));
    tl_interrupt_update(t);
    return drop;
}

PyObject *
tl_interrupt_force(TaskletObject *t, PyObject *bomb)
{
    PyObject *drop;
    unsigned char rank = rank_of(t, t->tempval);
    unsigned char wanted = bomb != NULL ? bomb_of(bomb)->rank : TL_RANK_EXIT;
    if (rank > wanted || (rank == wanted && rank >= TL_RANK_KILL && bomb != NULL)) {
        drop = put_in_line(t, bomb);
    } else {
        drop = displaced(t, tl_task_swap(t, bomb));
    }
    tl_interrupt_update(t);
    tl_scope_check_all(t);
    return drop;
}

bool
tl_interrupt_is_held_off(TaskletObject *t, PyObject *bomb)
{
    return t->holds > 0 || is_shielded(t, bomb) ||
           (t->stopped && in_finalizer(t, t->top));
}

PyObject *
tl_interrupt_send(TaskletObject *t, PyObject *bomb)
{
    bool runs = t->home->current == t && t->place == TL_RUNNABLE;
    bool held_off = !runs && tl_interrupt_is_held_off(t, bomb);
    if (runs || held_off) {
        PyObject *drop = tl_interrupt_add(t, bomb);
        if (held_off && t->stopped && t->place == TL_FLOATING) {
            tl_sched_ready((TaskletObject *)Py_NewRef(t)); // to leave its finalizer
        }
        return drop;
    }
    PyObject *drop = tl_interrupt_force(t, bomb);
    if (t->place == TL_WAITING) {
        tl_task_end_wait(t);
        tl_sched_ready(t);
    } else if (t->place == TL_FLOATING) {
        tl_sched_ready((TaskletObject *)Py_NewRef(t));
    }
    return drop;
}

void
tl_interrupt_again(TaskletObject *t, PyObject *exc)
{
    for (struct tl_scope *i = t->scopes; i != NULL; i = i->outer) {
        if (was_raised_for(t->home->state, i, exc)) {
            i->state = TL_SCOPE_DUE;
            tl_interrupt_update(t);
            Py_DECREF(exc);
            return;
        }
    }
    struct tl_state *state = t->home->state;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *bomb = tl_interrupt_rated(state, tl_bomb_of(state, exc));
    if (bomb == NULL) {
        PyErr_Clear();
        tl_sched_report_lost(t->home);
    } else {
        tl_sched_drop_later(t->home, tl_interrupt_add(t, bomb));
    }
    PyErr_SetRaisedException(raised);
}

// Whether t's tempval is an interruption, and a stronger one is due.
static bool
is_outranked(TaskletObject *t)
{
    unsigned char coming = rank_of(t, t->tempval);
    if (coming == TL_RANK_VALUE) {
        return false;
    }
    PyObject **place = pending_place(t, false);
    if (place != NULL) {
        return bomb_of(*place)->rank > coming;
    }
    // Of two blocks the outer one is stronger.
    const struct tl_scope *i = coming == TL_RANK_SCOPE ? due_scope(t, false) : NULL;
    while (i != NULL && i->state != TL_SCOPE_COMING) {
        i = i->outer;
    }
    return coming == TL_RANK_SCOPE && i == NULL;
}

void
tl_interrupt_wake(TaskletObject *t)
{
    struct tl_sched *s = t->home;
    bool waits = t->place == TL_WAITING;
    tl_interrupt_update(t);
    if (!t->thrown) {
        return;
    }
    // A tasklet that has ended stays current until the next one runs. Callbacks that
    // run in between may enter blocks, but cannot wait.
    bool runs = (t == s->current && !s->waiting) || t->stopped || t->life != TL_STARTED;
    bool runnable = t->place == TL_RUNNABLE;
    if (!waits && (runs || (runnable && !is_outranked(t)))) {
        return; // raised at its next operation that may wait
    }
    PyObject *bomb = take_next(t, t->top);
    if (bomb == NULL) {
        return;
    }
    tl_sched_drop_later(s, displaced(t, tl_task_swap(t, bomb)));
    TL_CHECK("I3", "tl_scope of the tasklet", t,
             t->tempval != s->state->interrupted || coming_scope(t) != NULL);
    tl_interrupt_update(t);
    tl_scope_check_all(t);
    if (runnable) {
        return;
    }
    if (waits) {
        tl_task_end_wait(t);
    } else {
        Py_INCREF(t);
    }
    tl_sched_ready(t);
}

void
tl_interrupt_hold(TaskletObject *t)
{
    t->holds++;
    t->thrown = false;
}

void
tl_interrupt_release(TaskletObject *t)
{
    t->holds--;
    tl_interrupt_update(t);
}

PyObject *
tl_interrupt_clear(TaskletObject *t)
{
    const struct tl_state *state = t->home->state;
    PyObject **link = &t->pending;
    while (*link != NULL) {
        PyObject *bomb = *link;
        if (bomb == state->spare_error || bomb == state->spare_exit) {
            *link = take_out(bomb); // it can be used again
            Py_DECREF(bomb);
        } else {
            link = &bomb_of(bomb)->next;
        }
    }
    PyObject *pending = t->pending;
    t->pending = NULL;
    t->thrown = false;
    return pending;
}

// ---- raising

// The names of the kinds, as the program writes them.
static const char *const kind_names[] = {"timeout()", "TaskGroup()", "shield()"};

// Raise RuntimeError in place of the interruption of a block inside a suspended
// generator.
static void
raise_suspended(const struct tl_scope *scope)
{
    PyObject *place = tl_location_text(&scope->where);
    if (place != NULL) {
        PyErr_Format(
            PyExc_RuntimeError,
            "the block of %s entered at %U was to be interrupted while its "
            "generator or coroutine was suspended inside it: it must not yield "
            "there, because the block would interrupt the code that runs instead",
            kind_names[scope->kind], place);
        Py_DECREF(place);
    }
}

// Raise the interruption of scope; NULL: of a block that is gone.
static void
raise_scope(struct tl_sched *s, struct tl_scope *scope)
{
    struct tl_state *state = s->state;
    bool group = scope != NULL && scope->kind == TL_SCOPE_GROUP;
    PyObject *type = group ? state->group_exit : state->timeout_exit;
    if (scope == NULL) {
        PyErr_SetNone(type);
        return;
    }
    scope->state = TL_SCOPE_SPENT;
    scope->expired = true;
    scope->raised = NULL;
    if (tl_location_is_suspended(&scope->where, s->ts)) {
        raise_suspended(scope);
        return;
    }
    PyObject *place = tl_location_text(&scope->where), *text = NULL;
    if (place != NULL) {
        text = PyUnicode_FromFormat("the block of %s entered at %U is interrupted",
                                    kind_names[scope->kind], place);
        Py_DECREF(place);
    }
    if (text == NULL) {
        PyErr_Clear(); // without a message
    }
    PyErr_SetObject(type, text);
    Py_XDECREF(text);
    PyObject *exc = PyErr_GetRaisedException();
    for (struct tl_scope *i = s->current->scopes; i != NULL; i = i->outer) {
        if (i->raised == exc) {
            i->raised = NULL; // an exception that was freed had the same address
        }
    }
    scope->raised = exc;
    PyErr_SetRaisedException(exc);
}

// An exception cannot leave a finalizer, which swallows it: request it again.
static void
keep_for_later(TaskletObject *me, PyObject *object, struct tl_scope *scope)
{
    BombObject *bomb = bomb_of(object);
    if (scope != NULL) {
        scope->state = TL_SCOPE_DUE;
        scope->swallowed = true;
        tl_interrupt_update(me);
        return;
    }
    struct tl_state *state = me->home->state;
    PyObject *copy =
        tl_interrupt_rated(state, tl_bomb_new(state, Py_XNewRef(bomb->type),
                                              Py_XNewRef(bomb->value), NULL));
    if (copy == NULL) {
        PyErr_Clear(); // lost for want of memory
        return;
    }
    bomb_of(copy)->swallowed = true;
    tl_sched_drop_later(me->home, tl_interrupt_add(me, copy));
}

// Raise the exception of bomb (stolen) in the current tasklet; scope: the block whose
// interruption that is, or NULL. Returns NULL.
static PyObject *
raise_in_current(struct tl_sched *s, PyObject *bomb, struct tl_scope *scope)
{
    TaskletObject *me = s->current;
    unsigned char rank = bomb_of(bomb)->rank;
    if (rank == TL_RANK_VALUE) {
        return tl_bomb_raise(bomb);
    }
    bool again = in_finalizer(me, tl_frames_top(s->ts));
    if (rank == TL_RANK_SCOPE) {
        Py_DECREF(bomb);
        raise_scope(s, scope);
        if (TL_UNLIKELY(again) && scope != NULL) {
            keep_for_later(me, NULL, scope);
        }
        tl_scope_check_all(me);
        return NULL;
    }
    if (TL_UNLIKELY(again)) {
        keep_for_later(me, bomb, NULL);
    }
    bool has_traceback = bomb_of(bomb)->traceback != NULL;
    (void)tl_bomb_raise(bomb);
    if (rank == TL_RANK_KILL && has_traceback) {
        // tl_bomb_raise() has set no context. Set it, so that the end of a block or of
        // the tasklet finds the exception that this one replaces.
        PyObject *exc = PyErr_GetRaisedException();
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
    return NULL;
}

// Whether scope, which may be freed, is still a block of t that is being raised.
static bool
is_raising(TaskletObject *t, const struct tl_scope *scope)
{
    const struct tl_scope *i = t->scopes;
    while (i != NULL && i != scope) {
        i = i->outer;
    }
    return i != NULL && i->state == TL_SCOPE_RAISING;
}

PyObject *
tl_interrupt_arrive(struct tl_sched *s, PyObject *bomb)
{
    TaskletObject *me = s->current;
    bool of_scope = bomb_of(bomb)->rank == TL_RANK_SCOPE;
    struct tl_scope *scope = of_scope ? coming_scope(me) : NULL;
    if (s->ndrop > 0) {
        if (scope != NULL) {
            scope->state = TL_SCOPE_RAISING; // a finalizer may wait, and be interrupted
        }
        tl_sched_drop_now(s);
        if (scope != NULL && !is_raising(me, scope)) {
            scope = NULL; // a finalizer has moved or left it
        }
    }
    return raise_in_current(s, bomb, scope);
}

int
tl_interrupt_check(struct tl_sched *s)
{
    TaskletObject *me = s->current;
    PyObject *bomb = take_next(me, tl_frames_top(s->ts));
    if (bomb == NULL) {
        return 0;
    }
    (void)raise_in_current(
        s, bomb, bomb_of(bomb)->rank == TL_RANK_SCOPE ? coming_scope(me) : NULL);
    return -1;
}

bool
tl_interrupt_is_overdue(struct tl_sched *s)
{
    TaskletObject *me = s->current;
    return me->thrown && pending_place(me, false) != NULL &&
           !in_finalizer(me, tl_frames_top(s->ts));
}

PyObject *
tl_interrupt_escaped(struct tl_state *state, PyObject *exc)
{
    if (!PyErr_GivenExceptionMatches(exc, state->timeout_exit) &&
        !PyErr_GivenExceptionMatches(exc, state->group_exit)) {
        return NULL;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "the interruption of a block has reached the end of the tasklet "
                 "without leaving that block: %S",
                 exc);
    PyObject *error = PyErr_GetRaisedException();
    PyException_SetCause(error, Py_NewRef(exc));
    return error;
}
