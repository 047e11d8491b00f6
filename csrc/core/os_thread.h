// os_thread.h - OS threads that wait or own locks without a tasklet.
//
// A thread that never ran a tasklet is not given one by a lock: it sleeps itself. So does
// a thread with a scheduler where it may not leave the current tasklet, in a signal
// handler say.
#ifndef TL_OS_THREAD_H
#define TL_OS_THREAD_H

#include "core/sched.h"

struct tl_os_thread;

// Part of a lock: whose it is.
//
// Invariants
// I1: held is in owner's list, single iff owner is NULL.
struct tl_property {
    struct tl_link held;
    struct tl_holder *owner;
};

// One wait of a thread. Signal handlers run meanwhile, and may wait in turn.
//
// Invariants
// I1: it is in native->asleep or further out, and stays where it is, until the thread has
//     returned from the wait.
struct tl_sleeper {
    struct tl_waiter waiter;
    struct tl_os_thread *native;
    struct tl_holder *holder; // who is to own what it waits for
    struct tl_sleeper *outer;
    struct tl_link *queue; // where the wait began
    int64_t deadline;      // on the true clock; 0: none
};

// What a thread has for its waits and its locks. Made at the first; freed by another
// thread when it is gone.
struct tl_os_thread {
    struct tl_holder holder; // of the thread, and of its main tasklet
    struct tl_link all;      // in state->natives
    unsigned long ident;
    struct tl_sched *sched; // the thread's, or NULL
    struct tl_park park;
    struct tl_deferred_wakes nudge;
    struct tl_sleeper first, *asleep;
    _Atomic bool gone;
};

// The calling thread's, or NULL if it has none yet.
extern TL_THREAD_LOCAL struct tl_os_thread *tl_os_thread_mine;

// The calling thread's, made if it has none. NULL with MemoryError set.
struct tl_os_thread *tl_os_thread_make(struct tl_state *state);

static inline struct tl_os_thread *
tl_os_thread_get(struct tl_state *state)
{
    return TL_LIKELY(tl_os_thread_mine != NULL) ? tl_os_thread_mine
                                                : tl_os_thread_make(state);
}

// The owner of the locks that the calling thread acquires now: the current tasklet or, for
// the main one or without any, the thread. NULL with MemoryError set. type: one of ours,
// or a subclass.
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

// The same, or NULL if the calling thread has none yet: then it owns nothing.
static inline struct tl_holder *
tl_os_thread_seen_holder(void)
{
    struct tl_sched *s = tl_sched_mine;
    if (s != NULL && !s->current->is_main) {
        return &s->current->holder;
    }
    return tl_os_thread_mine != NULL ? &tl_os_thread_mine->holder : NULL;
}

// For a waiter that waits: who is to own what it waits for.
struct tl_holder *tl_os_thread_holder_of(struct tl_waiter *waiter);

// A sleeper for the calling thread, not armed. NULL with MemoryError set.
struct tl_sleeper *tl_os_thread_begin(struct tl_state *state, struct tl_holder *holder);

// Sleep until the wait of sleeper, which is armed, is ended. deadline as in struct tl_leave,
// on the true clock; it ends with a move to another queue. Returns 0, or -1 with the
// exception of a signal handler set.
int tl_os_thread_sleep(struct tl_state *state, struct tl_sleeper *sleeper,
                       int64_t deadline);

void tl_os_thread_end(struct tl_sleeper *sleeper);

// The wait of waiter has been ended, or it has to look: wake its thread.
void tl_os_thread_wake(struct tl_os_thread *native);

// What the calling thread owes others, or NULL if it has no place for it.
static inline struct tl_deferred_wakes *
tl_os_thread_nudge(void)
{
    if (tl_sched_mine != NULL) {
        return &tl_sched_mine->nudge;
    }
    return tl_os_thread_mine != NULL ? &tl_os_thread_mine->nudge : NULL;
}

// Locks: the GIL.
TL_CHECKER(tl_property_check, const struct tl_property *property);
TL_CHECKER(tl_os_thread_check, const struct tl_os_thread *native);

// holder goes away: its locks have no owner any more, but stay locked.
void tl_os_thread_disown_all(struct tl_holder *holder);

static inline void
tl_os_thread_own(struct tl_holder *holder, struct tl_property *property)
{
    property->owner = holder;
    tl_link_insert_before(&property->held, &holder->held);
    tl_property_check(property);
}

static inline void
tl_os_thread_disown(struct tl_property *property)
{
    property->owner = NULL;
    tl_link_remove(&property->held);
    tl_property_check(property);
}

// The calling thread has no tasklets any more, and will end. At its end greenlet takes a
// mutex that it does not care for at a fork: forks wait until the thread is past that, but
// not for long. With false: it goes on, and begins with tasklets again.
void tl_os_thread_leaves(bool flag);
void tl_os_thread_wait_for_leavers(void);
void tl_os_thread_forget_leavers(void); // in the child: they do not exist

// In the child of a fork.
void tl_os_thread_after_fork(struct tl_state *state);

static inline struct tl_sleeper *
tl_os_thread_sleeper_of(struct tl_waiter *waiter)
{
    return TL_CONTAINER(waiter, struct tl_sleeper, waiter);
}

#endif // TL_OS_THREAD_H
