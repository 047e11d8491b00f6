// fiber.h - C stacks that can be switched. A fiber is a greenlet, passed around as a
// PyObject; only fiber.c knows greenlet's API. Only sched.c and life.c switch fibers.
//
// greenlet copies C stacks when it switches: while a fiber is suspended, the address of
// a local variable of it may hold another fiber's data. So no pointer to a C local may
// be used by another fiber or thread across a switch.
#ifndef TL_FIBER_H
#define TL_FIBER_H

#include "cpython/compat.h"

// Load greenlet's C API, at import. Returns 0, or -1 with an exception set.
int tl_fiber_import(void);

// The running fiber: a new reference, or NULL with an exception set.
PyObject *tl_fiber_current(void);

// Whether fiber is the stack that the thread began on.
bool tl_fiber_is_main(PyObject *fiber);

// Whether fiber has begun and not ended.
bool tl_fiber_is_active(PyObject *fiber);

// A fiber that will call run(), a child of parent: args is the pair (run, parent).
PyObject *tl_fiber_new(PyObject *args);

// Continue fiber. Returns 0 when the caller's fiber is continued; -1 with an exception
// set if it was continued with that exception, or a trace function of greenlet's raised
// it.
// Switch: yes.
int tl_fiber_switch(PyObject *fiber);

// Continue fiber with the exception that is set. Returns as tl_fiber_switch().
// Switch: yes.
int tl_fiber_throw(PyObject *fiber);

// Set which fiber is continued when fiber ends. Returns 0, or -1 with an exception set.
int tl_fiber_set_parent(PyObject *fiber, PyObject *parent);

// The fiber that is continued when fiber ends: a new reference, or NULL.
PyObject *tl_fiber_parent(PyObject *fiber);

// Whether only its owner and greenlet itself refer to the running fiber. Otherwise
// Python code may continue it, or have greenlets whose parent it is.
bool tl_fiber_is_private(PyObject *fiber);

// The contextvars Context of a suspended fiber that has a frame: a new reference, None
// without one.
PyObject *tl_fiber_context(PyObject *fiber);

// The innermost frame of a suspended fiber: a new reference, None without one.
PyObject *tl_fiber_frame(PyObject *fiber);

#endif // TL_FIBER_H
