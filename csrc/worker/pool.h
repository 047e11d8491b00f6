// pool.h - pools of worker threads, and the calls (jobs) that tasklets wait for.
//
// How many threads. If a job is queued and no worker is idle or on its way, the pool
// starts another thread, up to its limit. It does so one at a time: a worker that takes
// a job and finds more in the queue gets the next one started or woken. max_workers is
// the number of threads for calls that compute. limit, the number of workers that may
// be busy now, begins there and can grow up to most, because calls that only wait (for
// a disk, a lock, a network) must not hold up the others. One thread more than limit
// may exist.
//
// The monitor. When limit workers are busy and jobs are queued, the additional thread
// does not take a job but becomes the pool's monitor. It sleeps for a few milliseconds
// at a time and reads the CPU times of the busy workers. A worker that has used next to
// no CPU for a few milliseconds is blocked. limit then grows to max_workers + 2 *
// blocked workers: each blocked worker is replaced, and as many again are ready for the
// next calls that block. If the process computes, or a thread holds the GIL whenever
// the monitor wakes, a worker may just be waiting for the GIL or a CPU. Then it counts
// as blocked only after 100 ms. limit falls back when the queue is empty and no more
// than max_workers are busy. A worker beyond max_workers + 1 ends when it has been idle
// for linger seconds.
//
// Where the CPU time of a thread cannot be read, all workers seem to compute, and limit
// does not grow.
#ifndef TL_POOL_H
#define TL_POOL_H

#include "cpython/compat.h" // before all of the system's

#include "core/idle_threads.h"
#include "base/park.h"

//   QUEUED --a worker takes it--> RUNNING --returns or raises--> DONE
//      |                             |
//      +--tl_job_cancel--> CANCELLED +--(in the child of a fork)--> LOST
//      +------------(in the child of a fork)------------------------^
enum tl_job_state {
    TL_JOB_QUEUED,
    TL_JOB_RUNNING,
    TL_JOB_DONE,
    TL_JOB_CANCELLED,
    TL_JOB_LOST
};

typedef struct PoolObject PoolObject;

// One call.
//
// Invariants
// I1: link is in pool's queue, which owns a reference, iff state is QUEUED; in pool's
//     list running, whose worker owns one, iff it is RUNNING. A new job is QUEUED
//     before it is in the queue, and in the queue before Python code can see it.
// I2: func and args are set until the call has returned or was cancelled; value or exc
//     is set when it is DONE, until a waiter has taken it.
// I3: a job in the queue is admitted (within max_queued), unless that many are before
//     it.
typedef struct {
    PyObject_HEAD
    struct tl_link link;
    PoolObject *pool;               // counted
    struct tl_worker *worker;       // the worker that runs it, or NULL
    PyObject *func, *args, *kwargs; // kwargs may be NULL
    PyObject *context;              // a copy of the caller's
    PyObject *owner;                // the argument of on_abandoned, or NULL
    PyObject *value, *exc;          // the outcome
    struct tl_link waiters; // tasklets that wait for the outcome or for admission
    Py_ssize_t awaited;     // number of tasklets in wait_for_job(), woken ones included
    unsigned char state;
    bool admitted;
    bool given_up;  // the last waiter was killed or timed out
    bool delivered; // a waiter has got the outcome
} JobObject;

// A thread of a pool, while it is inside tl_pool_work(). Guarded by the GIL, except for
// park.
struct tl_worker {
    struct tl_link all;  // in pool->workers
    struct tl_link idle; // in pool->idle iff the thread waits for work
    struct tl_idle_threads idle_thread;
    struct tl_park park;
    PoolObject *pool;        // borrowed: the thread holds it
    bool woken;              // it was given work since it became idle
    bool busy;               // it runs a job
    unsigned long jobs;      // number of jobs that it has begun
    clockid_t cpu;           // the clock of its CPU time
    unsigned long seen_jobs; // jobs when the monitor last saw it use the CPU
    int64_t seen_at;         // when that was, tl_clock_now()
    int64_t seen_cpu;        // its CPU time then, in nanoseconds
};

// Invariants
// I1: queued is the length of queue; the first `admitted` jobs of it are admitted, and
//     next_outside is the job behind them, &queue if there is none.
// I2: while there are jobs in the queue, a worker is on its way (starting + nwoken >
//     0), or there is a monitor, or all workers are busy and no more may or can be
//     started.
// I3: nbusy <= limit, except for jobs that were begun under a higher limit.
// I4: max_workers <= limit <= most.
// I5: nidle is the length of idle, and no worker in it is woken.
struct PoolObject {
    PyObject_HEAD
    struct tl_state *state;
    struct tl_link all; // in state->pools
    PyObject *start;    // start(pool) starts a thread that calls pool.work()
    PyObject
        *on_abandoned; // on_abandoned(owner): no tasklet has got the outcome; or NULL
    struct tl_link queue; // jobs, in the order of their submission
    struct tl_link *next_outside;
    struct tl_link running; // jobs
    Py_ssize_t queued, admitted;
    Py_ssize_t max_queued; // capacity for submit(); 0: no limit
    struct tl_link workers, idle;
    long nworkers, nidle, nbusy;
    long starting;    // threads that were started and are not workers yet
    long nwoken;      // idle workers that were woken and do not run yet
    long max_workers; // maximum number of workers for calls that compute
    long limit;       // maximum number of busy workers now
    long most;        // maximum number of threads, even if all calls only wait
    bool has_monitor; // a worker watches the busy ones
    int64_t linger_ns;
    unsigned generation;    // state->forks when the pool was made or last reset
    bool closed;            // submits raise; workers end when the queue is empty
    struct tl_link waiters; // tasklets that wait for the end of the last worker
    uint64_t finished;      // number of jobs that were run
    PyObject *weakrefs;
#ifndef NDEBUG
    size_t changes; // since the queue and the idle were last walked over
#endif
};

// Locks: the GIL.
TL_CHECKER(tl_pool_check, PoolObject *pool);
TL_CHECKER(tl_job_check, const JobObject *job);

// The calling thread's worker, or NULL if it is not one.
extern TL_THREAD_LOCAL struct tl_worker *tl_worker_mine;

static inline JobObject *
tl_job_of(struct tl_link *link)
{
    return TL_CONTAINER(link, JobObject, link);
}

// Call func(arg) where no signal handler can interrupt it: if this is the main thread,
// on a new thread, while the main thread sleeps without the GIL. Returns as
// PyObject_CallOneArg().
//
// A handler that raises inside threading.Thread.start() can leave locks of the new
// thread acquired; an exception of a handler that runs in a weak reference's callback,
// while a Thread object goes away, is lost.
PyObject *tl_worker_call_undisturbed(PyObject *func, PyObject *arg);

// Wake the worker that has become idle last. There is one.
void tl_pool_wake_idle(PoolObject *pool);

// The maximum number of threads now: with a monitor, unless limit cannot grow any more.
long tl_pool_capacity(const PoolObject *pool);

// If there are jobs in the queue, make sure that a worker is on its way: wake an idle
// one or start a thread. A worker on its way calls this again when it takes a job, so
// threads do not start or wake in crowds. Returns 0, or -1 with an exception set. May
// run Python code.
int tl_pool_ensure_worker(PoolObject *pool);

#endif // TL_POOL_H
