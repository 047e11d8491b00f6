// idle_threads.h - idle worker threads, which deadlock detection and thread lists
// ignore.
#ifndef TL_IDLE_THREADS_H
#define TL_IDLE_THREADS_H

#include "cpython/compat.h" // before all of the system's

#include "core/sched.h"
#include "base/list.h"

// One worker thread.
//
// Invariants
// I1: link is in state->idle_workers iff the thread waits for work; nidle_workers is
//     the length of that list.
struct tl_idle_threads {
    struct tl_link link;
    PyThreadState *ts; // of the thread
    struct tl_sched
        *sched; // borrowed: the thread's, which outlives its idle time, or NULL
};

// The calling thread is about to wait for work.
void tl_idle_threads_begin(struct tl_idle_threads *rest, struct tl_state *state);

// The thread has work, and will run. Called by the thread that gives it some, before
// any other can see that work.
// Thread: any.
void tl_idle_threads_end(struct tl_idle_threads *rest, struct tl_state *state);

// Whether the thread of ts is an idle worker.  Thread: any.
bool tl_idle_threads_has(struct tl_state *state, PyThreadState *ts);

#endif // TL_IDLE_THREADS_H
