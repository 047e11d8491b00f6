// tasklet_methods.c - the methods of tasklet.
#include "python/tasklet_methods.h"
#include "core/bind.h"
#include "core/budget.h"
#include "core/fiber.h"
#include "core/interrupt.h"
#include "core/outcome.h"
#include "core/run_frame.h"
#include "core/task_settings.h"
#include "core/thread.h"
#include "cpython/gil.h"
#include "object/args.h"

static PyObject *
raise_runtime(const char *text)
{
    PyErr_SetString(PyExc_RuntimeError, text);
    return NULL;
}

// ---- setting up

PyDoc_STRVAR(bind_doc,
"bind($self, func=None, args=None, kwargs=None)\n"
"--\n"
"\n"
"Bind the tasklet to a function. Returns the tasklet.\n"
"\n"
"With args or kwargs it is also set up, and paused. Without arguments it is unbound.\n"
"From now on it shares the caller's contextvars Context. Raises RuntimeError for a\n"
"tasklet that is current, scheduled, blocked or started, and TypeError for arguments\n"
"of the wrong type; the tasklet is unchanged then.");

static PyObject *
tasklet_bind(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const char *const names[] = {"func", "args", "kwargs", NULL};
    static const struct tl_argspec spec = {
        .fname = "bind", .names = names, .maxpos = 3};
    PyObject *argv[3];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        if (argv[i] == NULL) {
            argv[i] = Py_None;
        }
    }
    return tl_task_bind(self, argv[0], argv[1], argv[2]) < 0 ? NULL : Py_NewRef(self);
}

PyObject *
tl_tasklet_call(TaskletObject *self, PyObject *args, PyObject *kwargs)
{
    return tl_task_setup(self, args, kwargs) < 0 ? NULL : Py_NewRef(self);
}

PyDoc_STRVAR(setup_doc,
"setup($self, /, *args, **kwargs)\n"
"--\n"
"\n"
"Give the bound function its arguments and make the tasklet runnable.\n"
"\n"
"Returns the tasklet. Raises RuntimeError if it is alive or not bound.");

static PyObject *
tasklet_setup(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return tl_tasklet_call((TaskletObject *)self, args, kwargs);
}

// ---- the run queue

