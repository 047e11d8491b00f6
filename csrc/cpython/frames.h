// frames.h - walks the interpreter's frames: what they reference, what code they run,
// how deeply calls are nested.
//
// A frame is passed as an opaque pointer. It is valid until its stack runs again.
// Locks: the GIL, for all of these.
#ifndef TL_FRAMES_H
#define TL_FRAMES_H

#include "cpython/compat.h"

// Whether greenlet itself shows the collector the frames of a suspended greenlet.
enum { TL_GREENLETS_SHOW_FRAMES = PY_VERSION_HEX >= 0x030F0000 };

// The innermost frame of ts; NULL if it runs no Python code.
void *tl_frames_top(PyThreadState *ts);

// The code object of the innermost frame from top outwards that runs a Python function:
// borrowed; NULL if there is none.
PyObject *tl_frames_code(void *top);

// Call visit(code, arg) for those frames from top outwards, until it returns non-zero.
void tl_frames_each_code(void *top, int (*visit)(PyObject *code, void *arg), void *arg);

// How many times C code on the running stack has called a Python function, not counting
// the first. Resumed generators do not count, nor do those calls that the interpreter
// makes without C code once the call site is specialized.
int tl_frames_nesting(PyThreadState *ts);

// Whether an import is going on in the running stack.
bool tl_frames_are_importing(PyThreadState *ts);

// Visit, for the collector, the references of the frames from top outwards. Skips
// frames of generators, which visit their own, and each reference that is not known to
// be counted: to leave one out only keeps its object alive. Returns what visit returned
// last.
int tl_frames_traverse(void *top, visitproc visit, void *arg);

#endif // TL_FRAMES_H
