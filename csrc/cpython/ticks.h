// ticks.h - counts the events of running Python code, and interrupts it at one.
//
// A tick is an event of a thread's Python code: from 3.12 a jump or a function entry,
// as sys.monitoring reports them (ticks_monitoring.c); on 3.11 the start of a line or a
// jump backwards, as a trace function sees them (ticks_settrace.c). Ticks are counted
// while a run() with a budget is active. At a given tick, or at the next event after
// the thread was armed, tl_ticks_due() is called on the stack of the code that made the
// event, where it may switch. docs/internals/ticks.md has the details and the costs.
#ifndef TL_TICKS_H
#define TL_TICKS_H

#include "cpython/compat.h"
#include "base/list.h"

// The ticks of one thread, and what is armed on it.
//
// Invariants
// I1: limit - left is the number of ticks so far. On 3.11 a loop without a line of its
//     own may use up at once what is left.
// I2: armed, if not NULL, is the code object that has an event at every instruction.
struct tl_ticks {
    struct tl_link all;   // 3.12: in the list of all threads' ticks
    int64_t left;         // ticks until tl_ticks_due() is called
    int64_t limit;        // the number of the tick at which it is called
    PyThreadState *ts;    // NULL when its thread has ended
    int counting;         // number of active calls of tl_ticks_start()
    PyObject *armed;      // 3.12: counted, see I2
    struct tl_late *late; // 3.12 and 3.13: exceptions to raise at the next instruction
    PyObject **aside;     // counted: references that another thread, which must not run
                          // Python code, left for the thread itself to drop
    int naside, aside_room; // used and allocated length of aside
    bool hit;               // 3.11: armed
    bool probing;           // 3.11: look whether frame is in an empty loop
    PyObject *frame;        // 3.11: counted, each of its instructions is traced for us
    void *chained;          // 3.11: the trace function that ours displaced and calls
};

// The calling thread's; NULL: its events are not counted.
extern TL_THREAD_LOCAL struct tl_ticks *tl_ticks_mine;

// Called when left is used up, and at the next event of an armed thread, on the stack
// of the code that made the event. Returns 0, or -1 with an exception for that code.
// Set once.
// Switch: may.
extern int (*tl_ticks_due)(struct tl_ticks *events);

// Call tl_ticks_due() outside of the interpreter's callback, so to speak: code that
// runs after a switch is traced and counted as usual. Does nothing inside a trace
// function of the program's. Returns as tl_ticks_due().
// Switch: may.
int tl_ticks_decide(struct tl_ticks *events);

// Locks: the GIL.
TL_CHECKER(tl_ticks_check_state, const struct tl_ticks *events);

void tl_ticks_init(struct tl_ticks *events, PyThreadState *ts);
void tl_ticks_fini(struct tl_ticks *events);

// Begin to count ticks on the calling thread. Calls nest. Returns 0, or -1 with an
// exception set.
int tl_ticks_start(struct tl_ticks *events);

// End what one tl_ticks_start() began. From 3.12 on the events are turned off 0.3 to
// 0.6 seconds after the last use; then code runs at full speed again.
void tl_ticks_stop(struct tl_ticks *events);

// In the child of a fork: schedule again that the events are turned off.
void tl_ticks_after_fork(void);

static inline int64_t
tl_ticks_read(const struct tl_ticks *events)
{
    return events->limit - events->left;
}

// Call tl_ticks_due() at the tick with this number.
static inline void
tl_ticks_set_limit(struct tl_ticks *events, int64_t limit)
{
    events->left += limit - events->limit;
    events->limit = limit;
    tl_ticks_check_state(events);
}

// How often the events have been turned on. A stack that was suspended in an earlier
// epoch may have frames without events. Always 0 on 3.11, where a trace function
// belongs to the thread.
unsigned tl_ticks_epoch(void);

// Instrument the code of the frames from top outwards, which were suspended in an
// earlier epoch. The second takes a frame object. Without memory some of them do not
// count.
void tl_ticks_repair(void *top);
void tl_ticks_repair_frames(PyObject *frame);

// The program may have replaced our trace function with its own: chain it (3.11).
void tl_ticks_check(struct tl_ticks *events);

// Whether the interpreter limits how many times in a process the first trace function
// may be set and the last one removed (3.12 and later).
bool tl_ticks_are_costly(void);

// The program's own trace function, or NULL.
Py_tracefunc tl_ticks_trace_func(PyThreadState *ts);

// The event that the interpreter's callback, in which ts is now, reports (0 on 3.11).
// It must be restored after a switch.
int tl_ticks_kind(PyThreadState *ts);
void tl_ticks_set_kind(PyThreadState *ts, int kind);

// Leave a reference (stolen) for the thread to drop. Without memory it leaks. Does not
// call into Python.
void tl_ticks_put_aside(struct tl_ticks *events, PyObject *object);

// Drop what was left aside. May run Python code.
void tl_ticks_drop_aside(struct tl_ticks *events);

// Call tl_ticks_due() at the next event of the thread, which needs tl_ticks_ready().
// Returns whether the thread runs Python code, which could be interrupted. Does not
// call into Python.
// Thread: any.
bool tl_ticks_arm(struct tl_ticks *events);

// No longer. May run Python code.
void tl_ticks_disarm(struct tl_ticks *events);

// Ticks are counted, but there was none for a while: the running code may not be
// instrumented (3.12), or be a loop without line events (3.11). Mend that. Does not
// call into Python.
// Thread: any.
void tl_ticks_probe(struct tl_ticks *events);

// Prepare what tl_ticks_start() and tl_ticks_arm() need. Returns 0, or -1 with an
// exception set.
int tl_ticks_ready(void);

#endif // TL_TICKS_H
