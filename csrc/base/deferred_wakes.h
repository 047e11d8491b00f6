// deferred_wakes.h - wake-ups that are put off until the waker goes to sleep itself.
//
// The idea: a thread that is woken too early finds that the waker still holds what it
// needs, usually the GIL, and goes back to sleep: two context switches for nothing.
// That is certain if both share one CPU, and likely if the waker is about to sleep
// anyway. In these two cases the wake-up is deferred: the waker notes it here and
// flushes its notes when it has released the GIL to sleep. If it does not sleep soon,
// an internal thread, the flusher, does that after one or two milliseconds; it sleeps
// while nothing is deferred.
//
// Locks: adding and flushing are lock-free, so that a waker never waits for another.
// The mutex in deferred_wakes.c guards the list of wakers, and keeps parks alive while
// the flusher wakes them. No other mutex is taken with it held.
#ifndef TL_DEFERRED_WAKES_H
#define TL_DEFERRED_WAKES_H

#include "base/park.h"

// Maximum number of deferred wake-ups per waker; one more is not deferred.
enum { TL_DEFERRED_WAKES_MAX = 8 };

// The deferred wake-ups of one waker, which is a thread.
//
// Invariants
// I1: a park in deferred is not freed before tl_deferred_wakes_forget() has returned.
// I2: only the waker fills a place in deferred; any thread may empty it, by an
//     exchange, and then wakes the park. flushing counts the threads that do.
struct tl_deferred_wakes {
    struct tl_deferred_wakes *prev, *next;                     // list of all wakers
    _Atomic(struct tl_park *) deferred[TL_DEFERRED_WAKES_MAX]; // NULL: free place
    _Atomic int age;      // ticks of the flusher since the last flush, roughly
    _Atomic int flushing; // see I2
    // The rest is the waker's own.
    int64_t woke_at; // when it last woke a sleeping thread; 0: it has slept since
    unsigned char prompt_sleeps; // sleeps in a row that came soon after a wake-up
};

// Thread: the waker's.  Locks: take the mutex.
void tl_deferred_wakes_init(struct tl_deferred_wakes *wakes);
void tl_deferred_wakes_fini(struct tl_deferred_wakes *wakes);

// Wake park, now or deferred. wakes may be NULL: now.
// Thread: the waker's.
void tl_deferred_wakes_wake(struct tl_deferred_wakes *wakes, struct tl_park *park);

// Defer the wake-up of park. If all places are taken, wake it now.
// Thread: the waker's.
void tl_deferred_wakes_add(struct tl_deferred_wakes *wakes, struct tl_park *park);

// The waker is about to sleep: note whether it does so soon after a wake-up. It flushes
// later, when it has released the GIL.
// Thread: the waker's.
void tl_deferred_wakes_before_sleep(struct tl_deferred_wakes *wakes);

// Wake every thread whose wake-up is deferred here.
// Thread: any.  Locks: none.
void tl_deferred_wakes_flush(struct tl_deferred_wakes *wakes);

#ifndef NDEBUG
// Whether park is woken already, or will be by this waker's deferred wake-ups. wakes
// may be NULL.
// Thread: any.
bool tl_deferred_wakes_is_coming(struct tl_deferred_wakes *wakes, struct tl_park *park);
#endif

// Call this before park is freed: flush every waker that has deferred its wake-up, and
// wait until no thread is waking it.
// Thread: any.  Locks: takes the mutex.
void tl_deferred_wakes_forget(struct tl_park *park);

// Around a fork: take the mutex. In the child nothing is deferred, because only
// the calling thread exists there.
void tl_deferred_wakes_hold(void);
void tl_deferred_wakes_release(bool in_child);

#endif // TL_DEFERRED_WAKES_H
