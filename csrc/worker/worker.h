// worker.h - threads that run Python calls for others, and the calls that wait for them.
#ifndef TL_WORKER_H
#define TL_WORKER_H

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
// I1: link is in pool's queue, which owns a reference, iff state is QUEUED; in its list of
//     the running, whose worker owns one, iff it is RUNNING.
//     A new job is QUEUED before it is in the queue, which is before others know it.
// I2: func and args are set until the call has returned or was cancelled; value or exc is
//     set when it is DONE, until somebody has taken it.
// I3: a job in the queue is admitted unless it is behind more than the pool stores.
typedef struct {
    PyObject_HEAD
    struct tl_link link;
    PoolObject *pool;               // counted
    struct tl_worker *worker;       // who runs it, if somebody does
    PyObject *func, *args, *kwargs; // kwargs may be NULL
    PyObject *context;              // a copy of the caller's
    PyObject *owner;                // whom on_abandoned is told of, or NULL
    PyObject *value, *exc;          // what came of it
    struct tl_link waiters;         // tasklets
    Py_ssize_t awaited;             // by how many tasklets, woken ones included
    unsigned char state;
    bool admitted;
    bool given_up; // one that waited was killed or ran out of time, and none came after
    bool delivered; // one that waited has got the outcome
} JobObject;

// A thread of a pool, while it is inside tl_pool_work(). With the GIL, but for park.
struct tl_worker {
    struct tl_link all, idle; // idle is listed iff the thread rests
    struct tl_idle_threads rest;
    struct tl_park park;
    PoolObject *pool;          // borrowed: the thread holds it
    bool called;               // somebody has given it work since it began to rest
    bool busy;                 // it does a job
    unsigned long jobs;        // that it has begun with
    clockid_t cpu;             // the clock of its CPU time
    unsigned long seen_jobs;   // jobs, when the lookout saw it last at something else,
    int64_t seen_at, seen_cpu; // when that was, and its CPU time then
};

// Invariants
// I1: queued is the length of queue; of these, the first `admitted` are, and next_outside
//     is the one behind, &queue if there is none.
// I2: while the queue has jobs, somebody is on the way (starting + called > 0), or there
//     is a lookout, or all are busy and no more may, or can, be started.
// I3: nbusy <= limit, but for what was begun under a higher one.
// I4: max_workers <= limit <= most.
// I5: nidle is the length of idle, and no idle one is called.
struct PoolObject {
    PyObject_HEAD
    struct tl_state *state;
    struct tl_link all;     // in state->pools
    PyObject *start;        // start(pool): a thread that calls pool.work()
    PyObject *on_abandoned; // on_abandoned(owner), or NULL
    struct tl_link queue, *next_outside, running;
    Py_ssize_t queued, admitted, max_queued; // max_queued 0: no limit
    struct tl_link workers, idle;
    long nworkers, nidle, nbusy, starting, called;
    long max_workers;    // that are there to compute
    long limit, most;    // how many may be busy now, and how many ever
    bool has_lookout;    // a worker watches the others, that all are busy
    double linger;       // for how many seconds one more than max_workers stays idle
    unsigned generation; // the state's forks when it was made or renewed
    bool closed;
    struct tl_link waiters; // tasklets that wait for the last worker's end
    uint64_t finished;
    PyObject *weakrefs;
#ifndef NDEBUG
    size_t changes; // since the queue and the idle were last walked over
#endif
};

// Locks: the GIL.
TL_CHECKER(tl_pool_check, PoolObject *pool);
TL_CHECKER(tl_job_check, const JobObject *job);

// Run func(*args, **kwargs) on a worker and wait for what comes of it, or until timeout, in
// seconds, is over. kwargs may be NULL; so may timeout, or None.
// Switch: yes.
PyObject *tl_pool_call(PoolObject *pool, PyObject *func, PyObject *args,
                       PyObject *kwargs, PyObject *timeout);

// Have it run on a worker; owner (may be NULL) is whom on_abandoned is told of. Unless
// at_once, waits while the queue is full.
// Switch: may.
JobObject *tl_pool_submit(PoolObject *pool, PyObject *func, PyObject *args,
                          PyObject *kwargs, PyObject *owner, bool at_once);

// Wait until the job is over, one way or another; timeout as above. Returns 0, or -1 with
// an exception set.
// Switch: may.
int tl_job_wait(JobObject *job, PyObject *timeout);

// Take it out of the queue: it never runs. Returns whether it was there.
bool tl_job_cancel(JobObject *job);

// Call func(arg) where no signal handler can interrupt it: on another thread, if this is the
// main one, which sleeps meanwhile. Returns as PyObject_CallOneArg().
//
// A handler that raises inside threading.Thread.start() can leave locks of the new thread
// acquired. One that runs while a Thread object goes away, in a callback of a weak
// reference, raises in vain.
PyObject *tl_worker_call_undisturbed(PyObject *func, PyObject *arg);

// Be a worker, until the pool is closed. Returns 0, or -1 with an exception set.
int tl_pool_work(PoolObject *pool);

// Take no more jobs; workers end when the queue is empty.
void tl_pool_close(PoolObject *pool);

// Wait until all workers of a closed pool have ended. Returns 0, or -1 with an exception
// set.
// Switch: may.
int tl_pool_join(PoolObject *pool);

// In the child of a fork: there are no workers, and what they had to do is lost. Returns
// the lost jobs, a new list.
PyObject *tl_pool_after_fork(PoolObject *pool);

#endif // TL_WORKER_H
