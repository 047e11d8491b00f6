// args.h - arguments of METH_FASTCALL | METH_KEYWORDS methods: keywords, flags,
// functions, ints.
#ifndef TL_ARGS_H
#define TL_ARGS_H

#include "cpython/compat.h" // before all of the system's

#include <stdbool.h>

// One table per method. names[] lists the parameters in order.
struct tl_argspec {
    const char *fname;        // "send()" in error messages: "send"
    const char *const *names; // NULL-terminated
    int required;             // names[0 .. required) must be given
    int posonly;              // names[0 .. posonly) only by position
    int maxpos;               // names[0 .. maxpos) may be positional
};

// The method that makes a type generic: channel[int] is a types.GenericAlias.
#define TL_CLASS_GETITEM                                        \
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, \
     "Return the class with a type argument, for annotations and as a base."}

// Sort the arguments of a vectorcall into out[], one slot per name.
//
// out[i] is a borrowed reference, or NULL if the argument is missing: the method
// supplies the default. Returns 0, or -1 with a TypeError set, worded like those of
// CPython.
int tl_args_parse(const struct tl_argspec *spec, PyObject *const *args,
                  Py_ssize_t nargs, PyObject *kwnames, PyObject **out);

// Read a truth value as strictly as Stackless: it must be a bool or an int. Returns 0
// or 1, or -1 with a TypeError that says message.
int tl_args_flag(PyObject *value, const char *message);

static inline PyObject *
tl_none_to_null(PyObject *object)
{
    return object == Py_None ? NULL : object;
}

// The slow path of tl_args_function().
int tl_args_no_function(const char *fname, PyObject *func, int level);

// Check that fname() can call func in a tasklet: that it is callable, no coroutine and
// no async function. Returns 0, or -1 with a TypeError set that says what to write
// instead. A coroutine that has not begun is closed then, so that the interpreter does
// not warn of it as well. May run Python code.
//
// A generator function is allowed, with a RuntimeWarning, which may be set as an
// exception. level: where it is shown, 1: in the innermost Python frame, 2: in the
// caller of that, and so on.
static inline int
tl_args_function(const char *fname, PyObject *func, int level)
{
    enum { UNUSUAL = CO_COROUTINE | CO_ASYNC_GENERATOR | CO_GENERATOR };
    if (PyFunction_Check(func) &&
        !(((PyCodeObject *)PyFunction_GET_CODE(func))->co_flags & UNUSUAL)) {
        return 0;
    }
    return tl_args_no_function(fname, func, level);
}

// The full name of a type, with its module: a new reference. Does not call into Python.
PyObject *tl_args_type_name(PyTypeObject *type);

// Read a C int into *result, which keeps its value if value is NULL. Returns 0, or -1
// with a TypeError or OverflowError set. May run Python code.
int tl_args_int(PyObject *value, int *result);

#endif // TL_ARGS_H
