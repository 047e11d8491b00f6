// pool.c - the state of a pool: its checks, and how workers are woken and started.
#include "worker/pool.h"
#include "core/os_thread.h"
#include "cpython/gil.h"

TL_THREAD_LOCAL struct tl_worker *tl_worker_mine;

#ifndef NDEBUG
static void
check_queue(const PoolObject *pool)
{
    Py_ssize_t queued = 0, admitted = 0;
    const struct tl_link *i = pool->queue.next;
    for (; i != &pool->queue; i = i->next) {
        const JobObject *job = TL_CONTAINER(i, const JobObject, link);
        TL_CHECK("I1", "job", job, job->state == TL_JOB_QUEUED && job->pool == pool);
        TL_CHECK("I3", "job", job, job->admitted == (queued < pool->admitted));
        TL_CHECK("I1", "pool", pool,
                 (i == pool->next_outside) == (queued == pool->admitted));
        admitted += job->admitted;
        queued++;
    }
    TL_CHECK("I1", "pool", pool, pool->queued == queued);
    TL_CHECK("I1", "pool", pool, pool->admitted == admitted);
    for (i = pool->running.next; i != &pool->running; i = i->next) {
        const JobObject *job = TL_CONTAINER(i, const JobObject, link);
        TL_CHECK("I1", "job", job, job->state == TL_JOB_RUNNING && job->pool == pool);
    }
}

static void
check_idle(const PoolObject *pool)
{
    long idle = 0;
    for (struct tl_link *i = pool->idle.next; i != &pool->idle; i = i->next) {
        const struct tl_worker *worker = TL_CONTAINER(i, struct tl_worker, idle);
        TL_CHECK("I5", "pool", pool, worker->pool == pool && !worker->woken);
        idle++;
    }
    TL_CHECK("I5", "pool", pool, pool->nidle == idle);
}

void
tl_pool_check(PoolObject *pool)
{
    TL_CHECK("I1", "pool", pool,
             tl_link_is_single(&pool->queue) == (pool->queued == 0));
    TL_CHECK("I1", "pool", pool, pool->admitted >= 0 && pool->admitted <= pool->queued);
    TL_CHECK("I1", "pool", pool,
             (pool->next_outside == &pool->queue) == (pool->admitted == pool->queued));
    TL_CHECK("I4", "pool", pool,
             pool->max_workers <= pool->limit && pool->limit <= pool->most);
    TL_CHECK("I3", "pool", pool, pool->nbusy >= 0 && pool->nbusy <= pool->limit);
    TL_CHECK("I5", "pool", pool, tl_link_is_single(&pool->idle) == (pool->nidle == 0));
    size_t length = (size_t)(pool->queued + pool->nidle + pool->nworkers);
    if (tl_check_is_due(&pool->changes, length)) {
        check_queue(pool);
        check_idle(pool);
    }
}

void
tl_job_check(const JobObject *job)
{
    bool is_listed = !tl_link_is_single(&job->link);
    TL_CHECK("I1", "job", job, is_listed == !(job->state >= TL_JOB_DONE));
    TL_CHECK("I1", "job", job,
             job->state != TL_JOB_QUEUED ||
                 tl_link_may_be_in(&job->link, &job->pool->queue));
    TL_CHECK("I1", "job", job,
             job->state != TL_JOB_RUNNING ||
                 tl_link_may_be_in(&job->link, &job->pool->running));
    TL_CHECK("I2", "job", job,
             job->state != TL_JOB_QUEUED || (job->func != NULL && job->args != NULL));
    TL_CHECK("I2", "job", job,
             job->state == TL_JOB_DONE || (job->value == NULL && job->exc == NULL));
    tl_pool_check(job->pool);
}
#endif

// ---- waking and starting workers

void
tl_pool_wake_idle(PoolObject *pool)
{
    struct tl_worker *worker = TL_CONTAINER(pool->idle.next, struct tl_worker, idle);
    tl_link_remove(&worker->idle);
    pool->nidle--;
    pool->nwoken++;
    worker->woken = true;
    tl_pool_check(pool);
    tl_idle_threads_end(&worker->idle_thread, pool->state);
    tl_park_wake(&worker->park);
}

long
tl_pool_capacity(const PoolObject *pool)
{
    return pool->limit < pool->most ? pool->limit + 1 : pool->most;
}

// A call of func(arg) that a helper thread makes for the main thread.
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

// Start a thread. Returns 0, or -1 with an exception set. May run Python code.
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
    // If the error did not come from starting the thread (a signal handler raised,
    // say), a thread that does start is dealt with in tl_pool_work().
    if (generation == pool->generation && pool->starting > 0) {
        pool->starting--;
    }
    return -1;
}

int
tl_pool_ensure_worker(PoolObject *pool)
{
    if (pool->queued == 0 || pool->nwoken + pool->starting > 0 || pool->has_monitor) {
        return 0;
    }
    if (pool->nidle > 0) {
        tl_pool_wake_idle(pool);
        return 0;
    }
    if (pool->nworkers >= tl_pool_capacity(pool) || start_one(pool) == 0) {
        return 0;
    }
    if (pool->nworkers > 0 && PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        PyErr_Clear(); // "can't start new thread": the existing workers will do it
        return 0;
    }
    return -1;
}
