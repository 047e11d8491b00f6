// thread.c - a thread's scheduler: made at the first use of tasklets, ended with it.
#include "core/thread.h"
#include "core/budget.h"
#include "core/ending.h"
#include "core/errors.h"
#include "core/fiber.h"
#include "core/flush.h"
#include "core/idle.h"
#include "core/idle_threads.h"
#include "core/interrupt.h"
#include "core/leftover.h"
#include "core/life.h"
#include "core/os_thread.h"
#include "core/outcome.h"
#include "core/poll_source.h"
#include "core/run_frame.h"
#include "core/scheduled_call.h"
#include "core/scope.h"
#include "core/stacks.h"
#include "core/timer.h"
#include "cpython/gil.h"
#include "cpython/gil_priority.h"
#include "object/live_counts.h"
#include "base/stress.h"

#include <sched.h>

// Names the capsule in the thread state's dict whose destructor is thread_ended().
#define GUARD "tasklets.thread"

// Half the initial capacity of the drop list.
enum { DROP_ROOM = TL_STRESS_OR(16, 1) };

static void thread_ended(PyObject *guard);

// The id of this thread's state if the interpreter is clearing it: no new scheduler.
static TL_THREAD_LOCAL uint64_t ended_id;

// ---- a thread gets a scheduler

static void
call_for_new_main(struct tl_sched *s)
{
    PyObject *callback = s->state->schedule_callback;
    if (callback == NULL) {
        return;
    }
    Py_INCREF(callback);
    s->no_switch++;
    PyObject *result =
        PyObject_CallFunctionObjArgs(callback, Py_None, (PyObject *)s->main, NULL);
    if (result == NULL) {
        tl_errors_unraisable(s->state, callback);
    }
    Py_XDECREF(result);
    s->no_switch--;
    Py_DECREF(callback);
}

