// mod_statistics.c - statistics(): counters of this thread and of the process.
#include "cpython/compat.h" // before the system's headers

#include "core/sched.h"
#include "core/thread.h"
#include "object/live_counts.h"
#include "python/types.h"
#include "worker/worker.h"
#include "base/clock.h"
#include "base/frame_slab.h"

// Put a value (stolen, may be NULL) into dict. Returns 0, or -1 with an exception set.
static int
put(PyObject *dict, const char *key, PyObject *value)
{
    int result = value == NULL ? -1 : PyDict_SetItemString(dict, key, value);
    Py_XDECREF(value);
    return result;
}

static int
put_count(PyObject *dict, const char *key, uint64_t count)
{
    return put(dict, key, PyLong_FromUnsignedLongLong(count));
}

static int
put_seconds(PyObject *dict, const char *key, int64_t nanoseconds)
{
    return put(dict, key, PyFloat_FromDouble((double)nanoseconds / 1e9));
}

// ---- blocked tasklets by what they wait for

static int
count_waiter(PyObject *kinds, const TaskletObject *t)
{
    if (t->place != TL_WAITING) {
        return 0;
    }
    PyObject *verb = PyUnicode_FromString(t->wait.kind->verb);
    PyObject *before = verb == NULL ? NULL : PyDict_GetItemWithError(kinds, verb);
    PyObject *count = NULL;
    if (before != NULL || (verb != NULL && !PyErr_Occurred())) {
        count = PyLong_FromLong(1 + (before == NULL ? 0 : PyLong_AsLong(before)));
    }
    int result = count == NULL ? -1 : PyDict_SetItem(kinds, verb, count);
    Py_XDECREF(count);
    Py_XDECREF(verb);
    return result;
}

static PyObject *
waiters_by_kind(struct tl_sched *s)
{
    PyObject *kinds = PyDict_New();
    int result = kinds == NULL ? -1 : count_waiter(kinds, s->main);
    struct tl_link *i = s->started.next;
    // The keys are interned str: this does not call into Python, and the list stays as
    // it is.
    for (; result == 0 && i != &s->started; i = i->next) {
        result = count_waiter(kinds, TL_CONTAINER(i, TaskletObject, started));
    }
    if (result < 0) {
        Py_CLEAR(kinds);
    }
    return kinds;
}

// ---- the dict

static int
put_thread(PyObject *dict, struct tl_sched *s)
{
    int64_t mean = s->fired > 0 ? s->late_sum / (int64_t)s->fired : 0;
    return put_count(dict, "runnable", (uint64_t)s->runcount) < 0 ||
                   put_count(dict, "started", (uint64_t)s->nstarted) < 0 ||
                   put(dict, "blocked", waiters_by_kind(s)) < 0 ||
                   put_count(dict, "switches", s->switches) < 0 ||
                   put_count(dict, "spawned", s->spawned) < 0 ||
                   put_count(dict, "finished", s->finished) < 0 ||
                   put_count(dict, "pooled_stacks", (uint64_t)s->npool) < 0 ||
                   put_count(dict, "sleeps", s->park.sleeps) < 0 ||
                   put_count(dict, "spins", s->park.spins) < 0 ||
                   put_count(dict, "woken", s->park.woken) < 0 ||
                   put_seconds(dict, "slept", s->park.slept) < 0 ||
                   put_seconds(dict, "run_time",
                               tl_clock_read(CLOCK_THREAD_CPUTIME_ID)) < 0 ||
                   put_count(dict, "timers", s->timers.count) < 0 ||
                   put_count(dict, "timers_fired", s->fired) < 0 ||
                   put_seconds(dict, "latency_mean", mean) < 0 ||
                   put_seconds(dict, "latency_max", s->max_late_ns) < 0
               ? -1
               : 0;
}

static uint64_t
length(const struct tl_link *list)
{
    uint64_t count = 0;
    for (struct tl_link *i = list->next; i != list; i = i->next) {
        count++;
    }
    return count;
}

static int
put_process(PyObject *dict, struct tl_state *state)
{
    long workers = 0, idle = 0;
    Py_ssize_t queued = 0;
    uint64_t finished = 0;
    for (struct tl_link *i = state->pools.next; i != &state->pools; i = i->next) {
        const PoolObject *pool = TL_CONTAINER(i, PoolObject, all);
        workers += pool->nworkers;
        idle += pool->nidle;
        queued += pool->queued;
        finished += pool->finished;
    }
    return put_count(dict, "tasklets", (uint64_t)tl_live[TL_LIVE_TASKLET]) < 0 ||
                   put_count(dict, "channels", (uint64_t)tl_live[TL_LIVE_CHANNEL]) <
                       0 ||
                   put_count(dict, "threads", length(&state->scheds)) < 0 ||
                   put_count(dict, "slabs", (uint64_t)tl_frame_slab_slabs()) < 0 ||
                   put_count(dict, "worker_pools", length(&state->pools)) < 0 ||
                   put_count(dict, "workers", (uint64_t)workers) < 0 ||
                   put_count(dict, "workers_idle", (uint64_t)idle) < 0 ||
                   put_count(dict, "calls_queued", (uint64_t)queued) < 0 ||
                   put_count(dict, "calls_finished", finished) < 0
               ? -1
               : 0;
}

PyDoc_STRVAR(statistics_doc,
"statistics($module, /)\n"
"--\n"
"\n"
"Return a dict of counters of this thread and of the process.\n"
"\n"
"This thread: runnable, started (not ended yet), blocked (a dict: how many wait for\n"
"what), switches, spawned, finished, pooled_stacks; sleeps and spins (waits of the\n"
"thread with and without sleeping), woken (sleeps ended by another thread), slept and\n"
"run_time (CPU time), both in seconds; timers (pending), timers_fired, latency_mean\n"
"and latency_max (how late they fired, in seconds).\n"
"\n"
"The process: tasklets, channels, threads (that use tasklets), slabs (megabytes held\n"
"for stacks), worker_pools, workers, workers_idle, calls_queued and calls_finished.\n"
"The calls of a pool that no longer exists are not counted.");

static PyObject *
fn_statistics(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_get(state);
    PyObject *dict = s == NULL ? NULL : PyDict_New();
    if (dict != NULL && (put_thread(dict, s) < 0 || put_process(dict, state) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

// clang-format off

PyMethodDef tl_statistics_functions[] = {
    {"statistics", fn_statistics, METH_NOARGS, statistics_doc},
    {NULL, NULL, 0, NULL},
};
