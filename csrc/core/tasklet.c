// tasklet.c - tasklet objects: made, bound, set up, named.
#include "core/tasklet.h"
#include "core/sched_state.h"
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
