// setting_type.c - setting: changes a setting for the length of a block. In Python, a
// signal handled between the change and the block would leave the setting changed.
#include "core/sched.h"
#include "core/thread.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/types.h"

// Invariants
// I1: while the block runs, before is set, and ident is that of its thread.
typedef struct {
    PyObject_HEAD
    PyObject *change; // change(value) returns the argument that undoes it
    PyObject *value;
    PyObject *back;    // argument of change() at the end; NULL: what change() returned
    PyObject *entered; // what __enter__() returns
    PyObject *before;
    unsigned long ident;
} SettingObject;

static PyObject *
setting_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"change", "value", "back", NULL};
    PyObject *change, *value, *back = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O:setting", names, &change,
                                     &value, &back)) {
        return NULL;
    }
    SettingObject *self = (SettingObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self != NULL) {
        self->change = Py_NewRef(change);
        self->value = Py_NewRef(value);
        self->back = Py_XNewRef(back);
        self->entered = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

static PyObject *
setting_enter(SettingObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->before != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this block has been entered already: make another object");
        return NULL;
    }
    PyObject *before = PyObject_CallOneArg(self->change, self->value);
    if (before == NULL) {
        return NULL;
    }
    self->ident = PyThread_get_thread_ident();
    if (self->back != NULL) {
        Py_SETREF(before, Py_NewRef(self->back));
    }
    self->before = before;
    TL_CHECK("I1", "setting", self, before != NULL && self->ident != 0);
    return Py_NewRef(self->entered);
}

static PyObject *
setting_exit(SettingObject *self, PyObject *const *Py_UNUSED(args),
             Py_ssize_t Py_UNUSED(nargs))
{
    PyObject *before = self->before;
    if (before == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this block was not entered");
        return NULL;
    }
    if (self->ident != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this block can only be left on the thread that entered it");
        return NULL;
    }
    TL_CHECK("I1", "setting", self, self->ident == PyThread_get_thread_ident());
    self->before = NULL;
    PyObject *result = PyObject_CallOneArg(self->change, before);
    Py_DECREF(before);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}

static PyObject *
get_active(SettingObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->before != NULL &&
                           self->ident == PyThread_get_thread_ident());
}

static int
setting_traverse(SettingObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->change);
    Py_VISIT(self->value);
    Py_VISIT(self->back);
    Py_VISIT(self->entered);
    Py_VISIT(self->before);
    return 0;
}

static void
setting_dealloc(SettingObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->change);
    Py_XDECREF(self->value);
    Py_XDECREF(self->back);
    Py_XDECREF(self->entered);
    Py_XDECREF(self->before);
    tl_object_free(self, TL_LIVE_NONE);
}

PyDoc_STRVAR(swap_block_trap_doc,
"swap_block_trap($module, trap, /)\n"
"--\n"
"\n"
"Set the current tasklet's block_trap; return the argument that restores it.");

static PyObject *
fn_swap_block_trap(PyObject *mod, PyObject *trap)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL) {
        return NULL;
    }
    if (PyTuple_Check(trap) && PyTuple_GET_SIZE(trap) == 2) {
        TaskletObject *t = (TaskletObject *)PyTuple_GET_ITEM(trap, 0);
        if (!PyObject_TypeCheck(t, s->state->tasklet_type)) {
            PyErr_SetString(PyExc_TypeError, "a tasklet is needed");
            return NULL;
        }
        t->block_trap = PyTuple_GET_ITEM(trap, 1) == Py_True;
        Py_RETURN_NONE;
    }
    int flag = tl_args_flag(trap, "block_trap must be set to a bool or integer");
    if (flag < 0) {
        return NULL;
    }
    TaskletObject *me = s->current;
    PyObject *back = PyTuple_Pack(2, me, me->block_trap ? Py_True : Py_False);
    if (back != NULL) {
        me->block_trap = flag != 0;
    }
    return back;
}

// clang-format off

PyMethodDef tl_setting_functions[] = {
    {"swap_block_trap", fn_swap_block_trap, METH_O, swap_block_trap_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef setting_methods[] = {
    {"__enter__", (PyCFunction)setting_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(setting_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef setting_members[] = {
    {"entered", _Py_T_OBJECT, offsetof(SettingObject, entered), 0,
     "The result of __enter__()."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef setting_getset[] = {
    {"active", (getter)get_active, NULL,
     "Whether the calling thread is inside the block.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(setting_doc,
"setting(change, value, back=...)\n"
"--\n"
"\n"
"A context manager that calls change(value), and at the end change(back).\n"
"\n"
"back: by default what change(value) returned. If change is a C function, no signal\n"
"is handled between the change and the block.");

// No tp_clear, since the object may be in use: the objects that it refers to break the
// cycle.
static PyType_Slot setting_slots[] = {
    {Py_tp_doc, (void *)setting_doc},
    {Py_tp_new, setting_new},
    {Py_tp_traverse, setting_traverse},
    {Py_tp_dealloc, setting_dealloc},
    {Py_tp_methods, setting_methods},
    {Py_tp_members, setting_members},
    {Py_tp_getset, setting_getset},
    {0, NULL},
};

PyType_Spec tl_setting_spec = {
    .name = "tasklets._core.setting",
    .basicsize = sizeof(SettingObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = setting_slots,
};
