// tasklet_type.c - the type tasklet: construction, destruction and attributes.
#include "core/bind.h"
#include "core/errors.h"
#include "core/fiber.h"
#include "core/interrupt.h"
#include "core/life.h"
#include "core/local.h"
#include "core/os_thread.h"
#include "core/outcome.h"
#include "core/scope.h"
#include "core/stacks.h"
#include "core/tasklet_end.h"
#include "core/thread.h"
#include "cpython/frames.h"
#include "cpython/gil.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/tasklet_methods.h"
#include "python/types.h"

static PyObject *
tasklet_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    struct tl_sched *s = tl_sched_mine;
    if (TL_UNLIKELY(s == NULL)) {
        PyObject *mod = PyType_GetModuleByDef(cls, &tl_module_def);
        s = mod == NULL ? NULL : tl_sched_make(tl_state_of_module(mod));
    }
    return s == NULL ? NULL : (PyObject *)tl_task_new(cls, s);
}

// The vectorcall of the type tasklet itself, not of subclasses.
static PyObject *
tasklet_vectorcall(PyObject *cls, PyObject *const *args, size_t nargsf,
                   PyObject *kwnames)
{
    static const char *const names[] = {"func", "args", "kwargs", NULL};
    static const struct tl_argspec spec = {
        .fname = "tasklet", .names = names, .maxpos = 3};
    PyObject *argv[3];
    if (tl_args_parse(&spec, args, PyVectorcall_NARGS(nargsf), kwnames, argv) < 0) {
        return NULL;
    }
    PyObject *self = tasklet_new((PyTypeObject *)cls, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        argv[i] = argv[i] != NULL ? argv[i] : Py_None;
    }
    if (self != NULL &&
        tl_task_bind((TaskletObject *)self, argv[0], argv[1], argv[2]) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static int
tasklet_init(TaskletObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"func", "args", "kwargs", NULL};
    PyObject *func = Py_None, *func_args = Py_None, *func_kwargs = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOO:tasklet", names, &func,
                                     &func_args, &func_kwargs)) {
        return -1;
    }
    return tl_task_bind(self, func, func_args, func_kwargs);
}

// Whether the collector may visit the frames: they cannot run in the meantime.
static bool
is_suspended(TaskletObject *t)
{
    return t->stack != NULL && t->top != NULL && !t->home->dead;
}

// Whether the tasklet visits the frames. If it was paused on a greenlet that the
// program created, that greenlet may visit them itself.
static bool
shows_frames(TaskletObject *t)
{
    return !TL_GREENLETS_SHOW_FRAMES || t->fiber == t->stack->fiber;
}

static int
tasklet_traverse(TaskletObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->tempval);
    Py_VISIT(self->pending);
    Py_VISIT(self->func);
    Py_VISIT(self->args);
    Py_VISIT(self->kwargs);
    Py_VISIT(self->context);
    Py_VISIT(self->seen_context);
    Py_VISIT(self->fiber);
    if (self->hooks != NULL) {
        Py_VISIT(self->hooks->trace.object);
        Py_VISIT(self->hooks->profile.object);
    }
    struct tl_outcome *outcome = self->outcome;
    if (outcome != NULL) {
        Py_VISIT(outcome->name);
        Py_VISIT(outcome->value);
        Py_VISIT(outcome->exc);
        Py_VISIT(outcome->callbacks);
        struct tl_link *i = outcome->waiters.next;
        for (; i != &outcome->waiters; i = i->next) {
            Py_VISIT(tl_task_of(i));
        }
    }
    if (is_suspended(self)) {
        for (unsigned int i = 0; i < self->own_refs; i++) {
            Py_VISIT(self);
        }
        Py_VISIT(self->held);
        return shows_frames(self) ? tl_frames_traverse(self->top, visit, arg) : 0;
    }
    return 0;
}

static int
tasklet_clear(TaskletObject *self)
{
    if (self->life == TL_STARTED && !self->home->dead) {
        return 0; // its stack still uses all of it
    }
    if (self->life == TL_NEW) {
        self->life = TL_UNBOUND; // it cannot begin without a function
    }
    Py_CLEAR(self->tempval);
    Py_CLEAR(self->pending);
    Py_CLEAR(self->func);
    Py_CLEAR(self->args);
    Py_CLEAR(self->kwargs);
    Py_CLEAR(self->context);
    Py_CLEAR(self->seen_context);
    if (self->hooks != NULL) {
        Py_CLEAR(self->hooks->trace.object);
        Py_CLEAR(self->hooks->profile.object);
    }
    if (self->outcome != NULL) {
        Py_CLEAR(self->outcome->value);
        Py_CLEAR(self->outcome->exc);
        Py_CLEAR(self->outcome->callbacks);
    }
    return 0;
}

