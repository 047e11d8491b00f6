// socket_part.c - the part of a cooperative socket that is ours, and the methods of the
// base class.
#include "python/socket_type.h"

const char *const tl_socket_method_names[TL_BASE_METHODS] = {
    [TL_BASE_ACCEPT] = "_accept",
    [TL_BASE_BIND] = "bind",
    [TL_BASE_CONNECT] = "connect",
    [TL_BASE_CONNECT_EX] = "connect_ex",
    [TL_BASE_DETACH] = "detach",
    [TL_BASE_FILENO] = "fileno",
    [TL_BASE_GETTIMEOUT] = "gettimeout",
    [TL_BASE_INIT] = "__init__",
    [TL_BASE_REAL_CLOSE] = "_real_close",
    [TL_BASE_RECV] = "recv",
    [TL_BASE_RECV_INTO] = "recv_into",
    [TL_BASE_RECVFROM] = "recvfrom",
    [TL_BASE_RECVFROM_INTO] = "recvfrom_into",
    [TL_BASE_RECVMSG] = "recvmsg",
    [TL_BASE_RECVMSG_INTO] = "recvmsg_into",
    [TL_BASE_SEND] = "send",
    [TL_BASE_SENDALL] = "sendall",
    [TL_BASE_SENDMSG] = "sendmsg",
    [TL_BASE_SENDMSG_AFALG] = "sendmsg_afalg",
    [TL_BASE_SENDTO] = "sendto",
    [TL_BASE_SETTIMEOUT] = "settimeout",
};

Py_ssize_t tl_socket_part_offset;

static void
part_dealloc(SocketPart *part)
{
    PyTypeObject *cls = Py_TYPE(part);
    (void)tl_socket_detach(&part->socket.io); // nobody waits: a waiter has a reference
    cls->tp_free(part);
    Py_DECREF(cls);
}

PyObject **
tl_socket_slot(PyObject *self)
{
    return (PyObject **)((char *)self + tl_socket_part_offset);
}

SocketPart *
tl_socket_part(PyObject *self)
{
    SocketPart *part = (SocketPart *)*tl_socket_slot(self);
    // Python code could put something else into the slot.
    if (TL_UNLIKELY(part == NULL ||
                    Py_TYPE(part)->tp_dealloc != (destructor)part_dealloc ||
                    part->socket.io.owner != self)) {
        return NULL;
    }
    return (SocketPart *)Py_NewRef(part);
}

// clang-format off

static PyType_Slot part_slots[] = {
    {Py_tp_dealloc, part_dealloc},
    {0, NULL},
};

PyType_Spec tl_socket_part_spec = {
    .name = "tasklets._core.SocketPart",
    .basicsize = sizeof(SocketPart),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = part_slots,
};

// clang-format on

// ---- the base class

PyObject *
tl_socket_call_base(PyObject *self, enum tl_socket_method method, PyObject *const *args,
                    Py_ssize_t nargs, PyObject *kwnames)
{
    enum { MAX_ARGS = 9 }; // more than any of them takes
    PyObject *function = tl_state_of_object(self)->socket_tools->methods[method];
    PyObject *all[1 + MAX_ARGS] = {self};
    Py_ssize_t n = nargs + (kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames));
    if (function == NULL) {
        PyErr_Format(PyExc_AttributeError, "this system has no %s()",
                     tl_socket_method_names[method]);
        return NULL;
    }
    if (n > MAX_ARGS) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)",
                     tl_socket_method_names[method], MAX_ARGS, n);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        all[1 + i] = args[i];
    }
    return PyObject_Vectorcall(function, all, (size_t)nargs + 1, kwnames);
}
