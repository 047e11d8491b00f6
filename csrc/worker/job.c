// job.c - jobs: calls in the queue of a pool, running them, and waiting for their
// outcome.
#include "worker/job.h"
#include "core/errors.h"
#include "core/scope.h"
#include "core/stress_points.h"
#include "core/task_settings.h"
#include "core/thread.h"
#include "core/timer.h"
#include "object/live_counts.h"

static bool
is_over(JobObject *job)
{
    return job->state >= TL_JOB_DONE;
}

// ---- waiters

static void
count_waiter(struct tl_wait *wait, int n)
{
    struct tl_sched *s = tl_task_of_wait(wait)->home;
    s->awaited += n;
    s->worker_waits += n;
}

static void
waiter_joined(struct tl_wait *wait)
{
    count_waiter(wait, 1);
}

static void
waiter_left(struct tl_wait *wait)
{
    count_waiter(wait, -1);
}

static const struct tl_wait_kind call_wait = {
    .verb = "get the outcome of", .joined = waiter_joined, .left = waiter_left};
static const struct tl_wait_kind room_wait = {
    .verb = "get room in the queue for", .joined = waiter_joined, .left = waiter_left};
const struct tl_wait_kind tl_job_end_wait = {
    .verb = "see the end of", .joined = waiter_joined, .left = waiter_left};

int
tl_job_wait_for_workers(struct tl_sched *s, const struct tl_leave *how)
{
    bool plain = tl_sched_is_plain(s) && how->deadline == TL_DEADLINE_NEVER &&
                 !tl_takes_detour() && !how->last_check(how);
    PyObject *value = plain ? tl_sched_wait(s, how->kind, how->on, how->queue, NULL)
                            : tl_sched_leave(s, how);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

void
tl_job_wake_all(struct tl_link *queue, struct tl_sched **asleep)
{
    while (!tl_link_is_single(queue)) {
        TaskletObject *t = tl_task_of(queue->next);
        tl_task_end_wait(t);
        if (asleep != NULL && *asleep == NULL) {
            *asleep = tl_sched_ready_asleep(t);
        } else {
            tl_sched_ready(t);
        }
    }
}

// ---- the queue

static bool
has_room(const PoolObject *pool)
{
    return pool->max_queued == 0 || pool->admitted < pool->max_queued;
}

static void
admit_job(PoolObject *pool, JobObject *job)
{
    job->admitted = true;
    pool->admitted++;
    pool->next_outside = job->link.next;
    if (!tl_link_is_single(&job->waiters) &&
        tl_task_of(job->waiters.next)->wait.kind == &room_wait) {
        tl_job_wake_all(&job->waiters,
                        NULL); // the submitter: no other knows the job yet
    }
}

static void
append_job(PoolObject *pool, JobObject *job)
{
    Py_INCREF(job);
    tl_link_insert_before(&job->link, &pool->queue);
    pool->queued++;
    if (pool->next_outside == &pool->queue) {
        if (has_room(pool)) {
            job->admitted = true;
            pool->admitted++;
        } else {
            pool->next_outside = &job->link;
        }
    }
    tl_job_check(job);
}

// Take job out of the queue. The queue's reference passes to the caller.
static void
unqueue_job(PoolObject *pool, JobObject *job)
{
    if (&job->link == pool->next_outside) {
        pool->next_outside = job->link.next;
    }
    tl_link_remove(&job->link);
    pool->queued--;
    if (job->admitted) {
        pool->admitted--;
        if (pool->next_outside != &pool->queue && has_room(pool)) {
            admit_job(pool, tl_job_of(pool->next_outside));
        }
    }
}

// Take job out of the queue and make the calling worker its owner.
static void
begin_job(PoolObject *pool, JobObject *job)
{
    unqueue_job(pool, job);
    job->state = TL_JOB_RUNNING;
    job->worker = tl_worker_mine;
    tl_link_insert_before(&job->link, &pool->running);
    tl_job_check(job);
}

JobObject *
tl_job_take(PoolObject *pool)
{
    if (pool->queued == 0) {
        return NULL;
    }
    JobObject *job = tl_job_of(pool->queue.next);
    begin_job(pool, job);
    return job;
}

// ---- jobs

static JobObject *
job_new(PoolObject *pool, PyObject *func, PyObject *args, PyObject *kwargs,
        PyObject *owner)
{
    PyTypeObject *type = pool->state->job_type;
    JobObject *job = (JobObject *)type->tp_alloc(type, 0); // zeroed
    if (job == NULL) {
        return NULL;
    }
    tl_live_add(TL_LIVE_JOB, 1);
    tl_link_init(&job->link);
    tl_link_init(&job->waiters);
    job->pool = (PoolObject *)Py_NewRef(pool);
    job->func = Py_NewRef(func);
    job->args = Py_NewRef(args);
    job->kwargs = Py_XNewRef(kwargs);
    job->owner = Py_XNewRef(owner);
    job->context = PyContext_CopyCurrent();
    if (job->context == NULL) {
        Py_CLEAR(job);
    }
    return job;
}

// Put a new job into the queue, and see that a worker comes. Returns 0, or -1 with an
// exception set: then the job is not in the queue.
static int
enqueue(PoolObject *pool, JobObject *job)
{
    if (pool->closed) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot schedule new futures after shutdown");
        return -1;
    }
    if (pool->state->ending) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot schedule new futures after interpreter shutdown");
        return -1;
    }
    append_job(pool, job);
    if (tl_pool_ensure_worker(pool) < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        (void)tl_job_cancel(job);
        PyErr_SetRaisedException(exc);
        return -1;
    }
    TL_CHECK("I2", "pool", pool,
             pool->queued == 0 || pool->nwoken + pool->starting > 0 ||
                 pool->has_monitor || pool->nidle == 0);
    return 0;
}