// Whether t can be put into its run queue. Returns 0, or -1 with an exception set.
static int
check_insert(TaskletObject *t)
{
    const char *why = NULL;
    if (t->home->dead) {
        why = "Target thread isn't initialized";
    } else if (t->place == TL_WAITING) {
        why = "You cannot run a blocked tasklet";
    } else if (!tl_task_is_alive(t)) {
        why = "You cannot run an unbound(dead) tasklet";
    }
    if (why != NULL) {
        raise_runtime(why);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(insert_doc,
"insert($self, /)\n"
"--\n"
"\n"
"Append a paused tasklet to its thread's run queue, and wake that thread.\n"
"\n"
"Has no effect on a runnable tasklet. Returns the tasklet. Raises RuntimeError if it\n"
"is blocked or not alive, or if its thread has ended.");

static PyObject *
tasklet_insert(TaskletObject *self, PyObject *Py_UNUSED(ignored))
{
    if (check_insert(self) < 0) {
        return NULL;
    }
    if (self->place == TL_FLOATING) {
        tl_sched_ready((TaskletObject *)Py_NewRef(self));
    }
    return Py_NewRef(self);
}

PyDoc_STRVAR(remove_doc,
"remove($self, /)\n"
"--\n"
"\n"
"Take the tasklet out of the run queue: it is paused. Returns the tasklet.\n"
"\n"
"Raises RuntimeError if it is blocked, or is the current tasklet of its thread.");

static PyObject *
tasklet_remove(TaskletObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = self->home;
    if (self->place == TL_WAITING) {
        return raise_runtime("You cannot remove a blocked tasklet.");
    }
    if (self->place == TL_RUNNABLE && (s->current == self || s->target == self)) {
        return raise_runtime("The current tasklet cannot be removed.");
    }
    if (self->place == TL_RUNNABLE) {
        tl_ring_remove(s, self);
        Py_DECREF(self); // the run queue's reference; the caller has its own
    }
    return Py_NewRef(self);
}

// Make t the next tasklet of another thread.
static PyObject *
run_there(TaskletObject *t)
{
    struct tl_sched *s = t->home;
    if (t->place == TL_RUNNABLE) {
        if (t == s->current || t == s->target) {
            Py_RETURN_NONE;
        }
        tl_ring_remove(s, t);
    } else {
        Py_INCREF(t);
    }
    if (s->head != NULL && (s->head == s->current || s->head == s->target)) {
        tl_ring_behind_head(s, t);
    } else {
        tl_ring_front(s, t);
    }
    tl_sched_notify(s);
    Py_RETURN_NONE;
}

// Check and prepare, until no Python code has run between the two.
static int
prepare_to_enter(struct tl_sched *s, TaskletObject *t)
{
    int ready;
    do {
        if (check_insert(t) < 0) {
            return -1;
        }
        ready = tl_sched_prepare(s, t);
    } while (ready > 0);
    return ready;
}

PyDoc_STRVAR(run_doc,
"run($self, /)\n"
"--\n"
"\n"
"Run the tasklet now; the caller stays in the run queue, at its end.\n"
"\n"
"A tasklet of another thread becomes the next one of that thread instead. Raises\n"
"RuntimeError if it is blocked or not alive.");

static PyObject *
tasklet_run(TaskletObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL || tl_sched_check_thrown(s) < 0) {
        return NULL;
    }
    if (self->home->dead) {
        return raise_runtime("tasklet has no thread");
    }
    if (self->home != s) {
        return check_insert(self) < 0 ? NULL : run_there(self);
    }
    if (prepare_to_enter(s, self) < 0) {
        return NULL;
    }
    return tl_sched_jump(s, self, false);
}

PyDoc_STRVAR(switch_doc,
"switch($self, /)\n"
"--\n"
"\n"
"Run the tasklet now; the caller is paused.\n"
"\n"
"Raises RuntimeError if the tasklet is blocked, not alive, or of another thread.");

static PyObject *
tasklet_switch(TaskletObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL || tl_sched_check_thrown(s) < 0) {
        return NULL;
    }
    if (self->home != s) {
        return raise_runtime("can't switch to a different thread.");
    }
    if (prepare_to_enter(s, self) < 0) {
        return NULL;
    }
    return tl_sched_jump(s, self, self != s->current);
}

// ---- exceptions for other tasklets

// t is not alive: TaskletExit just takes it out of its queue, anything else is an
// error.
static PyObject *
throw_at_dead(TaskletObject *t, bool exits)
{
    if (!exits) {
        return raise_runtime(t->home->dead ? "tasklet has no thread"
                                           : "You cannot throw to a dead tasklet");
    }
    if (t->place == TL_WAITING) {
        tl_task_end_wait(t);
        Py_DECREF(t);
    } else if (t->place == TL_RUNNABLE) {
        tl_ring_remove(t->home, t);
        Py_DECREF(t);
    }
    Py_RETURN_NONE;
}

