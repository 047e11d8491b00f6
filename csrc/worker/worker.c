#include "worker/worker.h"
#include "core/errors.h"
#include "core/os_thread.h"
#include "cpython/gil.h"
#include "worker/job.h"
#include "base/clock.h"

#include <pthread.h>
#include <unistd.h>

// How long a lookout sleeps, at first and at most, and how long a worker must have done
// nothing to count as blocked for sure. In nanoseconds.
enum { LOOK = 2000000, LOOK_MOST = 16000000, SURE = 100000000 };

// One that uses less than that part of a CPU does nothing.
enum { NOTHING = 32 };

TL_THREAD_LOCAL struct tl_worker *tl_worker_mine;

// ---- who comes

static void
call_idle(PoolObject *pool)
{
    struct tl_worker *worker = TL_CONTAINER(pool->idle.next, struct tl_worker, idle);
    tl_link_remove(&worker->idle);
    pool->nidle--;
    pool->called++;
    worker->called = true;
    tl_pool_check(pool);
    tl_idle_threads_end(&worker->rest, pool->state);
    tl_park_wake(&worker->park);
}

// How many threads there may be now: a lookout, too, if it may help.
static long
capacity(const PoolObject *pool)
{
    return pool->limit < pool->most ? pool->limit + 1 : pool->most;
}

// A call of Python code that another thread makes for the main one.
struct errand {
    PyObject *func, *arg;     // borrowed
    PyObject *result, *error; // new references
    PyThread_type_lock done;  // released at the end
};

static void
do_errand(void *arg)
{
    struct errand *errand = arg;
    PyGILState_STATE state = PyGILState_Ensure();
    errand->result = PyObject_CallOneArg(errand->func, errand->arg);
    errand->error = errand->result == NULL ? PyErr_GetRaisedException() : NULL;
    PyGILState_Release(state);
    PyThread_release_lock(errand->done);
}

PyObject *
tl_worker_call_undisturbed(PyObject *func, PyObject *arg)
{
    if (!tl_gil_is_main_thread() || Py_IsFinalizing()) {
        return PyObject_CallOneArg(func, arg);
    }
    struct errand errand = {.func = func, .arg = arg};
    errand.done = PyThread_allocate_lock();
    if (errand.done == NULL) {
        return PyErr_NoMemory();
    }
    (void)PyThread_acquire_lock(errand.done, WAIT_LOCK);
    unsigned long ident = PyThread_start_new_thread(do_errand, &errand);
    if (ident == PYTHREAD_INVALID_THREAD_ID) {
        PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
    } else {
        Py_BEGIN_ALLOW_THREADS(void)
        PyThread_acquire_lock(errand.done, WAIT_LOCK);
        Py_END_ALLOW_THREADS
        PyErr_SetRaisedException(errand.error);
    }
    PyThread_release_lock(errand.done);
    PyThread_free_lock(errand.done);
    return errand.result;
}

// Have one more thread. Returns 0, or -1 with an exception set. Other code may run.
static int
start_one(PoolObject *pool)
{
    unsigned generation = pool->generation;
    pool->starting++;
    PyObject *result = tl_worker_call_undisturbed(pool->start, (PyObject *)pool);
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    // If the error came from elsewhere, a signal say, and the thread will be there, that
    // does no harm: see tl_pool_work().
    if (generation == pool->generation && pool->starting > 0) {
        pool->starting--;
    }
    return -1;
}

int
tl_worker_call_somebody(PoolObject *pool)
{
    if (pool->queued == 0 || pool->called + pool->starting > 0 || pool->has_lookout) {
        return 0;
    }
    if (pool->nidle > 0) {
        call_idle(pool);
        return 0;
    }
    if (pool->nworkers >= capacity(pool) || start_one(pool) == 0) {
        return 0;
    }
    if (pool->nworkers > 0 && PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        PyErr_Clear(); // no more threads: those that there are do it
        return 0;
    }
    return -1;
}

// ---- workers

// Sleep until woken, or until a time in nanoseconds is over (< 0: no limit); wake asleep
// (may be NULL) as soon as it can run. Returns whether somebody held the GIL then.
static bool
doze(struct tl_worker *worker, struct tl_sched *asleep, int64_t limit_ns)
{
    struct tl_deferred_wakes *nudge = tl_os_thread_nudge();
    PyThreadState *ts = PyEval_SaveThread();
    if (nudge != NULL) {
        tl_deferred_wakes_flush(nudge);
    }
    if (asleep != NULL) {
        tl_sched_wake(asleep);
    }
    if (limit_ns >= 0 || !tl_park_spin(&worker->park, tl_gil_is_free)) {
        tl_park_sleep(&worker->park, limit_ns, false);
    }
    while (Py_IsFinalizing()) {
        pause(); // there is nothing to come back to
    }
    bool held = !tl_gil_is_free();
    PyEval_RestoreThread(ts);
    return held;
}

static bool
is_surplus(const PoolObject *pool)
{
    return pool->nworkers > pool->max_workers + 1;
}

