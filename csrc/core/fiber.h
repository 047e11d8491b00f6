// fiber.h - the only user of greenlet: C stacks that can be switched.
//
// A fiber is a greenlet, handed around as a PyObject.
#ifndef TL_FIBER_H
#define TL_FIBER_H

#include "cpython/compat.h"

// Load greenlet's C API. Returns 0, or -1 with an exception set.
int tl_fiber_import(void);

// The fiber that runs now: a new reference, or NULL with an exception set.
PyObject *tl_fiber_current(void);

// Whether fiber is the stack that the thread began on.
bool tl_fiber_is_main(PyObject *fiber);

// Whether fiber has begun and not ended.
bool tl_fiber_is_active(PyObject *fiber);

// A fiber that will call run(), a child of parent: args is the pair (run, parent).
PyObject *tl_fiber_new(PyObject *args);

// Continue fiber. Returns 0 when somebody continues the caller, -1 with an exception
// set if that somebody threw one.
// Switch: yes.
int tl_fiber_switch(PyObject *fiber);

// Continue fiber with the exception that is set. Returns as tl_fiber_switch().
// Switch: yes.
int tl_fiber_throw(PyObject *fiber);

// Where fiber goes when it ends.
int tl_fiber_set_parent(PyObject *fiber, PyObject *parent);

// Where fiber goes when it ends: a new reference, or NULL.
PyObject *tl_fiber_parent(PyObject *fiber);

// Whether the running fiber is known to nobody but its one owner and greenlet itself.
bool tl_fiber_is_private(PyObject *fiber);

// The contextvars Context of a suspended fiber that has a frame: a new reference, None
// without one.
PyObject *tl_fiber_context(PyObject *fiber);

// The innermost frame of a suspended fiber: a new reference, None without one.
PyObject *tl_fiber_frame(PyObject *fiber);

#endif // TL_FIBER_H
