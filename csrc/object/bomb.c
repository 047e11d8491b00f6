// bomb.c - creates and raises bombs.
#include "object/bomb.h"
#include "object/args.h"
#include "object/live_counts.h"

// The class to raise: that of value, if value is an instance of type or of a subclass.
static PyObject *
type_to_raise(PyObject *type, PyObject *value)
{
    if (value != NULL && PyExceptionInstance_Check(value) &&
        PyObject_TypeCheck(value, (PyTypeObject *)type)) {
        return (PyObject *)Py_TYPE(value);
    }
    return type;
}

PyObject *
tl_bomb_new(struct tl_state *state, PyObject *type, PyObject *value,
            PyObject *traceback)
{
    BombObject *bomb = PyObject_GC_New(BombObject, state->bomb_type);
    if (bomb == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return NULL;
    }
    tl_live_add(TL_LIVE_BOMB, 1);
    bomb->type = type;
    bomb->value = value;
    bomb->traceback = traceback;
    bomb->next = NULL;
    bomb->rank = TL_RANK_VALUE;
    bomb->in_line = bomb->swallowed = false;
    PyObject_GC_Track((PyObject *)bomb);
    return (PyObject *)bomb;
}

PyObject *
tl_bomb_of(struct tl_state *state, PyObject *exc)
{
    return tl_bomb_new(state, Py_NewRef((PyObject *)Py_TYPE(exc)), exc,
                       PyException_GetTraceback(exc));
}

PyObject *
tl_bomb_of_error(struct tl_state *state, PyObject *exc)
{
    PyObject *bomb = tl_bomb_of(state, Py_NewRef(exc));
    if (bomb == NULL) {
        PyErr_SetRaisedException(exc);
        PyErr_WriteUnraisable(NULL);
        return Py_NewRef(state->spare_error);
    }
    Py_DECREF(exc);
    return bomb;
}

PyObject *
tl_bomb_of_exit(struct tl_state *state)
{
    PyObject *bomb = tl_bomb_new(state, Py_NewRef(state->tasklet_exit), NULL, NULL);
    if (bomb == NULL) {
        PyErr_Clear();
        return Py_NewRef(state->spare_exit);
    }
    return bomb;
}

PyObject *
tl_bomb_of_raise(struct tl_state *state, PyObject *exc, PyObject *value,
                 PyObject *traceback)
{
    value = tl_none_to_null(value);
    traceback = tl_none_to_null(traceback);
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "third argument must be a traceback object");
        return NULL;
    }
    if (PyExceptionClass_Check(exc)) {
        return tl_bomb_new(state, Py_NewRef(type_to_raise(exc, value)),
                           Py_XNewRef(value), Py_XNewRef(traceback));
    }
    if (!PyExceptionInstance_Check(exc)) {
        PyErr_Format(PyExc_TypeError,
                     "exceptions must be classes, or instances, not %s",
                     Py_TYPE(exc)->tp_name);
        return NULL;
    }
    if (value != NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "instance exception may not have a separate value");
        return NULL;
    }
    if (traceback == NULL) {
        return tl_bomb_of(state, Py_NewRef(exc));
    }
    return tl_bomb_new(state, Py_NewRef((PyObject *)Py_TYPE(exc)), Py_NewRef(exc),
                       Py_NewRef(traceback));
}

PyObject *
tl_bomb_of_class(struct tl_state *state, const char *caller, PyObject *const *args,
                 Py_ssize_t nargs)
{
    const char *name = strrchr(caller, '.') + 1;
    if (nargs == 0) {
        PyErr_Format(PyExc_TypeError, "%s() takes at least 1 argument", name);
        return NULL;
    }
    if (!PyExceptionClass_Check(args[0])) {
        PyErr_Format(PyExc_TypeError,
                     "%s needs Exception or string subclass as first parameter",
                     caller);
        return NULL;
    }
    PyObject *value = PyTuple_New(nargs - 1);
    if (value == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 1; i < nargs; i++) {
        PyTuple_SET_ITEM(value, i - 1, Py_NewRef(args[i]));
    }
    return tl_bomb_new(state, Py_NewRef(args[0]), value, NULL);
}

PyObject *
tl_bomb_raise(PyObject *object)
{
    BombObject *bomb = (BombObject *)object;
    // The program may hold this bomb, too: its references stay.
    PyObject *type = Py_XNewRef(bomb->type);
    PyObject *value = Py_XNewRef(tl_none_to_null(bomb->value));
    PyObject *traceback = Py_XNewRef(tl_none_to_null(bomb->traceback));
    Py_DECREF(bomb);
    if (type == NULL || !PyExceptionClass_Check(type) ||
        (traceback != NULL && !PyTraceBack_Check(traceback))) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        PyErr_SetString(PyExc_TypeError,
                        "this bomb carries no exception: its type must be an "
                        "exception class, its traceback None or a traceback");
        return NULL;
    }
    Py_SETREF(type, Py_NewRef(type_to_raise(type, value)));
    if (traceback != NULL) {
        PyErr_Restore(type, value, traceback);
        return NULL;
    }
    // Like a raise statement: the exception that is being handled here becomes the
    // context.
    PyErr_SetObject(type, value);
    Py_DECREF(type);
    Py_XDECREF(value);
    return NULL;
}
