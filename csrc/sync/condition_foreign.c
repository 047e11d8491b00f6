// condition_foreign.c - a Condition with any other lock.
//
// As in threading.Condition, each waiter waits for a Lock of its own, its token, which
// was made in the acquired state. notify() takes the first tokens off the list and
// releases them. The waiter calls the condition's lock through its methods: it releases
// it before it waits for the token, and re-acquires it by tl_reacquire() afterwards.
#include "sync/condition_foreign.h"
#include "core/errors.h"
#include "object/callback_list.h"
#include "sync/reacquire.h"

PyObject *
tl_condition_call(ConditionObject *cond, const char *name, PyObject *const *args,
                  Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *lock = Py_NewRef(cond->lock);
    PyObject *method = tl_getattr(lock, name);
    PyObject *result =
        method ? PyObject_Vectorcall(method, args, (size_t)nargs, kwnames) : NULL;
    Py_XDECREF(method);
    Py_DECREF(lock);
    return result;
}

// The lock's method of that name, or NULL: without an exception if there is no such
// method.
static PyObject *
find_method(PyObject *lock, const char *name)
{
    PyObject *method = tl_getattr(lock, name);
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
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
    PyObject *lock = Py_NewRef(cond->lock); // its methods may replace cond->lock
    PyObject *method = find_method(lock, "_is_owned");
    Py_DECREF(lock);
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
tl_condition_release_save(PyObject *lock)
{
    PyObject *method = find_method(lock, "_release_save");
    if (method == NULL && !PyErr_Occurred()) {
        method = tl_getattr(lock, "release");
    }
    PyObject *saved = method ? PyObject_CallNoArgs(method) : NULL;
    Py_XDECREF(method);
    return saved;
}

int
tl_condition_acquire_restore(struct tl_state *state, PyObject *lock, PyObject *saved)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *method = find_method(lock, "_acquire_restore");
    bool restores = method != NULL;
    if (!restores && !PyErr_Occurred()) {
        method = tl_getattr(lock, "acquire");
    }
    if (method == NULL) {
        struct tl_kept kept = {.exc = exc};
        (void)tl_kept_add(&kept);
        return tl_kept_give_up(&kept);
    }
    PyErr_SetRaisedException(exc);
    int result = tl_reacquire(state, lock, method, restores ? saved : NULL);
    Py_DECREF(method);
    return result;
}

// ---- waiting

// Add the caller's token: an acquired Lock, which notify() will release. Returns a new
// reference, or NULL with an exception set.
static LockObject *
add_token(struct tl_state *state, ConditionObject *cond)
{
    LockObject *token = tl_lock_new(state->lock_type, false);
    if (token == NULL) {
        return NULL;
    }
    token->count = 1; // acquired, without an owner
    if (tl_callback_list_add(&cond->tokens, (PyObject *)token) < 0) {
        Py_CLEAR(token);
    }
    tl_condition_check(cond);
    return token;
}

// Returns whether token was in the list: its waiter has not been notified.
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

// release_save() has raised. If it had released the lock by then, which can be seen
// only of this module's locks, re-acquire it. count: the lock's count before; 0: not
// known.
static void
undo_release(struct tl_state *state, LockObject *lock, unsigned long count)
{
    struct tl_holder *me = tl_os_thread_seen_holder();
    if (count > 0 && lock->ownership.owner != me) {
        (void)tl_lock_regain(state, lock, me, 0);
        if (lock->ownership.owner == me) {
            lock->count = count;
        }
    }
}

// Release lock, wait for token, and re-acquire lock.
static enum tl_waited
wait_for_token(struct tl_state *state, PyObject *lock, LockObject *token,
               tl_deadline deadline)
{
    struct tl_holder *me = tl_os_thread_seen_holder();
    bool ours = PyObject_TypeCheck(lock, state->lock_type) ||
                PyObject_TypeCheck(lock, state->rlock_type);
    bool mine = ours && me != NULL && ((LockObject *)lock)->ownership.owner == me;
    unsigned long count = mine ? ((LockObject *)lock)->count : 0;
    PyObject *saved = tl_condition_release_save(lock);
    if (saved == NULL) {
        undo_release(state, (LockObject *)lock, count);
        return TL_WAITED_FAILED;
    }
    enum tl_waited result = tl_lock_acquire(token, deadline);
    if (tl_condition_acquire_restore(state, lock, saved) < 0) {
        result = TL_WAITED_FAILED;
    }
    Py_DECREF(saved);
    return result;
}

enum tl_waited
tl_condition_wait_with(ConditionObject *cond, tl_deadline deadline)
{
    struct tl_state *state = tl_state_of_object((PyObject *)cond);
    PyObject *lock = Py_NewRef(cond->lock); // it may be replaced during the wait
    LockObject *token = add_token(state, cond);
    enum tl_waited result =
        token ? wait_for_token(state, lock, token, deadline) : TL_WAITED_FAILED;
    if (token != NULL && !remove_token(cond, token)) {
        if (result == TL_WAITED_TIMED_OUT) {
            result = TL_WAITED_DONE; // notified while it waited for the lock
        } else if (result == TL_WAITED_FAILED) {
            PyObject *exc = PyErr_GetRaisedException();
            if (cond->lock == lock && tl_condition_notify_with(cond, 1) < 0 &&
                !tl_errors_interrupt_main(state)) {
                PyErr_Clear();
            }
            PyErr_SetRaisedException(exc);
        }
    }
    Py_XDECREF(token);
    Py_DECREF(lock);
    return result;
}

int
tl_condition_notify_with(ConditionObject *cond, Py_ssize_t count)
{
    const PyTypeObject *type = tl_state_of_object((PyObject *)cond)->lock_type;
    while (count-- > 0 && cond->tokens != NULL && PyList_GET_SIZE(cond->tokens) > 0) {
        LockObject *token = (LockObject *)Py_NewRef(PyList_GET_ITEM(cond->tokens, 0));
        int result = PyList_SetSlice(cond->tokens, 0, 1, NULL);
        // A program can reach the list through the collector, and put other objects
        // there.
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
