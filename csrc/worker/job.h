// job.h - what calls for workers and the workers themselves have of each other.
#ifndef TL_JOB_H
#define TL_JOB_H

#include "worker/worker.h"

// ---- job.c

static inline JobObject *
tl_job_of(struct tl_link *link)
{
    return TL_CONTAINER(link, JobObject, link);
}

// Wait for what workers are sure to do. Returns 0, or -1 with an exception set.
// Switch: yes.
int tl_job_wait_for_workers(struct tl_sched *s, const struct tl_leave *how);

// How the end of a pool is waited for.
extern const struct tl_wait_kind tl_job_end_wait;

// Wake all who wait in queue. *asleep, if it is not NULL, takes the first that has to be
// woken by tl_sched_wake().
void tl_job_release(struct tl_link *queue, struct tl_sched **asleep);

// The first of the queue, with its reference, for this thread to run, or NULL.
JobObject *tl_job_take(PoolObject *pool);

// Run what tl_job_take() returned, and drop it. Returns who has to be woken by
// tl_sched_wake(), or NULL.
struct tl_sched *tl_job_run(JobObject *job);

// ---- worker.c

// The worker that this thread is, or NULL.
extern TL_THREAD_LOCAL struct tl_worker *tl_worker_mine;

// There are jobs: see that somebody comes for them. Who is on the way will ask for the
// next himself, so that threads do not come in crowds. Returns 0, or -1 with an exception
// set.
int tl_worker_call_somebody(PoolObject *pool);

#endif // TL_JOB_H