// If the job is over and the last waiter has left without the outcome, call
// on_abandoned.
static void
report_abandoned(JobObject *job)
{
    if (!is_over(job) || job->awaited > 0) {
        return;
    }
    PyObject *owner = job->owner, *func = job->pool->on_abandoned;
    job->owner = NULL;
    if (owner != NULL && func != NULL && job->given_up && !job->delivered) {
        PyObject *exc = PyErr_GetRaisedException();
        PyObject *result = PyObject_CallOneArg(func, owner);
        if (result == NULL) {
            tl_errors_unraisable(job->pool->state, func);
        }
        Py_XDECREF(result);
        PyErr_SetRaisedException(exc);
    }
    Py_XDECREF(owner);
}

static void
drop_call(JobObject *job)
{
    Py_CLEAR(job->func);
    Py_CLEAR(job->args);
    Py_CLEAR(job->kwargs);
    Py_CLEAR(job->context);
}

bool
tl_job_cancel(JobObject *job)
{
    if (job->state != TL_JOB_QUEUED) {
        return false;
    }
    unqueue_job(job->pool, job);
    job->state = TL_JOB_CANCELLED;
    tl_job_check(job);
    tl_job_wake_all(&job->waiters, NULL);
    drop_call(job);
    Py_CLEAR(job->owner);
    Py_DECREF(job); // the queue's reference; the caller has another
    return true;
}

// Store the outcome, and wake the waiters. Returns as tl_job_run().
static struct tl_sched *
finish(JobObject *job, PyObject *value, PyObject *exc)
{
    struct tl_sched *asleep = NULL;
    job->value = value;
    job->exc = exc;
    job->state = TL_JOB_DONE;
    job->worker = NULL;
    tl_link_remove(&job->link);
    tl_job_check(job);
    TL_CHECK("I2", "job", job, (value == NULL) == (exc != NULL));
    job->pool->finished++;
    tl_job_wake_all(&job->waiters, &asleep);
    report_abandoned(job);
    return asleep;
}

// Settings of the worker's tasklet and thread that a call may have changed and not
// restored. They must not affect the next call.
struct traits {
    TaskletObject *who; // borrowed
    const struct tl_scope *scopes;
    int trap;
    bool atomic, block_trap;
};

static struct traits
traits_here(void)
{
    struct traits traits = {0};
    if (tl_sched_mine != NULL) {
        TaskletObject *t = traits.who = tl_sched_mine->current;
        traits.scopes = t->scopes;
        traits.trap = tl_sched_mine->trap;
        traits.atomic = t->atomic;
        traits.block_trap = t->block_trap;
    }
    return traits;
}

static void
restore(const struct traits *before)
{
    TaskletObject *t = tl_sched_mine != NULL ? tl_sched_mine->current : NULL;
    if (t == NULL || (before->who != NULL && before->who != t)) {
        return;
    }
    if (t->atomic && !before->atomic) {
        tl_task_set_atomic(t, false);
    }
    t->block_trap = before->block_trap;
    tl_sched_mine->trap = before->trap;
    tl_scope_end(t, before->scopes);
}

struct tl_sched *
tl_job_run(JobObject *job)
{
    PyObject *value = NULL, *exc = NULL;
    struct traits before = traits_here();
    if (PyContext_Enter(job->context) == 0) {
        value = PyObject_Call(job->func, job->args, job->kwargs);
        exc = value == NULL ? PyErr_GetRaisedException() : NULL;
        if (PyContext_Exit(job->context) < 0) {
            PyErr_Clear(); // the call has entered another context
        }
    } else {
        exc = PyErr_GetRaisedException();
    }
    restore(&before);
    drop_call(job);
    struct tl_sched *asleep = finish(job, value, exc);
    Py_DECREF(job);
    return asleep;
}

// ---- waiting for a job

