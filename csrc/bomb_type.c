// bomb_type.c - the Python faces of bomb and atomic.
#include "bomb.h"
#include "live.h"
#include "sched.h"
#include "types.h"
#include "watch.h"

static PyObject *
bomb_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"type", "value", "traceback", NULL};
    PyObject *type = Py_None, *value = Py_None, *traceback = Py_None;
    if (PyTuple_GET_SIZE(args) == 1 && PyTuple_Check(PyTuple_GET_ITEM(args, 0))) {
        args = PyTuple_GET_ITEM(args, 0);
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOO:bomb", names, &type, &value,
                                     &traceback)) {
        return NULL;
    }
    BombObject *self = (BombObject *)cls->tp_alloc(cls, 0);
    if (self == NULL) {
        return NULL;
    }
    tl_live_add(TL_LIVE_BOMB, 1);
    self->type = Py_NewRef(type);
    self->value = Py_NewRef(value);
    self->traceback = Py_NewRef(traceback);
    return (PyObject *)self;
}

static int
bomb_traverse(BombObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->type);
    Py_VISIT(self->value);
    Py_VISIT(self->traceback);
    return 0;
}

static int
bomb_clear(BombObject *self)
{
    Py_CLEAR(self->type);
    Py_CLEAR(self->value);
    Py_CLEAR(self->traceback);
    return 0;
}

static void
bomb_dealloc(BombObject *self)
{
    PyTypeObject *cls = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    TL_TRASHCAN_BEGIN(self, bomb_dealloc)
    bomb_clear(self);
    cls->tp_free(self);
    tl_live_add(TL_LIVE_BOMB, -1);
    Py_DECREF(cls);
    TL_TRASHCAN_END
}

static PyObject *
bomb_repr(BombObject *self)
{
    return PyUnicode_FromFormat("<bomb of %R>", self->type ? self->type : Py_None);
}

static PyObject *
bomb_reduce(BombObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *parts[] = {self->type, self->value, self->traceback};
    for (int i = 0; i < 3; i++) {
        if (parts[i] == NULL) {
            parts[i] = Py_None;
        }
    }
    return Py_BuildValue("O(OOO)", (PyObject *)Py_TYPE(self), parts[0], parts[1],
                         parts[2]);
}

// ---- atomic

typedef struct {
    PyObject_HEAD
    // Entries of this object, innermost last, each with the flag's value before.
    unsigned char *before;
    Py_ssize_t depth, room;
} AtomicObject;

static PyObject *
atomic_enter(AtomicObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    if (self->depth == self->room) {
        Py_ssize_t room = self->room ? 2 * self->room : 4;
        unsigned char *grown = PyMem_Realloc(self->before, (size_t)room);
        if (grown == NULL) {
            return PyErr_NoMemory();
        }
        self->before = grown;
        self->room = room;
    }
    self->before[self->depth++] = s->current->atomic;
    s->current->atomic = true;
    Py_RETURN_NONE;
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
    s->current->atomic = self->before[--self->depth];
    if (s->nwatch > 0 && tl_watch_released(s) < 0) {
        return NULL;
    }
    Py_RETURN_FALSE;
}

static void
atomic_dealloc(AtomicObject *self)
{
    PyTypeObject *cls = Py_TYPE(self);
    PyMem_Free(self->before);
    cls->tp_free(self);
    Py_DECREF(cls);
}

// clang-format off

static PyMemberDef bomb_members[] = {
    {"type", _Py_T_OBJECT, offsetof(BombObject, type), 0, "The exception's class."},
    {"value", _Py_T_OBJECT, offsetof(BombObject, value), 0,
     "The exception, or the arguments to make it with."},
    {"traceback", _Py_T_OBJECT, offsetof(BombObject, traceback), 0, "Its traceback."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef bomb_methods[] = {
    {"__reduce__", (PyCFunction)bomb_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(bomb_doc,
"bomb(type=None, value=None, traceback=None)\n"
"--\n"
"\n"
"An exception on its way: a tasklet whose tempval is a bomb raises it when it is next\n"
"resumed. A tuple as the only argument is unpacked.");

static PyType_Slot bomb_slots[] = {
    {Py_tp_doc, (void *)bomb_doc},
    {Py_tp_new, bomb_new},
    {Py_tp_repr, bomb_repr},
    {Py_tp_traverse, bomb_traverse},
    {Py_tp_clear, bomb_clear},
    {Py_tp_dealloc, bomb_dealloc},
    {Py_tp_members, bomb_members},
    {Py_tp_methods, bomb_methods},
    {0, NULL},
};

PyType_Spec tl_bomb_spec = {
    .name = "tasklets.bomb",
    .basicsize = sizeof(BombObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = bomb_slots,
};

static PyMethodDef atomic_methods[] = {
    {"__enter__", (PyCFunction)atomic_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))atomic_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(atomic_doc,
"atomic()\n"
"--\n"
"\n"
"A context manager that sets the atomic flag of the current tasklet, and puts back\n"
"the old value on the tasklet that is current at the end. Reusable, re-entrant.");

static PyType_Slot atomic_slots[] = {
    {Py_tp_doc, (void *)atomic_doc},
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
