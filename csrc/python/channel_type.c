// channel_type.c - the Python face of channels: parse, call the core, convert.
#include "core/thread.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/types.h"
#include "sync/channel.h"

static PyObject *
channel_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    ChannelObject *self = (ChannelObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self == NULL) {
        return NULL;
    }
    tl_live_add(TL_LIVE_CHANNEL, 1);
    tl_link_init(&self->queue);
    tl_link_init(&self->receivers);
    tl_link_init(&self->senders);
    self->preference = -1;
    return (PyObject *)self;
}

static PyObject *
classic_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    PyObject *self = channel_new(cls, args, kwargs);
    if (self != NULL) {
        ((ChannelObject *)self)->classic = true;
    }
    return self;
}

static PyObject *
queue_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    PyObject *self = channel_new(cls, args, kwargs);
    if (self != NULL) {
        ((ChannelObject *)self)->buffered = true;
        ((ChannelObject *)self)->is_queue = true;
    }
    return self;
}

static int
set_name(ChannelObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL || (value != Py_None && !PyUnicode_Check(value))) {
        PyErr_Format(PyExc_TypeError, "a channel's name must be a str or None, not %s",
                     value == NULL ? "deleted" : Py_TYPE(value)->tp_name);
        return -1;
    }
    // Exactly a str: error messages show it where no Python code may run.
    PyObject *name = value == Py_None ? NULL : PyUnicode_FromObject(value);
    if (name == NULL && value != Py_None) {
        return -1;
    }
    Py_XSETREF(self->name, name);
    return 0;
}

// Whether unexpected arguments are for a subclass's __new__(). Like object: they are if
// the subclass overrides __new__() but not __init__().
static bool
are_for_new(ChannelObject *self, initproc init)
{
    newfunc new = Py_TYPE(self)->tp_new;
    return Py_TYPE(self)->tp_init == init && new != channel_new && new != classic_new &&
           new != queue_new;
}

static int channel_init(PyObject *self, PyObject *args, PyObject *kwargs);

static int
take_arguments(ChannelObject *self, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    PyObject *name = NULL;
    if (kwargs != NULL) {
        name = PyDict_GetItemString(kwargs, "name");
        count += PyDict_GET_SIZE(kwargs) - (name != NULL);
    }
    if (count > 0 && !are_for_new(self, channel_init)) {
        PyErr_SetString(PyExc_TypeError,
                        "channel() takes no argument but name=: it stores nothing, a "
                        "QueueChannel(maxsize) does");
        return -1;
    }
    return name != NULL && count == 0 ? set_name(self, name, NULL) : 0;
}

static int
channel_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (TL_LIKELY(PyTuple_GET_SIZE(args) == 0 && kwargs == NULL)) {
        return 0;
    }
    return take_arguments((ChannelObject *)self, args, kwargs);
}

static int
queue_init(ChannelObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", "name", NULL};
    Py_ssize_t maxsize = 0;
    PyObject *name = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n$O:QueueChannel", names, &maxsize,
                                     &name)) {
        return -1;
    }
    if (self->count > 0 || self->waiting != 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a QueueChannel in use cannot change its maxsize");
        return -1;
    }
    if (name != NULL && set_name(self, name, NULL) < 0) {
        return -1;
    }
    self->maxsize = maxsize;
    return 0;
}

static int
channel_traverse(ChannelObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    struct tl_link *i = self->queue.next;
    for (; i != NULL && i != &self->queue; i = i->next) {
        Py_VISIT(tl_task_of(i));
    }
    struct tl_link *lists[] = {&self->receivers, &self->senders};
    for (int k = 0; k < 2; k++) {
        for (i = lists[k]->next; i != NULL && i != lists[k]; i = i->next) {
            Py_VISIT(TL_CONTAINER(i, struct tl_case, link)->of->who);
        }
    }
    for (Py_ssize_t k = 0; k < self->count; k++) {
        Py_VISIT(self->items[(self->first + k) % self->room]);
    }
    return 0;
}

static int
channel_clear(ChannelObject *self)
{
    tl_channel_clear(self);
    return 0;
}

static void
channel_dealloc(ChannelObject *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    tl_channel_clear(self);
    PyMem_Free(self->items);
    Py_XDECREF(self->name);
    tl_object_free(self, TL_LIVE_CHANNEL);
}