static bool
job_is_over(const struct tl_leave *how)
{
    return is_over((JobObject *)how->on);
}

static bool
is_admitted(JobObject *job)
{
    return is_over(job) || job->admitted;
}

static bool
job_has_room(const struct tl_leave *how)
{
    return is_admitted((JobObject *)how->on);
}

// A worker that waits for a queued job runs it itself if all workers of the pool are
// busy: they may all wait for such jobs, which would then never run.
static void
run_it_here(JobObject *job)
{
    PoolObject *pool = job->pool;
    if (tl_worker_mine != NULL && tl_worker_mine->pool == pool &&
        job->state == TL_JOB_QUEUED && pool->nworkers >= pool->max_workers &&
        pool->nidle + pool->nwoken == 0) {
        begin_job(pool, job);
        struct tl_sched *asleep = tl_job_run(job);
        if (asleep != NULL) {
            tl_sched_wake(asleep);
        }
    }
}

// Wait until job is over, or until deadline. The caller holds a reference to job.
// Returns 0, or -1 with an exception set.
static int
wait_for_job(struct tl_sched *s, JobObject *job, tl_deadline deadline)
{
    if (tl_errors_check_may_wait(s) < 0) {
        return -1;
    }
    run_it_here(job);
    if (is_over(job)) {
        return 0;
    }
    struct tl_leave how = {.kind = &call_wait,
                           .on = (PyObject *)job,
                           .queue = &job->waiters,
                           .deadline = deadline,
                           .comes = true,
                           .last_check = job_is_over};
    job->given_up = false;
    job->awaited++;
    int result = tl_job_wait_for_workers(s, &how);
    job->awaited--;
    job->delivered |= result == 0;
    job->given_up |= result < 0;
    report_abandoned(job);
    return result;
}

// Raise the error of a job that has no outcome. Returns 0 if it has one, else -1.
static int
check_outcome(JobObject *job)
{
    if (job->state == TL_JOB_CANCELLED) {
        PyErr_SetString(job->pool->state->cancelled_error,
                        "the call was cancelled before a worker began with it");
        return -1;
    }
    if (job->state == TL_JOB_LOST) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the worker with this call has stayed behind in the process "
                        "that forked");
        return -1;
    }
    return 0;
}

int
tl_job_wait(JobObject *job, PyObject *timeout)
{
    struct tl_sched *s = tl_sched_for((PyObject *)job);
    tl_deadline deadline;
    if (s == NULL || tl_timer_deadline(timeout, &deadline) < 0 ||
        (!is_over(job) && wait_for_job(s, job, deadline) < 0)) {
        return -1;
    }
    return 0;
}

PyObject *
tl_pool_call(PoolObject *pool, PyObject *func, PyObject *args, PyObject *kwargs,
             PyObject *timeout)
{
    struct tl_sched *s = tl_sched_get(pool->state);
    tl_deadline deadline;
    if (s == NULL || tl_timer_deadline(timeout, &deadline) < 0 ||
        tl_errors_check_may_wait(s) < 0) {
        return NULL;
    }
    JobObject *job = job_new(pool, func, args, kwargs, NULL);
    PyObject *value = NULL;
    if (job != NULL && enqueue(pool, job) == 0 && wait_for_job(s, job, deadline) == 0 &&
        check_outcome(job) == 0) {
        value = job->value;
        job->value = NULL;
        if (value == NULL) {
            PyObject *exc = job->exc;
            job->exc = NULL;
            PyErr_SetRaisedException(exc);
        }
    }
    Py_XDECREF(job);
    return value;
}

JobObject *
tl_pool_submit(PoolObject *pool, PyObject *func, PyObject *args, PyObject *kwargs,
               PyObject *owner, bool at_once)
{
    struct tl_sched *s = NULL;
    if (!has_room(pool) && !at_once) {
        s = tl_sched_get(pool->state);
        if (s == NULL || tl_errors_check_may_wait(s) < 0) {
            return NULL;
        }
    }
    JobObject *job = job_new(pool, func, args, kwargs, owner);
    if (job == NULL || enqueue(pool, job) < 0) {
        Py_XDECREF(job);
        return NULL;
    }
    if (at_once || is_admitted(job)) {
        return job;
    }
    if (s == NULL) {
        s = tl_sched_get(pool->state); // the queue has become full since the look above
    }
    struct tl_leave how = {.kind = &room_wait,
                           .on = (PyObject *)job,
                           .queue = &job->waiters,
                           .deadline = TL_DEADLINE_NEVER,
                           .comes = true,
                           .last_check = job_has_room};
    if (s == NULL || tl_job_wait_for_workers(s, &how) < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        (void)tl_job_cancel(job);
        Py_DECREF(job);
        PyErr_SetRaisedException(exc);
        return NULL;
    }
    return job;
}
