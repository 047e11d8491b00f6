// stress.h - what a build with -DTL_STRESS (`make stress`) does differently.
//
// Such a build takes the rare ways all the time. It keeps every promise of docs/, so all
// tests pass in it; a test that measures one of the constants asks tasklets._core.stress.
// In other builds all of this is constant and folds away.
//
// Yields: the other runnable tasklets of the thread have a turn before an operation that
// may have to wait, although it could go on at once (stress_points.c). These are:
//   - acquire() of a Lock, an RLock that the caller does not own, a Semaphore, and their
//     `with` statements; Condition.acquire()
//   - wait() of an Event and of a Barrier
//   - get() of all queues, put() of one with a maxsize, join() of a queue
//   - wait(), as_completed(), and select() with a case that is no channel: once they
//     listen, since an error that comes is theirs then
// The operation has not begun then, so an interruption that comes leaves everything as it
// was. Others may own all these objects, in other threads too: no program can know that
// the operation does not wait.
//
// Not legal, because the documentation says who runs next, or that nobody is switched to:
//   - send() and receive() that need not wait, on channels of all kinds: the table of
//     preferences in docs/semantics.md, and the capacity of a QueueChannel
//   - join(), result() and exception() of a tasklet that has ended, and of a future
//   - what does not wait whatever happens: release(), notify(), set(), put() without a
//     maxsize, spawn(), insert(), close(), submit(), methods that ask
//   - attempts: block=False, a timeout of 0 or less, try_send(), try_receive(), select()
//     with a default
//   - where the current tasklet may not be left: no_switch(), block_trap, callbacks,
//     finalizers of a collection; and where it does not want to be: atomic
//   - the locks of the import system
// In every build schedule() and sleep(0) yield, and call_on_worker(), files, descriptors,
// Condition.wait() and the end of a TaskGroup wait.
//
// Detours: where an operation has a quick way and a general one, the general one is taken
// every now and then: channels, schedule(), the wait for a lock and its kind. A lock that
// is free is acquired through the wait for it. The preparation of a switch tells its
// caller to look again, and now and then lets other threads run before.
//
// Constants: TL_STRESS_OR(usual, stressed), at each of them.
//   spins             park.c, priority.c: none; nap.h
//   hand-over         lock.c, queue.c: after coming too late once; a waiter that was
//                     called is trusted for no time
//   pools             stacks.c: one parked stack, one in the second lane; chunk.c: no spare
//                     slab; spare.c: no idle thread
//   frame memory      chunk.h: a first piece that few frames fit into; chunk.c: slabs of
//                     few blocks
//   looks             timer.c, watch.c, sched.c: at every switch; poller.h: one descriptor
//                     at a time
//   deferred wakes    nudge.c: all are deferred, and made good at once
//   arrays that grow  from one place on: runq.c, heap.c, channel_items.h, simple_queue.c,
//                     watch_run.c, local.c, events.c, tasklet_end.c, survey_ops.c
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
    TL_STRESS_YIELDS = TL_STRESSED,   // before what may wait
    TL_STRESS_DETOURS = TL_STRESSED,  // the general way in place of the quick one
    TL_STRESS_LOOKS = TL_STRESSED,    // at each switch whether something has ended
    TL_STRESS_OWES_ALL = TL_STRESSED, // every wake is deferred, and made good at once
};

#endif // TL_STRESS_H
