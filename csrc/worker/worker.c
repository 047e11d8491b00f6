// worker.c - worker threads: their loop, and the monitor.
//
// pool.h explains the growth policy and the monitor.
#include "worker/worker.h"
#include "core/errors.h"
#include "core/os_thread.h"
#include "core/thread.h"
#include "cpython/gil.h"
#include "worker/job.h"
#include "base/clock.h"

#include <pthread.h>
#include <unistd.h>

// The poll period of the monitor, in nanoseconds: it begins with MIN_POLL_NS and
// doubles up to MAX_POLL_NS. A short period finds blocked workers soon; a long one
// costs little while calls compute. MIN_POLL_NS is also how long a worker must have
// been idle to count as blocked if nothing computes.
enum { MIN_POLL_NS = 2000000, MAX_POLL_NS = 16000000 };

// The same if something computes: longer than a thread normally waits for the GIL or a
// CPU.
enum { SURELY_BLOCKED_NS = 100000000 };

// A worker that uses less than 1/CPU_SHARE of a CPU counts as blocked: a call that
// waits still wakes up now and then.
enum { CPU_SHARE = 32 };

// ---- workers

// Sleep without the GIL until woken, or for limit_ns nanoseconds (< 0: no limit). Wakes
// the thread of asleep (may be NULL) once the GIL is free for it. Returns whether
// another thread held the GIL at the end.
static bool
park_worker(struct tl_worker *worker, struct tl_sched *asleep, int64_t limit_ns)
{
    struct tl_deferred_wakes *deferred = tl_os_thread_pending_wakes();
    PyThreadState *ts = PyEval_SaveThread();
    if (deferred != NULL) {
        tl_deferred_wakes_flush(deferred);
    }
    if (asleep != NULL) {
        tl_sched_wake(asleep);
    }
    if (limit_ns >= 0 || !tl_park_spin(&worker->park, tl_gil_is_free)) {
        tl_park_sleep(&worker->park, limit_ns, false);
    }
    while (Py_IsFinalizing()) {
        pause(); // the interpreter is gone: a daemon thread never returns to it
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

// Sleep until there is work or the pool is closed. asleep is as in park_worker().
// Returns false if the worker is surplus and has been idle for pool->linger_ns: it must
// end.
static bool
wait_for_work(struct tl_worker *worker, struct tl_sched *asleep)
{
    PoolObject *pool = worker->pool;
    worker->woken = false;
    tl_deadline end =
        is_surplus(pool) ? tl_clock_now() + pool->linger_ns : TL_DEADLINE_NEVER;
    // First in the list: its caches are the warmest.
    tl_link_insert_before(&worker->idle, pool->idle.next);
    pool->nidle++;
    tl_pool_check(pool);
    tl_idle_threads_begin(&worker->idle_thread, pool->state);
    do {
        tl_park_reset(&worker->park);
        int64_t left = end == TL_DEADLINE_NEVER ? -1 : end - tl_clock_now();
        if (end != TL_DEADLINE_NEVER && left <= 0 && is_surplus(pool)) {
            break;
        }
        (void)park_worker(worker, asleep, left);
        asleep = NULL;
    } while (!worker->woken);
    if (asleep != NULL) {
        tl_sched_wake(asleep); // park_worker() was never called
    }
    if (!worker->woken) {
        tl_link_remove(&worker->idle);
        pool->nidle--;
        tl_pool_check(pool);
        tl_idle_threads_end(&worker->idle_thread, pool->state);
        return false;
    }
    pool->nwoken--;
    return true;
}

// ---- the monitor: calls that only wait

// Whether worker has used next to no CPU for its current job, for at least min_ns
// nanoseconds.
static bool
is_blocked(struct tl_worker *worker, int64_t now, int64_t min_ns)
{
    int64_t cpu = tl_clock_read(worker->cpu);
    if (worker->seen_jobs != worker->jobs ||
        (cpu - worker->seen_cpu) * CPU_SHARE > now - worker->seen_at) {
        worker->seen_jobs = worker->jobs;
        worker->seen_at = now;
        worker->seen_cpu = cpu;
        return false;
    }
    return now - worker->seen_at >= min_ns;
}

// Raise pool->limit if busy workers are blocked. Returns whether it was raised.
static bool
raise_limit(PoolObject *pool, int64_t min_ns)
{
    int64_t now = tl_clock_now();
    long blocked = 0;
    for (struct tl_link *i = pool->workers.next; i != &pool->workers; i = i->next) {
        struct tl_worker *worker = TL_CONTAINER(i, struct tl_worker, all);
        blocked += worker->busy && is_blocked(worker, now, min_ns);
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

// Be the monitor, until the queue is empty, a worker is free or the limit has grown.
static void
monitor(struct tl_worker *worker, struct tl_sched *asleep)
{
    PoolObject *pool = worker->pool;
    int64_t pause_ns = MIN_POLL_NS;
    pool->has_monitor = true;
    (void)raise_limit(pool, SURELY_BLOCKED_NS); // note what the workers do now
    tl_idle_threads_begin(&worker->idle_thread, pool->state);
    bool done;
    do {
        tl_park_reset(&worker->park);
        int64_t cpu = tl_clock_read(CLOCK_PROCESS_CPUTIME_ID), start = tl_clock_now();
        bool computing = park_worker(worker, asleep, pause_ns);
        asleep = NULL;
        cpu = tl_clock_read(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        computing |= 2 * cpu > tl_clock_now() - start;
        pause_ns = pause_ns < MAX_POLL_NS ? 2 * pause_ns : MAX_POLL_NS;
        done = !is_full(pool) ||
               raise_limit(pool, computing ? SURELY_BLOCKED_NS : MIN_POLL_NS);
    } while (!done);
    tl_idle_threads_end(&worker->idle_thread, pool->state);
    pool->has_monitor = false;
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
    tl_link_init(&worker->idle_thread.link);
    tl_link_init(&worker->all);
    tl_link_insert_before(&worker->all, &pool->workers);
    tl_park_init(&worker->park);
    worker->park.many_cpus = (worker->park.cpus & (worker->park.cpus - 1)) != 0;
    worker->pool = pool;
#ifdef __linux__
    if (pthread_getcpuclockid(pthread_self(), &worker->cpu) != 0)
#endif
    {
        worker->cpu = CLOCK_MONOTONIC; // it seems to compute: the limit does not grow
    }
    return worker;
}

// The calling thread stops being a worker.
static void
worker_free(struct tl_worker *worker)
{
    tl_link_remove(&worker->all);
    tl_park_fini(&worker->park);
    PyMem_Free(worker);
}

// The loop of a worker. asleep is the scheduler of the tasklet whose job was done last:
// its thread is woken late, when this one gives up the GIL, or before the next job.
static void
serve(struct tl_worker *worker)
{
    PoolObject *pool = worker->pool;
    unsigned generation = pool->generation;
    struct tl_sched *asleep = NULL;
    while (generation == pool->generation) {
        if (is_full(pool)) {
            monitor(worker, asleep);
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
            bool is_needed = wait_for_work(worker, asleep);
            asleep = NULL; // it was woken, and may be gone by now
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
            tl_sched_wake(asleep); // the job may take long
        }
        if (tl_pool_ensure_worker(pool) < 0) {
            PyErr_Clear(); // this worker will take the next job itself
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
    if (pool->nworkers >= tl_pool_capacity(pool)) {
        // Its start was counted as failed, and another thread has taken its place.
        return tl_pool_ensure_worker(pool);
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
        tl_job_wake_all(&pool->waiters, NULL);
    }
    return 0;
}

void
tl_pool_close(PoolObject *pool)
{
    pool->closed = true;
    while (pool->nidle > 0) {
        tl_pool_wake_idle(pool);
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
                               .deadline = TL_DEADLINE_NEVER,
                               .comes = true,
                               .last_check = pool_has_ended};
        if (tl_job_wait_for_workers(s, &how) < 0) {
            return -1;
        }
    }
    return 0;
}

// ---- fork

// The first running job whose worker does not exist in the child, or NULL.
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

// Mark job as lost, and append it to jobs. Returns 0, or -1 with an exception set.
static int
lose(JobObject *job, PyObject *jobs)
{
    tl_link_remove(&job->link);
    job->state = TL_JOB_LOST;
    job->worker = NULL;
    tl_job_wake_all(&job->waiters, NULL);
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
    pool->nworkers = pool->nidle = pool->nbusy = pool->starting = pool->nwoken = 0;
    pool->limit = pool->max_workers;
    pool->has_monitor = false;
    tl_link_init(&pool->idle);
    tl_link_init(&pool->state->idle_workers);
    pool->state->nidle_workers = 0;
    while (result == 0 && !tl_link_is_single(&pool->workers)) {
        struct tl_worker *worker =
            TL_CONTAINER(pool->workers.next, struct tl_worker, all);
        tl_link_remove(&worker->all);
        if (worker == tl_worker_mine) {
            continue; // the forking worker: it finishes its job, and ends
        }
        PyMem_Free(worker);
    }
    tl_job_wake_all(&pool->waiters, NULL);
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