// Does not call into Python, not even for a subclass: deadlock reports call it.
static PyObject *
channel_repr(ChannelObject *self)
{
    const char *state = self->closing ? " closing" : "";
    Py_ssize_t balance = tl_channel_balance(self);
    if (self->closing && balance == 0) {
        state = " closed";
    }
    PyObject *type = tl_args_type_name(Py_TYPE(self)), *text = NULL;
    PyObject *name = self->name != NULL ? PyUnicode_FromFormat(" %R", self->name)
                                        : PyUnicode_FromString("");
    if (type != NULL && name != NULL) {
        text = self->is_queue
                   ? PyUnicode_FromFormat(
                         "<%U%U%s items=%zd maxsize=%zd balance=%zd at %p>", type, name,
                         state, self->count, self->maxsize, balance, self)
                   : PyUnicode_FromFormat("<%U%U%s balance=%zd at %p>", type, name,
                                          state, balance, self);
    }
    Py_XDECREF(name);
    Py_XDECREF(type);
    return text;
}

static Py_ssize_t
queue_length(ChannelObject *self)
{
    return self->count;
}

// ---- methods

static int
find_deadline(ChannelObject *self, PyObject *timeout, tl_deadline *deadline)
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    return s == NULL ? -1 : tl_timer_deadline(timeout, deadline);
}

PyDoc_STRVAR(send_doc,
"send($self, value, /, *, timeout=None)\n"
"--\n"
"\n"
"Give value to the first waiting receiver, or block until there is one.\n"
"\n"
"Returns the receiver's tempval, normally None. preference and schedule_all\n"
"decide which of the two tasklets runs next; if they belong to different\n"
"threads, the sender goes on. Works between threads. As in Stackless Python.\n"
"\n"
"timeout: in seconds; 0 or less: do not block. Raises TimeoutError when it is\n"
"over, ChannelClosed if the call would block on a closed channel,\n"
"BlockTrapError if the tasklet must not block, and DeadlockError if no tasklet\n"
"could ever receive. After any of these, or a kill, value was not delivered.");

static PyObject *
channel_send(ChannelObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const char *const names[] = {"value", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "send", .names = names, .required = 1, .posonly = 1, .maxpos = 1};
    if (TL_LIKELY(nargs == 1 && kwnames == NULL)) {
        return tl_channel_send(self, args[0], TL_DEADLINE_NEVER);
    }
    PyObject *argv[2];
    tl_deadline deadline;
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        find_deadline(self, argv[1], &deadline) < 0) {
        return NULL;
    }
    return tl_channel_send(self, argv[0], deadline);
}

PyDoc_STRVAR(receive_doc,
"receive($self, /, *, timeout=None)\n"
"--\n"
"\n"
"Take the value of the first waiting sender, or block until there is one.\n"
"\n"
"Raises the exception that the sender passed to send_exception() or\n"
"send_throw(). As in Stackless Python.\n"
"\n"
"timeout: in seconds; 0 or less: do not block. Raises TimeoutError when it is\n"
"over; ChannelClosed if the call would block on a closed channel, or if\n"
"close(wake=True) is called while it waits; BlockTrapError if the tasklet must\n"
"not block; DeadlockError if no tasklet could ever send. After any of these,\n"
"no value was taken.");

static PyObject *
channel_receive(ChannelObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    static const struct tl_argspec spec = {.fname = "receive", .names = names};
    if (TL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return tl_channel_receive(self, TL_DEADLINE_NEVER);
    }
    PyObject *argv[1];
    tl_deadline deadline;
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        find_deadline(self, argv[0], &deadline) < 0) {
        return NULL;
    }
    return tl_channel_receive(self, deadline);
}

static PyObject *
channel_iternext(ChannelObject *self)
{
    return tl_channel_next(self);
}

PyDoc_STRVAR(try_send_doc,
"try_send($self, value, /)\n"
"--\n"
"\n"
"Send value if that does not block, and return whether it was delivered.\n"
"\n"
"Raises ChannelClosed if no receiver waits and the channel is closed.");

static PyObject *
channel_try_send(ChannelObject *self, PyObject *value)
{
    int sent = tl_channel_try_send(self, value);
    return sent < 0 ? NULL : PyBool_FromLong(sent);
}

PyDoc_STRVAR(try_receive_doc,
"try_receive($self, default=None, /)\n"
"--\n"
"\n"
"Return the value of the first waiting sender, or default if there is none.\n"
"\n"
"Never blocks. Raises the sender's exception if it sent one, and ChannelClosed\n"
"if no sender waits and the channel is closed.");

static PyObject *
channel_try_receive(ChannelObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError,
                     "try_receive() takes at most 1 positional argument (%zd given)",
                     nargs);
        return NULL;
    }
    PyObject *value = tl_channel_try_receive(self);
    if (value == NULL && !PyErr_Occurred()) {
        return Py_NewRef(nargs > 0 ? args[0] : Py_None);
    }
    return value;
}

