// group_type.c - TaskGroup.
#include "core/errors.h"
#include "core/thread.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/mod_scheduler.h"
#include "python/types.h"
#include "sync/group.h"

static PyObject *
group_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    GroupObject *self = (GroupObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self != NULL) {
        tl_scope_init(&self->scope, TL_SCOPE_GROUP);
        tl_link_init(&self->places);
        tl_link_init(&self->enders);
        tl_link_init(&self->children);
    }
    return (PyObject *)self;
}

static int
group_init(GroupObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"limit", NULL};
    PyObject *limit = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:TaskGroup", names, &limit)) {
        return -1;
    }
    Py_ssize_t value = 0;
    if (limit != Py_None) {
        value = PyNumber_AsSsize_t(limit, NULL); // a greater int is as good as no limit
        if (value == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (value < 1) {
            PyErr_Format(PyExc_ValueError, "limit must be positive, not %R", limit);
            return -1;
        }
    }
    if (self->home != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this TaskGroup has been entered: its limit stays as it is");
        return -1;
    }
    self->limit = value;
    return 0;
}

static PyObject *
group_repr(GroupObject *self)
{
    const char *word = self->over           ? "over"
                       : self->home == NULL ? "not entered"
                       : self->cancelled    ? "being cancelled"
                                            : "active";
    PyObject *type = tl_args_type_name(Py_TYPE(self)), *text = NULL;
    if (type != NULL && self->limit > 0) {
        text = PyUnicode_FromFormat("<%U %s, %zd tasklets, limit %zd, at %p>", type,
                                    word, self->count, self->limit, self);
    } else if (type != NULL) {
        text = PyUnicode_FromFormat("<%U %s, %zd tasklets, at %p>", type, word,
                                    self->count, self);
    }
    Py_XDECREF(type);
    return text;
}

// ---- checks

static int
check_thread(struct tl_sched *s, GroupObject *self)
{
    if (self->home == s) {
        return 0;
    }
    PyErr_SetString(
        PyExc_RuntimeError,
        self->home == NULL
            ? "this TaskGroup has not been entered: use it in a with"
            : "a TaskGroup belongs to the thread that entered it: other threads need "
              "groups of their own");
    return -1;
}

static int
check_open(struct tl_sched *s, GroupObject *self)
{
    if (check_thread(s, self) < 0) {
        return -1;
    }
    if (self->over) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this TaskGroup is over: it takes no more tasklets");
        return -1;
    }
    if (!self->cancelled) {
        return 0;
    }
    // For the tasklet in the block, this is a point where the cancelling interrupts it.
    bool in_body = self->in_body && s->current == self->parent;
    if (!in_body || tl_sched_check_thrown(s) == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this TaskGroup is being cancelled: it takes no more tasklets");
    }
    return -1;
}

// ---- the block

static PyObject *
group_enter(GroupObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    if (self->home != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this TaskGroup has been entered: each block needs its own");
        return NULL;
    }
    if (tl_scope_enter(s, &self->scope) < 0) {
        return NULL;
    }
    s->refs++;
    self->home = s;
    self->parent = (TaskletObject *)Py_NewRef(s->current);
    self->in_body = true;
    tl_group_check(self);
    return Py_NewRef(self);
}

static PyObject *
group_exit(GroupObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    if (self->over || self->parent != s->current || !self->in_body) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a TaskGroup can only be left by the tasklet that entered it, "
                        "once");
        return NULL;
    }
    PyObject *exc = nargs > 1 && args[1] != Py_None ? args[1] : NULL;
    PyObject *leaving = tl_group_end(s, self, exc);
    if (leaving == NULL) {
        // There is no error, or exc was the group's own interruption. An enclosing
        // block's may have come after it.
        if (exc != NULL && tl_sched_check_thrown(s) < 0) {
            return NULL;
        }
        tl_scope_drop(s);
        Py_RETURN_TRUE;
    }
    if (leaving == exc) {
        Py_DECREF(leaving);
        Py_RETURN_FALSE;
    }
    if (PyErr_GivenExceptionMatches(leaving, PyExc_BaseExceptionGroup)) {
        PyErr_SetRaisedException(leaving); // keeps its own context
    } else {
        PyErr_SetObject((PyObject *)Py_TYPE(leaving), leaving);
        Py_DECREF(leaving);
    }
    return NULL;
}

// ---- tasklets

PyDoc_STRVAR(spawn_doc,
"spawn($self, func, /, *args, name=None, **kwargs)\n"
"--\n"
"\n"
"Run func(*args, **kwargs) in a new tasklet of the group; return the tasklet.\n"
"\n"
"It is runnable. name is as in tasklets.spawn(). While the group has as many\n"
"tasklets as its limit, the call waits. Tasklets of the group may call it too.\n"
"\n"
"Raises RuntimeError before and after the block, on another thread, and while\n"
"the group is being cancelled; TypeError like tasklets.spawn(). After an error\n"
"nothing was spawned.");