static void
tasklet_dealloc(TaskletObject *self)
{
    PyObject_GC_UnTrack(self);
    if (tl_tasklet_is_resurrected(self)) {
        PyObject_GC_Track((PyObject *)self);
        return;
    }
    assert(self->place == TL_FLOATING);
    TL_TRASHCAN_BEGIN(self, tasklet_dealloc)
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    if (self->hooks != NULL) {
        tl_trace_hooks_free(self->hooks);
        self->hooks = NULL;
    }
    if (self->outcome != NULL) {
        tl_outcome_release_waiters(self);
        tl_outcome_free(self->outcome);
        self->outcome = NULL;
    }
    tl_local_forget(&self->locals);
    tl_scope_abandon(self);
    tl_stacks_keep(self->home, self); // if its thread or the interpreter has ended
    if (!tl_link_is_single(&self->started)) {
        tl_link_remove(&self->started);
        self->home->nstarted--;
    }
    if (!tl_link_is_single(&self->holder.held)) {
        tl_os_thread_disown_all(&self->holder);
    }
    self->life = TL_UNBOUND;
    tasklet_clear(self);
    Py_CLEAR(self->fiber);
    tl_sched_unref(self->home);
    tl_object_free(self, TL_LIVE_TASKLET);
    TL_TRASHCAN_END
}

// ---- repr

static PyObject *
tasklet_repr(TaskletObject *self)
{
    return tl_task_describe(self);
}

// ---- attributes

static PyObject *
get_alive(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tl_task_is_alive(self));
}

static PyObject *
get_scheduled(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->place != TL_FLOATING);
}

static PyObject *
get_blocked(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->place == TL_WAITING);
}

static PyObject *
get_paused(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tl_task_is_alive(self) && self->place == TL_FLOATING);
}

static PyObject *
get_restorable(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->life != TL_STARTED);
}

static PyObject *
get_is_current(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tl_task_is_current(self));
}

static PyObject *
get_is_main(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->is_main);
}

static PyObject *
get_thread_id(TaskletObject *self, void *Py_UNUSED(closure))
{
    return self->home->dead ? PyLong_FromLong(-1)
                            : PyLong_FromUnsignedLong(self->home->ident);
}

// The neighbour in the run queue or a channel's queue, which ends at the channel's
// link.
static PyObject *
neighbour(TaskletObject *t, struct tl_link *link)
{
    if (t->place == TL_FLOATING) {
        Py_RETURN_NONE;
    }
    if (t->place == TL_WAITING && link == t->wait.queue) {
        Py_RETURN_NONE;
    }
    return Py_NewRef(tl_task_of(link));
}

static PyObject *
get_next(TaskletObject *self, void *Py_UNUSED(closure))
{
    return neighbour(self, self->link.next);
}

static PyObject *
get_prev(TaskletObject *self, void *Py_UNUSED(closure))
{
    return neighbour(self, self->link.prev);
}

static PyObject *
get_tempval(TaskletObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->tempval != NULL ? self->tempval : Py_None);
}

static int
set_tempval(TaskletObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "tempval cannot be deleted");
        return -1;
    }
    PyObject *interrupted = self->home->state->interrupted;
    if (self->tempval == interrupted && value != interrupted) {
        Py_XDECREF(tl_interrupt_displace(self)); // the block is interrupted later
    }
    PyObject *old = tl_task_swap(self, value == Py_None ? NULL : Py_NewRef(value));
    self->handed = NULL;
    if (old != NULL && tl_bomb_check(self->home->state, old) &&
        ((BombObject *)old)->rank > TL_RANK_SCOPE) {
        old = tl_interrupt_add(self, old); // a kill, for example, stays pending
    }
    Py_XDECREF(old);
    return 0;
}

PyObject *
tl_tasklet_frame(TaskletObject *self)
{
    if (self->life != TL_STARTED || !tl_thread_is_there(self->home)) {
        return NULL;
    }
    // Includes a waiting tasklet on whose stack its whole thread sleeps.
    if (tl_task_is_running(self)) {
        return (PyObject *)PyThreadState_GetFrame(self->home->ts);
    }
    return self->top == NULL ? NULL : tl_fiber_frame(self->fiber);
}

static PyObject *
get_frame(TaskletObject *self, void *Py_UNUSED(closure))
{
    PyObject *frame = tl_tasklet_frame(self);
    return frame == NULL && !PyErr_Occurred() ? Py_NewRef(Py_None) : frame;
}

static PyObject *
get_atomic(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->atomic);
}

static PyObject *
get_ignore_nesting(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->ignore_nesting);
}

static PyObject *
get_block_trap(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->block_trap);
}