// Send bomb (stolen; NULL: an exception is set) and return None, or NULL.
static PyObject *
send_bomb(ChannelObject *self, PyObject *bomb)
{
    PyObject *result =
        bomb == NULL ? NULL : tl_channel_send(self, bomb, TL_DEADLINE_NEVER);
    Py_XDECREF(bomb);
    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(send_exception_doc,
"send_exception($self, cls, /, *args)\n"
"--\n"
"\n"
"Send an exception: receive() raises cls(*args), created by the receiver.\n"
"\n"
"Blocks and fails like send().");

static PyObject *
channel_send_exception(ChannelObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    return send_bomb(self,
                     tl_bomb_of_class(state, "channel.send_exception", args, nargs));
}

PyDoc_STRVAR(send_throw_doc,
"send_throw($self, exc, val=None, tb=None)\n"
"--\n"
"\n"
"Send an exception as a raise statement would raise it, with its traceback.\n"
"\n"
"exc: an exception class or instance; val and tb as in a three-part raise.\n"
"Blocks and fails like send().");

static PyObject *
channel_send_throw(ChannelObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const char *const names[] = {"exc", "val", "tb", NULL};
    static const struct tl_argspec spec = {
        .fname = "send_throw", .names = names, .required = 1, .maxpos = 3};
    PyObject *argv[3];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    return send_bomb(self, tl_bomb_of_raise(state, argv[0], argv[1] ? argv[1] : Py_None,
                                            argv[2] ? argv[2] : Py_None));
}

PyDoc_STRVAR(send_sequence_doc,
"send_sequence($self, iterable, /)\n"
"--\n"
"\n"
"Send each item of iterable in turn, and return the number of items sent.\n"
"\n"
"Blocks and fails like send(); the items before the failure were delivered.");

static PyObject *
channel_send_sequence(ChannelObject *self, PyObject *iterable)
{
    PyObject *iterator = PyObject_GetIter(iterable), *item;
    if (iterator == NULL) {
        return NULL;
    }
    Py_ssize_t count = 0;
    while ((item = PyIter_Next(iterator)) != NULL) {
        PyObject *result = tl_channel_send(self, item, TL_DEADLINE_NEVER);
        Py_DECREF(item);
        if (result == NULL) {
            break;
        }
        Py_DECREF(result);
        count++;
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(count);
}

PyDoc_STRVAR(close_doc,
"close($self, /, *, wake=False)\n"
"--\n"
"\n"
"Forbid blocking on this channel; operations that find a partner still work.\n"
"\n"
"wake: also raise ChannelClosed in each waiting receiver, and end each waiting\n"
"iteration. Waiting senders stay and can still be received from. Closing a\n"
"closed channel does no harm.");

static PyObject *
channel_close(ChannelObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const char *const names[] = {"wake", NULL};
    static const struct tl_argspec spec = {.fname = "close", .names = names};
    PyObject *argv[1];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    int wake = argv[0] == NULL ? 0 : PyObject_IsTrue(argv[0]);
    if (wake < 0 || tl_channel_close(self, wake) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(open_doc,
"open($self, /)\n"
"--\n"
"\n"
"Undo close(): blocking is allowed again.");

static PyObject *
channel_open(ChannelObject *self, PyObject *Py_UNUSED(ignored))
{
    self->closing = false;
    Py_RETURN_NONE;
}

// ---- attributes

static PyObject *
get_balance(ChannelObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(tl_channel_balance(self));
}

static PyObject *
get_queue(ChannelObject *self, void *Py_UNUSED(closure))
{
    if (tl_link_is_single(&self->queue)) {
        Py_RETURN_NONE;
    }
    return Py_NewRef(tl_task_of(self->queue.next));
}

static PyObject *
get_name(ChannelObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->name != NULL ? self->name : Py_None);
}

static PyObject *
get_closing(ChannelObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->closing);
}

static PyObject *
get_closed(ChannelObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->closing && tl_channel_balance(self) == 0);
}

static PyObject *
get_preference(ChannelObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->preference);
}

// *sign: that of an int, as -1, 0 or 1. Returns 0, or -1 with TypeError(message) set.
static int
read_sign(PyObject *value, const char *message, int *sign)
{
    if (value == NULL || !PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, message);
        return -1;
    }
    int overflow;
    long number = PyLong_AsLongAndOverflow(value, &overflow);
    *sign = overflow ? overflow : (number > 0) - (number < 0);
    return 0;
}

static int
set_preference(ChannelObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int sign;
    if (read_sign(value, "preference must be set to an integer", &sign) < 0) {
        return -1;
    }
    self->preference = (signed char)sign;
    return 0;
}

static PyObject *
get_schedule_all(ChannelObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->schedule_all);
}

static int
set_schedule_all(ChannelObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int sign;
    if (read_sign(value, "preference must be set to a bool or integer", &sign) < 0) {
        return -1;
    }
    self->schedule_all = sign != 0;
    return 0;
}

