// bind.c - bind() and setup(): the function of a tasklet, and its arguments.
#include "core/bind.h"
#include "core/interrupt.h"
#include "core/runq.h"
#include "cpython/gil.h"
#include "object/args.h"

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
    bool async = func != NULL && (why == NULL || PyCoro_CheckExact(func));
    if (async && tl_args_function("tasklet", func, 1) < 0) {
        return -1;
    }
    if (why != NULL) {
        PyErr_SetString(PyExc_TypeError, why);
        return -1;
    }
    return 0;
}

// References that a tasklet held before a change, to drop once it is consistent: a
// decref may run Python code. tl_task_bind() replaces 8 at most.
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
drop_old(struct old *old)
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

// The calling thread's state, from the scheduler if it has one: that is quicker.
static PyThreadState *
this_thread(void)
{
    return TL_LIKELY(tl_sched_mine != NULL) ? tl_sched_mine->ts : PyThreadState_Get();
}

// The arguments that a tasklet will be called with: kwargs is a copy.
struct call {
    PyObject *args, *kwargs;
};

// Returns 0, or -1 with an exception set. Copying may run Python code, so the tasklet's
// state is checked afterwards.
static int
make_call(struct call *call, PyObject *args, PyObject *kwargs)
{
    call->args = args != NULL ? Py_NewRef(args) : PyTuple_New(0);
    call->kwargs = NULL;
    if (call->args != NULL && kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        call->kwargs = PyDict_Copy(kwargs);
        if (call->kwargs == NULL) {
            Py_CLEAR(call->args);
        }
    }
    return call->args == NULL ? -1 : 0;
}

static void
drop_call(struct call *call)
{
    Py_XDECREF(call->args);
    Py_XDECREF(call->kwargs);
}

static void
forget_pending(TaskletObject *t, struct old *old)
{
    t->thrown = false;
    if (t->pending != NULL) {
        old->held[old->count++] = tl_interrupt_clear(t);
    }
}

// Set t up to call func with the arguments of call (stolen). Returns 0, or -1 with an
// exception set. Does not call into Python.
static int
give_call(TaskletObject *t, PyObject *func, struct call *call, struct old *old)
{
    if (func == NULL || !PyCallable_Check(func)) {
        PyErr_SetString(PyExc_RuntimeError, "the tasklet was not bound to a function");
        return -1;
    }
    keep_old(old, &t->args, call->args);
    keep_old(old, &t->kwargs, call->kwargs);
    keep_old(old, &t->func, Py_NewRef(func));
    keep_old(old, &t->tempval, NULL);
    forget_pending(t, old);
    t->life = TL_NEW;
    forget_outcome(t, old);
    return 0;
}

// bind() without arguments for the call; with func NULL, unbind(). Undoes an earlier
// setup.
static int
bind_alone(TaskletObject *t, PyObject *func, PyObject *context)
{
    if (bind_refused(t, func == NULL) < 0) {
        return -1;
    }
    struct old old;
    old.count = 0;
    if (func != NULL) {
        keep_old(&old, &t->context, Py_NewRef(context));
    }
    t->life = TL_UNBOUND;
    keep_old(&old, &t->args, NULL);
    keep_old(&old, &t->kwargs, NULL);
    keep_old(&old, &t->func, NULL);
    forget_pending(t, &old);
    keep_old(&old, &t->tempval, Py_XNewRef(func));
    drop_old(&old);
    return 0;
}

// bind() with arguments. func NULL: for the function that t is bound to.
static int
bind_call(TaskletObject *t, PyObject *func, PyObject *args, PyObject *kwargs,
          PyObject *context)
{
    struct call call;
    struct old old;
    old.count = 0;
    if (make_call(&call, args, kwargs) < 0) {
        return -1;
    }
    if (bind_refused(t, false) < 0) {
        goto fail;
    }
    if (t->home->dead) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet has no thread");
        goto fail;
    }
    if (give_call(t, func != NULL ? func : t->tempval, &call, &old) < 0) {
        goto fail;
    }
    if (func != NULL || t->context == NULL) {
        keep_old(&old, &t->context, Py_NewRef(context));
    }
    drop_old(&old);
    return 0;

fail:
    drop_call(&call);
    return -1;
}

int
tl_task_bind(TaskletObject *t, PyObject *func, PyObject *args, PyObject *kwargs)
{
    func = tl_none_to_null(func);
    args = tl_none_to_null(args);
    kwargs = tl_none_to_null(kwargs);
    PyObject *context = tl_gil_context(this_thread());
    if (context == NULL || check_bind_args(func, args, kwargs) < 0) {
        return -1;
    }
    return args == NULL && kwargs == NULL ? bind_alone(t, func, context)
                                          : bind_call(t, func, args, kwargs, context);
}

int
tl_task_setup(TaskletObject *t, PyObject *args, PyObject *kwargs)
{
    struct call call = {NULL, NULL};
    struct old old;
    old.count = 0;
    PyObject *context = tl_gil_context(this_thread());
    if (context == NULL || make_call(&call, args, kwargs) < 0) {
        return -1;
    }
    if (tl_task_is_alive(t)) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet is alive");
        goto fail;
    }
    if (t->home->dead) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet has no thread");
        goto fail;
    }
    if (bind_refused(t, false) < 0 || give_call(t, t->tempval, &call, &old) < 0) {
        goto fail;
    }
    if (t->context == NULL) {
        t->context = Py_NewRef(context);
    }
    tl_sched_ready((TaskletObject *)Py_NewRef(t));
    drop_old(&old);
    return 0;

fail:
    drop_call(&call);
    return -1;
}
