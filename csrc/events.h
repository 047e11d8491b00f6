// events.h - counts the events of running Python code, and stops it at one.
#ifndef TL_EVENTS_H
#define TL_EVENTS_H

#include "compat.h"
#include "list.h"

// The ticks of one thread, and what is armed on it. A tick is an event of the thread's
// Python code: from 3.12 a jump or a function entry, on 3.11 the start of a line or a jump
// backwards. They count while somebody counts.
//
// Invariants
// I1: limit - left is the number of ticks so far. On 3.11 a loop without a line of its own
//     may use up at once what is left.
// I2: armed, if not NULL, is the code object that has an event at every instruction.
struct tl_events {
    struct tl_link all; // every thread's
    int64_t left, limit;
    PyThreadState *ts;    // NULL when its thread has ended
    int counting;         // how many count on this thread
    PyObject *armed;      // counted
    struct tl_late *late; // exceptions that are still to be raised
    // What another thread had no more use for: the thread itself drops the references,
    // because that can run any code.
    PyObject **aside;
    int naside, aside_room;
    // 3.11:
    bool hit, probing; // to be stopped at the next event; if it is in an empty loop
    PyObject *frame;   // counted: has its every instruction traced for us
    void *chained;     // the trace function that was there before
};

// The calling thread's; NULL: its events are nobody's.
extern TL_THREAD_LOCAL struct tl_events *tl_events_mine;

// Called when left is used up, or the thread's Python code has come to where it was
// armed, in that code's own stack; it may switch. Returns 0, or -1 with an exception for
// that code. Set once.
extern int (*tl_events_due)(struct tl_events *events);

// Call it, as if the interpreter were not inside a callback of its own: what runs
// meanwhile is to be traced as usual.
int tl_events_decide(struct tl_events *events);

// Locks: the GIL.
TL_CHECKER(tl_events_check_state, const struct tl_events *events);

void tl_events_init(struct tl_events *events, PyThreadState *ts);
void tl_events_fini(struct tl_events *events);

// Begin to count ticks on the calling thread. Returns 0, or -1 with an exception set.
int tl_events_start(struct tl_events *events);

// No longer count. Some hundred milliseconds after the last such call, code runs as if
// nobody had ever counted.
void tl_events_stop(struct tl_events *events);

// In the child of a fork: what was to be turned off still is.
void tl_events_after_fork(void);

static inline int64_t
tl_events_ticks(const struct tl_events *events)
{
    return events->limit - events->left;
}

// Have tl_events_due() called at the tick with this number.
static inline void
tl_events_set_limit(struct tl_events *events, int64_t limit)
{
    events->left += limit - events->limit;
    events->limit = limit;
    tl_events_check_state(events);
}

// Whether the frames of a suspended stack might have missed that counting has begun, and
// the number that says since when.
unsigned tl_events_epoch(void);

// Have the frames from top outwards count, which were suspended in an earlier epoch.
void tl_events_repair(void *top);
void tl_events_repair_frames(PyObject *frame);

// Somebody may have set a trace function over ours.
void tl_events_check(struct tl_events *events);

// Whether to set the first trace function, and to take out the last, may be done only so
// often in the life of a process.
bool tl_events_are_dear(void);

// The program's own trace function.
Py_tracefunc tl_events_trace_func(PyThreadState *ts);

// Which event a trace function or monitoring callback is told about now.
int tl_events_kind(PyThreadState *ts);
void tl_events_set_kind(PyThreadState *ts, int kind);

// Keep a reference (stolen) for the thread to drop, or for good if there is no memory.
void tl_events_put_aside(struct tl_events *events, PyObject *object);

// Drop them. Other code runs.
void tl_events_drop_aside(struct tl_events *events);

// Have tl_events_due() called as soon as the thread goes on. Any thread may do so for
// another, with the GIL, which it keeps. Returns whether it has Python code to be stopped
// in.
bool tl_events_arm(struct tl_events *events);
void tl_events_disarm(struct tl_events *events);

// There was no tick for a while, although somebody counts: see to it that there are some.
// Any thread may do so for another, with the GIL, which it keeps.
void tl_events_probe(struct tl_events *events);

// Get ready to arm. Returns 0, or -1 with an exception set.
int tl_events_ready(void);

#endif // TL_EVENTS_H