static PyObject *
get_maxsize(ChannelObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(self->maxsize);
}

// clang-format off

static PyMethodDef channel_methods[] = {
    {"send", TL_FAST(channel_send), METH_FASTCALL | METH_KEYWORDS,
     send_doc},
    {"receive", TL_FAST(channel_receive),
     METH_FASTCALL | METH_KEYWORDS, receive_doc},
    {"try_send", (PyCFunction)channel_try_send, METH_O, try_send_doc},
    {"try_receive", TL_FAST(channel_try_receive), METH_FASTCALL,
     try_receive_doc},
    {"send_exception", TL_FAST(channel_send_exception),
     METH_FASTCALL, send_exception_doc},
    {"send_throw", TL_FAST(channel_send_throw),
     METH_FASTCALL | METH_KEYWORDS, send_throw_doc},
    {"send_sequence", (PyCFunction)channel_send_sequence, METH_O, send_sequence_doc},
    {"close", TL_FAST(channel_close),
     METH_FASTCALL | METH_KEYWORDS, close_doc},
    {"open", (PyCFunction)channel_open, METH_NOARGS, open_doc},
    TL_CLASS_GETITEM,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef channel_getset[] = {
    {"balance", (getter)get_balance, NULL,
     "The number of waiting senders, or minus the number of waiting receivers.", NULL},
    {"queue", (getter)get_queue, NULL, "The longest-waiting tasklet, or None.", NULL},
    {"name", (getter)get_name, (setter)set_name,
     "A str that repr() and error messages show, or None.", NULL},
    {"closing", (getter)get_closing, NULL, "True between close() and open().", NULL},
    {"closed", (getter)get_closed, NULL, "True if closing and no tasklet waits.", NULL},
    {"preference", (getter)get_preference, (setter)set_preference,
     "Which tasklet runs next after a transfer: -1 the receiver, 1 the sender,\n"
     "0 the one already running.", NULL},
    {"schedule_all", (getter)get_schedule_all, (setter)set_schedule_all,
     "If true, the caller yields to all others after a transfer; overrides\n"
     "preference.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef queue_getset[] = {
    {"maxsize", (getter)get_maxsize, NULL,
     "How many values are stored before send() blocks; <= 0: no limit.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef channel_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(ChannelObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(channel_doc,
"channel(*, name=None)\n"
"--\n"
"\n"
"A meeting place where a sender hands a value to a receiver.\n"
"\n"
"Neither goes on before the other has come. Works between threads.\n"
"\n"
"name: a str that repr() and error messages show. Raises TypeError for any\n"
"other argument.");

PyDoc_STRVAR(queue_doc,
"QueueChannel(maxsize=0, *, name=None)\n"
"--\n"
"\n"
"A channel that stores up to maxsize values: send() blocks only while it is full.\n"
"\n"
"maxsize: 0 or less for no limit. len() is the number of stored values. Values\n"
"stored when the channel is closed can still be received; sending into a closed\n"
"one raises ChannelClosed. name: as for a channel. Raises TypeError if maxsize\n"
"is not an int.");

PyDoc_STRVAR(classic_doc,
"channel(*, name=None)\n"
"--\n"
"\n"
"A channel that raises the exceptions of Stackless Python.");

static PyType_Slot channel_slots[] = {
    {Py_tp_doc, (void *)channel_doc},
    {Py_tp_new, channel_new},
    {Py_tp_init, channel_init},
    {Py_tp_repr, channel_repr},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, channel_iternext},
    {Py_tp_traverse, channel_traverse},
    {Py_tp_clear, channel_clear},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_methods, channel_methods},
    {Py_tp_getset, channel_getset},
    {Py_tp_members, channel_members},
    {0, NULL},
};

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, (void *)queue_doc},
    {Py_tp_new, queue_new},
    {Py_tp_init, queue_init},
    {Py_sq_length, queue_length},
    {Py_tp_getset, queue_getset},
    {0, NULL},
};

static PyType_Slot classic_slots[] = {
    {Py_tp_doc, (void *)classic_doc},
    {Py_tp_new, classic_new},
    {0, NULL},
};

PyType_Spec tl_channel_spec = {
    .name = "tasklets.channel",
    .basicsize = sizeof(ChannelObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = channel_slots,
};

// tp_traverse, tp_clear and tp_dealloc are inherited.
PyType_Spec tl_queue_channel_spec = {
    .name = "tasklets.QueueChannel",
    .basicsize = sizeof(ChannelObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = queue_slots,
};

PyType_Spec tl_classic_channel_spec = {
    .name = "_stackless.channel",
    .basicsize = sizeof(ChannelObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = classic_slots,
};
