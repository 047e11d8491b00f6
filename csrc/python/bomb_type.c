// bomb_type.c - bomb: an exception on its way to another tasklet.
#include "object/bomb.h"
#include "object/live_counts.h"
#include "python/types.h"

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
    Py_VISIT(self->next);
    return 0;
}

static int
bomb_clear(BombObject *self)
{
    Py_CLEAR(self->type);
    Py_CLEAR(self->value);
    Py_CLEAR(self->traceback);
    Py_CLEAR(self->next);
    return 0;
}

static void
bomb_dealloc(BombObject *self)
{
    PyObject_GC_UnTrack(self);
    TL_TRASHCAN_BEGIN(self, bomb_dealloc)
    bomb_clear(self);
    tl_object_free(self, TL_LIVE_BOMB);
    TL_TRASHCAN_END
}

static PyObject *
bomb_repr(BombObject *self)
{
    return PyUnicode_FromFormat("<tasklets.bomb of %R>",
                                self->type ? self->type : Py_None);
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

// clang-format off

static PyMemberDef bomb_members[] = {
    {"type", _Py_T_OBJECT, offsetof(BombObject, type), 0, "The exception's class."},
    {"value", _Py_T_OBJECT, offsetof(BombObject, value), 0,
     "The exception, or the arguments to create it with."},
    {"traceback", _Py_T_OBJECT, offsetof(BombObject, traceback), 0,
     "The exception's traceback."},
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
"An exception on its way to a tasklet.\n"
"\n"
"A tasklet whose tempval is a bomb raises the exception when it is next resumed. A\n"
"tuple as the only argument is unpacked.");

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
