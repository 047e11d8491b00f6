// reacquire.c - re-acquiring a lock of any kind, whatever interrupts that.
#include "sync/reacquire.h"
#include "core/interrupt.h"
#include "sync/lock.h"

// Give up after this many errors that may be the lock's own. A lock that fails once,
// such as a remote one, deserves another attempt; a lock that always fails must not
// hang its caller.
enum { MAX_FAILURES = 100 };

// Give up after this many exceptions that do not come from the lock, such as those of
// signal handlers. Only a loop that never ends raises that many during one wait.
enum { MAX_INTERRUPTIONS = 10000 };

// Do not make chains of contexts longer than this: the time for adding one grows with
// it.
enum { MAX_CONTEXTS = 100 };

// ---- which exception is raised

static int
strength(PyObject *exc)
{
    struct tl_sched *s = tl_sched_mine;
    return s != NULL ? tl_interrupt_strength(s->current, exc)
                     : PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt);
}

// The end of the chain of contexts that begins with exc: a new reference. NULL if the
// chain contains other or is longer than MAX_CONTEXTS.
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

// Make loser (stolen) the last context of winner.
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

// Keep the stronger of the two exceptions, or the second (stolen) of equally strong
// ones. An interruption that gives way to a stronger one is raised again later; any
// other exception becomes the context.
static void
keep_stronger(struct tl_kept *kept, PyObject *second)
{
    PyObject *first = kept->exc;
    if (first == NULL) {
        kept->exc = second;
        return;
    }
    int before = strength(first), now = strength(second);
    PyObject *loser = before > now ? second : first;
    kept->exc = before > now ? first : second;
    if (before > 0 && now > 0 && before != now && tl_sched_mine != NULL) {
        tl_interrupt_again(tl_sched_mine->current, loser);
    } else {
        add_context(kept->exc, loser);
    }
}

bool
tl_kept_add(struct tl_kept *kept)
{
    PyObject *exc = PyErr_GetRaisedException();
    if (exc != NULL) {
        bool outside = !PyErr_GivenExceptionMatches(exc, PyExc_Exception);
        kept->interruptions += outside;
        kept->failures += !outside;
        keep_stronger(kept, exc);
    }
    return kept->failures < MAX_FAILURES && kept->interruptions < MAX_INTERRUPTIONS;
}

int
tl_kept_raise(struct tl_kept *kept)
{
    struct tl_sched *s = tl_sched_mine;
    PyObject *exc = kept->exc;
    kept->exc = NULL;
    if (exc != NULL) {
        PyErr_SetRaisedException(exc);
        return -1;
    }
    return s == NULL || tl_sched_is_held(s) ? 0 : tl_sched_check_thrown(s);
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

// Whether the caller owns the lock although acquire() has raised: a signal handler may
// raise after the lock was acquired. This can be seen only of this module's locks.
static bool
owns_lock(struct tl_state *state, PyObject *lock)
{
    struct tl_holder *me = tl_os_thread_seen_holder();
    bool ours = PyObject_TypeCheck(lock, state->lock_type) ||
                PyObject_TypeCheck(lock, state->rlock_type);
    return ours && me != NULL && ((LockObject *)lock)->ownership.owner == me;
}

// Returns 1; 0 if acquire() returned False; or -1 with an exception set.
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
        me->block_trap = false; // the caller must have its lock
        tl_interrupt_hold(me);
    }
    while (again && !held) {
        int got = acquire_once(acquire, arg);
        if (s != NULL && (tl_sched_mine != s || s->current != me)) {
            // The tasklet was ended inside acquire(): this is only its stack's
            // unwinding.
            PyErr_Clear();
            break;
        }
        held = got > 0 || owns_lock(state, lock);
        kept.failures += got == 0;
        again = tl_kept_add(&kept);
    }
    if (me != NULL) {
        me->block_trap = trap;
        tl_interrupt_release(me);
        Py_DECREF(me);
    }
    return held ? tl_kept_raise(&kept) : tl_kept_give_up(&kept);
}
