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

bool
tl_task_is_current(TaskletObject *t)
{
    return !t->home->dead && !t->home->waiting && t->home->current == t;
}

static int
bind_refused(TaskletObject *t, bool unbind)
{
    const char *why = NULL;
    if (tl_task_is_current(t)) {
        why = "can't (re)bind the current tasklet";
    } else if (t->place != TL_FLOATING) {
        why = "tasklet is scheduled";
    } else if (t->life == TL_STARTED) {
        why = "tasklet has C state on its stack";
    } else if (unbind && t->is_main) {
        why = "can't unbind the main tasklet";
    }
    if (why != NULL) {
        PyErr_SetString(PyExc_RuntimeError, why);
        return -1;
    }
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

// What a tasklet held before, to be let go of when it is whole again: that can run any
// code.
struct old {
    PyObject *held[8];
    int count;
};

static void
keep_old(struct old *old, PyObject **slot, PyObject *now)
{
    old->held[old->count++] = *slot;
    *slot = now;
}

static void
let_go(struct old *old)
{
    while (old->count > 0) {
        Py_XDECREF(old->held[--old->count]);
    }
}

static void
forget_outcome(TaskletObject *t, struct old *old)
{
    t->ended = false;
    if (t->outcome != NULL) {
        t->outcome->done = t->outcome->cancelled = false;
        keep_old(old, &t->outcome->value, NULL);
        keep_old(old, &t->outcome->exc, NULL);
    }
}

// The calling thread's state, without asking the interpreter if it can be avoided.
static PyThreadState *
this_thread(void)
{
    return TL_LIKELY(tl_sched_mine != NULL) ? tl_sched_mine->ts : PyThreadState_Get();
}

// Have t, which has no context, share the caller's.
static int
share_context(TaskletObject *t)
{
    PyObject *context = tl_gil_context(this_thread());
    t->context = Py_XNewRef(context);
    return context == NULL ? -1 : 0;
}

// Give t, whose function is func, arguments: it can run from now on.
static int
give_args(TaskletObject *t, PyObject *func, PyObject *args, PyObject *kwargs,
          struct old *old)
{
    if (func == NULL || !PyCallable_Check(func)) {
        PyErr_SetString(PyExc_RuntimeError, "the tasklet was not bound to a function");
        return -1;
    }
    if (t->context == NULL && share_context(t) < 0) {
        return -1;
    }
    PyObject *own_args = args != NULL ? Py_NewRef(args) : PyTuple_New(0);
    PyObject *own_kwargs = NULL;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        own_kwargs = PyDict_Copy(kwargs);
        if (own_kwargs == NULL) {
            Py_CLEAR(own_args);
        }
    }
    if (own_args == NULL) {
        return -1;
    }
    keep_old(old, &t->args, own_args);
    keep_old(old, &t->kwargs, own_kwargs);
    keep_old(old, &t->func, Py_NewRef(func));
    keep_old(old, &t->tempval, NULL);
    t->life = TL_NEW;
    forget_outcome(t, old);
    return 0;
}

static PyObject *
none_to_null(PyObject *object)
{
    return object == Py_None ? NULL : object;
}

int
tl_task_bind(TaskletObject *t, PyObject *func, PyObject *args, PyObject *kwargs)
{
    func = none_to_null(func);
    args = none_to_null(args);
    kwargs = none_to_null(kwargs);
    bool unbind = func == NULL && args == NULL && kwargs == NULL;
    bool set_up = args != NULL || kwargs != NULL;
    PyObject *context = tl_gil_context(this_thread());
    struct old old;
    old.count = 0;
    if (context == NULL || check_bind_args(func, args, kwargs) < 0 ||
        bind_refused(t, unbind) < 0) {
        return -1;
    }
    if (set_up && t->home->dead) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet has no thread");
        return -1;
    }
    if (set_up &&
        give_args(t, func != NULL ? func : t->tempval, args, kwargs, &old) < 0) {
        return -1;
    }
    if (func != NULL) {
        PyObject *before = t->context;
        t->context = Py_NewRef(context);
        keep_old(&old, &before, NULL);
    }
    if (!set_up && t->life == TL_UNBOUND && t->func == NULL) {
        if (func != NULL || unbind) {
            keep_old(&old, &t->tempval, Py_XNewRef(func));
        }
    } else if (!set_up) {
        // What it was set up for, it forgets.
        t->life = TL_UNBOUND;
        keep_old(&old, &t->args, NULL);
        keep_old(&old, &t->kwargs, NULL);
        keep_old(&old, &t->func, NULL);
        if (func != NULL || unbind) {
            keep_old(&old, &t->tempval, Py_XNewRef(func));
        }
    }
    let_go(&old);
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
    struct old old;
    old.count = 0;
    if (bind_refused(t, false) < 0 ||
        give_args(t, t->tempval, args, kwargs, &old) < 0) {
        return -1;
    }
    tl_sched_ready((TaskletObject *)Py_NewRef(t));
    let_go(&old);
    return 0;
}

// ---- names

// What func is called, as far as no code of others has to be asked.
static PyObject *
name_of_function(PyObject *func)
{
    if (PyMethod_Check(func)) {
        func = PyMethod_GET_FUNCTION(func);
    }
    if (PyFunction_Check(func)) {
        return Py_NewRef(((PyFunctionObject *)func)->func_qualname);
    }
    if (PyCFunction_Check(func)) {
        return PyUnicode_FromString(((PyCFunctionObject *)func)->m_ml->ml_name);
    }
    PyTypeObject *type = PyType_Check(func) ? (PyTypeObject *)func : Py_TYPE(func);
    return PyUnicode_FromString(type->tp_name);
}

PyObject *
tl_task_name(TaskletObject *t)
{
    if (t->outcome != NULL && t->outcome->name != NULL) {
        return Py_NewRef(t->outcome->name);
    }
    if (t->is_main) {
        return PyUnicode_FromString("main");
    }
    PyObject *func = t->life == TL_UNBOUND ? t->tempval : t->func;
    if (func != NULL && PyCallable_Check(func)) {
        return name_of_function(func);
    }
    return PyUnicode_FromString("tasklet");
}

static const char *
state_word(TaskletObject *t)
{
    if (t->home->dead) {
        return "without a thread";
    }
    if (tl_task_is_current(t)) {
        return "running";
    }
    if (t->place == TL_RUNNABLE) {
        return "runnable";
    }
    if (t->life == TL_UNBOUND) {
        return t->ended ? "ended" : t->tempval != NULL ? "bound" : "unbound";
    }
    return "paused";
}

PyObject *
tl_task_describe(TaskletObject *t)
{
    PyObject *name = tl_task_name(t), *text;
    if (name == NULL) {
        return NULL;
    }
    if (t->place == TL_WAITING) {
        text = PyUnicode_FromFormat("<%s '%U' blocked, waits to %s <%s at %p>, at %p>",
                                    Py_TYPE(t)->tp_name, name, t->wait.kind->verb,
                                    Py_TYPE(t->wait.on)->tp_name, t->wait.on, t);
    } else {
        text = PyUnicode_FromFormat("<%s '%U' %s at %p>", Py_TYPE(t)->tp_name, name,
                                    state_word(t), t);
    }
    Py_DECREF(name);
    return text;
}
