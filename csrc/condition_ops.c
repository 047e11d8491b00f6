#include "condition_ops.h"
#include "callbacks.h"
#include "errors.h"
#include "lock_ops.h"

PyObject *
tl_condition_call(ConditionObject *cond, const char *name, PyObject *const *args,
                  Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *lock = Py_NewRef(cond->lock);
    PyObject *method = PyObject_GetAttrString(lock, name);
    PyObject *result =
        method ? PyObject_Vectorcall(method, args, (size_t)nargs, kwnames) : NULL;
    Py_XDECREF(method);
    Py_DECREF(lock);
    return result;
}

// A method of the lock's, or NULL, without an exception if it has none of that name.
static PyObject *
find_method(ConditionObject *cond, const char *name)
{
    PyObject *lock = Py_NewRef(cond->lock); // its code may give us another one
    PyObject *method = PyObject_GetAttrString(lock, name);
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    Py_DECREF(lock);
    return method;
}

// The truth of a result (stolen, may be NULL).
static int
truth(PyObject *result)
{
    int value = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return value;
}

int
tl_condition_is_owned(ConditionObject *cond)
{
    PyObject *method = find_method(cond, "_is_owned");
    if (method != NULL) {
        int owned = truth(PyObject_CallNoArgs(method));
        Py_DECREF(method);
        return owned;
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    PyObject *args[] = {Py_False};
    int free = truth(tl_condition_call(cond, "acquire", args, 1, NULL));
    if (free > 0) {
        PyObject *result = tl_condition_call(cond, "release", NULL, 0, NULL);
        Py_XDECREF(result);
        return result == NULL ? -1 : 0;
    }
    return free < 0 ? -1 : 1;
}

PyObject *
tl_condition_release_save(ConditionObject *cond)
{
    PyObject *method = find_method(cond, "_release_save");
    if (method != NULL) {
        PyObject *saved = PyObject_CallNoArgs(method);
        Py_DECREF(method);
        return saved;
    }
    return PyErr_Occurred() ? NULL : tl_condition_call(cond, "release", NULL, 0, NULL);
}

int
tl_condition_acquire_restore(ConditionObject *cond, PyObject *saved)
{
    PyObject *method = find_method(cond, "_acquire_restore"), *result = NULL;
    if (method != NULL) {
        result = PyObject_CallOneArg(method, saved);
        Py_DECREF(method);
    } else if (!PyErr_Occurred()) {
        result = tl_condition_call(cond, "acquire", NULL, 0, NULL);
    }
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

// ---- waiting

// A locked Lock that will be released for the caller, in tokens: a new reference.
static LockObject *
add_token(struct tl_state *state, ConditionObject *cond)
{
    LockObject *token = tl_lock_new(state->lock_type, false);
    if (token == NULL) {
        return NULL;
    }
    token->count = 1; // nobody's
    if (tl_callbacks_add(&cond->tokens, (PyObject *)token) < 0) {
        Py_CLEAR(token);
    }
    return token;
}

// Returns whether it was there: nobody has notified who waits with it.
static bool
remove_token(ConditionObject *cond, LockObject *token)
{
    PyObject *tokens = cond->tokens;
    for (Py_ssize_t i = 0; tokens != NULL && i < PyList_GET_SIZE(tokens); i++) {
        if (PyList_GET_ITEM(tokens, i) == (PyObject *)token) {
            (void)PyList_SetSlice(tokens, i, i + 1, NULL); // the caller holds it
            return true;
        }
    }
    return false;
}

// Acquire the lock again, with an exception set or not. Returns 0, or -1 with one set.
static int
restore(ConditionObject *cond, PyObject *saved)
{
    PyObject *exc = PyErr_GetRaisedException();
    if (tl_condition_acquire_restore(cond, saved) < 0) {
        PyObject *other = PyErr_GetRaisedException();
        if (exc != NULL) {
            PyException_SetContext(other, exc);
        }
        PyErr_SetRaisedException(other);
        return -1;
    }
    PyErr_SetRaisedException(exc);
    return exc == NULL ? 0 : -1;
}

int
tl_condition_wait_with(ConditionObject *cond, int64_t deadline)
{
    struct tl_state *state = tl_state_of_object((PyObject *)cond);
    LockObject *token = add_token(state, cond);
    PyObject *saved = token ? tl_condition_release_save(cond) : NULL;
    int result = -1;
    if (saved != NULL) {
        result = tl_lock_acquire(token, deadline);
        if (restore(cond, saved) < 0) {
            result = -1;
        }
        Py_DECREF(saved);
    }
    if (token != NULL && !remove_token(cond, token)) {
        if (result == 0) {
            result = 1; // notified while it waited for the lock
        } else if (result < 0) {
            PyObject *exc = PyErr_GetRaisedException();
            if (tl_condition_notify_with(cond, 1) < 0 &&
                !tl_errors_interrupt_main(tl_state_of_object((PyObject *)cond))) {
                PyErr_Clear();
            }
            PyErr_SetRaisedException(exc);
        }
    }
    Py_XDECREF(token);
    return result;
}

int
tl_condition_notify_with(ConditionObject *cond, Py_ssize_t count)
{
    const PyTypeObject *type = tl_state_of_object((PyObject *)cond)->lock_type;
    while (count-- > 0 && cond->tokens != NULL && PyList_GET_SIZE(cond->tokens) > 0) {
        LockObject *token = (LockObject *)Py_NewRef(PyList_GET_ITEM(cond->tokens, 0));
        int result = PyList_SetSlice(cond->tokens, 0, 1, NULL);
        // The collector shows the list to whoever asks it: other objects may be in it.
        if (result == 0 && Py_TYPE(token) == type && token->count > 0) {
            result = tl_lock_release(token);
        }
        Py_DECREF(token);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}
