// frames.h - looks at frames: what they hold, what code they run, how deep it is.
#ifndef TL_FRAMES_H
#define TL_FRAMES_H

#include "cpython/compat.h"

// Whether a greenlet shows the collector the frames of its suspended stack itself.
enum { TL_GREENLETS_SHOW_FRAMES = PY_VERSION_HEX >= 0x030F0000 };

// The innermost frame of the calling thread, opaque; NULL without one.
void *tl_frames_top(PyThreadState *ts);

// The code object of the innermost frame from top outwards that has one of its own:
// borrowed; NULL without one.
PyObject *tl_frames_code(void *top);

// Call visit(code, arg) for the frames from top outwards, until it returns non-zero.
void tl_frames_each_code(void *top, int (*visit)(PyObject *code, void *arg), void *arg);

// How many times C code of the running stack has called Python code, besides the first.
// A generator that is resumed does not count, nor do those calls that the interpreter
// makes without C code when they are warm.
int tl_frames_nesting(PyThreadState *ts);

// Whether the running stack is inside the import machinery.
bool tl_frames_are_importing(PyThreadState *ts);

// Visit what the frames from top outwards own: only frames that the stack itself owns,
// and of these only what is known to be counted. A reference that is left out only
// keeps its object alive.
int tl_frames_traverse(void *top, visitproc visit, void *arg);

#endif // TL_FRAMES_H
