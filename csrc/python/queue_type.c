// queue_type.c - Queue, LifoQueue and PriorityQueue.
#include "core/stress_points.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/lock_common.h"
#include "python/queue_common.h"
#include "python/types.h"
#include "sync/queue_items.h"

#include <math.h>

// ---- construction and destruction

static PyObject *
make(PyTypeObject *cls, enum tl_queue_order order)
{
    QueueObject *self = (QueueObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self != NULL) {
        tl_live_add(TL_LIVE_QUEUE, 1);
        self->state = tl_state_of_object((PyObject *)self);
        self->order = order;
    }
    return (PyObject *)self;
}

static PyObject *
queue_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return make(cls, TL_QUEUE_FIFO);
}

static PyObject *
lifo_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return make(cls, TL_QUEUE_LIFO);
}

static PyObject *
priority_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return make(cls, TL_QUEUE_PRIORITY);
}

// Whether an attribute is being deleted, which sets AttributeError.
static bool
is_deletion(const char *name, PyObject *value)
{
    if (value == NULL) {
        PyErr_Format(PyExc_AttributeError, "%s cannot be deleted", name);
    }
    return value == NULL;
}

// Returns 0, or -1 with an exception set and nothing changed.
static int
set_maxsize(QueueObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_ssize_t limit;
    if (is_deletion("maxsize", value)) {
        return -1;
    }
    if (PyFloat_Check(value)) {
        double size = ceil(PyFloat_AS_DOUBLE(value));
        bool none = !(size > 0); // also if NaN
        limit = none                            ? 0
                : size < (double)PY_SSIZE_T_MAX ? (Py_ssize_t)size
                                                : PY_SSIZE_T_MAX;
    } else {
        limit = PyNumber_AsSsize_t(value, NULL);
        if (limit == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    PyObject *old = self->maxsize;
    self->maxsize = Py_NewRef(value);
    self->limit = limit;
    Py_XDECREF(old);
    return 0;
}

static ConditionObject *
make_condition(QueueObject *self, LockObject *mutex)
{
    return (ConditionObject *)PyObject_CallOneArg(
        (PyObject *)self->state->condition_type, (PyObject *)mutex);
}

// Returns 0, or -1 with an exception set and nothing created.
static int
make_locks(QueueObject *self)
{
    LockObject *mutex = tl_lock_new(self->state->lock_type, false);
    ConditionObject *not_empty = NULL, *not_full = NULL, *all_tasks_done = NULL;
    if (mutex == NULL || (not_empty = make_condition(self, mutex)) == NULL ||
        (not_full = make_condition(self, mutex)) == NULL ||
        (all_tasks_done = make_condition(self, mutex)) == NULL || self->mutex != NULL) {
        // mutex is set if Python code, called by the collector, has initialised self.
        Py_XDECREF(not_empty);
        Py_XDECREF(not_full);
        Py_XDECREF(all_tasks_done);
        Py_XDECREF(mutex);
        return self->mutex != NULL && !PyErr_Occurred() ? 0 : -1;
    }
    self->not_empty = not_empty;
    self->not_full = not_full;
    self->all_tasks_done = all_tasks_done;
    self->mutex = mutex;
    return 0;
}

static int
queue_init(QueueObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", NULL};
    PyObject *maxsize = NULL, *result = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Queue", names, &maxsize)) {
        return -1;
    }
    PyObject *size = maxsize == NULL ? PyLong_FromLong(0) : Py_NewRef(maxsize);
    if (size == NULL || set_maxsize(self, size, NULL) < 0) {
        goto done;
    }
    if (self->mutex != NULL) {
        tl_lock_reset(self->mutex);
    } else if (make_locks(self) < 0) {
        goto done;
    }
    self->unfinished = 0;
    self->is_shutdown = false;
    tl_queue_know_type(self);
    if (!self->is_hooked) {
        result = tl_queue_items_init(self) < 0 ? NULL : Py_NewRef(Py_None);
    } else {
        PyObject *argv[] = {(PyObject *)self, size};
        result = PyObject_VectorcallMethod(self->state->queue.names[TL_QUEUE_INIT],
                                           argv, 2, NULL);
    }
done:
    Py_XDECREF(result);
    Py_XDECREF(size);
    return result == NULL ? -1 : 0;
}

static int
queue_traverse(QueueObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    Py_VISIT(self->maxsize);
    Py_VISIT(self->items);
    Py_VISIT(self->mutex);
    Py_VISIT(self->not_empty);
    Py_VISIT(self->not_full);
    Py_VISIT(self->all_tasks_done);
    return 0;
}

// Keeps the mutex and the conditions: they refer only to their waiters, which must
// leave first.
static int
queue_clear(QueueObject *self)
{
    Py_CLEAR(self->dict);
    tl_queue_set_items(self, NULL);
    return 0;
}

static void
free_locks(QueueObject *self)
{
    ConditionObject *conds[] = {self->not_empty, self->not_full, self->all_tasks_done};
    for (int i = 0; i < 3; i++) {
        if (conds[i] != NULL) {
            tl_queue_forget(&conds[i]->waiters, (PyObject *)self);
            Py_DECREF(conds[i]);
        }
    }
    Py_CLEAR(self->mutex);
}

static void
queue_dealloc(QueueObject *self)
{
    PyObject_GC_UnTrack(self);
    TL_TRASHCAN_BEGIN(self, queue_dealloc)
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)queue_clear(self);
    Py_CLEAR(self->maxsize);
    free_locks(self);
    tl_object_free(self, TL_LIVE_QUEUE);
    TL_TRASHCAN_END
}

