#include "reacquire.h"
#include "lock.h"
#include "timeout.h"

// MAX_FAILURES: give up after this many errors that may be the lock's own. A lock that
// fails once, a remote one say, deserves another attempt; one that always fails must not
// hang its caller.
// MAX_INTERRUPTIONS: give up after this many exceptions that are surely no lock's. So many
// for one wait come only from a loop that never ends.
// MAX_CONTEXTS: do not make longer chains of contexts.
enum { MAX_FAILURES = 100, MAX_INTERRUPTIONS = 10000, MAX_CONTEXTS = 100 };

enum strength { INTERRUPTION = 1, THROWN, FATAL };

// ---- which exception is raised

static PyObject *
interruption_type(const TimeoutObject *timeout)
{
    PyObject *bomb = timeout->bomb;
    return bomb != NULL ? ((BombObject *)bomb)->type
                        : timeout->who->home->state->interrupt;
}

static TimeoutObject *
innermost_timeout(void)
{
    return tl_sched_mine != NULL ? tl_sched_mine->current->timeouts : NULL;
}

static enum strength
strength(struct tl_state *state, PyObject *exc)
{
    for (TimeoutObject *i = innermost_timeout(); i != NULL; i = i->outer) {
        if (PyErr_GivenExceptionMatches(exc, interruption_type(i))) {
            return INTERRUPTION;
        }
    }
    bool exits = PyErr_GivenExceptionMatches(exc, PyExc_SystemExit) &&
                 !PyErr_GivenExceptionMatches(exc, state->tasklet_exit);
    return exits || PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt) ? FATAL
                                                                              : THROWN;
}

// The last in the chain of contexts of exc: a new reference. NULL if the chain contains
// other, or is too long.
static PyObject *
last_context(PyObject *exc, PyObject *other)
{
    PyObject *last = Py_NewRef(exc);
    for (int i = 0; i < MAX_CONTEXTS && last != other; i++) {
        PyObject *next = PyException_GetContext(last);
        if (next == NULL) {
            return last;
        }
        Py_SETREF(last, next);
    }
    Py_DECREF(last);
    return NULL;
}

// Make loser (stolen) a context of winner.
static void
add_context(PyObject *winner, PyObject *loser)
{
    PyObject *last = last_context(winner, loser);
    PyObject *end = last != NULL ? last_context(loser, winner) : NULL;
    if (end != NULL) {
        PyException_SetContext(last, Py_NewRef(loser));
    }
    Py_XDECREF(end);
    Py_XDECREF(last);
    Py_DECREF(loser);
}

static void
keep(struct tl_kept *kept, struct tl_state *state, PyObject *second)
{
    PyObject *first = kept->exc;
    if (first == NULL) {
        kept->exc = second;
        return;
    }
    enum strength before = strength(state, first), now = strength(state, second);
    bool stays = before > now;
    kept->exc = stays ? first : second;
    add_context(kept->exc, stays ? second : first);
    kept->lost_interruption |=
        before != now && (before == INTERRUPTION || now == INTERRUPTION);
}

bool
tl_kept_add(struct tl_kept *kept, struct tl_state *state)
{
    PyObject *exc = PyErr_GetRaisedException();
    if (exc != NULL) {
        bool outside = !PyErr_GivenExceptionMatches(exc, PyExc_Exception);
        kept->interruptions += outside;
        kept->failures += !outside;
        keep(kept, state, exc);
    }
    return kept->failures < MAX_FAILURES && kept->interruptions < MAX_INTERRUPTIONS;
}

int
tl_kept_raise(struct tl_kept *kept, struct tl_state *Py_UNUSED(state))
{
    PyObject *exc = kept->exc;
    kept->exc = NULL;
    if (kept->lost_interruption) {
        // The interruption that came last is that of the innermost block in this state.
        TimeoutObject *i = innermost_timeout();
        while (i != NULL && i->state != TL_TIMEOUT_SENT) {
            i = i->outer;
        }
        if (i != NULL) {
            i->state = TL_TIMEOUT_DUE;
            i->who->thrown = true;
        }
    }
    PyErr_SetRaisedException(exc);
    return exc == NULL ? 0 : -1;
}

int
tl_kept_give_up(struct tl_kept *kept)
{
    PyObject *cause = kept->exc;
    kept->exc = NULL;
    PyErr_SetString(PyExc_RuntimeError, "the lock could not be re-acquired");
    if (cause != NULL) {
        PyObject *exc = PyErr_GetRaisedException();
        PyException_SetCause(exc, Py_NewRef(cause));
        PyException_SetContext(exc, cause);
        PyErr_SetRaisedException(exc);
    }
    return -1;
}

// ---- locks of any kind

// Whether the caller has the lock although its method has raised: an exception may come
// between the two. It is known of locks that are ours only.
static bool
has_it(struct tl_state *state, PyObject *lock)
{
    struct tl_holder *me = tl_native_seen_holder();
    bool ours = PyObject_TypeCheck(lock, state->lock_type) ||
                PyObject_TypeCheck(lock, state->rlock_type);
    return ours && me != NULL && ((LockObject *)lock)->property.owner == me;
}

// Returns 1; 0 if the lock has refused by its result; or -1 with an exception set.
static int
acquire_once(PyObject *acquire, PyObject *arg)
{
    PyObject *result = PyObject_Vectorcall(acquire, &arg, arg != NULL, NULL);
    int got = result == NULL ? -1 : result != Py_False;
    Py_XDECREF(result);
    return got;
}

int
tl_reacquire(struct tl_state *state, PyObject *lock, PyObject *acquire, PyObject *arg)
{
    struct tl_sched *s = tl_sched_mine;
    TaskletObject *me = s != NULL ? (TaskletObject *)Py_NewRef(s->current) : NULL;
    bool trap = me != NULL && me->block_trap;
    struct tl_kept kept = {.exc = PyErr_GetRaisedException()};
    bool again = true, held = false;
    if (me != NULL) {
        me->block_trap = false; // the caller waits for its lock whatever that says
    }
    while (again && !held) {
        int got = acquire_once(acquire, arg);
        if (s != NULL && (tl_sched_mine != s || s->current != me)) {
            // The tasklet has ended: its stack is only unwound.
            PyErr_Clear();
            break;
        }
        held = got > 0 || has_it(state, lock);
        kept.failures += got == 0;
        again = tl_kept_add(&kept, state);
    }
    if (me != NULL) {
        me->block_trap = trap;
        Py_DECREF(me);
    }
    return held ? tl_kept_raise(&kept, state) : tl_kept_give_up(&kept);
}
