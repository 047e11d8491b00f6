// gil.h - what we read and set inside the interpreter, on every supported version.
#ifndef TL_GIL_H
#define TL_GIL_H

#include "cpython/compat.h" // before all of the system's

#include <pthread.h>

// Compare our idea of the interpreter's structs with what can be seen of them from
// outside. Returns 0, or -1 with an ImportError that tells what does not fit.
int tl_gil_check(void);

// Refuse the builds of CPython on which suspended tasklets would crash the process. Returns
// 0, or -1 with ImportError set.
int tl_gil_check_build(void);

// Whether the GIL is free. Unreliable by nature: it may be taken the moment after.
// Thread: any.  Locks: needs no GIL.
bool tl_gil_is_free(void);

// The thread that the interpreter started in.
unsigned long tl_gil_main_ident(void);

// Whether the calling thread is the one the interpreter started in.
bool tl_gil_is_main_thread(void);

// Whether a cyclic collection is running in this interpreter.
bool tl_gil_is_collecting(void);

// The flag behind it.
const int *tl_gil_collecting(void);

// The exception that is being handled, a new reference, or NULL: as
// PyErr_GetHandledException(), without its three calls.
static inline PyObject *
tl_gil_handled(PyThreadState *ts)
{
    const _PyErr_StackItem *item = ts->exc_info;
    while (item->exc_value == NULL || item->exc_value == Py_None) {
        if (item->previous_item == NULL) {
            return NULL;
        }
        item = item->previous_item;
    }
    return Py_NewRef(item->exc_value);
}

// Let a collected object have its finalizer called once more.
void tl_gil_unfinalize(PyObject *object);

// The GIL's own mutex, which guards the rest of this group, and what those who wait for
// the GIL wait on.
bool tl_gil_exists(void);
pthread_mutex_t *tl_gil_mutex(void);
pthread_cond_t *tl_gil_cond(void);
bool tl_gil_is_locked(void);
PyThreadState *tl_gil_holder(void); // who has it, or had it last
unsigned long tl_gil_switches(void);
void tl_gil_count_switch(void);
unsigned long tl_gil_interval(void); // in microseconds
void tl_gil_set_interval(unsigned long interval);

// Ask ts, which has the GIL, to drop it, and see whether it is asked.
void tl_gil_request(PyThreadState *ts);
bool tl_gil_is_requested(PyThreadState *ts);

// Whoever dropped the GIL because it was asked to waits for another to take it: let it go
// on as if one had. The GIL is not locked.
void tl_gil_play_taker(void);

// The thread state of the timekeeper's thread, made when it is first asked for by that
// thread; NULL if there is no memory, or the interpreter ends. Needs no GIL.
PyThreadState *tl_gil_timekeeper_state(void);

// The timekeeper's thread ends, and has no GIL: delete its state.
void tl_gil_timekeeper_ends(void);

// Around a fork: hold the GIL's own mutex, and what guards the thread state of timekeeper.c's
// thread, which has none in the child. Returns whether the calling thread has the GIL;
// false also if the interpreter is ending. tl_gil_release() gives back what was held.
bool tl_gil_hold(void);
void tl_gil_release(bool in_child);

// In between: whether the GIL's mutex is held, which it is unless the interpreter is
// ending.
bool tl_gil_is_held(void);

// From 3.12: whether code has all the events that are asked for everywhere.
bool tl_gil_is_instrumented(PyObject *code);

// Call visit(ident, ts, arg) for every thread state of this interpreter, newest first,
// until it returns non-zero; that of the thread of alarm.c is left out. visit must not
// run Python code nor give up the GIL.
void tl_gil_each_thread(int (*visit)(unsigned long ident, PyThreadState *ts, void *arg),
                        void *arg);

// Whether the interpreter is clearing ts, and what is put into its dict from now on is
// not cleared any more. Python 3.11 tells only for a thread that it did not begin.
bool tl_gil_is_clearing(PyThreadState *ts);

// Whether a thread state may go away unseen: cleared, but tl_gil_is_clearing() was false.
enum { TL_GIL_ENDS_UNSEEN = PY_VERSION_HEX < 0x030C0000 };

// A fresh C stack: no recursion, and a first frame chunk of our own.
void tl_gil_reset_recursion(PyThreadState *ts);

// How deep the running Python code is, counted by the interpreter.
int tl_gil_recursion_depth(PyThreadState *ts);

// Hand the current stack chunk as its first piece of frame memory. size counts bytes.
// Returns false, and does nothing, if it has had a frame already.
bool tl_gil_give_chunk(PyThreadState *ts, void *chunk, size_t size);

// Take back the chunk that tl_gil_give_chunk() gave. The stack must be empty again.
// Returns NULL if the stack's first piece is not chunk.
void *tl_gil_take_chunk(PyThreadState *ts, void *chunk);

// The current stack's first piece of frame memory, which it keeps for life.
void *tl_gil_root_chunk(PyThreadState *ts);

// Whether the innermost piece of frame memory is chunk, which is not NULL.
bool tl_gil_has_chunk(PyThreadState *ts, void *chunk);

// Put context (stolen, may be NULL) in force and return the one before (owned).
PyObject *tl_gil_swap_context(PyThreadState *ts, PyObject *context);

// The context in force, borrowed; made if there is none. NULL with an exception set.
PyObject *tl_gil_context(PyThreadState *ts);

// The context in force, borrowed, or NULL.
PyObject *tl_gil_seen_context(PyThreadState *ts);

// Whether some Context.run() is inside context.
bool tl_gil_context_is_entered(PyObject *context);

#endif // TL_GIL_H
