// wait_queue.h - waiting in the queue of a lock, condition, event, semaphore or queue.
//
// The waiter is the current tasklet. On a thread without tasklets, and where the
// current tasklet must not be left, it is the OS thread itself, which sleeps. A queue
// is a ring of tl_waiter links in FIFO order. The GIL guards everything here.
//
// Three parties share a wait. What each owes the others:
//
// The caller has found the object not available and calls tl_wait_queue_wait().
// - Python code may run before the wait begins, and other threads with it. So
//   last_check() is called last, and repeats the caller's check. Nothing runs between
//   it and the moment when the waiter is in the queue: a wake-up cannot be lost. What
//   must be atomic with the wait, such as releasing a condition's lock, is done in
//   last_check(), too.
// - On return given says what the waiter got. Without an exception and without anything
//   given, the caller looks at the object again.
// - With an exception the caller must pass on what was given: release the lock, return
//   the permit, notify the next waiter.
//
// The waker has changed the object so that a waiter may go on.
// - It chooses by tl_wait_queue_first(), which skips the waiters of threads that are
//   gone. What only this waiter can use from then on, such as a lock, it gives by
//   tl_wait_queue_first_active(), which also skips tasklets that were left waiting when
//   the tasklets of their thread were ended.
// - It updates the object first and calls tl_wait_queue_wake() second. That takes the
//   waiter out of the queue, so no wait is ended twice.
// - A woken waiter runs later, and after a fork perhaps never. Either the object
//   belongs to it from now on (TL_GIVEN_OWNERSHIP), or others may take the object first
//   and the waiter waits again (TL_GIVEN_RETRY). An object that stays reserved for a
//   waiter must notice that the waiter did not survive a fork: compare state->forks.
//
// The killer is kill(), throw(), the end of a timeout() block, or a signal handler that
// raises. It owes nothing and does not look at the object.
// - If the waiter is still in the queue, the killer takes it out and gives it nothing.
// - If the waiter has been woken and has not run yet, what it was given stays in given,
//   and the exception is raised when it runs. In both cases given alone tells the
//   caller what to pass on.
//
// A deadline ends a wait as a killer does, but through kind->on_timeout: given is then
// TL_GIVEN_TIMED_OUT, and there is no exception.
#ifndef TL_WAIT_QUEUE_H
#define TL_WAIT_QUEUE_H

#include "core/os_thread.h"

// One wait.
struct tl_queued_wait {
    // With exempt, unless the wait is a DeadlockError when nothing is
    // runnable. With a deadline, on_timeout must be tl_wait_queue_timed_out().
    const struct tl_wait_kind *kind;
    PyObject *on;          // borrowed: the caller holds it
    struct tl_link *queue; // the queue of on
    tl_deadline deadline;  // on tl_timer_now()'s clock; not TL_DEADLINE_PAST
    // The last check, at most once: returns true if there is no need to wait. No Python
    // code runs between it and the wait. May wake waiters of other queues. May be NULL.
    bool (*last_check)(struct tl_queued_wait *how);
    // The caller cannot do without: ignore block_trap, and hold off interruptions until
    // the wait has ended.
    bool is_mandatory;
    bool comes; // another thread ends the wait: no deadlock, and run(wait=True) goes on
    unsigned char given; // result: TL_GIVEN_..., what the waiter got
    bool asked;          // result: the wait got as far as the last check
};

// Wait until tl_wait_queue_wake() ends the wait or its deadline passes. Other tasklets
// run; where the OS thread is the waiter, it sleeps. Returns 0 with how->given set, or
// -1 with an exception set: then the caller must pass on what is in how->given.
// Switch: yes.
int tl_wait_queue_wait(struct tl_state *state, struct tl_queued_wait *how);

// For tl_wait_kind.on_timeout: records TL_GIVEN_TIMED_OUT.
PyObject *tl_wait_queue_timed_out(struct tl_wait *wait);

// For tl_wait_kind.joined of a waiter that has lost a race: it waits at the head of the
// queue.
void tl_wait_queue_to_head(struct tl_wait *wait);

// End the wait of waiter, add given to what it has been given, and make it runnable or
// wake its thread. Does not call into Python.
// Thread: any.
void tl_wait_queue_wake(struct tl_waiter *waiter, unsigned char given);

// The same for up to max waiters at the head of queue, without those of threads that
// are gone and, if given has TL_GIVEN_OWNERSHIP, the waiters that
// tl_wait_queue_first_active() skips. Returns the number of waiters that were woken.
// Thread: any.
Py_ssize_t tl_wait_queue_wake_many(struct tl_link *queue, Py_ssize_t max,
                                   unsigned char given);

// Move waiter to the end of another object's queue, and add given to what it has been
// given. It goes on waiting, without a deadline.
// Thread: any.
void tl_wait_queue_move(struct tl_waiter *waiter, const struct tl_wait_kind *kind,
                        PyObject *on, struct tl_link *queue, unsigned char given);

// The first waiter of queue whose thread still exists, or NULL.
struct tl_waiter *tl_wait_queue_first(struct tl_link *queue);

// The first of these that is expected to run again, or NULL: a tasklet that was left
// waiting at the end of its thread's or the program's tasklets is not.
struct tl_waiter *tl_wait_queue_first_active(struct tl_link *queue);

// For tp_traverse: visit the tasklets to which queue owns references.
int tl_wait_queue_traverse(const struct tl_link *queue, visitproc visit, void *arg);

// Whether waiter is a tasklet of the calling thread.
static inline bool
tl_wait_queue_is_mine(const struct tl_waiter *waiter)
{
    return !waiter->wait.native && tl_task_of_waiter(waiter)->home == tl_sched_mine;
}

// Read the arguments (blocking=True, timeout=-1) of a lock's acquire(). *deadline is
// PAST if it must not block. Returns 0, or -1 with an exception set.
int tl_wait_queue_acquire_args(PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames, tl_deadline *deadline);

#endif // TL_WAIT_QUEUE_H
