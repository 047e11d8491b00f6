// released_type.c - released(lock): releases a lock for the length of a block.
#include "object/args.h"
#include "object/live_counts.h"
#include "python/types.h"
#include "sync/reacquire.h"

typedef struct {
    PyObject_HEAD
    PyObject *lock;
} ReleasedObject;

static PyObject *
released_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", NULL};
    PyObject *lock;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:released", names, &lock)) {
        return NULL;
    }
    ReleasedObject *self = (ReleasedObject *)cls->tp_alloc(cls, 0);
    if (self != NULL) {
        self->lock = Py_NewRef(lock);
    }
    return (PyObject *)self;
}

static PyObject *
released_enter(ReleasedObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *result = tl_call_method(self->lock, "release", NULL);
    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result);
    Py_RETURN_NONE;
}

static PyObject *
released_exit(ReleasedObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    PyObject *exc = nargs > 1 && PyExceptionInstance_Check(args[1]) ? args[1] : NULL;
    struct tl_kept kept = {.exc = Py_XNewRef(exc)};
    PyObject *acquire = tl_getattr(self->lock, "acquire");
    if (acquire == NULL) {
        (void)tl_kept_add(&kept);
        (void)tl_kept_give_up(&kept);
        return NULL;
    }
    PyErr_SetRaisedException(kept.exc);
    int result = tl_reacquire(state, self->lock, acquire, NULL);
    Py_DECREF(acquire);
    if (result < 0) {
        PyObject *raised = PyErr_GetRaisedException();
        if (raised != exc) {
            PyErr_SetRaisedException(raised);
            return NULL;
        }
        Py_DECREF(raised); // the block's own exception propagates
    }
    Py_RETURN_FALSE;
}

static int
released_traverse(ReleasedObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->lock);
    return 0;
}

static void
released_dealloc(ReleasedObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->lock);
    tl_object_free(self, TL_LIVE_NONE);
}

// clang-format off

static PyMethodDef released_methods[] = {
    {"__enter__", (PyCFunction)released_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(released_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(released_doc,
"released(lock)\n"
"--\n"
"\n"
"A context manager that releases a lock for a block, and then acquires it again.\n"
"\n"
"lock: any object with release() and acquire(). The lock is acquired again whatever\n"
"interrupts that; exceptions that came in between are raised afterwards. Only if the\n"
"lock itself keeps refusing does RuntimeError report that it could not be\n"
"re-acquired.");

// No tp_clear, since the object may be in use: the objects that it refers to break the
// cycle.
static PyType_Slot released_slots[] = {
    {Py_tp_doc, (void *)released_doc},
    {Py_tp_new, released_new},
    {Py_tp_traverse, released_traverse},
    {Py_tp_dealloc, released_dealloc},
    {Py_tp_methods, released_methods},
    {0, NULL},
};

PyType_Spec tl_released_spec = {
    .name = "tasklets._core.released",
    .basicsize = sizeof(ReleasedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = released_slots,
};