static PyObject *
group_spawn(GroupObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL || check_open(s, self) < 0) {
        return NULL;
    }
    int place = self->limit > 0 ? tl_group_take_place(s, self) : 1;
    if (place < 0) {
        return NULL;
    }
    PyObject *child = NULL;
    struct tl_member *member = NULL;
    if (check_open(s, self) == 0 &&
        (member = tl_group_member()) != NULL) { // again: the wait may have taken long
        child = tl_function_spawn(s, args, nargs, kwnames);
    }
    if (child == NULL) {
        PyMem_Free(member);
        if (place > 0) {
            tl_group_give_place(self);
        }
        return NULL;
    }
    tl_group_add(self, (TaskletObject *)child, member);
    return child;
}

PyDoc_STRVAR(cancel_doc,
"cancel($self, /)\n"
"--\n"
"\n"
"Kill the tasklets of the group, and interrupt its block at its next wait.\n"
"\n"
"The block still ends only when all tasklets have ended, and without an error\n"
"if they had none. A tasklet of the group that calls this is killed at once.\n"
"Has no effect if the group is being cancelled or is over.\n"
"\n"
"Raises RuntimeError before the block and on another thread.");

static PyObject *
group_cancel(GroupObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL || check_thread(s, self) < 0) {
        return NULL;
    }
    if (self->over) {
        Py_RETURN_NONE;
    }
    tl_group_abort(self);
    struct tl_outcome *outcome = s->current->outcome;
    if (outcome != NULL && outcome->member != NULL &&
        outcome->member->group == (PyObject *)self) {
        PyErr_SetNone(s->state->tasklet_exit);
        return NULL;
    }
    Py_RETURN_NONE;
}

// ---- the object

static int
group_traverse(GroupObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->parent);
    Py_VISIT(self->errors);
    Py_VISIT(self->base_error);
    Py_VISIT(self->exits);
    for (struct tl_link *i = self->children.next; i != &self->children; i = i->next) {
        Py_VISIT(TL_CONTAINER(i, struct tl_member, link)->task);
    }
    for (struct tl_link *i = self->enders.next; i != &self->enders; i = i->next) {
        Py_VISIT(tl_task_of(i));
    }
    int result = tl_wait_queue_traverse(&self->places, visit, arg);
    return result != 0 ? result : tl_scope_traverse(&self->scope, visit, arg);
}

static void
group_dealloc(GroupObject *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    // A waiter that can run holds the group: these belong to threads that have ended.
    while (!tl_link_is_single(&self->enders)) {
        TaskletObject *t = tl_task_of(self->enders.next);
        tl_task_end_wait(t);
        Py_DECREF(t);
    }
    tl_wait_queue_wake_many(&self->places, PY_SSIZE_T_MAX, 0);
    tl_scope_forget(&self->scope);
    tl_group_disband(self);
    Py_XDECREF(self->parent);
    Py_XDECREF(self->errors);
    Py_XDECREF(self->base_error);
    Py_XDECREF(self->exits);
    if (self->home != NULL) {
        tl_sched_unref(self->home);
    }
    tl_object_free(self, TL_LIVE_NONE);
}

// clang-format off

static PyMethodDef group_methods[] = {
    {"__enter__", (PyCFunction)group_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(group_exit), METH_FASTCALL, NULL},
    {"spawn", TL_FAST(group_spawn), METH_FASTCALL | METH_KEYWORDS, spawn_doc},
    {"cancel", (PyCFunction)group_cancel, METH_NOARGS, cancel_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef group_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(GroupObject, weakrefs), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(group_doc,
"TaskGroup(limit=None)\n"
"--\n"
"\n"
"A context manager whose block does not end before the tasklets it spawned.\n"
"\n"
"limit: the number of them that may run at a time; None: any number.\n"
"\n"
"An error in one of them or in the block cancels the group: the other tasklets\n"
"are killed, and the block is interrupted by a GroupExit at its current or next\n"
"wait. When all tasklets have ended, the block raises an ExceptionGroup with all\n"
"the errors, even if there is only one. KeyboardInterrupt and SystemExit are\n"
"raised bare. A killed tasklet counts as no error.\n"
"\n"
"A kill of the tasklet in the block, or an expired timeout() around the block,\n"
"also cancels the group, and is raised when all have ended. If there are errors,\n"
"these are raised, and the kill or timeout at the next operation that may block.\n"
"A group can be used once, by one thread.");

// No tp_clear, since the group may be in use: the objects that it refers to break the
// cycle.
static PyType_Slot group_slots[] = {
    {Py_tp_doc, (void *)group_doc},
    {Py_tp_new, group_new},
    {Py_tp_init, group_init},
    {Py_tp_repr, group_repr},
    {Py_tp_traverse, group_traverse},
    {Py_tp_dealloc, group_dealloc},
    {Py_tp_methods, group_methods},
    {Py_tp_members, group_members},
    {0, NULL},
};

PyType_Spec tl_group_spec = {
    .name = "tasklets.TaskGroup",
    .basicsize = sizeof(GroupObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = group_slots,
};