// ---- put and get

// Like tl_stress_before_wait(), for a call without a timeout.
static inline int
before_wait(const struct tl_queue_options *options)
{
    bool no_timeout = options->timeout == NULL || options->timeout == Py_None;
    return options->block && no_timeout ? tl_stress_before_wait() : 0;
}

PyDoc_STRVAR(put_doc,
"put($self, /, item, block=True, timeout=None)\n"
"--\n"
"\n"
"Store item, waiting while the queue is full for at most timeout seconds.\n"
"\n"
"While a tasklet waits, others run; a thread without tasklets sleeps. Raises Full if\n"
"the queue stays full, or with block=False at once; ShutDown after shutdown();\n"
"ValueError if timeout is negative. After an error item was not stored.");

static PyObject *
queue_put(QueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *item;
    struct tl_queue_options options = {.block = true};
    if (TL_LIKELY(nargs == 1 && kwnames == NULL)) {
        item = args[0];
        if (self->limit > 0 && before_wait(&options) < 0) {
            return NULL;
        }
        if (!tl_takes_detour() && tl_queue_is_open(self) && !self->is_shutdown &&
            (self->limit <= 0 || tl_queue_items_size(self) < self->limit)) {
            if (TL_UNLIKELY(tl_queue_items_put(self, item) < 0)) {
                return NULL;
            }
            self->unfinished++;
            if (!tl_link_is_single(&self->not_empty->waiters)) {
                tl_queue_wake(self, true);
            }
            Py_RETURN_NONE;
        }
    } else if (tl_queue_parse(args, nargs, kwnames, &item, &options) < 0 ||
               (self->limit > 0 && before_wait(&options) < 0)) {
        return NULL;
    }
    if (tl_queue_put(self, item, options.block, options.timeout) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_doc,
"get($self, /, block=True, timeout=None)\n"
"--\n"
"\n"
"Remove and return an item, waiting for one for at most timeout seconds.\n"
"\n"
"While a tasklet waits, others run; a thread without tasklets sleeps. Raises Empty if\n"
"no item comes, or with block=False at once; ShutDown if the queue is empty after\n"
"shutdown(); ValueError if timeout is negative. After an error nothing was removed.");

static PyObject *
queue_get(QueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct tl_queue_options options = {.block = true};
    if (TL_LIKELY(nargs == 0 && kwnames == NULL)) {
        if (before_wait(&options) < 0) {
            return NULL;
        }
        if (!tl_takes_detour() && tl_queue_is_open(self) &&
            tl_queue_items_size(self) > 0) {
            PyObject *item = tl_queue_items_get(self);
            if (!tl_link_is_single(&self->not_full->waiters)) {
                tl_queue_wake(self, false);
            }
            return item;
        }
    } else if (tl_queue_parse(args, nargs, kwnames, NULL, &options) < 0 ||
               before_wait(&options) < 0) {
        return NULL;
    }
    return tl_queue_get(self, options.block, options.timeout);
}

// Call put() or get() of a subclass with block=False.
static PyObject *
call_without_block(QueueObject *self, enum tl_queue_name name, PyObject *item)
{
    const struct tl_queue_tools *tools = &self->state->queue;
    PyObject *args[3] = {(PyObject *)self, item, Py_False};
    args[item != NULL ? 2 : 1] = Py_False;
    return PyObject_VectorcallMethod(tools->names[name], args, item != NULL ? 2 : 1,
                                     tools->block);
}

PyDoc_STRVAR(put_nowait_doc,
"put_nowait($self, /, item)\n"
"--\n"
"\n"
"Same as put(item, block=False).");

static PyObject *
queue_put_nowait(QueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *item;
    if (tl_queue_parse_item(args, nargs, kwnames, &item) < 0) {
        return NULL;
    }
    tl_queue_know_type(self);
    if (self->is_routed) {
        return call_without_block(self, TL_QUEUE_PUT_ANY, item);
    }
    return tl_queue_put(self, item, false, NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(get_nowait_doc,
"get_nowait($self, /)\n"
"--\n"
"\n"
"Same as get(block=False).");

static PyObject *
queue_get_nowait(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    tl_queue_know_type(self);
    return self->is_routed ? call_without_block(self, TL_QUEUE_GET_ANY, NULL)
                           : tl_queue_get(self, false, NULL);
}

// ---- unfinished tasks and shutdown

PyDoc_STRVAR(task_done_doc,
"task_done($self, /)\n"
"--\n"
"\n"
"Mark one item returned by get() as done; when all are, join() returns.\n"
"\n"
"Raises ValueError if called more times than there were items.");

static PyObject *
queue_task_done(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    return tl_queue_task_done(self) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(join_doc,
"join($self, /)\n"
"--\n"
"\n"
"Wait until task_done() has been called for every item.");

static PyObject *
queue_join(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    return tl_stress_before_wait() < 0 || tl_queue_join(self) < 0 ? NULL
                                                                  : Py_NewRef(Py_None);
}

PyDoc_STRVAR(shutdown_doc,
"shutdown($self, /, immediate=False)\n"
"--\n"
"\n"
"Make put() raise ShutDown from now on, and get() once the queue is empty.\n"
"\n"
"Waiters are woken. immediate: also drop all items and mark them as done.");

static PyObject *
queue_shutdown(QueueObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const char *const names[] = {"immediate", NULL};
    static const struct tl_argspec spec = {
        .fname = "shutdown", .names = names, .maxpos = 1};
    PyObject *arg;
    if (tl_args_parse(&spec, args, nargs, kwnames, &arg) < 0) {
        return NULL;
    }
    int immediate = arg == NULL ? 0 : PyObject_IsTrue(arg);
    if (immediate < 0 || tl_queue_shutdown(self, immediate > 0) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

// ---- sizes

PyDoc_STRVAR(qsize_doc,
"qsize($self, /)\n"
"--\n"
"\n"
"Return the number of items. It may have changed by the time it is used.");

static PyObject *
queue_qsize(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t size = tl_queue_size(self);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

PyDoc_STRVAR(empty_doc,
"empty($self, /)\n"
"--\n"
"\n"
"Return whether no items are stored. That may change at any time.");

static PyObject *
queue_empty(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t size = tl_queue_size(self);
    return size < 0 ? NULL : PyBool_FromLong(size == 0);
}

PyDoc_STRVAR(full_doc,
"full($self, /)\n"
"--\n"
"\n"
"Return whether maxsize items are stored. That may change at any time.");

static PyObject *
queue_full(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t size = tl_queue_size(self);
    return size < 0 ? NULL : PyBool_FromLong(self->limit > 0 && size >= self->limit);
}

// ---- hooks for subclasses

PyDoc_STRVAR(init_doc,
"_init($self, maxsize, /)\n"
"--\n"
"\n"
"Create the container. A subclass may override this method.\n"
"\n"
"__init__() calls it. The methods below are called with the mutex held.");

static PyObject *
queue_hook_init(QueueObject *self, PyObject *Py_UNUSED(maxsize))
{
    return tl_queue_items_init(self) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
queue_hook_qsize(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t size = tl_queue_items_size(self);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *
queue_hook_put(QueueObject *self, PyObject *item)
{
    return tl_queue_items_put(self, item) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
queue_hook_get(QueueObject *self, PyObject *Py_UNUSED(ignored))
{
    return tl_queue_items_get(self);
}

// ---- attributes

static PyObject *
get_maxsize(QueueObject *self, void *Py_UNUSED(closure))
{
    return self->maxsize != NULL ? Py_NewRef(self->maxsize) : PyLong_FromLong(0);
}

static PyObject *
get_queue(QueueObject *self, void *Py_UNUSED(closure))
{
    return Py_XNewRef(tl_queue_items(self));
}

static int
set_queue(QueueObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    tl_queue_set_items(self, Py_XNewRef(value));
    return 0;
}

static PyObject *
get_unfinished(QueueObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(self->unfinished);
}

static int
set_unfinished(QueueObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (is_deletion("unfinished_tasks", value)) {
        return -1;
    }
    Py_ssize_t count = PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (count == -1 && PyErr_Occurred()) {
        return -1;
    }
    self->unfinished = count;
    return 0;
}

static PyObject *
get_is_shutdown(QueueObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->is_shutdown);
}

static int
set_is_shutdown(QueueObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int truth = is_deletion("is_shutdown", value) ? -1 : PyObject_IsTrue(value);
    if (truth >= 0) {
        self->is_shutdown = truth;
    }
    return truth < 0 ? -1 : 0;
}

// The lock at this offset.
static PyObject *
get_lock(PyObject *self, void *offset)
{
    PyObject *lock = *(PyObject **)((char *)self + (Py_ssize_t)offset);
    if (lock == NULL) {
        tl_queue_raise_bare((QueueObject *)self);
    }
    return Py_XNewRef(lock);
}

// An instance attribute may hide an overridable method.
static int
queue_setattro(PyObject *op, PyObject *name, PyObject *value)
{
    QueueObject *self = (QueueObject *)op;
    int result = PyObject_GenericSetAttr(op, name, value);
    for (int i = 0; result == 0 && i < TL_QUEUE_NAMES; i++) {
        if (PyUnicode_Compare(name, self->state->queue.names[i]) == 0) {
            self->is_patched = true;
            self->type_version = 0;
        }
    }
    return result;
}

static PyObject *
queue_repr(QueueObject *self)
{
    PyObject *name = tl_lock_type_name((PyObject *)self);
    PyObject *text = name ? PyUnicode_FromFormat("<%U object at %p", name, self) : NULL;
    Py_XDECREF(name);
    if (text != NULL && self->is_exact) {
        PyUnicode_AppendAndDel(
            &text, PyUnicode_FromFormat(": %zd items", tl_queue_items_size(self)));
    }
    if (text != NULL && self->limit > 0) {
        PyUnicode_AppendAndDel(&text,
                               PyUnicode_FromFormat(", maxsize %zd", self->limit));
    }
    if (text != NULL && self->is_shutdown) {
        PyUnicode_AppendAndDel(&text, PyUnicode_FromString(", shut down"));
    }
    if (text != NULL) {
        PyUnicode_AppendAndDel(&text, PyUnicode_FromString(">"));
    }
    return text;
}

// clang-format off

static PyMethodDef queue_methods[] = {
    {"put", TL_FAST(queue_put), METH_FASTCALL | METH_KEYWORDS, put_doc},
    {"get", TL_FAST(queue_get), METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"put_nowait", TL_FAST(queue_put_nowait), METH_FASTCALL | METH_KEYWORDS,
     put_nowait_doc},
    {"get_nowait", (PyCFunction)queue_get_nowait, METH_NOARGS, get_nowait_doc},
    {"task_done", (PyCFunction)queue_task_done, METH_NOARGS, task_done_doc},
    {"join", (PyCFunction)queue_join, METH_NOARGS, join_doc},
    {"qsize", (PyCFunction)queue_qsize, METH_NOARGS, qsize_doc},
    {"empty", (PyCFunction)queue_empty, METH_NOARGS, empty_doc},
    {"full", (PyCFunction)queue_full, METH_NOARGS, full_doc},
    {"shutdown", TL_FAST(queue_shutdown), METH_FASTCALL | METH_KEYWORDS, shutdown_doc},
    {"_init", (PyCFunction)queue_hook_init, METH_O, init_doc},
    {"_qsize", (PyCFunction)queue_hook_qsize, METH_NOARGS, NULL},
    {"_put", (PyCFunction)queue_hook_put, METH_O, NULL},
    {"_get", (PyCFunction)queue_hook_get, METH_NOARGS, NULL},
    TL_CLASS_GETITEM,
    {NULL, NULL, 0, NULL},
};

#define LOCK(name, doc) \
    {#name, get_lock, NULL, doc, (void *)offsetof(QueueObject, name)}

static PyGetSetDef queue_getset[] = {
    {"maxsize", (getter)get_maxsize, (setter)set_maxsize,
     "The maximum number of items; <= 0: no limit.", NULL},
    {"queue", (getter)get_queue, (setter)set_queue,
     "The container of the items; hold the mutex to change it.", NULL},
    LOCK(mutex, "The Lock that protects the queue."),
    LOCK(not_empty, "The Condition that get() waits for."),
    LOCK(not_full, "The Condition that put() waits for."),
    LOCK(all_tasks_done, "The Condition that join() waits for."),
    {"unfinished_tasks", (getter)get_unfinished, (setter)set_unfinished,
     "The number of items for which task_done() was not called yet.", NULL},
    {"is_shutdown", (getter)get_is_shutdown, (setter)set_is_shutdown,
     "Whether shutdown() was called.", NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef queue_members[] = {
    {"__dictoffset__", Py_T_PYSSIZET, offsetof(QueueObject, dict), Py_READONLY, NULL},
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(QueueObject, weakrefs), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(queue_doc,
"Queue(maxsize=0)\n"
"--\n"
"\n"
"queue.Queue, for tasklets of any thread and for threads without tasklets.\n"
"\n"
"First in, first out. maxsize: the maximum number of items; 0 or less: no limit.\n"
"\n"
"Waiters are served in the order in which they came. While a waiter is being woken,\n"
"others may take its item or place twice; then it is handed over.");

PyDoc_STRVAR(lifo_doc,
"LifoQueue(maxsize=0)\n"
"--\n"
"\n"
"A Queue that returns the last item first.");

PyDoc_STRVAR(priority_doc,
"PriorityQueue(maxsize=0)\n"
"--\n"
"\n"
"A Queue that returns the least item first.\n"
"\n"
"Items are compared while the mutex is held.");

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, (void *)queue_doc},
    {Py_tp_new, queue_new},
    {Py_tp_init, queue_init},
    {Py_tp_repr, queue_repr},
    {Py_tp_setattro, queue_setattro},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, queue_methods},
    {Py_tp_getset, queue_getset},
    {Py_tp_members, queue_members},
    {0, NULL},
};

// tp_traverse, tp_clear and tp_dealloc are inherited.
static PyType_Slot lifo_slots[] = {
    {Py_tp_doc, (void *)lifo_doc},
    {Py_tp_new, lifo_new},
    {0, NULL},
};

static PyType_Slot priority_slots[] = {
    {Py_tp_doc, (void *)priority_doc},
    {Py_tp_new, priority_new},
    {0, NULL},
};

PyType_Spec tl_queue_spec = {
    .name = "tasklets.queues.Queue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = queue_slots,
};

PyType_Spec tl_lifo_queue_spec = {
    .name = "tasklets.queues.LifoQueue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = lifo_slots,
};

PyType_Spec tl_priority_queue_spec = {
    .name = "tasklets.queues.PriorityQueue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = priority_slots,
};
