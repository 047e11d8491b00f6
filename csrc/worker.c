#include "worker.h"
#include "errors.h"
#include "gil.h"
#include "job.h"

#include <unistd.h>

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
    tl_rest_end(&worker->rest, pool->state);
    tl_park_wake(&worker->park);
}

// Have one more thread. Returns 0, or -1 with an exception set. Other code may run.
static int
start_one(PoolObject *pool)
{
    unsigned generation = pool->generation;
    pool->starting++;
    PyObject *result = PyObject_CallOneArg(pool->start, (PyObject *)pool);
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
    if (pool->queued == 0 || pool->called + pool->starting > 0) {
        return 0;
    }
    if (pool->nidle > 0) {
        call_idle(pool);
        return 0;
    }
    if (pool->nworkers >= pool->max_workers || start_one(pool) == 0) {
        return 0;
    }
    if (pool->nworkers > 0 && PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        PyErr_Clear(); // no more threads: those that there are do it
        return 0;
    }
    return -1;
}

// ---- workers

// Sleep until there is work, or the pool is closed; wake asleep (may be NULL) as soon as
// it can run.
static void
rest(struct tl_worker *worker, struct tl_sched *asleep)
{
    PoolObject *pool = worker->pool;
    struct tl_sched *s = tl_sched_mine;
    worker->called = false;
    tl_link_insert_before(&worker->idle,
                          pool->idle.next); // the last is warm: the first
    pool->nidle++;
    tl_rest_begin(&worker->rest, pool->state);
    if (s != NULL && s->owes != NULL) {
        tl_sched_settle(s);
    }
    do {
        tl_park_reset(&worker->park);
        PyThreadState *ts = PyEval_SaveThread();
        if (asleep != NULL) {
            tl_sched_wake(asleep);
            asleep = NULL;
        }
        if (!tl_park_spin(&worker->park, tl_gil_is_free)) {
            tl_park_sleep(&worker->park, -1, false);
        }
        while (Py_IsFinalizing()) {
            pause(); // there is nothing to come back to
        }
        PyEval_RestoreThread(ts);
    } while (!worker->called);
    pool->called--;
}

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
        JobObject *job = tl_job_take(pool);
        if (job == NULL) {
            if (pool->closed) {
                break;
            }
            rest(worker, asleep);
            asleep = NULL;
            continue;
        }
        if (asleep != NULL) {
            tl_sched_wake(asleep); // what comes now may take long
        }
        if (tl_worker_call_somebody(pool) < 0) {
            PyErr_Clear(); // there is one at least
        }
        asleep = tl_job_run(job);
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
    if (pool->nworkers >= pool->max_workers) {
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
    pool->generation++;
    pool->nworkers = pool->nidle = pool->starting = pool->called = 0;
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
