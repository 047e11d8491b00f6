// lock_type.c - Lock and RLock.
#include "object/args.h"
#include "object/live_counts.h"
#include "python/lock_common.h"
#include "python/types.h"
#include "sync/lock.h"
#include "sync/lock_cycle.h"

// ---- construction and destruction

static PyObject *
make(PyTypeObject *type, size_t nargsf, PyObject *kwnames, bool reentrant)
{
    if (PyVectorcall_NARGS(nargsf) > 0 ||
        (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_Format(PyExc_TypeError, "%s() takes no arguments",
                     reentrant ? "RLock" : "Lock");
        return NULL;
    }
    return (PyObject *)tl_lock_new(type, reentrant);
}

static PyObject *
lock_vectorcall(PyObject *cls, PyObject *const *Py_UNUSED(args), size_t nargsf,
                PyObject *kwnames)
{
    return make((PyTypeObject *)cls, nargsf, kwnames, false);
}

static PyObject *
rlock_vectorcall(PyObject *cls, PyObject *const *Py_UNUSED(args), size_t nargsf,
                 PyObject *kwnames)
{
    return make((PyTypeObject *)cls, nargsf, kwnames, true);
}

// Refuse arguments, unless a subclass has an __init__() that takes them.
static PyObject *
new(PyTypeObject *cls, PyObject *args, PyObject *kwargs, bool reentrant)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args) + (kwargs ? PyDict_GET_SIZE(kwargs) : 0);
    bool takes = cls->tp_init != PyBaseObject_Type.tp_init;
    return make(cls, takes ? 0 : (size_t)count, NULL, reentrant);
}

static PyObject *
lock_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    return new(cls, args, kwargs, false);
}

static PyObject *
rlock_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    return new(cls, args, kwargs, true);
}

static int
lock_traverse(LockObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return tl_wait_queue_traverse(&self->waiters, visit, arg);
}

static void
lock_dealloc(LockObject *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    assert(tl_link_is_single(&self->waiters));
    if (self->ownership.owner != NULL) {
        tl_os_thread_disown(&self->ownership);
    }
    tl_object_free(self, TL_LIVE_LOCK);
}

// ---- acquire and release

PyDoc_STRVAR(acquire_doc,
"acquire($self, /, blocking=True, timeout=-1)\n"
"--\n"
"\n"
"Acquire the lock, waiting until it is free.\n"
"\n"
"Returns True, or False after timeout seconds (-1: no limit) or, with\n"
"blocking=False, if the lock is not free. While a tasklet waits, others run; a\n"
"thread without tasklets sleeps. An RLock that the caller owns is acquired once\n"
"more.\n"
"\n"
"Raises ValueError for any other negative timeout, or one with blocking=False;\n"
"OverflowError beyond threading.TIMEOUT_MAX; DeadlockError if the owner waits\n"
"for another lock, and so on, up to a lock of the caller's. After an error the\n"
"lock was not acquired.");

static PyObject *
lock_acquire(LockObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    tl_deadline deadline = TL_DEADLINE_NEVER;
    if ((nargs > 0 || kwnames != NULL) &&
        tl_wait_queue_acquire_args(args, nargs, kwnames, &deadline) < 0) {
        return NULL;
    }
    enum tl_waited result = tl_lock_acquire(self, deadline);
    return result == TL_WAITED_FAILED ? NULL : PyBool_FromLong(result);
}

static PyObject *
lock_enter(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    if (tl_lock_acquire(self, TL_DEADLINE_NEVER) == TL_WAITED_FAILED) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(lock_release_doc,
"release($self, /)\n"
"--\n"
"\n"
"Release the lock, which any thread or tasklet may have acquired.\n"
"\n"
"The first waiter is next. Raises RuntimeError if the lock is not acquired.");

PyDoc_STRVAR(rlock_release_doc,
"release($self, /)\n"
"--\n"
"\n"
"Undo one acquire(); after the last one the lock is free.\n"
"\n"
"The first waiter is next then. Raises RuntimeError if the caller does not own\n"
"the lock.");

static PyObject *
lock_release(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return tl_lock_leave(self);
}

static PyObject *
lock_exit(LockObject *self, PyObject *const *Py_UNUSED(args),
          Py_ssize_t Py_UNUSED(nargs))
{
    return tl_lock_leave(self);
}

PyDoc_STRVAR(locked_doc,
"locked($self, /)\n"
"--\n"
"\n"
"Return whether the lock is acquired.");

// The old names of threading.Lock's methods. They need docstrings of their own: CPython
// takes the text signature only from a docstring that begins with the method's name.

PyDoc_STRVAR(acquire_lock_doc,
"acquire_lock($self, /, blocking=True, timeout=-1)\n"
"--\n"
"\n"
"Old name of acquire().");

PyDoc_STRVAR(release_lock_doc,
"release_lock($self, /)\n"
"--\n"
"\n"
"Old name of release().");

PyDoc_STRVAR(locked_lock_doc,
"locked_lock($self, /)\n"
"--\n"
"\n"
"Old name of locked().");

static PyObject *
lock_locked(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->count > 0);
}

