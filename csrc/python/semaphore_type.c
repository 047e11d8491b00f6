// semaphore_type.c - Semaphore and BoundedSemaphore.
#include "core/stress_points.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/lock_common.h"
#include "python/types.h"

// Invariants
// I1: value is 0 while tl_wait_queue_first_active() finds a waiter: a released permit
//     goes to that one.
typedef struct SemaphoreObject {
    PyObject_HEAD
    Py_ssize_t value, initial;
    struct tl_link waiters;
    bool bounded;
    PyObject *weakrefs;
} SemaphoreObject;

static const struct tl_wait_kind semaphore_wait = {
    .verb = "acquire", .exempt = true, .on_timeout = tl_wait_queue_timed_out};

#ifndef NDEBUG
// Locks: the GIL.
static void
check(const SemaphoreObject *self)
{
    TL_CHECK("I1", "semaphore", self, self->value >= 0);
    TL_CHECK("I1", "semaphore", self,
             self->value == 0 ||
                 tl_wait_queue_first_active((struct tl_link *)&self->waiters) == NULL);
}
#else
TL_CHECKER(check, const SemaphoreObject *self);
#endif

// ---- construction and destruction

static SemaphoreObject *
make(PyTypeObject *cls)
{
    SemaphoreObject *self = (SemaphoreObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self != NULL) {
        tl_live_add(TL_LIVE_LOCK, 1);
        tl_link_init(&self->waiters);
        struct tl_state *state = tl_state_of_object((PyObject *)self);
        self->bounded = PyType_IsSubtype(cls, state->bounded_semaphore_type);
        self->value = self->initial = 1;
    }
    return self;
}

static PyObject *
semaphore_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return (PyObject *)make(cls);
}

// Calls into Python, to convert arg.
static int
set_value(SemaphoreObject *self, PyObject *arg)
{
    Py_ssize_t value = arg == NULL ? 1 : PyNumber_AsSsize_t(arg, PyExc_OverflowError);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (value < 0) {
        PyErr_SetString(PyExc_ValueError, "semaphore initial value must be >= 0");
        return -1;
    }
    if (!tl_link_is_single(&self->waiters)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this semaphore has waiters: its value cannot be changed");
        return -1;
    }
    self->value = self->initial = value;
    return 0;
}

static PyObject *
semaphore_vectorcall(PyObject *cls, PyObject *const *args, size_t nargsf,
                     PyObject *kwnames)
{
    static const char *const names[] = {"value", NULL};
    static const struct tl_argspec spec = {
        .fname = "Semaphore", .names = names, .maxpos = 1};
    PyObject *value;
    if (tl_args_parse(&spec, args, PyVectorcall_NARGS(nargsf), kwnames, &value) < 0) {
        return NULL;
    }
    SemaphoreObject *self = make((PyTypeObject *)cls);
    if (self != NULL && set_value(self, value) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int
semaphore_init(SemaphoreObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", NULL};
    PyObject *value = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Semaphore", names, &value)) {
        return -1;
    }
    return set_value(self, value);
}

static int
semaphore_traverse(SemaphoreObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return tl_wait_queue_traverse(&self->waiters, visit, arg);
}

static void
semaphore_dealloc(SemaphoreObject *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    assert(tl_link_is_single(&self->waiters));
    tl_object_free(self, TL_LIVE_LOCK);
}

// ---- acquire and release

// Release count permits: to the waiters first.
static void
release_permits(SemaphoreObject *self, Py_ssize_t count)
{
    if (TL_UNLIKELY(!tl_link_is_single(&self->waiters))) {
        count -= tl_wait_queue_wake_many(&self->waiters, count, TL_GIVEN_OWNERSHIP);
    }
    self->value += count;
    check(self);
}

static bool
is_available(struct tl_queued_wait *how)
{
    return ((SemaphoreObject *)how->on)->value > 0;
}

static enum tl_waited
wait_for(SemaphoreObject *self, tl_deadline deadline)
{
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    while (deadline != TL_DEADLINE_PAST) {
        struct tl_queued_wait how = {.kind = &semaphore_wait,
                                     .on = (PyObject *)self,
                                     .queue = &self->waiters,
                                     .deadline = deadline,
                                     .last_check = is_available};
        int result = tl_wait_queue_wait(state, &how);
        if (how.given & TL_GIVEN_OWNERSHIP) {
            if (result < 0) {
                release_permits(self, 1);
            }
            return result < 0 ? TL_WAITED_FAILED : TL_WAITED_DONE;
        }
        if (result < 0) {
            return TL_WAITED_FAILED;
        }
        if (self->value > 0) {
            self->value--;
            check(self);
            return TL_WAITED_DONE;
        }
        if (how.given & TL_GIVEN_TIMED_OUT) {
            return TL_WAITED_TIMED_OUT;
        }
    }
    return TL_WAITED_TIMED_OUT;
}

static inline enum tl_waited
acquire(SemaphoreObject *self, tl_deadline deadline)
{
    if (tl_stress_before_timed_wait(deadline) < 0) {
        return TL_WAITED_FAILED;
    }
    if (TL_LIKELY(self->value > 0) &&
        !(deadline != TL_DEADLINE_PAST && tl_waits_anyway())) {
        self->value--;
        check(self);
        return TL_WAITED_DONE;
    }
    return wait_for(self, deadline);
}

PyDoc_STRVAR(acquire_doc,
"acquire($self, /, blocking=True, timeout=None)\n"
"--\n"
"\n"
"Take a permit, waiting for one for at most timeout seconds.\n"
"\n"
"Returns whether a permit was taken. Waiters are served in the order in which they\n"
"came. Raises ValueError for a timeout with blocking=False. After an error none was\n"
"taken.");

static PyObject *
semaphore_acquire(SemaphoreObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const char *const names[] = {"blocking", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "acquire", .names = names, .maxpos = 2};
    tl_deadline deadline = TL_DEADLINE_NEVER;
    if (nargs > 0 || kwnames != NULL) {
        PyObject *argv[2];
        if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
            return NULL;
        }
        int blocking = argv[0] == NULL ? 1 : PyObject_IsTrue(argv[0]);
        bool timed = argv[1] != NULL && argv[1] != Py_None;
        if (blocking == 0 && timed) {
            PyErr_SetString(PyExc_ValueError,
                            "can't specify timeout for non-blocking acquire");
            return NULL;
        }
        if (blocking < 0 || tl_timer_deadline_limited(argv[1], &deadline) < 0) {
            return NULL;
        }
        deadline = blocking ? deadline : TL_DEADLINE_PAST;
    }
    enum tl_waited result = acquire(self, deadline);
    return result == TL_WAITED_FAILED ? NULL : PyBool_FromLong(result);
}

