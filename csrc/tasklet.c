#include "tasklet.h"
#include "gil.h"
#include "live.h"
#include "sched.h"

TaskletObject *
tl_task_new(PyTypeObject *cls, struct tl_sched *sched)
{
    TaskletObject *t = (TaskletObject *)cls->tp_alloc(cls, 0); // zeroed
    if (t == NULL) {
        return NULL;
    }
    tl_live_add(TL_LIVE_TASKLET, 1);
    tl_link_init(&t->link);
    tl_link_init(&t->started);
    t->home = sched;
    sched->refs++;
    return t;
}

bool
tl_task_is_alive(TaskletObject *t)
{
    return t->life != TL_UNBOUND && !t->home->dead;
}

static int
bind_refused(TaskletObject *t, bool unbind)
{
    struct tl_sched *s = t->home;
    const char *why = NULL;
    if (unbind && t->is_main) {
        why = "can't unbind the main tasklet";
    } else if (!s->dead && s->current == t) {
        why = "can't (re)bind the current tasklet";
    } else if (t->place != TL_FLOATING) {
        why = "tasklet is scheduled";
    } else if (t->life == TL_STARTED) {
        why = "tasklet has C state on its stack";
    }
    if (why != NULL) {
        PyErr_SetString(PyExc_RuntimeError, why);
        return -1;
    }
    return 0;
}

// Take over the context of the caller, who shares it from now on.
static int
share_context(TaskletObject *t)
{
    PyObject *context = tl_gil_context(PyThreadState_Get());
    if (context == NULL) {
        return -1;
    }
    Py_XSETREF(t->context, Py_NewRef(context));
    return 0;
}

static int
check_bind_args(PyObject *func, PyObject *args, PyObject *kwargs)
{
    const char *why = NULL;
    if (func != NULL && !PyCallable_Check(func)) {
        why = "tasklet function must be a callable or None";
    } else if (args != NULL && !PyTuple_Check(args)) {
        why = "tasklet args must be a tuple or None";
    } else if (kwargs != NULL && !PyDict_Check(kwargs)) {
        why = "tasklet kwargs must be a dictionary or None";
    }
    if (why != NULL) {
        PyErr_SetString(PyExc_TypeError, why);
        return -1;
    }
    return 0;
}

// Give t, whose function is in tempval, arguments: it can run from now on.
static int
give_args(TaskletObject *t, PyObject *args, PyObject *kwargs)
{
    if (t->tempval == NULL || !PyCallable_Check(t->tempval)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the tasklet was not bound to a function");
        return -1;
    }
    PyObject *own_args = args != NULL ? Py_NewRef(args) : PyTuple_New(0);
    PyObject *own_kwargs = NULL;
    if (own_args == NULL) {
        return -1;
    }
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        own_kwargs = PyDict_Copy(kwargs);
        if (own_kwargs == NULL) {
            Py_DECREF(own_args);
            return -1;
        }
    }
    if (t->context == NULL && share_context(t) < 0) {
        Py_DECREF(own_args);
        Py_XDECREF(own_kwargs);
        return -1;
    }
    Py_XSETREF(t->args, own_args);
    Py_XSETREF(t->kwargs, own_kwargs);
    Py_XSETREF(t->func, tl_task_swap(t, NULL));
    t->life = TL_NEW;
    t->ended = false;
    if (t->outcome != NULL) {
        t->outcome->done = t->outcome->cancelled = false;
        Py_CLEAR(t->outcome->value);
        Py_CLEAR(t->outcome->exc);
    }
    return 0;
}

int
tl_task_bind(TaskletObject *t, PyObject *func, PyObject *args, PyObject *kwargs)
{
    func = func == Py_None ? NULL : func;
    args = args == Py_None ? NULL : args;
    kwargs = kwargs == Py_None ? NULL : kwargs;
    bool unbind = func == NULL && args == NULL && kwargs == NULL;
    if (check_bind_args(func, args, kwargs) < 0 || bind_refused(t, unbind) < 0) {
        return -1;
    }
    if (args != NULL || kwargs != NULL) {
        if (t->home->dead) {
            PyErr_SetString(PyExc_RuntimeError, "tasklet has no thread");
            return -1;
        }
    }
    if (func != NULL && share_context(t) < 0) {
        return -1;
    }
    if (func != NULL) {
        Py_XSETREF(t->tempval, Py_NewRef(func));
    }
    if (args != NULL || kwargs != NULL) {
        return give_args(t, args, kwargs);
    }
    // Set up before and not started: it forgets that.
    t->life = TL_UNBOUND;
    if (unbind) {
        Py_CLEAR(t->tempval);
    }
    Py_CLEAR(t->args);
    Py_CLEAR(t->kwargs);
    Py_CLEAR(t->func);
    return 0;
}

int
tl_task_setup(TaskletObject *t, PyObject *args, PyObject *kwargs)
{
    if (tl_task_is_alive(t)) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet is alive");
        return -1;
    }
    if (t->home->dead) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet has no thread");
        return -1;
    }
    if (bind_refused(t, false) < 0 || give_args(t, args, kwargs) < 0) {
        return -1;
    }
    if (t->place == TL_FLOATING && t->life == TL_NEW) {
        tl_sched_ready((TaskletObject *)Py_NewRef(t));
    }
    return 0;
}
