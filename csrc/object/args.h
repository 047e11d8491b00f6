// args.h - keyword parsing for METH_FASTCALL | METH_KEYWORDS methods.
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

// In the methods of a type that is generic: channel[int] is a types.GenericAlias.
#define TL_CLASS_GETITEM                                        \
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, \
     "Return the class with a type argument, for annotations and as a base."}

// Sort the arguments of a vectorcall into out[], one slot per name.
//
// out[i] is a borrowed reference, or NULL where the caller gave nothing; the
// caller of this function supplies the default. Returns 0, or -1 with a
// TypeError set, worded as CPython words its own.
int tl_args_parse(const struct tl_argspec *spec, PyObject *const *args,
                  Py_ssize_t nargs, PyObject *kwnames, PyObject **out);

// Read a truth value the strict way Stackless does: only bool and int will do.
// Returns 0 or 1, or -1 with a TypeError that carries message.
int tl_args_flag(PyObject *value, const char *message);

// For tl_args_function(): func is async, or cannot be called.
int tl_args_no_function(const char *fname, PyObject *func);

// Whether func is something that fname() can run as it is: no coroutine, no async function.
// Returns 0, or -1 with a TypeError set that tells what to write. A coroutine that has not
// begun is closed then: the interpreter need not complain about it, too.
static inline int
tl_args_function(const char *fname, PyObject *func)
{
    enum { ASYNC = CO_COROUTINE | CO_ASYNC_GENERATOR };
    if (PyFunction_Check(func) &&
        !(((PyCodeObject *)PyFunction_GET_CODE(func))->co_flags & ASYNC)) {
        return 0;
    }
    return tl_args_no_function(fname, func);
}

// The full name of a type: a new reference. Does not call into Python.
PyObject *tl_args_type_name(PyTypeObject *type);

// Read a C int. value may be NULL: *result stays as it is. Returns 0, or -1 with
// TypeError or OverflowError set.
int tl_args_int(PyObject *value, int *result);

#endif // TL_ARGS_H
