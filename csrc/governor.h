// governor.h - while a thread is inside an atomic section, nobody makes it give up the
// GIL.
//
// The interpreter takes the GIL away in one way only: a thread that waits for it times
// out, and asks the holder to drop it. While sections are about, the waiters' timeout is
// set so long that it never ends, and a ticker of ours asks in their place: any holder
// but one that is inside a section, who is asked when it leaves.
#ifndef TL_GOVERNOR_H
#define TL_GOVERNOR_H

#include "compat.h"
#include "list.h"

// What the governor knows of one thread.
//
// Invariants
// I1: marked is set only while the thread's running tasklet is atomic; always then, unless
//     there could be no ticker. Set with the GIL and its mutex, reset with the GIL, read
//     with either.
struct tl_guard {
    struct tl_link all;
    PyThreadState *ts;
    unsigned long
        patience; // how long others wait for it, in microseconds; 0: for ever.
                  // Guarded by the GIL's mutex
    bool marked;
};

void tl_guard_init(struct tl_guard *guard, PyThreadState *ts);

// The thread ends, inside a section or not.
void tl_guard_fini(struct tl_guard *guard);

// The calling thread, whose guard it is, begins a section, or ends it. The GIL may be
// given up just before a section begins, and once it has ended.
void tl_governor_enter(struct tl_guard *guard);
void tl_governor_leave(struct tl_guard *guard);

// The same for another thread, which does not run now.
void tl_governor_mark(struct tl_guard *guard, bool marked);

// Sections of this thread hold off others for so many microseconds at most; 0: for as long
// as they last.
void tl_governor_limit(struct tl_guard *guard, unsigned long patience);

// The calling thread is about to wait inside a section, and has the GIL again after that.
void tl_governor_pause(struct tl_guard *guard);
void tl_governor_return(struct tl_guard *guard);

// Ask whoever holds the GIL to let go at its next chance, but not inside a section. The
// caller is about to wait for the GIL. Thread: any, without the GIL.
void tl_governor_request(void);

// The same for a thread that was woken, which must go on to take the GIL: till it has,
// nobody has the GIL for long outside of sections. With the GIL's mutex held. May only be
// called once tl_governor_is_ready().
void tl_governor_hurry(void);
void tl_governor_hurried(void);

// Whether sections are protected in this process, and if not, why: NULL if they are. To
// find out, it is tried once, which takes some milliseconds. Where they are not, sections
// take turns, and that is all.
const char *tl_governor_refusal(void);

// The same, and the program is kept from the interval in force from now on.
bool tl_governor_is_ready(void);

// The program's own switch interval, in microseconds. With the GIL's mutex held.
unsigned long tl_governor_interval(void);

// End the ticker, for good. Thread: without the GIL.
void tl_governor_stop(void);

// In the child of a fork, with the GIL's mutex held: there is no ticker.
void tl_governor_forget_threads(void);

// The same later, when the interpreter is whole again: go on with the section of the
// calling thread, whose guard it is (may be NULL).
void tl_governor_after_fork(struct tl_guard *guard);

#endif // TL_GOVERNOR_H
