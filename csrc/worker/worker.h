// worker.h - the life of a worker thread, and the end of a pool.
#ifndef TL_WORKER_H
#define TL_WORKER_H

#include "worker/pool.h"

// The thread function of a worker: run jobs until the pool is closed or the worker is
// surplus. Returns 0, or -1 with an exception set.
// Thread: started by start(pool).  Switch: may.
int tl_pool_work(PoolObject *pool);

// Accept no more jobs. Workers end when the queue is empty.
void tl_pool_close(PoolObject *pool);

// Wait until all workers of a closed pool have ended. Returns 0, or -1 with an
// exception set.
// Switch: may.
int tl_pool_join(PoolObject *pool);

// In the child of a fork: the workers do not exist, and their jobs and the queue are
// lost. Returns the lost jobs, a new list, or NULL with an exception set.
PyObject *tl_pool_after_fork(PoolObject *pool);

#endif // TL_WORKER_H
