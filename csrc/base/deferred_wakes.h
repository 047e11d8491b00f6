// deferred_wakes.h - wakes that are put off until the waker goes to sleep itself.
//
// Where two threads share one CPU, the woken one takes the CPU at once, finds that the
// waker holds what it needs, and goes back to sleep: two switches for nothing. On another
// CPU it does, too, if it does not take long to wake. A waker that shares the CPU, or can
// be expected to sleep soon, owes the wake instead, and pays when it is about to sleep.
// Should it not, a thread of ours pays for it after a millisecond or two; that thread rests
// while nobody owes.
#ifndef TL_DEFERRED_WAKES_H
#define TL_DEFERRED_WAKES_H

#include "base/park.h"

// How many wakes can be owed at a time.
enum { TL_DEFERRED_WAKES_MAX = 8 };

// What one waker owes. Invariant: a park that is owed a wake is not freed before
// tl_deferred_wakes_forget() has returned.
struct tl_deferred_wakes {
    struct tl_deferred_wakes *prev, *next; // all wakers
    _Atomic(struct tl_park *) owed[TL_DEFERRED_WAKES_MAX];
    _Atomic int age;    // ticks since it was owed, about
    _Atomic int payers; // who may just be waking a park that is no longer owed
    // The waker's own, guarded as it likes.
    int64_t woke; // when it last woke a thread that slept; 0: it has slept since
    unsigned char prompt; // how often in a row it slept itself soon after that
};

void tl_deferred_wakes_init(struct tl_deferred_wakes *nudge);
void tl_deferred_wakes_fini(struct tl_deferred_wakes *nudge);

// Wake park, or owe it the wake. Called by the waker's thread; nudge may be NULL.
void tl_deferred_wakes_wake(struct tl_deferred_wakes *nudge, struct tl_park *park);

// Owe park a wake; if too many are owed, wake it. Called by one thread.
void tl_deferred_wakes_add(struct tl_deferred_wakes *nudge, struct tl_park *park);

// The waker is about to sleep. It pays later, when it holds nothing that others need.
void tl_deferred_wakes_before_sleep(struct tl_deferred_wakes *nudge);

// Pay what is owed. Needs no lock of the caller's.
void tl_deferred_wakes_flush(struct tl_deferred_wakes *nudge);

#ifndef NDEBUG
// Whether park is woken, or will be by what this waker owes. nudge may be NULL.
// Thread: any.
bool tl_deferred_wakes_is_coming(struct tl_deferred_wakes *nudge, struct tl_park *park);
#endif

// Before park is freed: whoever owes it a wake pays, and payments on their way are waited
// for.
void tl_deferred_wakes_forget(struct tl_park *park);

// Around a fork: hold the mutex. In the child only the calling thread exists: no wake is
// owed there.
void tl_deferred_wakes_hold(void);
void tl_deferred_wakes_release(bool in_child);

#endif // TL_DEFERRED_WAKES_H
