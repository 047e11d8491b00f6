// trap_type.c - with block_trap() and with no_switch(). In C, so that a signal comes before
// or after a trap is set, and not in between.
#include "errors.h"
#include "sched.h"
#include "types.h"

typedef struct {
    PyObject_HEAD
    TaskletObject *who;    // counted: whose block_trap was set; NULL: not entered
    struct tl_sched *home; // counted: where switches were trapped; NULL: not entered
    bool trap;             // what block_trap is set to
    bool before;           // what it was
} TrapObject;

static PyObject *
block_trap_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"trap", NULL};
    int trap = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:block_trap", names, &trap)) {
        return NULL;
    }
    TrapObject *self = (TrapObject *)cls->tp_alloc(cls, 0);
    if (self != NULL) {
        self->trap = trap;
    }
    return (PyObject *)self;
}

static PyObject *
no_switch_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":no_switch", names)) {
        return NULL;
    }
    return cls->tp_alloc(cls, 0);
}

static int
check_entered(const TrapObject *self, bool entered)
{
    bool is = self->who != NULL || self->home != NULL;
    if (is == entered) {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    is ? "this trap has been entered: each block needs its own"
                       : "this trap was not entered");
    return -1;
}

static PyObject *
block_trap_enter(TrapObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL || check_entered(self, false) < 0) {
        return NULL;
    }
    TaskletObject *me = s->current;
    self->who = (TaskletObject *)Py_NewRef(me);
    self->before = me->block_trap;
    me->block_trap = self->trap;
    Py_RETURN_NONE;
}

static PyObject *
block_trap_exit(TrapObject *self, PyObject *Py_UNUSED(args))
{
    if (check_entered(self, true) < 0) {
        return NULL;
    }
    self->who->block_trap = self->before;
    Py_CLEAR(self->who);
    Py_RETURN_FALSE;
}

static PyObject *
no_switch_enter(TrapObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL || check_entered(self, false) < 0) {
        return NULL;
    }
    if (s->trap >= INT_MAX / 2) {
        PyErr_SetString(PyExc_OverflowError, "no_switch() counts no further");
        return NULL;
    }
    s->refs++;
    self->home = s;
    s->trap++;
    s->classic_trap = false;
    Py_RETURN_NONE;
}

static PyObject *
no_switch_exit(TrapObject *self, PyObject *Py_UNUSED(args))
{
    if (check_entered(self, true) < 0) {
        return NULL;
    }
    struct tl_sched *home = self->home;
    if (home != tl_sched_mine && !home->dead) {
        PyErr_SetString(PyExc_RuntimeError,
                        "no_switch() can only be left on the thread that entered it");
        return NULL;
    }
    self->home = NULL;
    home->trap--;
    tl_sched_unref(home);
    Py_RETURN_FALSE;
}

static PyObject *
trap_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyErr_Format(PyExc_TypeError, "cannot pickle %s(): make one where it is needed",
                 strrchr(Py_TYPE(self)->tp_name, '.') != NULL
                     ? strrchr(Py_TYPE(self)->tp_name, '.') + 1
                     : Py_TYPE(self)->tp_name);
    return NULL;
}

static int
trap_traverse(TrapObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->who);
    return 0;
}

static int
trap_clear(TrapObject *self)
{
    Py_CLEAR(self->who);
    return 0;
}

static void
trap_dealloc(TrapObject *self)
{
    PyTypeObject *cls = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)trap_clear(self);
    if (self->home != NULL) {
        tl_sched_unref(self->home);
    }
    cls->tp_free(self);
    Py_DECREF(cls);
}

// clang-format off

static PyMethodDef block_trap_methods[] = {
    {"__enter__", (PyCFunction)block_trap_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)block_trap_exit, METH_VARARGS, NULL},
    {"__reduce__", trap_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef block_trap_members[] = {
    {"trap", Py_T_BOOL, offsetof(TrapObject, trap), Py_READONLY,
     "What the flag is set to."},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(block_trap_doc,
"block_trap(trap=True)\n"
"--\n"
"\n"
"A context manager that sets the current tasklet's block_trap.\n"
"\n"
"An operation that would block raises BlockTrapError meanwhile. At the end the tasklet\n"
"that entered it has its old value again. Works as a decorator, too.");

static PyType_Slot block_trap_slots[] = {
    {Py_tp_doc, (void *)block_trap_doc},
    {Py_tp_new, block_trap_new},
    {Py_tp_traverse, trap_traverse},
    {Py_tp_clear, trap_clear},
    {Py_tp_dealloc, trap_dealloc},
    {Py_tp_methods, block_trap_methods},
    {Py_tp_members, block_trap_members},
    {0, NULL},
};

PyType_Spec tl_block_trap_spec = {
    .name = "tasklets.block_trap",
    .basicsize = sizeof(TrapObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = block_trap_slots,
};

static PyMethodDef no_switch_methods[] = {
    {"__enter__", (PyCFunction)no_switch_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)no_switch_exit, METH_VARARGS, NULL},
    {"__reduce__", trap_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(no_switch_doc,
"no_switch()\n"
"--\n"
"\n"
"A context manager inside which this thread does not leave the current tasklet.\n"
"\n"
"Whatever would switch raises SwitchTrapError; what only makes others runnable is\n"
"allowed. May be nested. Works as a decorator, too.");

static PyType_Slot no_switch_slots[] = {
    {Py_tp_doc, (void *)no_switch_doc},
    {Py_tp_new, no_switch_new},
    {Py_tp_traverse, trap_traverse},
    {Py_tp_clear, trap_clear},
    {Py_tp_dealloc, trap_dealloc},
    {Py_tp_methods, no_switch_methods},
    {0, NULL},
};

PyType_Spec tl_no_switch_spec = {
    .name = "tasklets.no_switch",
    .basicsize = sizeof(TrapObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = no_switch_slots,
};