static int
make_drop(struct tl_sched *s)
{
    s->drop = PyMem_New(PyObject *, 2 * DROP_ROOM);
    if (s->drop == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    s->drop_room = DROP_ROOM;
    return 0;
}

static int
make_main(struct tl_sched *s)
{
    TaskletObject *t = tl_task_new(s->state->tasklet_type, s);
    if (t == NULL) {
        return -1;
    }
    s->main = s->current = t;
    t->is_main = true;
    t->life = TL_STARTED;
    s->main_fiber = tl_fiber_current();
    if (s->main_fiber == NULL) {
        return -1;
    }
    if (tl_fiber_is_main(s->main_fiber)) {
        s->main_chunk = tl_gil_root_chunk(s->ts);
    }
    t->fiber = Py_NewRef(s->main_fiber);
    tl_ring_append(s, (TaskletObject *)Py_NewRef(t));
    return 0;
}

static int
hang_guard(struct tl_sched *s)
{
    PyObject *dict = PyThreadState_GetDict();
    PyObject *guard = dict ? PyCapsule_New(s, GUARD, thread_ended) : NULL;
    if (guard == NULL) {
        return -1;
    }
    s->refs++; // the guard's
    int result = PyDict_SetItemString(dict, GUARD, guard);
    Py_DECREF(guard);
    return result;
}

// Making s failed: free what was made of it.
static void
abort_make(struct tl_sched *s)
{
    s->dead = true;
    s->current = NULL;
    if (s->head != NULL) {
        tl_ring_remove(s, s->main);
        Py_DECREF(s->main);
    }
    Py_CLEAR(s->main_fiber);
    Py_CLEAR(s->main);
    tl_sched_unref(s);
}

struct tl_sched *
tl_sched_make(struct tl_state *state)
{
    PyThreadState *ts = PyThreadState_Get();
    if (state->ending || ended_id == PyThreadState_GetID(ts) ||
        tl_gil_is_clearing(ts)) {
        PyErr_Format(PyExc_RuntimeError,
                     "the %s is ending: it cannot begin with tasklets",
                     state->ending ? "interpreter" : "thread");
        return NULL;
    }
    struct tl_sched *s = PyMem_Calloc(1, sizeof *s);
    if (s == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    tl_live_add(TL_LIVE_SCHED, 1);
    s->refs = 1;
    s->state = state;
    s->ts = ts;
    s->ts_id = PyThreadState_GetID(ts);
    s->ident = PyThread_get_thread_ident();
    tl_timer_init(s);
    tl_budget_init(s);
    tl_guard_init(&s->guard, s->ts);
    s->collecting = tl_gil_collecting();
    tl_link_init(&s->started);
    tl_link_init(&s->all);
    tl_park_init(&s->park);
    tl_deferred_wakes_init(&s->pending_wakes);
    s->native = tl_os_thread_mine;
    if (make_drop(s) < 0 || make_main(s) < 0 || hang_guard(s) < 0) {
        abort_make(s);
        return NULL;
    }
    tl_link_insert_before(&s->all, &state->scheds);
    tl_sched_mine = s;
    tl_ticks_mine = &s->events;
    if (s->native != NULL) {
        s->native->sched = s;
    }
    tl_sched_unref(s); // the guard has a reference
    tl_os_thread_leaves(false);
    call_for_new_main(s);
    return s;
}

void
tl_sched_unref(struct tl_sched *s)
{
    if (--s->refs > 0) {
        return;
    }
    assert(s->dead && s->main == NULL && s->head == NULL);
    // Acquire: pairs with the release in tl_sched_wake(). A waker needs no GIL and does
    // nothing else before it wakes, so this loop is short.
    while (atomic_load_explicit(&s->wakers, memory_order_acquire) > 0) {
        sched_yield();
    }
    tl_deferred_wakes_fini(&s->pending_wakes);
    tl_deferred_wakes_forget(&s->park);
    tl_park_fini(&s->park);
    tl_run_frame_fini(s);
    tl_timer_fini(s);
    tl_flush_forget_all(s);
    tl_poll_source_fini(s);
    tl_guard_fini(&s->guard);
    PyMem_Free(s->frames);
    PyMem_Free(s->drop);
    PyMem_Free(s);
    tl_live_add(TL_LIVE_SCHED, -1);
}

// ---- ends

// The thread of s is gone. leave_channels: also end the waits of tasklets on an object.
static void
abandon_tasklets(struct tl_sched *s, bool leave_channels)
{
    while (!tl_link_is_single(&s->started)) {
        TaskletObject *t = TL_CONTAINER(s->started.next, TaskletObject, started);
        Py_INCREF(t);
        tl_link_remove(&t->started);
        s->nstarted--;
        t->top = NULL;
        tl_stacks_keep(s, t);
        if (t->place == TL_RUNNABLE) {
            tl_ring_remove(s, t);
            Py_DECREF(t);
        } else if (t->place == TL_WAITING &&
                   (leave_channels || t->wait.on == NULL || t->wait.kind->exempt)) {
            tl_task_end_wait(t);
            Py_DECREF(t);
        }
        tl_outcome_abandon(t);
        Py_DECREF(t);
    }
    while (s->head != NULL) {
        TaskletObject *t = s->head;
        tl_ring_remove(s, t);
        Py_DECREF(t);
    }
}

// Wake t if it is inside join() of a tasklet whose thread is gone.
static void
wake_joiner(TaskletObject *t)
{
    if (t->place == TL_WAITING && t->wait.kind == &tl_outcome_wait &&
        ((TaskletObject *)t->wait.on)->home->dead) {
        tl_task_end_wait(t);
        tl_sched_ready(t);
    }
}

// Wake tasklets inside join() of a tasklet whose thread is gone. They are looked for,
// since tasklets that never started are in no list.
static void
wake_joiners(struct tl_state *state)
{
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        wake_joiner(s->main);
        for (struct tl_link *j = s->started.next; j != &s->started; j = j->next) {
            wake_joiner(TL_CONTAINER(j, TaskletObject, started));
        }
    }
}

static void
release_main(struct tl_sched *s)
{
    tl_run_frame_fini(s);
    TaskletObject *t = s->main;
    if (t->place == TL_WAITING) {
        tl_task_end_wait(t);
        Py_DECREF(t);
    }
    tl_outcome_abandon(t);
    tl_scope_end(t, NULL);
    Py_XDECREF(tl_interrupt_clear(t));
    Py_CLEAR(t->fiber);
    Py_CLEAR(s->main_fiber);
    t->life = TL_UNBOUND;
    t->ended = true;
    t->is_main = false;
    s->current = s->main = NULL;
    Py_DECREF(t);
}

// No tasklet of s will run any more. Does not call into Python.
static void
die(struct tl_sched *s)
{
    tl_flush_forget_all(s);
    tl_deferred_wakes_flush(&s->pending_wakes);
    s->dead = true;
    s->ts = s->events.ts = NULL;
    tl_guard_fini(&s->guard);
    if (s->native != NULL) {
        s->native->sched = NULL;
        s->native = NULL;
    }
}

// The thread of s is gone or ends: end s (stolen). May run Python code, in finalizers.
static void
end_sched(struct tl_sched *s)
{
    struct tl_state *state = s->state;
    die(s);
    tl_link_remove(&s->all);
    tl_scheduled_call_forget_all(s);
    abandon_tasklets(s, false);
    tl_stacks_free(s);
    release_main(s);
    tl_sched_drop_now(s);
    wake_joiners(state);
    tl_idle_recheck(state);
    tl_sched_unref(s);
}

// The guard's destructor: the thread state is cleared, normally by its own thread.
static void
thread_ended(PyObject *guard)
{
    struct tl_sched *s = PyCapsule_GetPointer(guard, GUARD);
    struct tl_state *state = s->state;
    PyObject *exc = PyErr_GetRaisedException();
    if (s != tl_sched_mine || state->ending || Py_IsFinalizing()) {
        // A daemon thread at the end of the interpreter, or a thread that does not
        // exist in the child of a fork: its tasklets cannot run.
        s->dead = true;
        if (s->native != NULL) {
            s->native->sched = NULL;
        }
        s->events.ts = NULL;
        tl_timekeeper_cancel(&s->alarm);
        tl_flush_forget_all(s);
        tl_sched_unref(s); // not the last: its main tasklet has one
    } else {
        tl_leftover_report(s, false);
        tl_ending_run(s);
        tl_run_frame_fini(s); // needs the thread state
        tl_flush_all(s);
        tl_poll_source_thread_ends(s);
        // Finalizers that run from here on find a thread without tasklets.
        tl_sched_mine = NULL;
        tl_ticks_mine = NULL;
        ended_id = PyThreadState_GetID(PyThreadState_Get());
        end_sched(s);
        tl_os_thread_leaves(true);
    }
    PyErr_SetRaisedException(exc);
}

// Whether the interpreter, at its end, will wait for other threads: non-daemon ones.
static bool
has_threads_to_wait_for(void)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *list = threading ? tl_call_method(threading, "enumerate", NULL) : NULL;
    Py_ssize_t count = list != NULL && PyList_Check(list) ? PyList_GET_SIZE(list) : 0;
    bool found = false;
    for (Py_ssize_t i = 0; i < count && !found; i++) {
        PyObject *thread = PyList_GET_ITEM(list, i);
        PyObject *daemon = tl_getattr(thread, "daemon");
        PyObject *ident = tl_getattr(thread, "ident");
        found = daemon == Py_False && ident != NULL && PyLong_Check(ident) &&
                PyLong_AsUnsignedLong(ident) != PyThread_get_thread_ident();
        Py_XDECREF(daemon);
        Py_XDECREF(ident);
    }
    Py_XDECREF(list);
    Py_XDECREF(threading);
    PyErr_Clear();
    return found;
}

