// callback_list.c - a plain Python list, which comparisons may change under our hands.
#include "object/callback_list.h"
int
tl_callback_list_add(PyObject **list, PyObject *func)
{
    if (*list == NULL) {
        PyObject *made = PyList_New(0);
        if (made == NULL) {
            return -1;
        }
        if (*list == NULL) {
            *list = made;
        } else {
            Py_DECREF(made); // a finalizer in a collection has added a callback
        }
    }
    return PyList_Append(*list, func);
}

void
tl_callback_list_discard(PyObject *list, PyObject *func)
{
    Py_ssize_t i = list == NULL ? 0 : PyList_GET_SIZE(list);
    while (--i >= 0) { // from the end: usually the newest is removed first
        if (PyList_GET_ITEM(list, i) == func) {
            if (PyList_SetSlice(list, i, i + 1, NULL) < 0) {
                PyErr_Clear(); // it stays, and will be called without effect
            }
            return;
        }
    }
}

PyObject *
tl_callback_list_remove(PyObject *list, PyObject *func)
{
    Py_ssize_t removed = 0;
    Py_XINCREF(list);
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list);) {
        PyObject *one = Py_NewRef(PyList_GET_ITEM(list, i));
        int same = PyObject_RichCompareBool(one, func, Py_EQ);
        if (same > 0 &&
            (i >= PyList_GET_SIZE(list) || PyList_GET_ITEM(list, i) != one)) {
            same = 0; // the comparison has changed the list
        }
        Py_DECREF(one);
        if (same < 0 || (same > 0 && PyList_SetSlice(list, i, i + 1, NULL) < 0)) {
            Py_DECREF(list);
            return NULL;
        }
        removed += same;
        i += !same;
    }
    Py_XDECREF(list);
    return PyLong_FromSsize_t(removed);
}
