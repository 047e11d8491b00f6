// os_thread.h - OS threads that wait or own locks without a tasklet.
//
// A lock or queue gives no scheduler to a thread that has none: the thread itself
// sleeps. So does a thread with a scheduler where the current tasklet must not be left,
// say in a signal handler.
#ifndef TL_OS_THREAD_H
#define TL_OS_THREAD_H

#include "core/sched.h"

struct tl_os_thread;

// The part of a lock that says which tasklet or thread owns it.
//
// Invariants
// I1: held is in owner's list, single iff owner is NULL.
struct tl_ownership {
    struct tl_link held;
    struct tl_holder *owner;
};

// One wait of a thread. A signal handler that runs during the wait may begin another
// one.
//
// Invariants
// I1: from tl_os_thread_begin() to tl_os_thread_end() it is native->asleep or one of
//     the outer ones behind that, at the same address.
struct tl_sleeper {
    struct tl_waiter waiter;
    struct tl_os_thread *native;
    struct tl_holder *holder; // that will own the lock it waits for
    struct tl_sleeper *outer; // the wait that a signal handler has interrupted, or NULL
    struct tl_link *queue;    // in which the wait began
    tl_deadline deadline;     // on tl_clock_now()'s clock
};

// What a thread needs for its waits and its locks. Made at the first of these; freed by
// another thread after its end. Guarded by the GIL, except park, pending_wakes and
// gone.
struct tl_os_thread {
    struct tl_holder holder; // of the thread and of its main tasklet
    struct tl_link all;      // in state->os_threads
    unsigned long ident;
    struct tl_sched *sched; // of the same thread, or NULL
    struct tl_park park;    // where it sleeps in tl_os_thread_sleep()
    struct tl_deferred_wakes
        pending_wakes;         // wake-ups that it owes while it has no scheduler
    struct tl_sleeper *asleep; // the innermost wait, or NULL
    struct tl_sleeper first;   // memory for the outermost wait
    _Atomic bool gone;         // the thread has ended
};

// The calling thread's, made if it has none. NULL with MemoryError set.
struct tl_os_thread *tl_os_thread_make(struct tl_state *state);

static inline struct tl_os_thread *
tl_os_thread_get(struct tl_state *state)
{
    return TL_LIKELY(tl_os_thread_mine != NULL) ? tl_os_thread_mine
                                                : tl_os_thread_make(state);
}

// The owner of a lock that the calling thread acquires now: the current tasklet or, if
// that is the main tasklet or there is none, the thread. NULL with MemoryError set.
// type: a type of this module, or a subclass.
struct tl_holder *tl_os_thread_make_holder(PyTypeObject *type);

static inline struct tl_holder *
tl_os_thread_holder(PyTypeObject *type)
{
    struct tl_sched *s = tl_sched_mine;
    if (TL_LIKELY(s != NULL) && TL_LIKELY(!s->current->is_main)) {
        return &s->current->holder;
    }
    return TL_LIKELY(tl_os_thread_mine != NULL) ? &tl_os_thread_mine->holder
                                                : tl_os_thread_make_holder(type);
}

// The same, or NULL if the calling thread has none yet, so that it owns no lock.
static inline struct tl_holder *
tl_os_thread_seen_holder(void)
{
    struct tl_sched *s = tl_sched_mine;
    if (s != NULL && !s->current->is_main) {
        return &s->current->holder;
    }
    return tl_os_thread_mine != NULL ? &tl_os_thread_mine->holder : NULL;
}

// The owner-to-be of the lock that waiter, which is armed, waits for.
// Thread: any.
struct tl_holder *tl_os_thread_holder_of(struct tl_waiter *waiter);

// A sleeper for the calling thread, not armed; holder: see there, NULL: the thread's.
// NULL with MemoryError set.
struct tl_sleeper *tl_os_thread_begin(struct tl_state *state, struct tl_holder *holder);

// Sleep until the wait of sleeper, which is armed, is ended. deadline: on
// tl_clock_now()'s clock; a wait that is moved to another queue has none any more.
// Returns 0, or -1 with the exception of a signal handler set. The wait is not armed
// then. Signal handlers run in the main thread.
int tl_os_thread_sleep(struct tl_state *state, struct tl_sleeper *sleeper,
                       tl_deadline deadline);

// The caller is done with sleeper, which is its innermost and not armed.
void tl_os_thread_end(struct tl_sleeper *sleeper);

// A wait of native's thread has been ended: wake the thread.
// Thread: any.
void tl_os_thread_wake(struct tl_os_thread *native);

// The wake-ups that the calling thread owes; NULL if it has neither a scheduler nor a
// struct tl_os_thread, and must wake at once.
static inline struct tl_deferred_wakes *
tl_os_thread_pending_wakes(void)
{
    if (tl_sched_mine != NULL) {
        return &tl_sched_mine->pending_wakes;
    }
    return tl_os_thread_mine != NULL ? &tl_os_thread_mine->pending_wakes : NULL;
}

// Locks: the GIL.
TL_CHECKER(tl_ownership_check, const struct tl_ownership *ownership);
TL_CHECKER(tl_os_thread_check, const struct tl_os_thread *native);

// holder is about to be freed: its locks stay locked, without an owner.
// Thread: any.
void tl_os_thread_disown_all(struct tl_holder *holder);

// holder owns the lock of ownership, which has no owner, from now on.
// Thread: any.
static inline void
tl_os_thread_own(struct tl_holder *holder, struct tl_ownership *ownership)
{
    ownership->owner = holder;
    tl_link_insert_before(&ownership->held, &holder->held);
    tl_ownership_check(ownership);
}

// The lock of ownership has no owner any more.
// Thread: any.
static inline void
tl_os_thread_disown(struct tl_ownership *ownership)
{
    ownership->owner = NULL;
    tl_link_remove(&ownership->held);
    tl_ownership_check(ownership);
}

// The calling thread has no scheduler any more, and will end. At its end greenlet takes
// a mutex that it does not re-initialize in the child of a fork, so forks must wait
// until the thread is past that. With false: the thread goes on, and gets a scheduler
// again.
void tl_os_thread_leaves(bool flag);

// Before a fork: wait for threads that are ending, LEAVERS_WAIT_NS at most.
// Locks: none, or the GIL.
void tl_os_thread_wait_for_leavers(void);

// In the child of a fork: no other thread is ending.
void tl_os_thread_forget_leavers(void);

// In the child of a fork: end the waits of the other threads and free what they had.
void tl_os_thread_after_fork(struct tl_state *state);

static inline struct tl_sleeper *
tl_os_thread_sleeper_of(struct tl_waiter *waiter)
{
    return TL_CONTAINER(waiter, struct tl_sleeper, waiter);
}

#endif // TL_OS_THREAD_H
