// fiber.c - the only file that calls greenlet.
#include "core/fiber.h"

#include <greenlet/greenlet.h>

int
tl_fiber_import(void)
{
    PyGreenlet_Import();
    if (_PyGreenlet_API == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ImportError, "greenlet has no C API");
        }
        return -1;
    }
    return 0;
}

PyObject *
tl_fiber_current(void)
{
    return (PyObject *)PyGreenlet_GetCurrent();
}

bool
tl_fiber_is_main(PyObject *fiber)
{
    return PyGreenlet_MAIN((PyGreenlet *)fiber);
}

bool
tl_fiber_is_active(PyObject *fiber)
{
    return PyGreenlet_ACTIVE((PyGreenlet *)fiber);
}

PyObject *
tl_fiber_new(PyObject *args)
{
    // What PyGreenlet_New() does, without the dict that it makes for keywords.
    PyTypeObject *type = &PyGreenlet_Type;
    PyObject *fiber = type->tp_new(type, args, NULL);
    if (fiber != NULL && type->tp_init(fiber, args, NULL) < 0) {
        Py_CLEAR(fiber);
    }
    if (fiber != NULL) {
        // The tasklet's tp_traverse visits what the frames hold. From Python 3.15 on a
        // greenlet's does too, but an active greenlet is never collected.
        PyObject_GC_UnTrack(fiber);
        // It takes memory, and is made again on demand.
        Py_CLEAR(((PyGreenlet *)fiber)->dict);
    }
    return fiber;
}

int
tl_fiber_switch(PyObject *fiber)
{
    PyObject *result = PyGreenlet_Switch((PyGreenlet *)fiber, NULL, NULL);
    if (TL_UNLIKELY(result == NULL)) {
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

int
tl_fiber_throw(PyObject *fiber)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *result =
        PyGreenlet_Throw((PyGreenlet *)fiber, (PyObject *)Py_TYPE(exc), exc, NULL);
    Py_DECREF(exc);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

int
tl_fiber_set_parent(PyObject *fiber, PyObject *parent)
{
    return PyGreenlet_SetParent((PyGreenlet *)fiber, (PyGreenlet *)parent);
}

PyObject *
tl_fiber_parent(PyObject *fiber)
{
    return (PyObject *)PyGreenlet_GetParent((PyGreenlet *)fiber);
}

bool
tl_fiber_is_private(PyObject *fiber)
{
    PyGreenlet *greenlet = (PyGreenlet *)fiber;
    // Two references: the owner's, and that of greenlet's thread state.
    return Py_REFCNT(fiber) <= 2 && greenlet->weakreflist == NULL &&
           greenlet->dict == NULL;
}

PyObject *
tl_fiber_context(PyObject *fiber)
{
    return tl_getattr(fiber, "gr_context");
}

PyObject *
tl_fiber_frame(PyObject *fiber)
{
    return tl_getattr(fiber, "gr_frame");
}
