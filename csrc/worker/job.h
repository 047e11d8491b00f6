// job.h - calls that workers run: queueing them, running them, waiting for the outcome.
#ifndef TL_JOB_H
#define TL_JOB_H

#include "worker/pool.h"

// Call func(*args, **kwargs) on a worker and wait for the outcome, for at most timeout
// seconds. kwargs may be NULL; timeout NULL or None: no limit. Returns a new reference,
// or NULL with an exception set: the call's own, or that of the wait. After
// TimeoutError or a kill the call goes on, or still takes its turn.
// Switch: yes.
PyObject *tl_pool_call(PoolObject *pool, PyObject *func, PyObject *args,
                       PyObject *kwargs, PyObject *timeout);

// Queue the call for a worker. owner is the argument of on_abandoned, or NULL. Waits
// while the queue is full, unless at_once. Returns a new reference, or NULL with an
// exception set: then the call will not run.
// Switch: may.
JobObject *tl_pool_submit(PoolObject *pool, PyObject *func, PyObject *args,
                          PyObject *kwargs, PyObject *owner, bool at_once);

// Wait until job is done, cancelled or lost, for at most timeout seconds. Returns 0, or
// -1 with an exception set.
// Switch: may.
int tl_job_wait(JobObject *job, PyObject *timeout);

// Take job out of the queue: it will never run. Returns false if a worker has begun it.
// May run Python code.
bool tl_job_cancel(JobObject *job);

// ---- for worker.c

// Wait as how says for something that a worker will do. Returns 0, or -1 with an
// exception set.
// Switch: yes.
int tl_job_wait_for_workers(struct tl_sched *s, const struct tl_leave *how);

// Waiting for the end of a pool's workers.
extern const struct tl_wait_kind tl_job_end_wait;

// Wake all tasklets in queue. If asleep is not NULL, *asleep takes the scheduler of the
// first one whose thread sleeps: the caller must wake it by tl_sched_wake().
void tl_job_wake_all(struct tl_link *queue, struct tl_sched **asleep);

// Take the first job of the queue, with the queue's reference, for the calling worker;
// or NULL.
JobObject *tl_job_take(PoolObject *pool);

// Run a job that tl_job_take() returned, and drop it. Returns the scheduler that the
// caller must wake by tl_sched_wake(), or NULL.
// Thread: a worker's.  Switch: may.
struct tl_sched *tl_job_run(JobObject *job);

#endif // TL_JOB_H
