// atomic_type.c - atomic(): sets the current tasklet's flag for the length of a block.
#include "core/budget.h"
#include "core/run_frame.h"
#include "core/sched.h"
#include "core/task_settings.h"
#include "core/thread.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/types.h"

// One __enter__(): the tasklet whose flag was set, and the flag's previous value.
struct entry {
    const TaskletObject *tasklet; // compared, never dereferenced
    bool before;
};

// Invariants
// I1: entries[0 .. depth) are the entries not left yet, the most recent last.
// I2: entries is &first as long as one entry is enough.
typedef struct AtomicObject {
    PyObject_HEAD
    struct entry first, *entries;
    Py_ssize_t depth, capacity;
} AtomicObject;

#ifndef NDEBUG
// Locks: the GIL.
static void
check(const AtomicObject *self)
{
    TL_CHECK("I1", "atomic", self, self->depth >= 0 && self->depth <= self->capacity);
    TL_CHECK("I1", "atomic", self,
             self->depth == 0 || self->entries[self->depth - 1].tasklet != NULL);
    TL_CHECK("I2", "atomic", self,
             (self->entries == &self->first) == (self->capacity == 1));
}
#else
TL_CHECKER(check, const AtomicObject *self);
#endif

static PyObject *
atomic_vectorcall(PyObject *cls, PyObject *const *Py_UNUSED(args), size_t nargsf,
                  PyObject *kwnames)
{
    if (PyVectorcall_NARGS(nargsf) > 0 ||
        (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_SetString(PyExc_TypeError, "atomic() takes no arguments");
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)cls;
    AtomicObject *self = (AtomicObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->entries = &self->first;
        self->capacity = 1;
    }
    return (PyObject *)self;
}

static PyObject *
atomic_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args) + (kwargs ? PyDict_GET_SIZE(kwargs) : 0);
    return atomic_vectorcall((PyObject *)cls, NULL, (size_t)count, NULL);
}

TL_COLD static int
grow(AtomicObject *self)
{
    Py_ssize_t capacity = 2 * self->capacity;
    struct entry *old = self->entries == &self->first ? NULL : self->entries;
    struct entry *grown = PyMem_Realloc(old, (size_t)capacity * sizeof *grown);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (old == NULL) {
        grown[0] = self->first;
    }
    self->entries = grown;
    self->capacity = capacity;
    return 0;
}

static PyObject *
atomic_enter(AtomicObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL || (TL_UNLIKELY(self->depth == self->capacity) && grow(self) < 0)) {
        return NULL;
    }
    TaskletObject *me = s->current;
    self->entries[self->depth++] = (struct entry){me, me->atomic};
    check(self);
    if (!me->atomic) {
        tl_task_set_atomic(me, true);
    }
    Py_RETURN_NONE;
}

// Remove and return the most recent entry of the tasklet. If it made none, take the
// most recent entry of all: a block may be left by another tasklet than entered it.
static bool
pop(AtomicObject *self, const TaskletObject *me)
{
    Py_ssize_t i = self->depth - 1;
    while (i >= 0 && self->entries[i].tasklet != me) {
        i--;
    }
    i = i < 0 ? self->depth - 1 : i;
    bool before = self->entries[i].before;
    self->depth--;
    for (; i < self->depth; i++) {
        self->entries[i] = self->entries[i + 1];
    }
    check(self);
    return before;
}

static PyObject *
atomic_exit(AtomicObject *self, PyObject *const *Py_UNUSED(args),
            Py_ssize_t Py_UNUSED(nargs))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    if (self->depth == 0) {
        PyErr_SetString(PyExc_RuntimeError, "this atomic() was not entered");
        return NULL;
    }
    bool before = pop(self, s->current);
    if (before != s->current->atomic) {
        tl_task_set_atomic(s->current, before);
    }
    if (s->nframes > 0 && tl_budget_released(s) < 0) {
        return NULL;
    }
    Py_RETURN_FALSE;
}

static PyObject *
atomic_repr(AtomicObject *self)
{
    return PyUnicode_FromFormat("<tasklets.atomic %s at %p>",
                                self->depth > 0 ? "entered" : "not entered", self);
}

static void
atomic_dealloc(AtomicObject *self)
{
    if (self->entries != &self->first) {
        PyMem_Free(self->entries);
    }
    tl_object_free(self, TL_LIVE_NONE);
}

int
tl_atomic_ready(PyTypeObject *type)
{
    type->tp_vectorcall = atomic_vectorcall;
    const char *refusal = tl_governor_refusal();
    PyObject *why = refusal ? PyUnicode_FromString(refusal) : Py_NewRef(Py_None);
    int result = -1;
    if (why != NULL &&
        tl_setattr((PyObject *)type, "supported", refusal ? Py_False : Py_True) == 0) {
        result = tl_setattr((PyObject *)type, "why_not", why);
    }
    Py_XDECREF(why);
    return result;
}

// clang-format off

static PyMethodDef atomic_methods[] = {
    {"__enter__", (PyCFunction)atomic_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(atomic_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(atomic_doc,
"atomic()\n"
"--\n"
"\n"
"A context manager that sets the atomic flag of the current tasklet.\n"
"\n"
"The end of the block restores the previous value, on the tasklet that is\n"
"current then. Reusable and re-entrant.\n"
"\n"
"Inside the block, no budget of run() stops the tasklet, and no other OS thread\n"
"gets the GIL unless the tasklet gives it up: by waiting, or in a call that\n"
"releases the GIL. When that call returns, other threads are held off again.\n"
"Signal handlers, finalizers and callbacks still run.\n"
"\n"
"supported: True if other threads are held off on this interpreter.\n"
"why_not: None if supported; otherwise a str that says what this interpreter\n"
"lacks. Sections still exclude each other there.");

static PyType_Slot atomic_slots[] = {
    {Py_tp_doc, (void *)atomic_doc},
    {Py_tp_new, atomic_new},
    {Py_tp_repr, atomic_repr},
    {Py_tp_dealloc, atomic_dealloc},
    {Py_tp_methods, atomic_methods},
    {0, NULL},
};

PyType_Spec tl_atomic_spec = {
    .name = "tasklets.atomic",
    .basicsize = sizeof(AtomicObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = atomic_slots,
};
