// compat.h - backports of public APIs, so that csrc/ reads as if written for the newest
// supported CPython.
//
// Only files in cpython/ may look at PY_VERSION_HEX or Py_GIL_DISABLED. A backport has
// the name and the contract of the API. Below are a few helpers that every file uses.
#ifndef TL_COMPAT_H
#define TL_COMPAT_H

// Python.h sets what the system's headers declare, and must come first.
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
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_READONLY READONLY
#define _Py_T_OBJECT T_OBJECT

// The raised exception as one object: returned, or stolen by the next function.
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

// Module slots that only newer interpreters know.
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

// Limits the recursion when long chains are deallocated. From 3.14 the interpreter does
// that for all types.
#if PY_VERSION_HEX < 0x030E0000
#define TL_TRASHCAN_BEGIN(self, dealloc) Py_TRASHCAN_BEGIN(self, dealloc)
#define TL_TRASHCAN_END Py_TRASHCAN_END
#else
#define TL_TRASHCAN_BEGIN(self, dealloc)
#define TL_TRASHCAN_END
#endif

// Thread-local, and cheap to read although this is a shared library.
#if defined(__GLIBC__) && defined(__GNUC__)
#define TL_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define TL_THREAD_LOCAL _Thread_local
#endif

// For rare cases: not inlined, so that their locals do not enlarge the C stack frames
// of the common case, which are copied when a tasklet blocks.
#define TL_COLD __attribute__((noinline, cold))

// Attributes by name. Unlike the interpreter's functions, these intern the name: a new
// string for each call would stay in the type cache, up to 4096 of them.
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

// Add a method whose function is not in the table of the type's spec.
static inline int
tl_add_method(PyTypeObject *type, PyMethodDef *def)
{
    PyObject *method = PyDescr_NewMethod(type, def);
    int result =
        method != NULL ? tl_setattr((PyObject *)type, def->ml_name, method) : -1;
    Py_XDECREF(method);
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

// Cast a METH_FASTCALL function for a PyMethodDef.
#define TL_FAST(function) (PyCFunction)(void (*)(void))(function)

#endif // TL_COMPAT_H
