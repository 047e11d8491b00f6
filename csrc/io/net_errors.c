// net_errors.c - raising the exceptions of tasklets.net that are Python classes.
#include "io/net_errors.h"

// Raise the class of that name with args (stolen, may be NULL with an exception set).
static int
raise(const char *name, PyObject *args)
{
    PyObject *mod = args == NULL ? NULL : PyImport_ImportModule("tasklets._net_errors");
    PyObject *cls = mod == NULL ? NULL : tl_getattr(mod, name);
    PyObject *error = cls == NULL ? NULL : PyObject_Call(cls, args, NULL);
    if (error != NULL) {
        PyErr_SetObject(cls, error);
    }
    Py_XDECREF(error);
    Py_XDECREF(cls);
    Py_XDECREF(mod);
    Py_XDECREF(args);
    return -1;
}

int
tl_net_errors_closed(PyObject *object)
{
    return raise("ClosedError", Py_BuildValue("(O)", object));
}

int
tl_net_errors_incomplete(PyObject *partial, Py_ssize_t expected)
{
    return raise("IncompleteReadError", expected < 0
                                            ? Py_BuildValue("(OO)", partial, Py_None)
                                            : Py_BuildValue("(On)", partial, expected));
}

int
tl_net_errors_limit(PyObject *separator, Py_ssize_t limit)
{
    return raise("LimitError", Py_BuildValue("(On)", separator, limit));
}
