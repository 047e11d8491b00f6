// condition_type.c - Condition.
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/lock_common.h"
#include "python/types.h"
#include "sync/condition.h"
#include "sync/condition_foreign.h"

// ---- construction and destruction

static PyObject *
condition_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    ConditionObject *self = (ConditionObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self != NULL) {
        tl_live_add(TL_LIVE_LOCK, 1);
        tl_link_init(&self->waiters);
    }
    return (PyObject *)self;
}

// Check that lock can be a condition's lock. Returns 0, or -1 with an exception set.
static int
check_lock(struct tl_state *state, PyObject *lock)
{
    static const char *const names[] = {"acquire", "release"};
    if (lock == NULL || lock == Py_None || Py_IS_TYPE(lock, state->lock_type) ||
        Py_IS_TYPE(lock, state->rlock_type)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PyObject *method = tl_getattr(lock, names[i]);
        if (method == NULL) {
            if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
                PyErr_Format(PyExc_TypeError,
                             "a condition's lock must have acquire() and release(), "
                             "not %s",
                             Py_TYPE(lock)->tp_name);
            }
            return -1;
        }
        Py_DECREF(method);
    }
    return 0;
}

static int
set_lock(ConditionObject *self, PyObject *lock)
{
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    if (check_lock(state, lock) < 0) {
        return -1;
    }
    if (!tl_link_is_single(&self->waiters) ||
        (self->tokens != NULL && PyList_GET_SIZE(self->tokens) > 0)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this condition has waiters: its lock cannot be replaced");
        return -1;
    }
    PyObject *made = lock == NULL || lock == Py_None
                         ? (PyObject *)tl_lock_new(state->rlock_type, true)
                         : Py_NewRef(lock);
    if (made == NULL) {
        return -1;
    }
    PyObject *old = self->lock;
    self->lock = made;
    bool ours =
        Py_IS_TYPE(made, state->lock_type) || Py_IS_TYPE(made, state->rlock_type);
    self->own = ours ? (LockObject *)made : NULL;
    tl_condition_check(self);
    Py_XDECREF(old);
    return 0;
}

static PyObject *
condition_vectorcall(PyObject *cls, PyObject *const *args, size_t nargsf,
                     PyObject *kwnames)
{
    static const char *const names[] = {"lock", NULL};
    static const struct tl_argspec spec = {
        .fname = "Condition", .names = names, .maxpos = 1};
    PyObject *lock;
    if (tl_args_parse(&spec, args, PyVectorcall_NARGS(nargsf), kwnames, &lock) < 0) {
        return NULL;
    }
    PyObject *self = condition_new((PyTypeObject *)cls, NULL, NULL);
    if (self != NULL && set_lock((ConditionObject *)self, lock) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static int
condition_init(ConditionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", NULL};
    PyObject *lock = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Condition", names, &lock)) {
        return -1;
    }
    return set_lock(self, lock);
}

static int
condition_traverse(ConditionObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->lock);
    Py_VISIT(self->tokens);
    return tl_wait_queue_traverse(&self->waiters, visit, arg);
}

static int
condition_clear(ConditionObject *self)
{
    self->own = NULL;
    Py_CLEAR(self->lock);
    Py_CLEAR(self->tokens);
    return 0;
}

static void
condition_dealloc(ConditionObject *self)
{
    PyObject_GC_UnTrack(self);
    TL_TRASHCAN_BEGIN(self, condition_dealloc)
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    assert(tl_link_is_single(&self->waiters));
    (void)condition_clear(self);
    tl_object_free(self, TL_LIVE_LOCK);
    TL_TRASHCAN_END
}

// ---- the lock

// Whether __init__() has been called: 0, or -1 with RuntimeError set.
static int
check_made(ConditionObject *self)
{
    if (self->lock == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Condition.__init__() was not called");
        return -1;
    }
    return 0;
}

// Holds a reference: the condition may be given another lock while the caller waits.
static __attribute__((noinline)) enum tl_waited
acquire_own_slow(LockObject *lock, tl_deadline deadline)
{
    Py_INCREF(lock);
    enum tl_waited result = tl_lock_acquire(lock, deadline);
    Py_DECREF(lock);
    return result;
}

