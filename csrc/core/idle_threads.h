// idle_threads.h - threads of ours that have nothing to do, and count as if they were not there.
#ifndef TL_IDLE_THREADS_H
#define TL_IDLE_THREADS_H

#include "cpython/compat.h" // before all of the system's

#include "core/sched.h"
#include "base/list.h"

// A thread that waits for work. Invariant: listed in state->resting iff it rests.
struct tl_idle_threads {
    struct tl_link link;
    PyThreadState *ts;
    struct tl_sched
        *sched; // borrowed: the thread's, which cannot go meanwhile, or NULL
};

// The calling thread, which has ts, is about to wait for work.
void tl_idle_threads_begin(struct tl_idle_threads *rest, struct tl_state *state);

// It has work, and will run. Called by whoever gives it some, before that is known to
// anybody else.
void tl_idle_threads_end(struct tl_idle_threads *rest, struct tl_state *state);

// Whether the thread of ts rests.
bool tl_idle_threads_has(struct tl_state *state, PyThreadState *ts);

#endif // TL_IDLE_THREADS_H