// Throw bomb (stolen; NULL: an exception is set).
static PyObject *
throw_bomb(TaskletObject *t, PyObject *bomb, bool pending)
{
    struct tl_sched *s = bomb == NULL ? NULL : tl_sched_for((PyObject *)t);
    if (s == NULL) {
        Py_XDECREF(bomb);
        return NULL;
    }
    tl_interrupt_rated(s->state, bomb);
    PyObject *type = ((BombObject *)bomb)->type;
    bool exits = PyErr_GivenExceptionMatches(type, s->state->tasklet_exit);
    if (t == s->current && t->place == TL_RUNNABLE) {
        return tl_bomb_raise(bomb);
    }
    int ready;
    do {
        if (!tl_task_is_alive(t)) {
            Py_DECREF(bomb);
            return throw_at_dead(t, exits);
        }
        if (t->home != s || pending || tl_interrupt_is_held_off(t, bomb)) {
            Py_XDECREF(tl_interrupt_send(t, bomb));
            Py_RETURN_NONE;
        }
        if (tl_sched_check_thrown(s) < 0) {
            Py_DECREF(bomb);
            return NULL;
        }
        ready = tl_sched_prepare(s, t);
    } while (ready > 0);
    if (ready < 0) {
        Py_DECREF(bomb);
        return NULL;
    }
    tl_sched_drop_later(s, tl_interrupt_force(t, bomb));
    return tl_sched_jump(s, t, false);
}

PyDoc_STRVAR(kill_doc,
"kill($self, pending=False)\n"
"--\n"
"\n"
"Raise TaskletExit in the tasklet: now, or with pending when it next runs.\n"
"\n"
"Its finally blocks run; it may catch TaskletExit and live on. Has no effect on a\n"
"tasklet that is not alive. A tasklet of another thread is killed when that thread\n"
"next switches.");

static PyObject *
tasklet_kill(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const char *const names[] = {"pending", NULL};
    static const struct tl_argspec spec = {
        .fname = "kill", .names = names, .maxpos = 1};
    PyObject *argv[1];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    int pending = argv[0] == NULL ? 0 : PyObject_IsTrue(argv[0]);
    if (pending < 0) {
        return NULL;
    }
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    return throw_bomb(self, tl_interrupt_kill(state), pending);
}

PyDoc_STRVAR(throw_doc,
"throw($self, exc, val=None, tb=None, pending=False)\n"
"--\n"
"\n"
"Raise an exception in the tasklet: now, or with pending when it next runs.\n"
"\n"
"exc: an exception class or instance; val and tb as in a three-part raise. In the\n"
"current tasklet it is raised at once. Raises RuntimeError if the tasklet is not\n"
"alive, and TypeError for arguments that do not fit.");

static PyObject *
tasklet_throw(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const char *const names[] = {"exc", "val", "tb", "pending", NULL};
    static const struct tl_argspec spec = {
        .fname = "throw", .names = names, .required = 1, .maxpos = 4};
    PyObject *argv[4];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    int pending = argv[3] == NULL ? 0 : PyObject_IsTrue(argv[3]);
    if (pending < 0) {
        return NULL;
    }
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    return throw_bomb(self,
                      tl_bomb_of_raise(state, argv[0], argv[1] ? argv[1] : Py_None,
                                       argv[2] ? argv[2] : Py_None),
                      pending);
}

PyDoc_STRVAR(raise_exception_doc,
"raise_exception($self, cls, /, *args)\n"
"--\n"
"\n"
"Raise cls(*args) in the tasklet now. The instance is created there.");

static PyObject *
tasklet_raise_exception(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    return throw_bomb(
        self, tl_bomb_of_class(state, "tasklet.raise_exception", args, nargs), false);
}

// ---- flags

// Set *flag from an int or bool and return its old value.
static PyObject *
set_flag(bool *flag, PyObject *value, const char *message)
{
    int wanted = tl_args_flag(value, message);
    if (wanted < 0) {
        return NULL;
    }
    bool old = *flag;
    *flag = wanted;
    return PyBool_FromLong(old);
}

// Stop self here if a budget of run() ended while the flag's old value forbade it.
static PyObject *
released(TaskletObject *self, PyObject *old)
{
    struct tl_sched *s = tl_sched_mine;
    if (old != NULL && s != NULL && s->current == self && tl_budget_released(s) < 0) {
        Py_CLEAR(old);
    }
    return old;
}