static int
set_block_trap(TaskletObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    const char *message = "block_trap must be set to a bool or integer";
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, message);
        return -1;
    }
    int flag = tl_args_flag(value, message);
    if (flag < 0) {
        return -1;
    }
    self->block_trap = flag;
    return 0;
}

static PyObject *
get_recursion_depth(TaskletObject *self, void *Py_UNUSED(closure))
{
    if (self->life != TL_STARTED || !tl_thread_is_there(self->home)) {
        return PyLong_FromLong(0);
    }
    return PyLong_FromLong(tl_task_is_running(self)
                               ? tl_gil_recursion_depth(self->home->ts)
                               : self->depth);
}

static PyObject *
get_nesting_level(TaskletObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->life == TL_STARTED && !self->home->dead);
}

static PyObject *
get_context_id(TaskletObject *self, void *Py_UNUSED(closure))
{
    PyObject *context = tl_tasklet_context(self);
    PyObject *id = context == NULL ? NULL : PyLong_FromVoidPtr(context);
    Py_XDECREF(context);
    return id;
}

static PyObject *
get_channel(TaskletObject *self, void *Py_UNUSED(closure))
{
    bool on_channel = self->place == TL_WAITING && self->sending != 0;
    return Py_NewRef(on_channel ? self->wait.on : Py_None);
}

static PyObject *
get_name(TaskletObject *self, void *Py_UNUSED(closure))
{
    return tl_task_name(self);
}

static int
set_name(TaskletObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL || !PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "a tasklet's name must be a str, not %s",
                     value == NULL ? "deleted" : Py_TYPE(value)->tp_name);
        return -1;
    }
    struct tl_outcome *outcome = tl_outcome_of(self);
    if (outcome == NULL) {
        return -1;
    }
    Py_XSETREF(outcome->name, Py_NewRef(value));
    return 0;
}

PyObject *
tl_tasklet_spawned_at(TaskletObject *self)
{
    struct tl_outcome *outcome = self->outcome;
    if (outcome == NULL || outcome->code == NULL) {
        Py_RETURN_NONE;
    }
    PyCodeObject *code = (PyCodeObject *)outcome->code;
    return Py_BuildValue("Oi", code->co_filename,
                         PyCode_Addr2Line(code, outcome->lasti));
}

static PyObject *
get_spawned_at(TaskletObject *self, void *Py_UNUSED(closure))
{
    return tl_tasklet_spawned_at(self);
}

// ---- trace and profile functions; closure is not NULL for the latter

// Whether self runs on this thread. Returns -1 with an exception set if it runs on
// another thread.
static int
runs_here(TaskletObject *self)
{
    struct tl_sched *s = tl_sched_mine;
    if (s != NULL && self == s->current) {
        return 1;
    }
    if (self->home != s && !self->home->dead && self->home->current == self) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the tasklet runs on another thread: only its own code can "
                        "see and set its trace and profile functions now");
        return -1;
    }
    return 0;
}

static PyObject *
get_hook(TaskletObject *self, void *profile)
{
    int running = runs_here(self);
    if (running < 0) {
        return NULL;
    }
    PyObject *found = NULL;
    if (running) {
        found = tl_trace_hooks_seen(self->home->ts, profile != NULL);
    } else if (self->hooks != NULL) {
        found = profile ? self->hooks->profile.object : self->hooks->trace.object;
    }
    return Py_NewRef(found != NULL ? found : Py_None);
}

