// job.h - shared by job.c and worker.c: taking and running jobs, and getting a worker.
#ifndef TL_JOB_H
#define TL_JOB_H

#include "worker/worker.h"

// ---- job.c

static inline JobObject *
tl_job_of(struct tl_link *link)
{
    return TL_CONTAINER(link, JobObject, link);
}

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

// ---- worker.c

// The calling thread's worker, or NULL if it is not one.
extern TL_THREAD_LOCAL struct tl_worker *tl_worker_mine;

// If there are jobs in the queue, make sure that a worker is on its way: wake an idle
// one or start a thread. A worker on its way calls this again when it takes a job, so
// threads do not start or wake in crowds. Returns 0, or -1 with an exception set. May
// run Python code.
int tl_worker_ensure(PoolObject *pool);

#endif // TL_JOB_H