// ---- for Condition and for forks

static PyObject *
lock_is_owned(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(tl_lock_is_owned(self));
}

static PyObject *
lock_recursion_count(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLong(tl_lock_is_owned(self) ? self->count : 0);
}

PyDoc_STRVAR(be_strict_doc,
"_be_strict($self, /)\n"
"--\n"
"\n"
"Raise DeadlockError for a cycle of owners even inside a timeout() block.");

static PyObject *
rlock_be_strict(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    self->is_strict = true;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(free_if_lost_doc,
"_free_if_lost($self, /)\n"
"--\n"
"\n"
"Free a strict lock whose owner's thread did not survive a fork.\n"
"\n"
"Returns whether it did.");

static PyObject *
rlock_free_if_lost(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(tl_lock_free_if_lost(self));
}

PyDoc_STRVAR(release_save_doc,
"_release_save($self, /)\n"
"--\n"
"\n"
"Release the lock completely; return what _acquire_restore() needs.");

static PyObject *
rlock_release_save(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!tl_lock_is_owned(self)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
        return NULL;
    }
    PyObject *count = PyLong_FromUnsignedLong(self->count);
    if (count != NULL) {
        tl_lock_release_all(self);
    }
    return count;
}

static PyObject *
rlock_acquire_restore(LockObject *self, PyObject *arg)
{
    unsigned long count = PyLong_AsUnsignedLong(arg);
    if (count == (unsigned long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    if (count == 0) {
        PyErr_SetString(PyExc_ValueError, "the count of a lock must be positive");
        return NULL;
    }
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    struct tl_holder *me = tl_os_thread_holder(Py_TYPE(self));
    if (me == NULL) {
        return NULL;
    }
    if (self->ownership.owner == me) {
        self->count += count;
        Py_RETURN_NONE;
    }
    // If the owners wait for each other in a cycle, the lock would never be released.
    if ((self->count > 0 && tl_lock_cycle_check(state, self, me) < 0)) {
        return NULL;
    }
    int result = tl_lock_regain(state, self, me, 0);
    if (self->ownership.owner == me) {
        self->count = count;
    }
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(at_fork_reinit_doc,
"_at_fork_reinit($self, /)\n"
"--\n"
"\n"
"Free the lock in the child of a fork, whose other threads are gone.");

static PyObject *
lock_at_fork_reinit(LockObject *self, PyObject *Py_UNUSED(ignored))
{
    tl_lock_reset(self);
    Py_RETURN_NONE;
}

// ---- repr

static PyObject *
lock_repr(LockObject *self)
{
    PyObject *name = tl_lock_type_name((PyObject *)self);
    PyObject *text =
        name ? PyUnicode_FromFormat("<%s %U object at %p>",
                                    self->count ? "locked" : "unlocked", name, self)
             : NULL;
    Py_XDECREF(name);
    return text;
}

// The owner as threading shows it: a thread's ident, 0 for none; or a tasklet's name.
static PyObject *
owner_text(LockObject *self)
{
    struct tl_holder *owner = self->ownership.owner;
    if (owner == NULL) {
        return PyUnicode_FromString("0");
    }
    if (owner->native) {
        return PyUnicode_FromFormat(
            "%lu", TL_CONTAINER(owner, struct tl_os_thread, holder)->ident);
    }
    PyObject *name = tl_task_name(TL_CONTAINER(owner, TaskletObject, holder));
    PyObject *text = name ? PyUnicode_FromFormat("%R", name) : NULL;
    Py_XDECREF(name);
    return text;
}

static PyObject *
rlock_repr(LockObject *self)
{
    PyObject *name = tl_lock_type_name((PyObject *)self), *owner = owner_text(self);
    PyObject *text =
        name && owner ? PyUnicode_FromFormat("<%s %U object owner=%U count=%lu at %p>",
                                             self->count ? "locked" : "unlocked", name,
                                             owner, self->count, self)
                      : NULL;
    Py_XDECREF(owner);
    Py_XDECREF(name);
    return text;
}

int
tl_lock_ready(PyTypeObject *type)
{
    type->tp_vectorcall = lock_vectorcall;
    return 0;
}

int
tl_rlock_ready(PyTypeObject *type)
{
    type->tp_vectorcall = rlock_vectorcall;
    return 0;
}

// clang-format off

static PyMethodDef lock_methods[] = {
    {"acquire", TL_FAST(lock_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", (PyCFunction)lock_release, METH_NOARGS, lock_release_doc},
    {"locked", (PyCFunction)lock_locked, METH_NOARGS, locked_doc},
    {"acquire_lock", TL_FAST(lock_acquire), METH_FASTCALL | METH_KEYWORDS,
     acquire_lock_doc},
    {"release_lock", (PyCFunction)lock_release, METH_NOARGS, release_lock_doc},
    {"locked_lock", (PyCFunction)lock_locked, METH_NOARGS, locked_lock_doc},
    {"__enter__", (PyCFunction)lock_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(lock_exit), METH_FASTCALL, NULL},
    {"_at_fork_reinit", (PyCFunction)lock_at_fork_reinit, METH_NOARGS,
     at_fork_reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef rlock_methods[] = {
    {"acquire", TL_FAST(lock_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", (PyCFunction)lock_release, METH_NOARGS, rlock_release_doc},
    {"locked", (PyCFunction)lock_locked, METH_NOARGS, locked_doc},
    {"__enter__", (PyCFunction)lock_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(lock_exit), METH_FASTCALL, NULL},
    {"_is_owned", (PyCFunction)lock_is_owned, METH_NOARGS, NULL},
    {"_be_strict", (PyCFunction)rlock_be_strict, METH_NOARGS, be_strict_doc},
    {"_free_if_lost", (PyCFunction)rlock_free_if_lost, METH_NOARGS, free_if_lost_doc},
    {"_recursion_count", (PyCFunction)lock_recursion_count, METH_NOARGS, NULL},
    {"_release_save", (PyCFunction)rlock_release_save, METH_NOARGS, release_save_doc},
    {"_acquire_restore", (PyCFunction)rlock_acquire_restore, METH_O, NULL},
    {"_at_fork_reinit", (PyCFunction)lock_at_fork_reinit, METH_NOARGS,
     at_fork_reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef lock_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(LockObject, weakrefs), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(lock_doc,
"Lock()\n"
"--\n"
"\n"
"threading.Lock, for tasklets of any thread and for threads without tasklets.\n"
"\n"
"Waiters get the lock in the order in which they came. While a waiter of\n"
"another thread is being woken, the lock may be taken twice by others first;\n"
"then it is handed over.");

PyDoc_STRVAR(rlock_doc,
"RLock()\n"
"--\n"
"\n"
"threading.RLock: a lock that its owner can acquire again.\n"
"\n"
"The owner, a tasklet or a thread without tasklets, must release it as many\n"
"times. Greenlets inside a tasklet count as that tasklet.");

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, (void *)lock_doc},
    {Py_tp_new, lock_new},
    {Py_tp_repr, lock_repr},
    {Py_tp_traverse, lock_traverse},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_methods, lock_methods},
    {Py_tp_members, lock_members},
    {0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_doc, (void *)rlock_doc},
    {Py_tp_new, rlock_new},
    {Py_tp_repr, rlock_repr},
    {Py_tp_traverse, lock_traverse},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_methods, rlock_methods},
    {Py_tp_members, lock_members},
    {0, NULL},
};

PyType_Spec tl_lock_spec = {
    .name = "tasklets.locks.Lock",
    .basicsize = sizeof(LockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = lock_slots,
};

PyType_Spec tl_rlock_spec = {
    .name = "tasklets.locks.RLock",
    .basicsize = sizeof(LockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = rlock_slots,
};
