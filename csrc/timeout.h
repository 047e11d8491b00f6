// timeout.h - blocks of code that are to be left at a time.
#ifndef TL_TIMEOUT_H
#define TL_TIMEOUT_H

#include "sched.h"

//   IDLE --enter--> ACTIVE --time is up, the tasklet waits--------------> SENT
//    ^                 |                                                   ^ |
//    |                 +-- it does not --> DUE --it is about to wait ------+ |
//    |                                      ^--- a throw takes its place ----+
//    |                                      ^--- an inner block's, and ends -+
//    |                                 PAST <--- an outer block's is sent ---+
//    +---------------- exit or its tasklet's end, from all ----------------+
enum tl_timeout_state {
    TL_TIMEOUT_IDLE,
    TL_TIMEOUT_ACTIVE,
    TL_TIMEOUT_DUE,
    TL_TIMEOUT_SENT,
    TL_TIMEOUT_PAST // an interruption that passes now is not its own
};

// Invariants
// I1: who is NULL iff state is IDLE; else we are in the list who->timeouts.
// I2: timer is set only while state is ACTIVE, in who->home's heap.
// I3: the interruption that was sent last is that of the innermost one in state SENT.
typedef struct TimeoutObject {
    PyObject_HEAD
    struct tl_timer timer;
    TaskletObject *who;          // counted
    struct TimeoutObject *outer; // the next one of who
    PyObject *exc;               // to be raised at the end, or NULL
    PyObject *bomb;              // what interrupts; NULL: TimeoutExit
    int64_t after, when;         // nanoseconds from the beginning, or when; 0: never,
                                 // negative: at once
    unsigned char state;
    bool relative, expired;
    bool overtaken; // since it was entered, an outer one's interruption was sent
    bool outlived;  // its tasklet ended inside the block, and nobody has left that yet
} TimeoutObject;

// Begin and end the block, for the current tasklet. Return 0, or -1 with an exception
// set.
int tl_timeout_enter(struct tl_sched *s, TimeoutObject *timeout);
int tl_timeout_exit(struct tl_sched *s, TimeoutObject *timeout, PyObject *exc);

// Have it end at another time; when is 0 for never, negative for now.
int tl_timeout_move(struct tl_sched *s, TimeoutObject *timeout, int64_t when);

// The object goes away, in the middle of its block maybe.
void tl_timeout_forget(TimeoutObject *timeout);

// The blocks inside outer (NULL: all) that t, which has ended, or a call that it has made,
// has not left are over. No other code runs.
void tl_timeout_end(TaskletObject *t, const TimeoutObject *outer);

// Something else is raised in t in place of old (may be NULL): if that was an
// interruption, it comes later.
void tl_timeout_displaced(TaskletObject *t, PyObject *old);

// Interrupt the current tasklet if one of its blocks is over. Returns 0, or -1 with the
// exception set.
int tl_timeout_check(struct tl_sched *s);

#endif // TL_TIMEOUT_H
