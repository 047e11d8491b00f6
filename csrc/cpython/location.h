// location.h - where in the program a block was entered, and whether it still runs there.
#ifndef TL_LOCATION_H
#define TL_LOCATION_H

#include "cpython/compat.h"

// The place of a call into C. All zero: unknown.
struct tl_location {
    PyObject *code; // counted, or NULL
    void *instr;    // in code
    // The frame of a generator or coroutine that can be suspended there, compared only.
    // NULL for a function, and for a generator of contextlib's contextmanager.
    void *generator;
};

// Note where the calling thread's innermost Python frame is.
void tl_location_note(PyThreadState *ts, struct tl_location *where);

// Drop what was noted. May run Python code.
static inline void
tl_location_clear(struct tl_location *where)
{
    where->instr = where->generator = NULL;
    Py_CLEAR(where->code);
}

// "file.py:12 in function", a new reference. NULL with an exception set.
PyObject *tl_location_text(const struct tl_location *where);

// Whether the generator of where is not among the calling thread's running frames.
bool tl_location_is_suspended(const struct tl_location *where, PyThreadState *ts);

// Whether a frame from top outwards belongs to a __del__ method. What is raised there
// does not leave it.
// name: "__del__", interned.
bool tl_location_in_finalizer(void *top, PyObject *name);

#endif // TL_LOCATION_H