// Sleep until there is work, or the pool is closed; wake asleep (may be NULL) as soon as
// it can run. Returns false if nobody needs this thread any more.
static bool
rest(struct tl_worker *worker, struct tl_sched *asleep)
{
    PoolObject *pool = worker->pool;
    worker->called = false;
    int64_t end = is_surplus(pool) ? tl_clock_now() + (int64_t)(pool->linger * 1e9) : 0;
    tl_link_insert_before(&worker->idle,
                          pool->idle.next); // the last is warm: the first
    pool->nidle++;
    tl_pool_check(pool);
    tl_idle_threads_begin(&worker->rest, pool->state);
    do {
        tl_park_reset(&worker->park);
        int64_t left = end == 0 ? -1 : end - tl_clock_now();
        if (end != 0 && left <= 0 && is_surplus(pool)) {
            break;
        }
        (void)doze(worker, asleep, left);
        asleep = NULL;
    } while (!worker->called);
    if (asleep != NULL) {
        tl_sched_wake(asleep); // it has not slept at all
    }
    if (!worker->called) {
        tl_link_remove(&worker->idle);
        pool->nidle--;
        tl_pool_check(pool);
        tl_idle_threads_end(&worker->rest, pool->state);
        return false;
    }
    pool->called--;
    return true;
}

// ---- calls that only wait

// Whether it has done next to nothing for its call, for patience nanoseconds at least.
static bool
is_blocked(struct tl_worker *worker, int64_t now, int64_t patience)
{
    int64_t cpu = tl_clock_read(worker->cpu);
    if (worker->seen_jobs != worker->jobs ||
        (cpu - worker->seen_cpu) * NOTHING > now - worker->seen_at) {
        worker->seen_jobs = worker->jobs;
        worker->seen_at = now;
        worker->seen_cpu = cpu;
        return false;
    }
    return now - worker->seen_at >= patience;
}

// Have more workers busy at a time, if those that are compute nothing. Returns whether.
static bool
grow(PoolObject *pool, int64_t patience)
{
    int64_t now = tl_clock_now();
    long blocked = 0;
    for (struct tl_link *i = pool->workers.next; i != &pool->workers; i = i->next) {
        struct tl_worker *worker = TL_CONTAINER(i, struct tl_worker, all);
        blocked += worker->busy && is_blocked(worker, now, patience);
    }
    long limit = pool->max_workers + 2 * blocked;
    limit = limit < pool->most ? limit : pool->most;
    if (limit <= pool->limit) {
        return false;
    }
    pool->limit = limit;
    return true;
}

static bool
is_full(const PoolObject *pool)
{
    return pool->queued > 0 && pool->nbusy >= pool->limit;
}

