#include "args.h"

#include <limits.h>

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
