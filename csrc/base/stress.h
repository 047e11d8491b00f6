// stress.h - what a build with -DTL_STRESS (`make stress`) does differently.
//
// Such a build takes the rare paths all the time. It keeps every promise of docs/, so
// all tests pass in it; a test that depends on one of the constants checks
// tasklets._core.stress. In other builds all of this is constant and folds away.
//
// Yields: the other runnable tasklets of the thread run before an operation that may
// have to wait, even if it need not (core/stress_points.c). These are:
//   - acquire() of a Lock, an RLock that the caller does not own, a Semaphore, and
//     their `with` statements; Condition.acquire()
//   - wait() of an Event and of a Barrier
//   - get() of all queues, put() of one with a maxsize, join() of a queue
//   - wait(), as_completed(), and select() with a case that is no channel: after they
//     have begun to listen, so that an error in between is reported to them
// Otherwise the operation has not begun, so an interruption during the yield leaves
// everything as it was. Other tasklets and threads may use all these objects: a program
// cannot know that the operation will not wait.
//
// Not legal, because the documentation says who runs next, or that no switch happens:
//   - send() and receive() that need not wait, on channels of all kinds: the table of
//     preferences in docs/semantics.md, and the capacity of a QueueChannel
//   - join(), result() and exception() of a tasklet that has ended, and of a future
//   - what never waits: release(), notify(), set(), put() without a maxsize, spawn(),
//     insert(), close(), submit(), queries
//   - attempts: block=False, a timeout of 0 or less, try_send(), try_receive(),
//     select() with a default
//   - where the current tasklet must not switch: no_switch(), block_trap, callbacks,
//     finalizers of a collection, atomic
//   - the locks of the import system
// In every build schedule() and sleep(0) yield, and call_on_worker(), files,
// descriptors, Condition.wait() and the end of a TaskGroup wait.
//
// Detours: where an operation has a fast path and a general one, it takes the general
// one every now and then: channels, schedule(), the waits of locks and queues. A free
// lock is acquired through the wait for it. The preparation of a switch tells its
// caller to look again, and now and then lets other threads run before.
//
// Constants: TL_STRESS_OR(usual, stressed), at each of them.
//   spins             park.c, gil_priority.c: none; thread_sleep.h: short sleeps
//   hand-off          lock.c, queue.c: after one lost race; no time for a woken waiter
//   pools             life.c: one parked stack; stacks.c: one deep stack; frame_slab.c:
//                     no empty slab; spare.c: no idle thread
//   frame memory      frame_slab.h: a first piece that few frames fit into;
//                     frame_slab.c: slabs of few blocks
//   looks             timer.c, run_frame.c, sched.c, gil_priority.c: at every switch or
//                     take; poller.h: one descriptor at a time
//   deferred wakes    deferred_wakes.c: all are deferred, and flushed at once
//   arrays that grow  from length one: thread.c, timer_heap.c, channel_buffer.h,
//                     simple_queue.c, run.c, local.c, ticks.c, tasklet_end.c,
//                     mod_survey.c
//   index             arrivals_type.c: from two objects on
#ifndef TL_STRESS_H
#define TL_STRESS_H

#ifdef TL_STRESS
enum { TL_STRESSED = 1 };
#define TL_STRESS_OR(usual, stressed) (stressed)
#else
enum { TL_STRESSED = 0 };
#define TL_STRESS_OR(usual, stressed) (usual)
#endif

enum {
    TL_STRESS_YIELDS = TL_STRESSED,  // yield before an operation that may wait
    TL_STRESS_DETOURS = TL_STRESSED, // take the general path now and then
    TL_STRESS_LOOKS = TL_STRESSED,   // check budgets at each switch
    TL_STRESS_DEFERS = TL_STRESSED,  // defer every wake-up, and flush it at once
};

#endif // TL_STRESS_H