// All that may be busy are, and there is more to do: see whether they compute, or only
// wait. While somebody computes, those that wait for the GIL look as if they did nothing.
static void
look_out(struct tl_worker *worker, struct tl_sched *asleep)
{
    PoolObject *pool = worker->pool;
    int64_t pause_ns = LOOK;
    pool->has_lookout = true;
    (void)grow(pool, SURE); // note what they do now
    tl_idle_threads_begin(&worker->rest, pool->state);
    bool done;
    do {
        tl_park_reset(&worker->park);
        int64_t cpu = tl_clock_read(CLOCK_PROCESS_CPUTIME_ID), start = tl_clock_now();
        bool computing = doze(worker, asleep, pause_ns);
        asleep = NULL;
        cpu = tl_clock_read(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        computing |= 2 * cpu > tl_clock_now() - start;
        pause_ns = pause_ns < LOOK_MOST ? 2 * pause_ns : LOOK_MOST;
        done = !is_full(pool) || grow(pool, computing ? SURE : LOOK);
    } while (!done);
    tl_idle_threads_end(&worker->rest, pool->state);
    pool->has_lookout = false;
}

// ---- the thread

static struct tl_worker *
worker_new(PoolObject *pool)
{
    struct tl_worker *worker = PyMem_Calloc(1, sizeof *worker);
    if (worker == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    tl_link_init(&worker->idle);
    tl_link_init(&worker->rest.link);
    tl_link_init(&worker->all);
    tl_link_insert_before(&worker->all, &pool->workers);
    tl_park_init(&worker->park);
    worker->park.many_cpus = (worker->park.cpus & (worker->park.cpus - 1)) != 0;
    worker->pool = pool;
#ifdef __linux__
    if (pthread_getcpuclockid(pthread_self(), &worker->cpu) != 0)
#endif
    {
        worker->cpu = CLOCK_MONOTONIC; // it seems to compute all the time
    }
    return worker;
}

// The calling thread is no worker any more.
static void
worker_free(struct tl_worker *worker)
{
    tl_link_remove(&worker->all);
    tl_park_fini(&worker->park);
    PyMem_Free(worker);
}

static void
serve(struct tl_worker *worker)
{
    PoolObject *pool = worker->pool;
    unsigned generation = pool->generation;
    struct tl_sched *asleep = NULL;
    while (generation == pool->generation) {
        if (is_full(pool)) {
            look_out(worker, asleep);
            asleep = NULL;
            continue;
        }
        JobObject *job = tl_job_take(pool);
        if (job == NULL) {
            if (pool->nbusy <= pool->max_workers) {
                pool->limit = pool->max_workers;
            }
            if (pool->closed) {
                break;
            }
            bool is_needed = rest(worker, asleep);
            asleep = NULL; // rest() has woken it, and it may be gone by now
            if (!is_needed) {
                break;
            }
            continue;
        }
        worker->busy = true;
        worker->jobs++;
        pool->nbusy++;
        tl_pool_check(pool);
        if (asleep != NULL) {
            tl_sched_wake(asleep); // what comes now may take long
        }
        if (tl_worker_call_somebody(pool) < 0) {
            PyErr_Clear(); // there is one at least
        }
        asleep = tl_job_run(job);
        worker->busy = false;
        if (generation == pool->generation) {
            pool->nbusy--;
            tl_pool_check(pool);
        }
    }
    if (asleep != NULL) {
        tl_sched_wake(asleep);
    }
}

int
tl_pool_work(PoolObject *pool)
{
    unsigned generation = pool->generation;
    if (tl_worker_mine != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this thread is a worker already");
        return -1;
    }
    pool->starting -= pool->starting > 0;
    if (pool->nworkers >= capacity(pool)) {
        return tl_worker_call_somebody(pool); // its start was thought to have failed
    }
    struct tl_worker *worker = worker_new(pool);
    if (worker == NULL) {
        return -1;
    }
    pool->nworkers++;
    tl_worker_mine = worker;
    serve(worker);
    tl_worker_mine = NULL;
    worker_free(worker);
    if (generation == pool->generation && --pool->nworkers == 0) {
        tl_job_release(&pool->waiters, NULL);
    }
    return 0;
}

void
tl_pool_close(PoolObject *pool)
{
    pool->closed = true;
    while (pool->nidle > 0) {
        call_idle(pool);
    }
}

static bool
is_empty(const PoolObject *pool)
{
    return pool->nworkers + pool->starting == 0;
}

static bool
pool_has_ended(const struct tl_leave *how)
{
    return is_empty((PoolObject *)how->on);
}

int
tl_pool_join(PoolObject *pool)
{
    if (tl_worker_mine != NULL && tl_worker_mine->pool == pool) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a worker cannot wait for the end of its own pool");
        return -1;
    }
    while (!is_empty(pool)) {
        struct tl_sched *s = tl_sched_get(pool->state);
        if (s == NULL || tl_errors_check_may_wait(s) < 0) {
            return -1;
        }
        struct tl_leave how = {.kind = &tl_job_end_wait,
                               .on = (PyObject *)pool,
                               .queue = &pool->waiters,
                               .comes = true,
                               .has_come = pool_has_ended};
        if (tl_job_wait_for_workers(s, &how) < 0) {
            return -1;
        }
    }
    return 0;
}

// ---- fork

// The first job of which the thread did not come along, or NULL.
static JobObject *
find_lost(PoolObject *pool)
{
    struct tl_link *i = pool->running.next;
    while (i != &pool->running && tl_worker_mine != NULL &&
           tl_job_of(i)->worker == tl_worker_mine) {
        i = i->next;
    }
    return i != &pool->running ? tl_job_of(i) : NULL;
}

// Returns 0, or -1 with an exception set.
static int
lose(JobObject *job, PyObject *jobs)
{
    tl_link_remove(&job->link);
    job->state = TL_JOB_LOST;
    job->worker = NULL;
    tl_job_release(&job->waiters, NULL);
    return PyList_Append(jobs, (PyObject *)job);
}

PyObject *
tl_pool_after_fork(PoolObject *pool)
{
    PyObject *jobs = PyList_New(0);
    int result = jobs == NULL ? -1 : 0;
    if (pool->generation == pool->state->forks) {
        return jobs; // there has been no fork
    }
    pool->generation = pool->state->forks;
    pool->nworkers = pool->nidle = pool->nbusy = pool->starting = pool->called = 0;
    pool->limit = pool->max_workers;
    pool->has_lookout = false;
    tl_link_init(&pool->idle);
    tl_link_init(&pool->state->resting);
    pool->state->nresting = 0;
    while (result == 0 && !tl_link_is_single(&pool->workers)) {
        struct tl_worker *worker =
            TL_CONTAINER(pool->workers.next, struct tl_worker, all);
        tl_link_remove(&worker->all);
        if (worker == tl_worker_mine) {
            continue; // it goes on with what it does, and ends
        }
        PyMem_Free(worker);
    }
    tl_job_release(&pool->waiters, NULL);
    JobObject *lost;
    while (result == 0 && (lost = find_lost(pool)) != NULL) {
        result = lose(lost, jobs);
    }
    while (result == 0 && pool->queued > 0) {
        JobObject *job = tl_job_take(pool);
        result = lose(job, jobs);
        Py_DECREF(job);
    }
    if (result < 0) {
        Py_CLEAR(jobs);
    }
    return jobs;
}
