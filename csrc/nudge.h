// nudge.h - wakes that are put off until the waker goes to sleep itself.
//
// Where two threads share one CPU, the woken one takes the CPU at once, finds that the
// waker holds what it needs, and goes back to sleep: two switches for nothing. On another
// CPU it does, too, if it does not take long to wake. A waker that shares the CPU, or can
// be expected to sleep soon, owes the wake instead, and pays when it is about to sleep.
// Should it not, a thread of ours pays for it after a millisecond or two; that thread rests
// while nobody owes.
#ifndef TL_NUDGE_H
#define TL_NUDGE_H

#include "park.h"

// How many wakes can be owed at a time.
enum { TL_NUDGE_MOST = 8 };

// What one waker owes. Invariant: a park that is owed a wake is not freed before
// tl_nudge_forget() has returned.
struct tl_nudge {
    struct tl_nudge *prev, *next; // all wakers
    _Atomic(struct tl_park *) owed[TL_NUDGE_MOST];
    _Atomic int age;    // ticks since it was owed, about
    _Atomic int payers; // who may just be waking a park that is no longer owed
    // The waker's own, guarded as it likes.
    int64_t woke; // when it last woke a thread that slept; 0: it has slept since
    unsigned char prompt; // how often in a row it slept itself soon after that
};

void tl_nudge_init(struct tl_nudge *nudge);
void tl_nudge_fini(struct tl_nudge *nudge);

// Wake park, or owe it the wake. Called by the waker's thread; nudge may be NULL.
void tl_nudge_wake(struct tl_nudge *nudge, struct tl_park *park);

// Owe park a wake; if too many are owed, wake it. Called by one thread.
void tl_nudge_owe(struct tl_nudge *nudge, struct tl_park *park);

// The waker is about to sleep. It pays later, when it holds nothing that others need.
void tl_nudge_rest(struct tl_nudge *nudge);

// Pay what is owed. Needs no lock of the caller's.
void tl_nudge_pay(struct tl_nudge *nudge);

#ifndef NDEBUG
// Whether park is woken, or will be by what this waker owes. nudge may be NULL.
// Thread: any.
bool tl_nudge_is_coming(struct tl_nudge *nudge, struct tl_park *park);
#endif

// Before park is freed: whoever owes it a wake pays, and payments on their way are waited
// for.
void tl_nudge_forget(struct tl_park *park);

// Around a fork: hold the mutex. In the child only the calling thread exists: no wake is
// owed there.
void tl_nudge_hold(void);
void tl_nudge_release(bool in_child);

#endif // TL_NUDGE_H