PyDoc_STRVAR(set_atomic_doc,
"set_atomic($self, flag, /)\n"
"--\n"
"\n"
"Set the atomic flag and return its old value.\n"
"\n"
"While it is set, no budget of run() stops the tasklet; a budget that ends in the\n"
"meantime stops it when the flag is reset.");

static PyObject *
tasklet_set_atomic(TaskletObject *self, PyObject *flag)
{
    bool wanted = self->atomic;
    PyObject *old =
        set_flag(&wanted, flag, "set_atomic needs exactly one bool or integer");
    if (old != NULL && wanted != self->atomic) {
        tl_task_set_atomic(self, wanted);
    }
    return released(self, old);
}

PyDoc_STRVAR(set_ignore_nesting_doc,
"set_ignore_nesting($self, flag, /)\n"
"--\n"
"\n"
"Set the flag that lets run() stop the tasklet inside calls from C code.\n"
"\n"
"Returns its old value.");

static PyObject *
tasklet_set_ignore_nesting(TaskletObject *self, PyObject *flag)
{
    return released(self,
                    set_flag(&self->ignore_nesting, flag,
                             "set_ignore_nesting needs exactly one bool or integer"));
}

// ---- threads

PyDoc_STRVAR(bind_thread_doc,
"bind_thread($self, thread_id=-1, /)\n"
"--\n"
"\n"
"Move the tasklet to another thread: the caller's, or the one with that id.\n"
"\n"
"Raises RuntimeError if it is runnable or has started, ValueError for a thread that\n"
"does not exist or has not used tasklets yet.");

static PyObject *
tasklet_bind_thread(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    struct tl_sched *to = tl_sched_get(state);
    if (to == NULL) {
        return NULL;
    }
    if (nargs > 1) {
        PyErr_SetString(PyExc_TypeError, "bind_thread() takes at most 1 argument");
        return NULL;
    }
    if (nargs == 1) {
        PyObject *minus_one = PyLong_FromLong(-1);
        int own = minus_one ? PyObject_RichCompareBool(args[0], minus_one, Py_EQ) : -1;
        Py_XDECREF(minus_one);
        unsigned long ident = own != 0 ? 0 : PyLong_AsUnsignedLong(args[0]);
        if (own < 0 || (own == 0 && PyErr_Occurred())) {
            return NULL;
        }
        if (own == 0) {
            to = tl_thread_sched(state, ident);
        }
    }
    if (to == NULL) {
        PyErr_SetString(PyExc_ValueError, "bad thread");
        return NULL;
    }
    if (self->home == to) {
        Py_RETURN_NONE;
    }
    if (self->life == TL_STARTED) {
        return raise_runtime("tasklet has C state on its stack");
    }
    if (self->place != TL_FLOATING) {
        return raise_runtime("can't (re)bind a runnable tasklet");
    }
    to->refs++;
    struct tl_sched *from = self->home;
    self->home = to;
    tl_sched_unref(from);
    Py_RETURN_NONE;
}

// ---- contextvars

PyObject *
tl_tasklet_context(TaskletObject *t)
{
    struct tl_sched *s = t->home;
    if (t->context != NULL) {
        return Py_NewRef(t->context);
    }
    if (tl_thread_is_there(s) && tl_task_is_running(t)) {
        return Py_XNewRef(tl_gil_context(s->ts));
    }
    if (t->seen_context != NULL) {
        return Py_NewRef(t->seen_context);
    }
    if (t->life == TL_STARTED && !s->dead && t->top != NULL) {
        PyObject *context = tl_fiber_context(t->fiber);
        if (context == NULL || context != Py_None) {
            return context;
        }
        Py_DECREF(context);
    }
    t->context = PyContext_New();
    return Py_XNewRef(t->context);
}

PyDoc_STRVAR(set_context_doc,
"set_context($self, context, /)\n"
"--\n"
"\n"
"Set the contextvars Context in which the tasklet runs. Returns the tasklet.\n"
"\n"
"Raises RuntimeError for a tasklet that is current or runnable on another thread, or\n"
"that is inside Context.run().");

