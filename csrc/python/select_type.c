// select_type.c - recv(), send() and select().
#include "core/thread.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/mod_select.h"
#include "python/types.h"

static PyObject *
make_case(PyObject *mod, PyObject *channel, PyObject *value)
{
    struct tl_state *state = tl_state_of_module(mod);
    if (!PyObject_TypeCheck(channel, state->channel_type)) {
        PyErr_Format(PyExc_TypeError, "a channel is needed, not %R", channel);
        return NULL;
    }
    return tl_case_new(state, (ChannelObject *)channel, value);
}

PyDoc_STRVAR(recv_doc,
"recv($module, channel, /)\n"
"--\n"
"\n"
"Return a case for select(): receive from channel. It can be used again.");

static PyObject *
fn_recv(PyObject *mod, PyObject *channel)
{
    return make_case(mod, channel, NULL);
}

PyDoc_STRVAR(send_doc,
"send($module, channel, value, /)\n"
"--\n"
"\n"
"Return a case for select(): send value to channel. It can be used again.");

static PyObject *
fn_send(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "send() takes 2 positional arguments (%zd given)",
                     nargs);
        return NULL;
    }
    return make_case(mod, args[0], args[1]);
}

PyDoc_STRVAR(select_doc,
"select($module, /, *cases, timeout=None, default=...)\n"
"--\n"
"\n"
"Do one of several operations, the first that is possible; return (case, value).\n"
"\n"
"Cases: recv(channel), whose value is the received one; send(channel, value);\n"
"readable(fd); writable(fd); a tasklet or concurrent.futures.Future, chosen when it\n"
"has ended; a tasklets.locks.Event, chosen when it is or has been set since the call.\n"
"The value of all but recv() is None. If several are possible each has the same\n"
"chance. If none is, the call waits, or with a default returns (None, default). Cases\n"
"that were not chosen have no effect.\n"
"\n"
"timeout: in seconds; 0 or less: do not wait. Raises TimeoutError when it is over;\n"
"the exception that a sender sent with send_exception(); ChannelClosed if a case's\n"
"channel is closed; DeadlockError and BlockTrapError like receive().");

// The tuple (which, value); steals value.
static PyObject *
result_of(PyObject *which, PyObject *value)
{
    PyObject *result = PyTuple_New(2);
    if (result == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(result, 0, Py_NewRef(which));
    PyTuple_SET_ITEM(result, 1, value);
    return result;
}

static PyObject *
fn_select(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout", "default", NULL};
    static const struct tl_argspec spec = {.fname = "select", .names = names};
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_get(state);
    PyObject *argv[2] = {NULL}, *value;
    tl_deadline deadline = TL_DEADLINE_NEVER;
    if (s == NULL) {
        return NULL;
    }
    if (kwnames != NULL && (tl_args_parse(&spec, args + nargs, 0, kwnames, argv) < 0 ||
                            tl_timer_deadline(argv[0], &deadline) < 0)) {
        return NULL;
    }
    PyObject *otherwise = argv[1];
    const PyTypeObject *type = state->case_type;
    bool mixed = false;
    for (Py_ssize_t i = 0; i < nargs; i++) {
        mixed |= Py_TYPE(args[i]) != type;
    }
    if (nargs == 0 && deadline == TL_DEADLINE_NEVER && otherwise == NULL) {
        PyErr_SetString(PyExc_ValueError, "select() of no cases would wait forever");
        return NULL;
    }
    bool no_wait = otherwise != NULL;
    Py_ssize_t done = mixed ? tl_select_mixed(s, args, nargs, deadline, no_wait, &value)
                            : tl_select(s, (CaseObject *const *)args, nargs, deadline,
                                        no_wait, &value);
    if (done == TL_SELECT_FAILED) {
        return NULL;
    }
    return done == TL_SELECT_NONE ? result_of(Py_None, Py_NewRef(otherwise))
                                  : result_of(args[done], value);
}

// ---- the type

static PyObject *
case_repr(CaseObject *self)
{
    int entered = Py_ReprEnter((PyObject *)self);
    if (entered != 0) {
        return entered < 0 ? NULL : PyUnicode_FromString("...");
    }
    PyObject *repr =
        self->value == NULL
            ? PyUnicode_FromFormat("recv(%R)", self->channel)
            : PyUnicode_FromFormat("send(%R, %R)", self->channel, self->value);
    Py_ReprLeave((PyObject *)self);
    return repr;
}

// Cases are equal if they are of the same channel and direction, with equal values.
static PyObject *
case_richcompare(PyObject *self, PyObject *other, int op)
{
    if ((op != Py_EQ && op != Py_NE) || !Py_IS_TYPE(other, Py_TYPE(self))) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const CaseObject *a = (CaseObject *)self, *b = (CaseObject *)other;
    int equal = a->channel == b->channel && (a->value == NULL) == (b->value == NULL);
    if (equal && a->value != NULL) {
        if (Py_EnterRecursiveCall(" in comparison")) {
            return NULL;
        }
        equal = PyObject_RichCompareBool(a->value, b->value, Py_EQ);
        Py_LeaveRecursiveCall();
    }
    return equal < 0 ? NULL : PyBool_FromLong(equal == (op == Py_EQ));
}

// Does not hash the value, which need not be hashable.
static Py_hash_t
case_hash(CaseObject *self)
{
    Py_hash_t hash = Py_HashPointer(self->channel) ^ (self->value != NULL);
    return hash == -1 ? -2 : hash;
}

static PyObject *
get_channel(CaseObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->channel);
}

static int
case_traverse(CaseObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->channel);
    Py_VISIT(self->value);
    return 0;
}

static void
case_dealloc(CaseObject *self)
{
    PyObject_GC_UnTrack(self);
    TL_TRASHCAN_BEGIN(self, case_dealloc)
    Py_XDECREF(self->channel);
    Py_XDECREF(self->value);
    tl_object_free(self, TL_LIVE_NONE);
    TL_TRASHCAN_END
}

// clang-format off

PyMethodDef tl_select_functions[] = {
    {"recv", fn_recv, METH_O, recv_doc},
    {"send", TL_FAST(fn_send), METH_FASTCALL, send_doc},
    {"select", TL_FAST(fn_select), METH_FASTCALL | METH_KEYWORDS, select_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef case_methods[] = {
    TL_CLASS_GETITEM,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef case_getset[] = {
    {"channel", (getter)get_channel, NULL, "The channel of the case.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(case_doc,
"One of the operations that select() may do, as recv() and send() return it.\n"
"\n"
"Two cases are equal if they do the same: receive from the same channel, or send\n"
"equal values to it.");

// No tp_clear: the objects that it refers to break the cycle.
static PyType_Slot case_slots[] = {
    {Py_tp_doc, (void *)case_doc},
    {Py_tp_repr, case_repr},
    {Py_tp_richcompare, case_richcompare},
    {Py_tp_hash, case_hash},
    {Py_tp_traverse, case_traverse},
    {Py_tp_dealloc, case_dealloc},
    {Py_tp_methods, case_methods},
    {Py_tp_getset, case_getset},
    {0, NULL},
};

PyType_Spec tl_case_spec = {
    .name = "tasklets.Case",
    .basicsize = sizeof(CaseObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = case_slots,
};
