// location.h - where in the program a block was entered, and whether it still runs
// there.
//
// The idea: a location is a code object and an instruction in it, which is cheap to
// note whenever a block (timeout(), shield(), TaskGroup) is entered. It is turned into
// "file.py:12 in function" only for a message. If the block is inside a generator, the
// generator's frame is noted too: if that frame is not among the thread's running
// frames when the block is interrupted, the generator was left suspended in the block,
// and the interruption would hit code outside of it.
#ifndef TL_LOCATION_H
#define TL_LOCATION_H

#include "cpython/compat.h"

// The place of a call into C. All zero: unknown.
struct tl_location {
    PyObject *code; // counted, or NULL
    void *instr;    // address in code of the instruction that makes the call
    // The frame of a generator or coroutine that can be suspended there; only compared.
    // NULL for a function, and for a generator run by contextlib.contextmanager().
    void *generator;
};

// Note the place that the calling thread's innermost Python frame has reached.
void tl_location_note(PyThreadState *ts, struct tl_location *where);

// Forget it. May run Python code.
static inline void
tl_location_clear(struct tl_location *where)
{
    where->instr = where->generator = NULL;
    Py_CLEAR(where->code);
}

// Return "file.py:12 in function", a new reference. NULL with an exception set.
PyObject *tl_location_text(const struct tl_location *where);

// Whether the generator of where is suspended, or done: not among the calling thread's
// running frames. False if where has none.
bool tl_location_is_suspended(const struct tl_location *where, PyThreadState *ts);

// Whether a frame from top outwards runs a function called name, which is "__del__",
// interned. The interpreter swallows exceptions that leave it.
bool tl_location_in_finalizer(void *top, PyObject *name);

#endif // TL_LOCATION_H