void
tl_thread_main_has_ended(struct tl_state *state)
{
    struct tl_sched *s = tl_sched_mine;
    // Those threads may wait for locks that tasklets of this one own.
    if (s != NULL && s->nstarted + s->runcount > 1 && has_threads_to_wait_for()) {
        tl_leftover_report(s, true);
        tl_ending_run(s);
        tl_poll_source_set_ending(s, false);
    }
    state->main_has_ended = true;
    tl_idle_recheck(state);
}

void
tl_thread_at_exit(struct tl_state *state)
{
    if (tl_sched_mine != NULL) {
        tl_leftover_report(tl_sched_mine, true);
        tl_ending_run(tl_sched_mine);
    }
}

void
tl_thread_stop_helpers(struct tl_state *state)
{
    state->ending = true;
    Py_BEGIN_ALLOW_THREADS;
    tl_timekeeper_stop();
    tl_gil_priority_stop();
    tl_governor_stop();
    Py_END_ALLOW_THREADS;
}

// ---- fork

void
tl_thread_after_fork(struct tl_state *state, struct tl_sched *mine)
{
    state->forks++;
    state->main_has_ended = false; // the forking thread is the main thread here
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        if (s != mine) {
            die(s);
        }
    }
    if (mine != NULL) {
        tl_leftover_inherit(mine);
        tl_park_fini(&mine->park);
        tl_park_init(&mine->park);
    }
}