static PyObject *
semaphore_enter(SemaphoreObject *self, PyObject *Py_UNUSED(ignored))
{
    return acquire(self, TL_DEADLINE_NEVER) == TL_WAITED_FAILED ? NULL
                                                                : Py_NewRef(Py_True);
}

// Returns 0, or -1 with ValueError set.
static int
release(SemaphoreObject *self, Py_ssize_t count)
{
    if (count < 1) {
        PyErr_SetString(PyExc_ValueError, "n must be one or more");
        return -1;
    }
    Py_ssize_t most = self->bounded ? self->initial : PY_SSIZE_T_MAX;
    if (self->value > most - count) {
        PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
        return -1;
    }
    release_permits(self, count);
    return 0;
}

PyDoc_STRVAR(release_doc,
"release($self, /, n=1)\n"
"--\n"
"\n"
"Return n permits, which any thread or tasklet may have taken.\n"
"\n"
"Raises ValueError if n is less than 1, or if a BoundedSemaphore would have more\n"
"permits than at the beginning; none was returned then.");

static PyObject *
semaphore_release(SemaphoreObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const char *const names[] = {"n", NULL};
    static const struct tl_argspec spec = {
        .fname = "release", .names = names, .maxpos = 1};
    Py_ssize_t count = 1;
    if (nargs > 0 || kwnames != NULL) {
        PyObject *arg;
        if (tl_args_parse(&spec, args, nargs, kwnames, &arg) < 0) {
            return NULL;
        }
        count = arg == NULL ? 1 : PyNumber_AsSsize_t(arg, PyExc_OverflowError);
        if (count == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    return release(self, count) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
semaphore_exit(SemaphoreObject *self, PyObject *const *Py_UNUSED(args),
               Py_ssize_t Py_UNUSED(nargs))
{
    return release(self, 1) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(locked_doc,
"locked($self, /)\n"
"--\n"
"\n"
"Return whether acquire() would have to wait.");

static PyObject *
semaphore_locked(SemaphoreObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->value == 0);
}

static PyObject *
semaphore_repr(SemaphoreObject *self)
{
    PyObject *name = tl_lock_type_name((PyObject *)self), *text = NULL;
    if (name != NULL && self->bounded) {
        text = PyUnicode_FromFormat("<%U at %p: value=%zd/%zd>", name, self,
                                    self->value, self->initial);
    } else if (name != NULL) {
        text = PyUnicode_FromFormat("<%U at %p: value=%zd>", name, self, self->value);
    }
    Py_XDECREF(name);
    return text;
}

int
tl_semaphore_ready(PyTypeObject *type)
{
    type->tp_vectorcall = semaphore_vectorcall;
    return 0;
}

// clang-format off

static PyMethodDef semaphore_methods[] = {
    {"acquire", TL_FAST(semaphore_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", TL_FAST(semaphore_release), METH_FASTCALL | METH_KEYWORDS, release_doc},
    {"locked", (PyCFunction)semaphore_locked, METH_NOARGS, locked_doc},
    {"__enter__", (PyCFunction)semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(semaphore_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef semaphore_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(SemaphoreObject, weakrefs),
     Py_READONLY, NULL},
    {"_value", Py_T_PYSSIZET, offsetof(SemaphoreObject, value), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef bounded_members[] = {
    {"_initial_value", Py_T_PYSSIZET, offsetof(SemaphoreObject, initial), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(semaphore_doc,
"Semaphore(value=1)\n"
"--\n"
"\n"
"threading.Semaphore, for tasklets of any thread and threads without tasklets.\n"
"\n"
"value: the number of permits. Raises ValueError if it is negative.");

PyDoc_STRVAR(bounded_doc,
"BoundedSemaphore(value=1)\n"
"--\n"
"\n"
"threading.BoundedSemaphore: a Semaphore with a maximum number of permits.");

static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, (void *)semaphore_doc},
    {Py_tp_new, semaphore_new},
    {Py_tp_init, semaphore_init},
    {Py_tp_repr, semaphore_repr},
    {Py_tp_traverse, semaphore_traverse},
    {Py_tp_dealloc, semaphore_dealloc},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_members, semaphore_members},
    {0, NULL},
};

static PyType_Slot bounded_slots[] = {
    {Py_tp_doc, (void *)bounded_doc},
    {Py_tp_traverse, semaphore_traverse},
    {Py_tp_dealloc, semaphore_dealloc},
    {Py_tp_members, bounded_members},
    {0, NULL},
};

PyType_Spec tl_semaphore_spec = {
    .name = "tasklets.locks.Semaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = semaphore_slots,
};

PyType_Spec tl_bounded_semaphore_spec = {
    .name = "tasklets.locks.BoundedSemaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = bounded_slots,
};
