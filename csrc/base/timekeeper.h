// timekeeper.h - one native thread that watches deadlines, and notices when an owner
// does not move.
//
// The idea: an owner, such as a scheduler, sets an alarm for a deadline, for a time
// without progress, or for both. The fast path of the owner only counts its moves. The
// timekeeper compares these counts from time to time, so that progress costs no clock
// and no system call. When an alarm goes off, its fire() is called on the timekeeper's
// thread, with the lock of the owners held: the host, which this plain C file knows
// nothing of, takes the GIL around the call.
//
// Locks: the mutex in timekeeper.c guards all alarms. Owners take it with the GIL held,
// so the GIL is never taken with it held. moves() is called with it.
#ifndef TL_TIMEKEEPER_H
#define TL_TIMEKEEPER_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

// An alarm. Times are those of tl_clock_now(), in nanoseconds.
//
// Invariants
// I1: listed iff prev and next are set.
// I2: all fields but fire and moves are guarded by the mutex in timekeeper.c.
struct tl_timekeeper {
    struct tl_timekeeper *prev, *next;
    tl_deadline deadline; // when it goes off
    int64_t still; // it also goes off after this time without a move; 0: it does not
    // When that time will have passed since the last move seen.
    tl_deadline still_end;
    tl_deadline still_until; // when to compare moves next, at still_end at the latest
    uint64_t seen;           // result of moves() when it was last compared
    // How many moves the owner has made. Must not block nor take the GIL.
    // Thread: the timekeeper's, without the GIL.  Locks: the mutex is held.
    uint64_t (*moves)(struct tl_timekeeper *alarm);
    // The alarm goes off. Returns the time at which to call again, unless the alarm has
    // been set anew in the call.
    // Thread: the timekeeper's, between enter() and leave() of the host.
    tl_deadline (*fire)(struct tl_timekeeper *alarm, int64_t now);
};

// What surrounds fire(): it takes and releases the lock that callers of
// tl_timekeeper_set() and tl_timekeeper_cancel() hold, the GIL.
struct tl_timekeeper_host {
    bool (*enter)(void); // false: fire() cannot be called now, and is not
    void (*leave)(void);
    void (*end)(void); // called once, as the last thing on the thread
};

// Start the thread. Returns 0, or an errno if it cannot be started.
int tl_timekeeper_start(const struct tl_timekeeper_host *host);

// Set the alarm for deadline, and for the moment when there has been no move for still
// nanoseconds from now on (0: not). moved is what moves() returns before the owner's
// next move. Returns 0, or an errno if the thread cannot be started.
int tl_timekeeper_set(struct tl_timekeeper *alarm,
                      const struct tl_timekeeper_host *host, tl_deadline deadline,
                      int64_t still, uint64_t moved);

// Whether the alarm is due, while its thread still waits in enter().
bool tl_timekeeper_is_due(struct tl_timekeeper *alarm);

// Cancel the alarm. With the lock of enter() held, fire() is not called any more once
// this returns; without it, a call may be going on.
void tl_timekeeper_cancel(struct tl_timekeeper *alarm);

// End the thread, for good, and wait for its end.
// Thread: any, without the lock of enter().
void tl_timekeeper_stop(void);

// Around a fork: take the mutex. In the child there is no thread, and no alarm is set.
void tl_timekeeper_hold(void);
void tl_timekeeper_release(bool in_child);

#endif // TL_TIMEKEEPER_H
