// simple_queue_type.c - SimpleQueue.
#include "core/stress_points.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/lock_common.h"
#include "python/queue_common.h"
#include "python/types.h"
#include "sync/simple_queue.h"

// ---- construction and destruction

static PyObject *
simple_queue_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    bool has_args =
        PyTuple_GET_SIZE(args) > 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0);
    if (has_args && cls->tp_init == PyBaseObject_Type.tp_init) {
        PyErr_SetString(PyExc_TypeError, "SimpleQueue() takes no arguments");
        return NULL;
    }
    SimpleQueueObject *self = (SimpleQueueObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self != NULL) {
        tl_live_add(TL_LIVE_QUEUE, 1);
        self->state = tl_state_of_object((PyObject *)self);
        tl_link_init(&self->waiters);
    }
    return (PyObject *)self;
}

static int
simple_queue_traverse(SimpleQueueObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_VISIT(self->items[(self->first + i) & (self->room - 1)]);
    }
    return tl_wait_queue_traverse(&self->waiters, visit, arg);
}

static int
simple_queue_clear(SimpleQueueObject *self)
{
    // Empty the queue first: the items' finalizers may use it.
    PyObject **items = self->items;
    Py_ssize_t first = self->first, count = self->count, room = self->room;
    self->items = NULL;
    self->first = self->count = self->room = self->promised = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_DECREF(items[(first + i) & (room - 1)]);
    }
    PyMem_Free(items);
    return 0;
}

static void
simple_queue_dealloc(SimpleQueueObject *self)
{
    PyObject_GC_UnTrack(self);
    TL_TRASHCAN_BEGIN(self, simple_queue_dealloc)
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    tl_queue_forget(&self->waiters, (PyObject *)self);
    (void)simple_queue_clear(self);
    tl_object_free(self, TL_LIVE_QUEUE);
    TL_TRASHCAN_END
}

// ---- put and get

PyDoc_STRVAR(put_doc,
"put($self, /, item, block=True, timeout=None)\n"
"--\n"
"\n"
"Store item, without waiting. block and timeout are ignored.\n"
"\n"
"May be called from finalizers and signal handlers, whatever these have interrupted.");

static PyObject *
simple_queue_put(SimpleQueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *item;
    struct tl_queue_options options;
    if (TL_LIKELY(nargs == 1 && kwnames == NULL)) {
        item = args[0];
    } else if (tl_queue_parse(args, nargs, kwnames, &item, &options) < 0) {
        return NULL;
    }
    return tl_simple_queue_put(self, item) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(put_nowait_doc,
"put_nowait($self, /, item)\n"
"--\n"
"\n"
"Same as put(item).");

static PyObject *
simple_queue_put_nowait(SimpleQueueObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *item;
    if (tl_queue_parse_item(args, nargs, kwnames, &item) < 0) {
        return NULL;
    }
    return tl_simple_queue_put(self, item) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(get_doc,
"get($self, /, block=True, timeout=None)\n"
"--\n"
"\n"
"Remove and return the first item, waiting up to timeout seconds for one.\n"
"\n"
"While a tasklet waits, others run; a thread without tasklets sleeps. Waiters get\n"
"items in the order in which they came. Raises Empty if no item comes, or with\n"
"block=False at once; ValueError if timeout is negative. After an error nothing was\n"
"removed.");

static PyObject *
simple_queue_get(SimpleQueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    struct tl_queue_options options = {.block = true};
    tl_deadline deadline = TL_DEADLINE_PAST;
    double seconds;
    if ((nargs > 0 || kwnames != NULL) &&
        tl_queue_parse(args, nargs, kwnames, NULL, &options) < 0) {
        return NULL;
    }
    if (options.block && (tl_queue_read_timeout(options.timeout, &seconds) < 0 ||
                          tl_queue_deadline(seconds, &deadline) < 0)) {
        return NULL;
    }
    if (tl_stress_before_timed_wait(deadline) < 0) {
        return NULL;
    }
    return tl_simple_queue_get(self, deadline);
}

PyDoc_STRVAR(get_nowait_doc,
"get_nowait($self, /)\n"
"--\n"
"\n"
"Same as get(block=False).");

static PyObject *
simple_queue_get_nowait(SimpleQueueObject *self, PyObject *Py_UNUSED(ignored))
{
    return tl_simple_queue_get(self, TL_DEADLINE_PAST);
}

// ---- sizes

PyDoc_STRVAR(qsize_doc,
"qsize($self, /)\n"
"--\n"
"\n"
"Return the number of items, including those reserved for woken waiters.");

static PyObject *
simple_queue_qsize(SimpleQueueObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSsize_t(self->count);
}

PyDoc_STRVAR(empty_doc,
"empty($self, /)\n"
"--\n"
"\n"
"Return whether the queue is empty.");

static PyObject *
simple_queue_empty(SimpleQueueObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->count == 0);
}

static PyObject *
simple_queue_repr(SimpleQueueObject *self)
{
    PyObject *name = tl_lock_type_name((PyObject *)self);
    PyObject *text = name ? PyUnicode_FromFormat("<%U object at %p: %zd items>", name,
                                                 self, self->count)
                          : NULL;
    Py_XDECREF(name);
    return text;
}

// clang-format off

static PyMethodDef simple_queue_methods[] = {
    {"put", TL_FAST(simple_queue_put), METH_FASTCALL | METH_KEYWORDS, put_doc},
    {"get", TL_FAST(simple_queue_get), METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"put_nowait", TL_FAST(simple_queue_put_nowait), METH_FASTCALL | METH_KEYWORDS,
     put_nowait_doc},
    {"get_nowait", (PyCFunction)simple_queue_get_nowait, METH_NOARGS, get_nowait_doc},
    {"qsize", (PyCFunction)simple_queue_qsize, METH_NOARGS, qsize_doc},
    {"empty", (PyCFunction)simple_queue_empty, METH_NOARGS, empty_doc},
    TL_CLASS_GETITEM,
    {NULL, NULL, 0, NULL},
};

static PyMemberDef simple_queue_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(SimpleQueueObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(simple_queue_doc,
"SimpleQueue()\n"
"--\n"
"\n"
"queue.SimpleQueue, for tasklets of any thread and threads without tasklets.\n"
"\n"
"An unbounded queue, whose put() never waits.");

static PyType_Slot simple_queue_slots[] = {
    {Py_tp_doc, (void *)simple_queue_doc},
    {Py_tp_new, simple_queue_new},
    {Py_tp_repr, simple_queue_repr},
    {Py_tp_traverse, simple_queue_traverse},
    {Py_tp_clear, simple_queue_clear},
    {Py_tp_dealloc, simple_queue_dealloc},
    {Py_tp_methods, simple_queue_methods},
    {Py_tp_members, simple_queue_members},
    {0, NULL},
};

PyType_Spec tl_simple_queue_spec = {
    .name = "tasklets.queues.SimpleQueue",
    .basicsize = sizeof(SimpleQueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = simple_queue_slots,
};
