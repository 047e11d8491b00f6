// timekeeper.h - one native thread that watches deadlines, and how long nothing has moved.
#ifndef TL_TIMEKEEPER_H
#define TL_TIMEKEEPER_H

#include <stdbool.h>
#include <stdint.h>

// What one owner waits for. Times are tl_clock_now()'s; INT64_MAX: never.
//
// Invariants
// I1: listed iff prev and next are set.
// I2: all fields but fire and moves are guarded by the mutex in alarm.c.
struct tl_timekeeper {
    struct tl_timekeeper *prev, *next;
    int64_t deadline; // when it goes off
    int64_t still;    // goes off when moves() was the same for so long; 0: never
    int64_t still_end, still_until; // when it will have been; no move before the latter
    uint64_t seen;                  // what moves() was last
    // How often the owner has moved. Called by any thread, with the mutex held.
    uint64_t (*moves)(struct tl_timekeeper *alarm);
    // It has gone off: called by the thread of alarm.c between enter() and leave().
    // Returns when to call again, if nobody sets the alarm anew meanwhile.
    int64_t (*fire)(struct tl_timekeeper *alarm, int64_t now);
};

// What surrounds fire(): as a rule, it takes and releases a lock that the callers of
// tl_timekeeper_set() and tl_timekeeper_cancel() hold. end() is called once, last, on the thread.
struct tl_timekeeper_host {
    bool (*enter)(void); // false: no fire() now
    void (*leave)(void);
    void (*end)(void);
};

// Have a thread. Returns 0, or an errno if there is none.
int tl_timekeeper_start(const struct tl_timekeeper_host *host);

// Have the alarm go off at deadline, or when there was no move for still nanoseconds
// from now on (INT64_MAX and 0: not for this reason). moves() will answer moved when the
// owner has set out. Returns 0, or an errno if there is no thread to watch.
int tl_timekeeper_set(struct tl_timekeeper *alarm,
                      const struct tl_timekeeper_host *host, int64_t deadline,
                      int64_t still, uint64_t moved);

// Whether it has gone off, and enter() is still waited for.
bool tl_timekeeper_is_due(struct tl_timekeeper *alarm);

// Never go off again. Returns while it does only if called outside of enter().
void tl_timekeeper_cancel(struct tl_timekeeper *alarm);

// End the thread, for good. Call it without what enter() takes.
void tl_timekeeper_stop(void);

// Around a fork: hold the mutex, so that the child finds all as it was between two steps.
// In the child there is no thread and no alarm is set.
void tl_timekeeper_hold(void);
void tl_timekeeper_release(bool in_child);

#endif // TL_TIMEKEEPER_H
