// tasklet.c - tasklet objects: made, bound, set up, named.
#include "core/tasklet.h"
#include "core/interrupt.h"
#include "core/sched.h"
#include "cpython/gil.h"
#include "object/args.h"
#include "object/live_counts.h"

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
    tl_link_init(&t->holder.held);
    t->home = sched;
    sched->refs++;
    return t;
}

#ifndef NDEBUG
void
tl_task_check(const TaskletObject *t)
{
    const struct tl_sched *s = t->home;
    const TaskletObject *head = s->head;
    bool is_single = tl_link_is_single(&t->link), is_armed = tl_wait_is_armed(&t->wait);
    if (t->place == TL_RUNNABLE) {
        TL_CHECK("I1", "tasklet", t,
                 !is_armed && head != NULL &&
                     (t == head || tl_link_may_be_in(&t->link, &head->link)));
    } else {
        bool waits = t->place == TL_WAITING;
        TL_CHECK("I1", "tasklet", t, waits == is_armed && waits == !is_single);
    }
    tl_wait_check(&t->wait, &t->link);
    TL_CHECK("I2", "tasklet", t, t->place == TL_FLOATING || Py_REFCNT(t) > 0);
    TL_CHECK("I3", "tasklet", t,
             t->stack == NULL || (t->life == TL_STARTED && !t->is_main));
    bool has_returned = !t->is_main && t->args == NULL;
    TL_CHECK("I3", "tasklet", t,
             t->fiber != NULL || t->life != TL_STARTED || s->dead || has_returned);
    TL_CHECK("I4", "tasklet", t,
             t->top == NULL || (t->life == TL_STARTED &&
                                (s->current != t || (s->no_switch & TL_SWITCHING))));
    TL_CHECK("I5", "tasklet", t, !tl_timer_is_set(&t->timer) || t->place == TL_WAITING);
    TL_CHECK("I5", "tasklet", t,
             !tl_timer_is_set(&t->timer) || tl_timer_heap_has(&s->timers, &t->timer));
}
#endif

bool
tl_task_is_alive(TaskletObject *t)
{
    return t->life != TL_UNBOUND && !t->home->dead;
}

bool
tl_task_is_running(TaskletObject *t)
{
    return !t->home->dead && t->home->current == t;
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
    bool async = func != NULL && (why == NULL || PyCoro_CheckExact(func));
    if (async && tl_args_function("tasklet", func) < 0) {
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
    struct call call = {NULL, NULL};
    struct old old;
    old.count = 0;
    PyObject *context = tl_gil_context(this_thread());
    if (context == NULL || check_bind_args(func, args, kwargs) < 0 ||
        (set_up && make_call(&call, args, kwargs) < 0)) {
        return -1;
    }
    if (bind_refused(t, unbind) < 0) {
        goto fail;
    }
    if (set_up && t->home->dead) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet has no thread");
        goto fail;
    }
    if (set_up && give_call(t, func != NULL ? func : t->tempval, &call, &old) < 0) {
        goto fail;
    }
    if (func != NULL || (set_up && t->context == NULL)) {
        keep_old(&old, &t->context, Py_NewRef(context));
    }
    if (!set_up) {
        // Undo an earlier setup.
        t->life = TL_UNBOUND;
        keep_old(&old, &t->args, NULL);
        keep_old(&old, &t->kwargs, NULL);
        keep_old(&old, &t->func, NULL);
        forget_pending(t, &old);
        if (func != NULL || unbind) {
            keep_old(&old, &t->tempval, Py_XNewRef(func));
        }
    }
    drop_old(&old);
    return 0;

fail:
    drop_call(&call);
    return -1;
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

// ---- names

// The name of func, found without calling into Python.
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

const char *
tl_task_state_word(TaskletObject *t)
{
    if (t->home->dead) {
        return "without a thread";
    }
    if (tl_task_is_current(t)) {
        return "running";
    }
    if (t->place != TL_FLOATING) {
        return t->place == TL_RUNNABLE ? "runnable" : "blocked";
    }
    if (t->life == TL_UNBOUND) {
        return t->ended ? "ended" : t->tempval != NULL ? "bound" : "unbound";
    }
    return "paused";
}

int
tl_task_set_call(TaskletObject *t, PyObject *const *args, Py_ssize_t nargs)
{
    t->args = PyTuple_New(nargs - 1);
    t->context = PyContext_CopyCurrent();
    if (t->args == NULL || t->context == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 1; i < nargs; i++) {
        PyTuple_SET_ITEM(t->args, i - 1, Py_NewRef(args[i]));
    }
    t->func = Py_NewRef(args[0]);
    t->life = TL_NEW;
    t->home->spawned++;
    return 0;
}

// Text for an object that a tasklet waits on: a tasklet's with its name, a channel's
// repr.
static PyObject *
describe_object(struct tl_state *state, PyObject *on)
{
    if (PyObject_TypeCheck(on, state->channel_type)) {
        return state->channel_type->tp_repr(
            on); // not a subclass's, which may be Python code
    }
    PyObject *type = tl_args_type_name(Py_TYPE(on)), *name = NULL, *text = NULL;
    if (type != NULL && PyObject_TypeCheck(on, state->tasklet_type)) {
        name = tl_task_name((TaskletObject *)on);
        text = name ? PyUnicode_FromFormat("<%U '%U' at %p>", type, name, on) : NULL;
    } else if (type != NULL) {
        text = PyUnicode_FromFormat("<%U at %p>", type, on);
    }
    Py_XDECREF(name);
    Py_XDECREF(type);
    return text;
}

PyObject *
tl_task_describe_wait(struct tl_state *state, const struct tl_wait_kind *kind,
                      PyObject *on)
{
    if (on == NULL) {
        return PyUnicode_FromString(kind->verb);
    }
    PyObject *object = describe_object(state, on);
    PyObject *text =
        object ? PyUnicode_FromFormat("waits to %s %U", kind->verb, object) : NULL;
    Py_XDECREF(object);
    return text;
}

PyObject *
tl_task_describe(TaskletObject *t)
{
    PyObject *type = tl_args_type_name(Py_TYPE(t)), *wait = NULL, *text = NULL;
    PyObject *name = type ? tl_task_name(t) : NULL;
    const char *word = tl_task_state_word(t);
    if (name != NULL && t->place == TL_WAITING) {
        wait = tl_task_describe_wait(t->home->state, t->wait.kind, t->wait.on);
        text = wait ? PyUnicode_FromFormat("<%U '%U' %s, %U, at %p>", type, name, word,
                                           wait, t)
                    : NULL;
    } else if (name != NULL) {
        text = PyUnicode_FromFormat("<%U '%U' %s at %p>", type, name, word, t);
    }
    Py_XDECREF(wait);
    Py_XDECREF(name);
    Py_XDECREF(type);
    return text;
}
