// runq.h - the run queue of a scheduler, and how its thread learns that it has changed.
#ifndef TL_RUNQ_H
#define TL_RUNQ_H

#include "core/sched_state.h"

// The ring. remove passes one reference to t to the caller, the others steal one.
// append puts t at the end or, with an order_seed, at a random place behind the head.
// front and behind_head make t the next to be entered, even if its turn of the round is
// over. None of them wakes a thread.
// Thread: any.
void tl_ring_append(struct tl_sched *s, TaskletObject *t);
void tl_ring_behind_head(struct tl_sched *s, TaskletObject *t);
void tl_ring_front(struct tl_sched *s, TaskletObject *t);
void tl_ring_remove(struct tl_sched *s, TaskletObject *t);

// Move t, which is in the ring, to the place before `place`.
void tl_ring_put_before(struct tl_sched *s, TaskletObject *t, TaskletObject *place);

// Put t (stolen), which floats, at the end of its own thread's run queue, and wake that
// thread if it is idle. If the thread is gone, t is dropped.
// Thread: any.
void tl_sched_ready(TaskletObject *t);

// The same, but do not wake the thread: return its scheduler if it is idle, and the
// caller must call tl_sched_wake() with it. NULL: it is not idle.
// Thread: any.
struct tl_sched *tl_sched_ready_asleep(TaskletObject *t);

// Wake the thread of s, which tl_sched_ready_asleep() returned.
// Thread: any.  Locks: none.
void tl_sched_wake(struct tl_sched *s);

// The ring of s has changed: wake its thread if that is another and idle.
// Thread: any.
void tl_sched_notify(struct tl_sched *s);

#endif // TL_RUNQ_H
