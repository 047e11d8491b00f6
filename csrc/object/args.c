// args.c - parses arguments, and words the errors.
#include "object/args.h"
#include <limits.h>
#include <string.h>

static int
find_name(const struct tl_argspec *spec, PyObject *key)
{
    for (int i = spec->posonly; spec->names[i] != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(key, spec->names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int
tl_args_parse(const struct tl_argspec *spec, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames, PyObject **out)
{
    int n = 0;
    for (; spec->names[n] != NULL; n++) {
        out[n] = n < nargs && n < spec->maxpos ? args[n] : NULL;
    }
    if (nargs > spec->maxpos) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at most %d positional arguments (%zd given)",
                     spec->fname, spec->maxpos, nargs);
        return -1;
    }

    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t k = 0; k < nkw; k++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, k);
        int i = find_name(spec, key);
        if (i < 0) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got an unexpected keyword argument '%U'", spec->fname,
                         key);
            return -1;
        }
        if (out[i] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'",
                         spec->fname, spec->names[i]);
            return -1;
        }
        out[i] = args[nargs + k];
    }

    for (int i = 0; i < spec->required; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'",
                         spec->fname, spec->names[i]);
            return -1;
        }
    }
    return 0;
}

int
tl_args_flag(PyObject *value, const char *message)
{
    if (!PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, message);
        return -1;
    }
    return PyObject_IsTrue(value);
}

// ---- functions

// The Python function that a call of func runs: a new reference, or NULL without an
// exception if there is none. Looks through methods, functools.partial and __call__(),
// which may be nested in a cycle: MAX_DEPTH deep.
static PyObject *
python_function(PyObject *func)
{
    enum { MAX_DEPTH = 10 };
    bool goes_on = true;
    Py_INCREF(func);
    for (int depth = 0; goes_on && depth < MAX_DEPTH; depth++) {
        PyObject *inner = NULL;
        if (PyFunction_Check(func)) {
            return func;
        } else if (PyMethod_Check(func)) {
            inner = Py_NewRef(PyMethod_GET_FUNCTION(func));
        } else if (strcmp(Py_TYPE(func)->tp_name, "functools.partial") == 0) {
            inner = tl_getattr(func, "func");
        } else if (!PyType_Check(func) && !PyCFunction_Check(func) &&
                   PyType_HasFeature(Py_TYPE(func), Py_TPFLAGS_HEAPTYPE)) {
            inner = tl_getattr((PyObject *)Py_TYPE(func), "__call__");
            goes_on = inner != NULL && PyFunction_Check(inner);
        }
        PyErr_Clear();
        goes_on = goes_on && inner != NULL;
        Py_XSETREF(func, inner);
    }
    Py_XDECREF(func);
    return NULL;
}

static bool
is_true(PyObject *object, const char *attribute)
{
    PyObject *value = tl_getattr(object, attribute);
    bool result = value == Py_True;
    Py_XDECREF(value);
    PyErr_Clear();
    return result;
}

static void
refuse_coroutine(const char *fname, PyObject *coroutine)
{
    PyObject *name = tl_getattr(coroutine, "__qualname__");
    PyErr_Clear();
    if (!is_true(coroutine, "cr_running") && !is_true(coroutine, "cr_suspended")) {
        PyObject *closed = tl_call_method(coroutine, "close", NULL);
        Py_XDECREF(closed);
        PyErr_Clear();
    }
    PyErr_Format(PyExc_TypeError,
                 "%s() needs a plain function, not a coroutine: tasklets wait without "
                 "await; make '%S' a def and pass the function itself",
                 fname, name != NULL ? name : Py_None);
    Py_XDECREF(name);
}

// Returns 0, or -1 with the warning set as an exception.
static int
warn_of_generator(const char *fname, PyObject *function, int level)
{
    return PyErr_WarnFormat(
        PyExc_RuntimeWarning, level,
        "%s(): %U() is a generator function: its call only makes a generator, and "
        "nothing of its body runs. A tasklet waits without yield: remove yield, or "
        "pass a function that iterates over the generator",
        fname, ((PyFunctionObject *)function)->func_qualname);
}

int
tl_args_no_function(const char *fname, PyObject *func, int level)
{
    if (PyCoro_CheckExact(func)) {
        refuse_coroutine(fname, func);
        return -1;
    }
    if (!PyCallable_Check(func)) {
        PyErr_Format(PyExc_TypeError,
                     "%s(): the function must be callable, not %s; pass it and its "
                     "arguments, (f, x), not what a call of it returned, (f(x))",
                     fname, func == Py_None ? "None" : Py_TYPE(func)->tp_name);
        return -1;
    }
    PyObject *function = python_function(func);
    int result = 0;
    if (function != NULL) {
        int flags = ((PyCodeObject *)PyFunction_GET_CODE(function))->co_flags;
        if (flags & (CO_COROUTINE | CO_ASYNC_GENERATOR)) {
            PyErr_Format(PyExc_TypeError,
                         "%s() needs a plain function, not an async one: tasklets wait "
                         "without await; write def, or run it with asyncio.run()",
                         fname);
            result = -1;
        } else if (flags & CO_GENERATOR) {
            result = warn_of_generator(fname, function, level);
        }
    }
    Py_XDECREF(function);
    return result;
}

// ---- names

PyObject *
tl_args_type_name(PyTypeObject *type)
{
    if (strchr(type->tp_name, '.') == NULL &&
        PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) && type->tp_dict != NULL) {
        PyObject *module = PyDict_GetItemString(type->tp_dict, "__module__");
        if (module != NULL && PyUnicode_Check(module)) {
            return PyUnicode_FromFormat("%U.%U", module,
                                        ((PyHeapTypeObject *)type)->ht_qualname);
        }
    }
    return PyUnicode_FromString(type->tp_name);
}

// ---- numbers

int
tl_args_int(PyObject *value, int *result)
{
    long number = value == NULL ? *result : PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (number < INT_MIN || number > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError,
                        "Python int too large to convert to C int");
        return -1;
    }
    *result = (int)number;
    return 0;
}
