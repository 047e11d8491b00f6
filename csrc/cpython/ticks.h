// ticks.h - counts the events of running Python code, and stops it at one.
#ifndef TL_TICKS_H
#define TL_TICKS_H

#include "cpython/compat.h"
#include "base/list.h"

// The ticks of one thread, and what is armed on it. A tick is an event of the thread's
// Python code: from 3.12 a jump or a function entry, on 3.11 the start of a line or a jump
// backwards. They count while somebody counts.
//
// Invariants
// I1: limit - left is the number of ticks so far. On 3.11 a loop without a line of its own
//     may use up at once what is left.
// I2: armed, if not NULL, is the code object that has an event at every instruction.
struct tl_ticks {
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
extern TL_THREAD_LOCAL struct tl_ticks *tl_ticks_mine;

// Called when left is used up, or the thread's Python code has come to where it was
// armed, in that code's own stack; it may switch. Returns 0, or -1 with an exception for
// that code. Set once.
extern int (*tl_ticks_due)(struct tl_ticks *events);

// Call it, as if the interpreter were not inside a callback of its own: what runs
// meanwhile is to be traced as usual.
int tl_ticks_decide(struct tl_ticks *events);

// Locks: the GIL.
TL_CHECKER(tl_ticks_check_state, const struct tl_ticks *events);

void tl_ticks_init(struct tl_ticks *events, PyThreadState *ts);
void tl_ticks_fini(struct tl_ticks *events);

// Begin to count ticks on the calling thread. Returns 0, or -1 with an exception set.
int tl_ticks_start(struct tl_ticks *events);

// No longer count. Some hundred milliseconds after the last such call, code runs as if
// nobody had ever counted.
void tl_ticks_stop(struct tl_ticks *events);

// In the child of a fork: what was to be turned off still is.
void tl_ticks_after_fork(void);

static inline int64_t
tl_ticks_read(const struct tl_ticks *events)
{
    return events->limit - events->left;
}

// Have tl_ticks_due() called at the tick with this number.
static inline void
tl_ticks_set_limit(struct tl_ticks *events, int64_t limit)
{
    events->left += limit - events->limit;
    events->limit = limit;
    tl_ticks_check_state(events);
}

// Whether the frames of a suspended stack might have missed that counting has begun, and
// the number that says since when.
unsigned tl_ticks_epoch(void);

// Have the frames from top outwards count, which were suspended in an earlier epoch.
void tl_ticks_repair(void *top);
void tl_ticks_repair_frames(PyObject *frame);

// Somebody may have set a trace function over ours.
void tl_ticks_check(struct tl_ticks *events);

// Whether to set the first trace function, and to take out the last, may be done only so
// often in the life of a process.
bool tl_ticks_are_costly(void);

// The program's own trace function.
Py_tracefunc tl_ticks_trace_func(PyThreadState *ts);

// Which event a trace function or monitoring callback is told about now.
int tl_ticks_kind(PyThreadState *ts);
void tl_ticks_set_kind(PyThreadState *ts, int kind);

// Keep a reference (stolen) for the thread to drop, or for good if there is no memory.
void tl_ticks_put_aside(struct tl_ticks *events, PyObject *object);

// Drop them. Other code runs.
void tl_ticks_drop_aside(struct tl_ticks *events);

// Have tl_ticks_due() called as soon as the thread goes on. Any thread may do so for
// another, with the GIL, which it keeps. Returns whether it has Python code to be stopped
// in.
bool tl_ticks_arm(struct tl_ticks *events);
void tl_ticks_disarm(struct tl_ticks *events);

// There was no tick for a while, although somebody counts: see to it that there are some.
// Any thread may do so for another, with the GIL, which it keeps.
void tl_ticks_probe(struct tl_ticks *events);

// Get ready to arm. Returns 0, or -1 with an exception set.
int tl_ticks_ready(void);

#endif // TL_TICKS_H