void
tl_thread_drop_others(struct tl_state *state)
{
    struct tl_link *i = state->scheds.next;
    while (i != &state->scheds) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        if (!s->dead) {
            i = i->next;
            continue;
        }
        s->refs++;
        tl_link_remove(&s->all);
        tl_scheduled_call_forget_all(s);
        abandon_tasklets(s, true);
        release_main(s);
        tl_sched_unref(s);
        i = state->scheds.next; // the list may have changed
    }
}

// ---- look-ups

static int
same_id(unsigned long Py_UNUSED(ident), PyThreadState *ts, void *wanted)
{
    if (PyThreadState_GetID(ts) == *(uint64_t *)wanted) {
        *(uint64_t *)wanted = 0;
        return 1;
    }
    return 0;
}

bool
tl_thread_is_there(struct tl_sched *s)
{
    if (s->dead || !TL_GIL_ENDS_UNSEEN || s == tl_sched_mine) {
        return !s->dead;
    }
    // The scheduler may have been made in a finalizer, when the dict that should have
    // kept the guard had been cleared.
    uint64_t wanted = s->ts_id;
    tl_gil_each_thread(same_id, &wanted);
    if (wanted != 0) {
        PyObject *exc = PyErr_GetRaisedException();
        end_sched(s);
        PyErr_SetRaisedException(exc);
    }
    return wanted == 0;
}

struct tl_sched *
tl_thread_sched(struct tl_state *state, unsigned long ident)
{
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        if (s->ident == ident && !s->dead) {
            return tl_thread_is_there(s) ? s : tl_thread_sched(state, ident);
        }
    }
    return NULL;
}

struct idents {
    struct tl_state *state;
    unsigned long *found;
    Py_ssize_t count, room;
};

static int
note_ident(unsigned long ident, PyThreadState *ts, void *arg)
{
    struct idents *idents = arg;
    if (tl_idle_threads_has(idents->state, ts)) {
        return 0;
    }
    if (idents->count < idents->room) {
        idents->found[idents->count] = ident;
    }
    idents->count++;
    return 0;
}

PyObject *
tl_thread_list(struct tl_state *state)
{
    // No allocation while the list is locked: count, and look again if it grew.
    struct idents idents = {.state = state};
    do {
        idents.room = idents.count + 8;
        idents.count = 0;
        PyMem_Free(idents.found);
        idents.found = PyMem_New(unsigned long, idents.room);
        if (idents.found == NULL) {
            return PyErr_NoMemory();
        }
        tl_gil_each_thread(note_ident, &idents);
    } while (idents.count > idents.room);
    PyObject *list = PyList_New(idents.count);
    for (Py_ssize_t i = 0; list != NULL && i < idents.count; i++) {
        PyObject *ident = PyLong_FromUnsignedLong(idents.found[idents.count - 1 - i]);
        if (ident == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, ident);
        }
    }
    PyMem_Free(idents.found);
    return list;
}

static int
same_ident(unsigned long ident, PyThreadState *Py_UNUSED(ts), void *wanted)
{
    if (ident == *(unsigned long *)wanted) {
        *(unsigned long *)wanted = 0;
        return 1;
    }
    return 0;
}

bool
tl_thread_exists(unsigned long ident)
{
    unsigned long wanted = ident;
    tl_gil_each_thread(same_ident, &wanted);
    return ident != 0 && wanted == 0;
}

static bool
is_main_thread(PyObject *object)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *main = threading ? tl_call_method(threading, "main_thread", NULL) : NULL;
    Py_XDECREF(threading);
    Py_XDECREF(main);
    PyErr_Clear();
    return main == object;
}

struct tl_sched *
tl_thread_sched_of(struct tl_state *state, PyObject *object)
{
    if (object == NULL || object == Py_None) {
        return tl_sched_get(state);
    }
    PyObject *ident =
        PyLong_Check(object) ? Py_NewRef(object) : tl_getattr(object, "ident");
    if (ident == NULL || !PyLong_Check(ident)) {
        Py_XDECREF(ident);
        PyErr_Format(PyExc_TypeError,
                     "a thread is named by its ident or a started threading.Thread, "
                     "not %R",
                     object);
        return NULL;
    }
    unsigned long number = PyLong_AsUnsignedLongMask(ident);
    Py_DECREF(ident);
    struct tl_sched *s = tl_thread_sched(state, number);
    if (s == NULL && !PyLong_Check(object) && is_main_thread(object)) {
        // gevent has patched it, and ident is a greenlet's.
        s = tl_thread_sched(state, tl_gil_main_ident());
    }
    if (s == NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "thread %R has no scheduler: it must use tasklets first", object);
    }
    return s;
}