static PyObject *
tasklet_set_context(TaskletObject *self, PyObject *context)
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    if (!PyContext_CheckExact(context)) {
        PyErr_Format(PyExc_TypeError,
                     "set_context() needs a contextvars.Context, not %s",
                     Py_TYPE(context)->tp_name);
        return NULL;
    }
    if (self->home != s && !self->home->dead &&
        (self->home->current == self || self->place == TL_RUNNABLE)) {
        return raise_runtime("tasklet belongs to a different thread");
    }
    PyObject *present = tl_tasklet_context(self);
    if (present == NULL) {
        return NULL;
    }
    bool entered = tl_gil_context_is_entered(present);
    Py_DECREF(present);
    if (entered) {
        return raise_runtime("the current context of the tasklet has been entered.");
    }
    if (self->home == s && tl_task_is_running(self)) {
        Py_XDECREF(tl_gil_swap_context(s->ts, Py_NewRef(context)));
    } else {
        Py_XSETREF(self->context, Py_NewRef(context));
    }
    return Py_NewRef(self);
}

PyDoc_STRVAR(context_run_doc,
"context_run($self, func, /, *args, **kwargs)\n"
"--\n"
"\n"
"Call func(*args, **kwargs) here, in the tasklet's contextvars Context.");

static PyObject *
tasklet_context_run(TaskletObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    if (nargs == 0) {
        PyErr_SetString(PyExc_TypeError, "context_run() takes at least 1 argument");
        return NULL;
    }
    PyObject *context = tl_tasklet_context(self);
    if (context == NULL) {
        return NULL;
    }
    PyThreadState *ts = PyThreadState_Get();
    PyObject *before = tl_gil_swap_context(ts, context);
    PyObject *result =
        PyObject_Vectorcall(args[0], args + 1, (size_t)nargs - 1, kwnames);
    PyObject *exc = result == NULL ? PyErr_GetRaisedException() : NULL;
    Py_XDECREF(tl_gil_swap_context(ts, before));
    if (exc != NULL) {
        PyErr_SetRaisedException(exc);
    }
    return result;
}

// clang-format off

PyMethodDef tl_tasklet_methods[] = {
    {"bind", TL_FAST(tasklet_bind), METH_FASTCALL | METH_KEYWORDS, bind_doc},
    {"setup", TL_FAST(tasklet_setup), METH_VARARGS | METH_KEYWORDS, setup_doc},
    {"insert", (PyCFunction)tasklet_insert, METH_NOARGS, insert_doc},
    {"remove", (PyCFunction)tasklet_remove, METH_NOARGS, remove_doc},
    {"run", (PyCFunction)tasklet_run, METH_NOARGS, run_doc},
    {"switch", (PyCFunction)tasklet_switch, METH_NOARGS, switch_doc},
    {"kill", TL_FAST(tasklet_kill), METH_FASTCALL | METH_KEYWORDS, kill_doc},
    {"throw", TL_FAST(tasklet_throw), METH_FASTCALL | METH_KEYWORDS, throw_doc},
    {"raise_exception", TL_FAST(tasklet_raise_exception), METH_FASTCALL,
     raise_exception_doc},
    {"set_atomic", (PyCFunction)tasklet_set_atomic, METH_O, set_atomic_doc},
    {"set_ignore_nesting", (PyCFunction)tasklet_set_ignore_nesting, METH_O,
     set_ignore_nesting_doc},
    {"bind_thread", TL_FAST(tasklet_bind_thread), METH_FASTCALL, bind_thread_doc},
    {"set_context", (PyCFunction)tasklet_set_context, METH_O, set_context_doc},
    {"context_run", TL_FAST(tasklet_context_run), METH_FASTCALL | METH_KEYWORDS,
     context_run_doc},
    TL_CLASS_GETITEM,
    {NULL, NULL, 0, NULL},
};