static int
set_hook(TaskletObject *self, PyObject *value, void *profile)
{
    if (value != NULL && value != Py_None && !PyCallable_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be a callable or None, not %s",
                     profile ? "profile_function" : "trace_function",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    int running = runs_here(self);
    PyThreadState *ts = PyThreadState_Get();
    struct tl_hook fresh = {0};
    if (running < 0 ||
        (value != NULL &&
         tl_trace_hooks_resolve(ts, profile != NULL, value == Py_None ? NULL : value,
                                &fresh) < 0)) {
        return -1;
    }
    running = runs_here(self); // again: tl_trace_hooks_resolve() may run Python code
    if (running >= 0 && self->hooks == NULL && value != NULL) {
        self->hooks = PyMem_Calloc(1, sizeof *self->hooks);
        if (self->hooks == NULL) {
            PyErr_NoMemory();
            running = -1;
        }
    }
    if (running < 0) {
        Py_XDECREF(fresh.object);
        return -1;
    }
    if (value != NULL) {
        tl_trace_hooks_set(ts, self->hooks, profile != NULL, running, &fresh);
    } else if (self->hooks != NULL) {
        tl_trace_hooks_forget(ts, self->hooks, profile != NULL, running);
    }
    return 0;
}

int
tl_tasklet_ready(PyTypeObject *type)
{
    type->tp_vectorcall = tasklet_vectorcall;
    int result = 0;
    for (PyMethodDef *def = tl_outcome_methods; result == 0 && def->ml_name; def++) {
        result = tl_add_method(type, def);
    }
    return result;
}

// clang-format off

static PyGetSetDef tasklet_getset[] = {
    {"alive", (getter)get_alive, NULL,
     "Whether it has something to run, on a thread that has not ended.", NULL},
    {"scheduled", (getter)get_scheduled, NULL, "Whether it is runnable or blocked.",
     NULL},
    {"blocked", (getter)get_blocked, NULL,
     "Whether it waits on a channel or for another tasklet.", NULL},
    {"paused", (getter)get_paused, NULL,
     "Whether it is alive, but neither runnable nor blocked.", NULL},
    {"restorable", (getter)get_restorable, NULL,
     "Whether it could be pickled completely: it has not started.", NULL},
    {"is_current", (getter)get_is_current, NULL, "Whether it is its thread's current.",
     NULL},
    {"is_main", (getter)get_is_main, NULL, "Whether it is its thread's main tasklet.",
     NULL},
    {"thread_id", (getter)get_thread_id, NULL,
     "The id of its thread; -1 if that has ended.", NULL},
    {"next", (getter)get_next, NULL,
     "The next tasklet in its run queue or channel's queue, or None.\n\n"
     "None is the end of a channel's queue. The run queue is a ring.", NULL},
    {"prev", (getter)get_prev, NULL, "Like next, in the other direction.", NULL},
    {"tempval", (getter)get_tempval, (setter)set_tempval,
     "The result of the operation in which it waits; a bomb is raised instead.\n\n"
     "For a blocked sender, the value it sends; before setup, the function.", NULL},
    {"frame", (getter)get_frame, NULL, "Its innermost frame, or None.", NULL},
    {"atomic", (getter)get_atomic, NULL, "The flag that set_atomic() sets.", NULL},
    {"ignore_nesting", (getter)get_ignore_nesting, NULL,
     "The flag that set_ignore_nesting() sets.", NULL},
    {"block_trap", (getter)get_block_trap, (setter)set_block_trap,
     "Whether an operation that would block raises BlockTrapError.",
     NULL},
    {"trace_function", (getter)get_hook, (setter)set_hook,
     "The trace function of this tasklet alone, as set by sys.settrace(), or None.\n\n"
     "Unless set, or when deleted, the thread's applies, and is shown only while the\n"
     "tasklet runs. Raises RuntimeError if the tasklet runs on another thread.",
     NULL},
    {"profile_function", (getter)get_hook, (setter)set_hook,
     "Like trace_function, for sys.setprofile().", (void *)"profile"},
    {"recursion_depth", (getter)get_recursion_depth, NULL,
     "The depth of its Python calls; 0 if it is not running.", NULL},
    {"nesting_level", (getter)get_nesting_level, NULL,
     "0 before the start and after the end, otherwise at least 1.", NULL},
    {"context_id", (getter)get_context_id, NULL, "The id() of its contextvars Context.",
     NULL},
    {"_channel", (getter)get_channel, NULL, "The channel it waits on, or None.", NULL},
    {"name", (getter)get_name, (setter)set_name,
     "A str for people: spawn()'s name, or the function's name.", NULL},
    {"spawned_at", (getter)get_spawned_at, NULL,
     "(file, line) of the spawn() call, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef tasklet_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(TaskletObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(tasklet_doc,
"tasklet(func=None, args=None, kwargs=None)\n"
"--\n"
"\n"
"A function that runs on a stack of its own, in turns with others of its thread.\n"
"\n"
"tasklet(func)(*args) makes it runnable. If args or kwargs are given here it is set\n"
"up, but paused until insert(). As in Stackless Python; see also spawn().");

static PyType_Slot tasklet_slots[] = {
    {Py_tp_doc, (void *)tasklet_doc},
    {Py_tp_new, tasklet_new},
    {Py_tp_init, tasklet_init},
    {Py_tp_call, tl_tasklet_call},
    {Py_tp_repr, tasklet_repr},
    {Py_tp_traverse, tasklet_traverse},
    {Py_tp_clear, tasklet_clear},
    {Py_tp_finalize, tl_tasklet_finalize},
    {Py_tp_dealloc, tasklet_dealloc},
    {Py_tp_methods, tl_tasklet_methods},
    {Py_tp_getset, tasklet_getset},
    {Py_tp_members, tasklet_members},
    {0, NULL},
};

PyType_Spec tl_tasklet_spec = {
    .name = "tasklets.tasklet",
    .basicsize = sizeof(TaskletObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = tasklet_slots,
};
