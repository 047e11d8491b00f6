// gil.h - the interpreter's internal state that the core reads and sets: the GIL,
// thread states, recursion counters, frame memory and contexts.
//
// gil.c is, with frames.c and location.c, the only file that includes the interpreter's
// internal headers. docs/internals/porting.md lists what is used on each version, and
// how it is checked at import.
#ifndef TL_GIL_H
#define TL_GIL_H

#include "cpython/compat.h" // before all of the system's

#include <pthread.h>

// Compare the structs that this build expects with what can be observed. Returns 0, or
// -1 with an ImportError that names what differs.
int tl_gil_check(void);

// Refuse the builds of CPython on which suspended tasklets would crash the process.
// Returns 0, or -1 with ImportError set.
int tl_gil_check_build(void);

// Whether the GIL is free. Another thread may take it at any moment.
// Thread: any.  Locks: none.
bool tl_gil_is_free(void);

// The ident of the main thread.  Thread: any.  Locks: none.
unsigned long tl_gil_main_ident(void);

// Whether the calling thread is the main thread.  Thread: any.  Locks: none.
bool tl_gil_is_main_thread(void);

// Whether a cyclic collection is running in this interpreter, on any thread.
bool tl_gil_is_collecting(void);

// The address of that flag, for a place that tests it at every switch.
const int *tl_gil_collecting(void);

// The exception that is being handled, a new reference, or NULL: an inline
// PyErr_GetHandledException().
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

// Clear the mark that object's finalizer has run: it will be called again.
void tl_gil_unfinalize(PyObject *object);

// ---- the GIL's fields, for the governor
//
// Thread: any.  Locks: tl_gil_mutex(), but for the first two. The GIL itself is not
// needed.

bool tl_gil_exists(void); // false in a build without a GIL
pthread_mutex_t *tl_gil_mutex(void);
pthread_cond_t *tl_gil_cond(void); // waiters for the GIL sleep on it
bool tl_gil_is_locked(void);
PyThreadState *tl_gil_holder(void);  // the holder, or the last one if the GIL is free
unsigned long tl_gil_switches(void); // number of times that the GIL changed hands
void tl_gil_count_switch(void);      // waiters restart their timeout
unsigned long tl_gil_interval(void); // of the waiters' timeout, in microseconds
void tl_gil_set_interval(unsigned long interval);

// Set the drop request of ts, the holder. The caller must see to it that a thread takes
// the GIL then: the holder waits for that. Before 3.13 this takes the lock of the
// interpreter's list of threads, because an interpreter that ends frees thread states.
void tl_gil_request(PyThreadState *ts);
bool tl_gil_is_requested(PyThreadState *ts); // Locks: none

// A thread that dropped the GIL on request waits until another has taken it: release it
// from that wait, as if one had. The GIL is not locked. Takes the GIL's switch_mutex.
void tl_gil_play_taker(void);

// ---- threads

// The thread state of the timekeeper's thread, created at that thread's first call.
// NULL if there is no memory, or the interpreter is ending.
// Locks: none; takes its own mutex up to 3.12.
PyThreadState *tl_gil_timekeeper_state(void);

// The timekeeper's thread, which does not have the GIL, ends: delete its state.
void tl_gil_timekeeper_ends(void);

// Around a fork: take tl_gil_mutex(), unless the interpreter is ending, and before
// that, up to 3.12, the mutex of the timekeeper's thread state. tl_gil_hold() returns
// whether the calling thread has the GIL and the interpreter is not ending. In the
// child the timekeeper's thread has no thread state.
bool tl_gil_hold(void);
void tl_gil_release(bool in_child);

// Between the two: whether tl_gil_mutex() is held.
bool tl_gil_is_held(void);

// From 3.12: whether code has been instrumented for all events that are now set
// globally.
bool tl_gil_is_instrumented(PyObject *code);

// Call visit(ident, ts, arg) for each thread state of this interpreter, newest first,
// until it returns non-zero. The timekeeper's is left out. visit must neither call into
// Python nor release the GIL: before 3.13 the list is locked during the call.
void tl_gil_each_thread(int (*visit)(unsigned long ident, PyThreadState *ts, void *arg),
                        void *arg);

// Whether the interpreter is clearing ts, so that what is put into its dict from now on
// would not be cleared. 3.11 shows this for threads that C code registered, but not for
// threads of the threading module. From 3.13 on it is always false: there finalizers
// that could call us run before the dict is cleared.
bool tl_gil_is_clearing(PyThreadState *ts);

// Whether a thread state may be cleared without tl_gil_is_clearing() ever being true.
enum { TL_GIL_ENDS_UNSEEN = PY_VERSION_HEX < 0x030C0000 };

// ---- stacks

// Set the recursion counters of a fresh C stack: no recursion so far.
void tl_gil_reset_recursion(PyThreadState *ts);

// How deep the running Python code is, by the interpreter's counter.
int tl_gil_recursion_depth(PyThreadState *ts);

// Give the current stack its first piece of frame memory, of size bytes. Returns false,
// and does nothing, if the stack has some already.
bool tl_gil_give_chunk(PyThreadState *ts, void *chunk, size_t size);

// Take that piece back from a stack without frames. Returns chunk, or NULL if the
// innermost piece is another one.
void *tl_gil_take_chunk(PyThreadState *ts, void *chunk);

// The first piece of frame memory of the current stack, which never changes; NULL if it
// has none.
void *tl_gil_root_chunk(PyThreadState *ts);

// Whether the innermost piece of frame memory is chunk. False for NULL.
bool tl_gil_has_chunk(PyThreadState *ts, void *chunk);

// ---- contexts

// Make context (stolen, may be NULL) the current one. Returns the one before (owned).
PyObject *tl_gil_swap_context(PyThreadState *ts, PyObject *context);

// The current context, borrowed; created if there is none. NULL with an exception set.
PyObject *tl_gil_context(PyThreadState *ts);

// The current context, borrowed, or NULL.
PyObject *tl_gil_current_context(PyThreadState *ts);

// Whether a Context.run() of context is active.
bool tl_gil_context_is_entered(PyObject *context);

#endif // TL_GIL_H