static inline enum tl_waited
acquire_own(ConditionObject *self, tl_deadline deadline)
{
    LockObject *lock = self->own;
    struct tl_holder *me = tl_os_thread_seen_holder();
    if (TL_LIKELY(lock->count == 0 && me != NULL) && !TL_STRESSED) {
        tl_lock_take(lock, me);
        return TL_WAITED_DONE;
    }
    return acquire_own_slow(lock, deadline);
}

PyDoc_STRVAR(acquire_doc,
"acquire($self, /, *args, **kwargs)\n"
"--\n"
"\n"
"Acquire the underlying lock: call its acquire() with these arguments.");

static PyObject *
condition_acquire(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    if (check_made(self) < 0) {
        return NULL;
    }
    if (self->own == NULL) {
        return tl_condition_call(self, "acquire", args, nargs, kwnames);
    }
    tl_deadline deadline = TL_DEADLINE_NEVER;
    if ((nargs > 0 || kwnames != NULL) &&
        tl_wait_queue_acquire_args(args, nargs, kwnames, &deadline) < 0) {
        return NULL;
    }
    if (self->own == NULL) {
        // Reading the arguments has called Python code, which gave it another lock.
        return tl_condition_call(self, "acquire", args, nargs, kwnames);
    }
    int result = acquire_own(self, deadline);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

PyDoc_STRVAR(release_doc,
"release($self, /)\n"
"--\n"
"\n"
"Release the underlying lock: call its release().");

static PyObject *
condition_release(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (check_made(self) < 0) {
        return NULL;
    }
    if (self->own == NULL) {
        return tl_condition_call(self, "release", NULL, 0, NULL);
    }
    return tl_lock_leave(self->own);
}

static PyObject *
condition_enter(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (TL_UNLIKELY(self->own == NULL)) {
        return check_made(self) < 0
                   ? NULL
                   : tl_condition_call(self, "__enter__", NULL, 0, NULL);
    }
    if (acquire_own(self, TL_DEADLINE_NEVER) < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

static PyObject *
condition_exit(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (TL_UNLIKELY(self->own == NULL)) {
        return check_made(self) < 0
                   ? NULL
                   : tl_condition_call(self, "__exit__", args, nargs, NULL);
    }
    return tl_lock_leave(self->own);
}

PyDoc_STRVAR(locked_doc,
"locked($self, /)\n"
"--\n"
"\n"
"Return whether the underlying lock is acquired.");

static PyObject *
condition_locked(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (check_made(self) < 0) {
        return NULL;
    }
    return self->own == NULL ? tl_condition_call(self, "locked", NULL, 0, NULL)
                             : PyBool_FromLong(self->own->count > 0);
}

// ---- waiting

// Whether the caller owns the lock: 1, 0, or -1 with an exception set.
static int
is_owned(ConditionObject *self)
{
    if (check_made(self) < 0) {
        return -1;
    }
    return self->own != NULL ? tl_lock_is_owned(self->own)
                             : tl_condition_is_owned(self);
}

// Raise RuntimeError(text) unless the caller owns the lock. Returns 0 or -1.
static int
check_owned(ConditionObject *self, const char *text)
{
    int owned = is_owned(self);
    if (owned == 0) {
        PyErr_SetString(PyExc_RuntimeError, text);
    }
    return owned > 0 ? 0 : -1;
}

static enum tl_waited
wait_until(PyObject *object, tl_deadline deadline)
{
    ConditionObject *self = (ConditionObject *)object;
    LockObject *own;
    do {
        own = self->own;
        if (check_owned(self, TL_CONDITION_NOT_OWNED) < 0) {
            return TL_WAITED_FAILED;
        }
    } while (self->own != own); // a method of the old lock has replaced it
    return own != NULL
               ? tl_condition_wait(tl_state_of_object((PyObject *)self), self, deadline)
               : tl_condition_wait_with(self, deadline);
}

PyDoc_STRVAR(wait_doc,
"wait($self, /, timeout=None)\n"
"--\n"
"\n"
"Release the lock, wait to be notified, and acquire the lock again.\n"
"\n"
"Returns True if notified, False after timeout seconds. An RLock is acquired\n"
"again as many times as it was before.\n"
"\n"
"Raises RuntimeError if the caller does not own the lock. Any other exception,\n"
"such as a kill, also leaves the caller owning the lock; a notification that it\n"
"received is passed on to the next waiter. Only if the lock itself keeps\n"
"refusing does RuntimeError report that it could not be re-acquired.");

static PyObject *
condition_wait(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "wait", .names = names, .maxpos = 1};
    PyObject *timeout = NULL;
    tl_deadline deadline = TL_DEADLINE_NEVER;
    if ((nargs > 0 || kwnames != NULL) &&
        (tl_args_parse(&spec, args, nargs, kwnames, &timeout) < 0 ||
         tl_timer_deadline_limited(timeout, &deadline) < 0)) {
        return NULL;
    }
    int result = wait_until((PyObject *)self, deadline);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

PyDoc_STRVAR(wait_for_doc,
"wait_for($self, /, predicate, timeout=None)\n"
"--\n"
"\n"
"Wait until predicate() is true, for at most timeout seconds.\n"
"\n"
"predicate is called with the lock acquired: at once, and after each\n"
"notification. Returns its last result. Raises like wait().");

static PyObject *
condition_wait_for(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    return tl_lock_wait_for_predicate((PyObject *)self, args, nargs, kwnames,
                                      wait_until);
}

// ---- notifying

static PyObject *
notify(ConditionObject *self, Py_ssize_t count)
{
    if (check_owned(self, "cannot notify on un-acquired lock") < 0) {
        return NULL;
    }
    if (self->own != NULL) {
        tl_condition_notify(self, count);
    } else if (tl_condition_notify_with(self, count) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(notify_doc,
"notify($self, /, n=1)\n"
"--\n"
"\n"
"Notify the n longest-waiting waiters, or all if there are fewer.\n"
"\n"
"Each of them returns from wait() once it has acquired the lock. Raises\n"
"RuntimeError if the caller does not own the lock.");

static PyObject *
condition_notify(ConditionObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    Py_ssize_t count;
    return tl_lock_count_arg(args, nargs, kwnames, &count) < 0 ? NULL
                                                               : notify(self, count);
}

PyDoc_STRVAR(notify_all_doc,
"notify_all($self, /)\n"
"--\n"
"\n"
"Notify all waiters. RuntimeError if the caller does not own the lock.");

static PyObject *
condition_notify_all(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    return notify(self, PY_SSIZE_T_MAX);
}

PyDoc_STRVAR(notifyAll_doc,
"notifyAll($self, /)\n"
"--\n"
"\n"
"Deprecated alias of notify_all().");

static PyObject *
condition_notifyAll(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning,
                     "notifyAll() is deprecated, use notify_all() instead", 1) < 0) {
        return NULL;
    }
    return notify(self, PY_SSIZE_T_MAX);
}

// ---- for subclasses and for forks

static PyObject *
condition_is_owned(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    int owned = is_owned(self);
    return owned < 0 ? NULL : PyBool_FromLong(owned);
}

static PyObject *
condition_release_save(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (check_made(self) < 0) {
        return NULL;
    }
    PyObject *lock = Py_NewRef(self->lock);
    PyObject *saved = tl_condition_release_save(lock);
    Py_DECREF(lock);
    return saved;
}

static PyObject *
condition_acquire_restore(ConditionObject *self, PyObject *saved)
{
    if (check_made(self) < 0) {
        return NULL;
    }
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    PyObject *lock = Py_NewRef(self->lock);
    int result = tl_condition_acquire_restore(state, lock, saved);
    Py_DECREF(lock);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
condition_at_fork_reinit(ConditionObject *self, PyObject *Py_UNUSED(ignored))
{
    if (check_made(self) < 0) {
        return NULL;
    }
    Py_CLEAR(self->tokens);
    return tl_condition_call(self, "_at_fork_reinit", NULL, 0, NULL);
}

// Part of threading's _waiters, which other packages read: the longest-waiting first.
static PyObject *
get_waiters(ConditionObject *self, void *Py_UNUSED(closure))
{
    if (self->tokens != NULL && PyList_GET_SIZE(self->tokens) > 0) {
        return PyList_AsTuple(self->tokens);
    }
    PyObject *list = PyList_New(0);
    struct tl_link *i = self->waiters.next;
    for (Py_ssize_t n = 0; list != NULL && i != &self->waiters; n++) {
        struct tl_waiter *waiter = TL_CONTAINER(i, struct tl_waiter, link);
        PyObject *who = waiter->wait.native
                            ? PyLong_FromUnsignedLong(
                                  tl_os_thread_sleeper_of(waiter)->native->ident)
                            : Py_NewRef((PyObject *)tl_task_of_waiter(waiter));
        if (who == NULL || PyList_Append(list, who) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(who);
        i = self->waiters.next; // the list may have changed
        for (Py_ssize_t k = 0; k <= n && i != &self->waiters; k++) {
            i = i->next;
        }
    }
    PyObject *result = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return result;
}

static PyObject *
condition_repr(ConditionObject *self)
{
    Py_ssize_t count = tl_condition_count(&self->waiters);
    count += self->tokens != NULL ? PyList_GET_SIZE(self->tokens) : 0;
    PyObject *lock = Py_NewRef(self->lock != NULL ? self->lock : Py_None);
    PyObject *name = tl_lock_type_name((PyObject *)self);
    PyObject *text =
        name ? PyUnicode_FromFormat("<%U(%S, %zd)>", name, lock, count) : NULL;
    Py_XDECREF(name);
    Py_DECREF(lock);
    return text;
}

int
tl_condition_ready(PyTypeObject *type)
{
    type->tp_vectorcall = condition_vectorcall;
    return 0;
}

// clang-format off

static PyMethodDef condition_methods[] = {
    {"acquire", TL_FAST(condition_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", (PyCFunction)condition_release, METH_NOARGS, release_doc},
    {"locked", (PyCFunction)condition_locked, METH_NOARGS, locked_doc},
    {"wait", TL_FAST(condition_wait), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"wait_for", TL_FAST(condition_wait_for), METH_FASTCALL | METH_KEYWORDS, wait_for_doc},
    {"notify", TL_FAST(condition_notify), METH_FASTCALL | METH_KEYWORDS, notify_doc},
    {"notify_all", (PyCFunction)condition_notify_all, METH_NOARGS, notify_all_doc},
    {"notifyAll", (PyCFunction)condition_notifyAll, METH_NOARGS, notifyAll_doc},
    {"__enter__", (PyCFunction)condition_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(condition_exit), METH_FASTCALL, NULL},
    {"_is_owned", (PyCFunction)condition_is_owned, METH_NOARGS, NULL},
    {"_release_save", (PyCFunction)condition_release_save, METH_NOARGS, NULL},
    {"_acquire_restore", (PyCFunction)condition_acquire_restore, METH_O, NULL},
    {"_at_fork_reinit", (PyCFunction)condition_at_fork_reinit, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef condition_getset[] = {
    {"_waiters", (getter)get_waiters, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef condition_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(ConditionObject, weakrefs),
     Py_READONLY, NULL},
    {"_lock", _Py_T_OBJECT, offsetof(ConditionObject, lock), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(condition_doc,
"Condition(lock=None)\n"
"--\n"
"\n"
"threading.Condition, for tasklets of any thread and threads without tasklets.\n"
"\n"
"lock: a Lock or RLock of this module, or any object with acquire() and\n"
"release(); None: a new RLock. With exactly a Lock or RLock of this module, a\n"
"notified waiter is woken once, when it can have the lock.\n"
"\n"
"Raises RuntimeError if it is initialised again while it has waiters.");

static PyType_Slot condition_slots[] = {
    {Py_tp_doc, (void *)condition_doc},
    {Py_tp_new, condition_new},
    {Py_tp_init, condition_init},
    {Py_tp_repr, condition_repr},
    {Py_tp_traverse, condition_traverse},
    {Py_tp_clear, condition_clear},
    {Py_tp_dealloc, condition_dealloc},
    {Py_tp_methods, condition_methods},
    {Py_tp_getset, condition_getset},
    {Py_tp_members, condition_members},
    {0, NULL},
};

PyType_Spec tl_condition_spec = {
    .name = "tasklets.locks.Condition",
    .basicsize = sizeof(ConditionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = condition_slots,
};
