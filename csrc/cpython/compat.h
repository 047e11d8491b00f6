// compat.h - the only file, beside gil, frames and events, that may look at PY_VERSION_HEX or
// Py_GIL_DISABLED.
//
// Each entry backports a public API of a newer CPython under its own name, so the rest
// of csrc/ reads as if written for the newest version we support.
#ifndef TL_COMPAT_H
#define TL_COMPAT_H

// The interpreter sets what the system's headers show: newer ones warn of a redefinition.
#if defined(_FEATURES_H) && !defined(Py_PYTHON_H)
#error "include compat.h, or what includes it, before the system's headers"
#endif

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#define _Py_T_OBJECT T_OBJECT

// The raised exception as one object. Steals or returns one reference.
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *tb;
    PyErr_Fetch(&type, &value, &tb);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &tb);
    if (tb != NULL) {
        PyException_SetTraceback(value, tb);
    }
    Py_XDECREF(tb);
    Py_DECREF(type);
    return value;
}

static inline void
PyErr_SetRaisedException(PyObject *exc)
{
    if (exc == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exc)), exc,
                  PyException_GetTraceback(exc));
}
#endif

#if PY_VERSION_HEX < 0x030D0000
static inline int
PyWeakref_GetRef(PyObject *ref, PyObject **object)
{
    *object = Py_XNewRef(PyWeakref_GetObject(ref));
    if (*object == Py_None) {
        Py_CLEAR(*object);
    }
    return *object != NULL;
}
#define Py_HashPointer _Py_HashPointer
#define Py_IsFinalizing _Py_IsFinalizing
#endif

// Slots that only newer interpreters read.
#if PY_VERSION_HEX >= 0x030C0000
#define TL_MOD_SLOT_INTERP \
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#else
#define TL_MOD_SLOT_INTERP
#endif
#if PY_VERSION_HEX >= 0x030D0000
#define TL_MOD_SLOT_GIL {Py_mod_gil, Py_MOD_GIL_USED},
#else
#define TL_MOD_SLOT_GIL
#endif

// Deallocation of long chains; from 3.14 the interpreter does it for all.
#if PY_VERSION_HEX < 0x030E0000
#define TL_TRASHCAN_BEGIN(self, dealloc) Py_TRASHCAN_BEGIN(self, dealloc)
#define TL_TRASHCAN_END Py_TRASHCAN_END
#else
#define TL_TRASHCAN_BEGIN(self, dealloc)
#define TL_TRASHCAN_END
#endif

// Thread-local, and cheap to read although we are a loaded library.
#if defined(__GLIBC__) && defined(__GNUC__)
#define TL_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define TL_THREAD_LOCAL _Thread_local
#endif

// Out of the way: what is seldom done must not add to the stack frame of what is often
// done, because the frames of a blocked tasklet are saved whole.
#define TL_COLD __attribute__((noinline, cold))

// Attributes by name. The interpreter's functions of this kind make a new string for each
// call, of which its type cache then keeps up to 4096.
static inline PyObject *
tl_getattr(PyObject *object, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *value = interned != NULL ? PyObject_GetAttr(object, interned) : NULL;
    Py_XDECREF(interned);
    return value;
}

static inline int
tl_setattr(PyObject *object, const char *name, PyObject *value)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    int result = interned != NULL ? PyObject_SetAttr(object, interned, value) : -1;
    Py_XDECREF(interned);
    return result;
}

// Call a method, with arg unless that is NULL.
static inline PyObject *
tl_call_method(PyObject *object, const char *name, PyObject *arg)
{
    PyObject *interned = PyUnicode_InternFromString(name), *result = NULL;
    if (interned != NULL) {
        result = arg == NULL ? PyObject_CallMethodNoArgs(object, interned)
                             : PyObject_CallMethodOneArg(object, interned, arg);
        Py_DECREF(interned);
    }
    return result;
}

#define TL_LIKELY(x) __builtin_expect(!!(x), 1)
#define TL_UNLIKELY(x) __builtin_expect(!!(x), 0)

// How a METH_FASTCALL function goes into a PyMethodDef.
#define TL_FAST(function) (PyCFunction)(void (*)(void))(function)

#endif // TL_COMPAT_H
