// shield_type.c - shield(): a block of code that holds interruptions off.
#include "core/scope.h"
#include "core/thread.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/types.h"

typedef struct {
    PyObject_HEAD
    struct tl_scope scope;
    int64_t limit_ns; // from the entry; 0 or less: holds nothing off
} ShieldObject;

static PyObject *
shield_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"seconds", NULL};
    PyObject *seconds = NULL;
    int64_t limit_ns = TL_TIMER_MAX_NS;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:shield", names, &seconds) ||
        (seconds != Py_None && tl_timer_read_ns(seconds, "seconds", &limit_ns) < 0)) {
        return NULL;
    }
    ShieldObject *self = (ShieldObject *)cls->tp_alloc(cls, 0);
    if (self == NULL) {
        return NULL;
    }
    tl_scope_init(&self->scope, TL_SCOPE_SHIELD);
    self->limit_ns = limit_ns;
    return (PyObject *)self;
}

static PyObject *
shield_enter(ShieldObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    if (self->scope.state != TL_SCOPE_IDLE) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this shield has been entered: each block needs its own");
        return NULL;
    }
    self->scope.when = tl_timer_after(self->limit_ns);
    return tl_scope_enter(s, &self->scope) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *
shield_exit(ShieldObject *self, PyObject *Py_UNUSED(args))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    if (self->scope.outlived) {
        self->scope.outlived = false;
        Py_RETURN_FALSE;
    }
    if (tl_scope_check_leave(s, &self->scope, "shield") < 0) {
        return NULL;
    }
    tl_scope_leave_at_exit(&self->scope);
    Py_RETURN_FALSE;
}

static PyObject *
get_expired(ShieldObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->scope.expired);
}

static PyObject *
shield_repr(ShieldObject *self)
{
    const char *word = self->scope.expired                  ? "expired"
                       : self->scope.state == TL_SCOPE_IDLE ? "not entered"
                                                            : "active";
    return tl_scope_repr((PyObject *)self, NULL, word, &self->scope, self->limit_ns);
}

static int
shield_traverse(ShieldObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return tl_scope_traverse(&self->scope, visit, arg);
}

static int
shield_clear(ShieldObject *self)
{
    tl_scope_forget(&self->scope);
    return 0;
}

static void
shield_dealloc(ShieldObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)shield_clear(self);
    tl_object_free(self, TL_LIVE_NONE);
}

// clang-format off

static PyMethodDef shield_methods[] = {
    {"__enter__", (PyCFunction)shield_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)shield_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef shield_getset[] = {
    {"expired", (getter)get_expired, NULL,
     "Whether the time limit was over before the block ended.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(shield_doc,
"shield(seconds)\n"
"--\n"
"\n"
"A context manager that holds interruptions off for at most that many seconds.\n"
"\n"
"For clean-up that must be allowed to finish. Kills, throws, and the interruptions of\n"
"enclosing timeout() and TaskGroup blocks are held off until the block ends, and are\n"
"raised at the next operation that may block. When the time is over, the block can be\n"
"interrupted like other code. seconds: None for no limit.\n"
"\n"
"Blocks inside it end as usual, and so does a kill() that the tasklet calls on\n"
"itself. KeyboardInterrupt, and exceptions of other tasklets that reach the main\n"
"tasklet, are not held off. Raises ValueError if seconds is NaN.");

static PyType_Slot shield_slots[] = {
    {Py_tp_doc, (void *)shield_doc},
    {Py_tp_new, shield_new},
    {Py_tp_repr, shield_repr},
    {Py_tp_traverse, shield_traverse},
    {Py_tp_clear, shield_clear},
    {Py_tp_dealloc, shield_dealloc},
    {Py_tp_methods, shield_methods},
    {Py_tp_getset, shield_getset},
    {0, NULL},
};

PyType_Spec tl_shield_spec = {
    .name = "tasklets.shield",
    .basicsize = sizeof(ShieldObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = shield_slots,
};
