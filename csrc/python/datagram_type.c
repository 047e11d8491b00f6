// datagram_type.c - the C part of DatagramSocket.
#include "core/thread.h"
#include "core/timer.h"
#include "io/datagram.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/types.h"

#include <errno.h>
#include <fcntl.h>

typedef struct {
    PyObject_HEAD
    struct tl_socket socket;
    PyObject *weakrefs;
    int family;
} DatagramObject;

static PyObject *
datagram_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"socket", NULL};
    PyObject *arg;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:DatagramSocket", names, &arg)) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(arg), type = 0, domain = 0;
    socklen_t size = sizeof type;
    if (fd < 0) {
        return NULL;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (type != SOCK_DGRAM) {
        PyErr_Format(PyExc_ValueError, "%R is not a datagram socket", arg);
        return NULL;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    DatagramObject *self = (DatagramObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self == NULL) {
        return NULL;
    }
    tl_live_add(TL_LIVE_STREAM, 1);
    tl_socket_init(&self->socket, (PyObject *)self, fd);
    self->socket.is_socket = true;
    self->family = domain;
    tl_socket_note_peer(&self->socket, NULL, 0);
    if (!PyLong_Check(arg)) {
        // The object gives its descriptor away.
        PyObject *detached = tl_call_method(arg, "detach", NULL);
        if (detached == NULL) {
            (void)tl_socket_detach(&self->socket);
            Py_DECREF(self);
            return NULL;
        }
        Py_DECREF(detached);
    }
    return (PyObject *)self;
}

static void
datagram_finalize(DatagramObject *self)
{
    if (self->socket.state == TL_SOCKET_CLOSED) {
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning((PyObject *)self, 1, "unclosed socket %R", self) < 0 &&
        PyErr_ExceptionMatches(PyExc_Warning)) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    PyErr_SetRaisedException(exc);
}

static void
datagram_dealloc(DatagramObject *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyTypeObject *cls = Py_TYPE(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)tl_socket_close(&self->socket);
    cls->tp_free(self);
    tl_live_add(TL_LIVE_STREAM, -1);
    Py_DECREF(cls);
}

PyDoc_STRVAR(receive_doc,
"receive($self, size=65536, /, *, timeout=None)\n"
"--\n"
"\n"
"Return the next datagram: (data, address of the sender, whether it was cut to size).\n"
"\n"
"Waits up to timeout seconds, then raises TimeoutError. Raises ClosedError if the\n"
"socket is closed, and ConnectionRefusedError, once, if nobody listens at the address\n"
"to which a connected socket has sent. After an error nothing is lost.");

static PyObject *
datagram_receive(DatagramObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const char *const names[] = {"size", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "receive", .names = names, .posonly = 1, .maxpos = 1};
    PyObject *argv[2];
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    int size = TL_SOCKET_SCRATCH;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        tl_args_int(argv[0], &size) < 0 || tl_timer_deadline(argv[1], &deadline) < 0) {
        return NULL;
    }
    if (size < 0 || size > TL_SOCKET_SCRATCH) {
        PyErr_Format(PyExc_ValueError, "size must be from 0 to %d, not %d",
                     TL_SOCKET_SCRATCH, size);
        return NULL;
    }
    char *scratch = tl_socket_scratch(s);
    if (scratch == NULL) {
        return NULL;
    }
    union tl_address sender;
    socklen_t length;
    bool is_truncated;
    ssize_t n = tl_datagram_receive(s, &self->socket, scratch, (size_t)size, deadline,
                                    &sender, &length, &is_truncated);
    PyObject *data = n < 0 ? NULL : PyBytes_FromStringAndSize(scratch, n);
    PyObject *address = NULL;
    if (data != NULL) {
        address =
            length > 0 ? tl_address_object(&sender.any, length) : Py_NewRef(Py_None);
    }
    PyObject *result =
        address == NULL
            ? NULL
            : PyTuple_Pack(3, data, address, is_truncated ? Py_True : Py_False);
    Py_XDECREF(data);
    Py_XDECREF(address);
    return result;
}

PyDoc_STRVAR(send_doc,
"send($self, data, address=None, /, *, timeout=None)\n"
"--\n"
"\n"
"Send data as one datagram to address, by default to the connected peer.\n"
"\n"
"address is in the form that socket.sendto() takes, with a numeric host. Waits up to\n"
"timeout seconds while the system takes none, then raises TimeoutError. Raises OSError\n"
"if the datagram is too long or cannot be sent; nothing was sent then.");

static PyObject *
datagram_send(DatagramObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const char *const names[] = {"data", "address", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "send", .names = names, .required = 1, .posonly = 2, .maxpos = 2};
    PyObject *argv[3];
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    union tl_address address;
    socklen_t length = 0;
    Py_buffer view;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        tl_timer_deadline(argv[2], &deadline) < 0) {
        return NULL;
    }
    bool has_address = argv[1] != NULL && argv[1] != Py_None;
    if (has_address) {
        int unknown = tl_address_parse(self->family, argv[1], &address, &length);
        if (unknown > 0) {
            PyErr_Format(PyExc_ValueError, "the host of %R is not a numeric address",
                         argv[1]);
        }
        if (unknown != 0) {
            return NULL;
        }
    }
    if (PyObject_GetBuffer(argv[0], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int result = tl_datagram_send(s, &self->socket, view.buf, (size_t)view.len,
                                  has_address ? &address.any : NULL, length, deadline);
    PyBuffer_Release(&view);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(close_doc,
"close($self)\n"
"--\n"
"\n"
"Close the socket. Tasklets that wait for it get ClosedError. Calling it again does\n"
"nothing.");

static PyObject *
datagram_close(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    (void)tl_socket_close(&self->socket);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fileno_doc,
"fileno($self)\n"
"--\n"
"\n"
"Return the descriptor, -1 once the socket is closed.");

static PyObject *
datagram_fileno(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->socket.fd);
}

static PyObject *
get_family(DatagramObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->family);
}

static PyObject *
get_closed(DatagramObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->socket.state == TL_SOCKET_CLOSED);
}

static PyObject *
get_local_address(DatagramObject *self, void *Py_UNUSED(closure))
{
    union tl_address address;
    socklen_t length = sizeof address;
    if (self->socket.state == TL_SOCKET_CLOSED) {
        (void)tl_socket_raise_closed(&self->socket);
        return NULL;
    }
    return getsockname(self->socket.fd, &address.any, &length) < 0
               ? PyErr_SetFromErrno(PyExc_OSError)
               : tl_address_object(&address.any, length);
}

static PyObject *
datagram_repr(DatagramObject *self)
{
    PyObject *name = tl_args_type_name(Py_TYPE(self)), *text = NULL, *address = NULL;
    if (name != NULL && self->socket.fd < 0) {
        text = PyUnicode_FromFormat("<%U closed, at %p>", name, self);
    } else if (name != NULL && (address = get_local_address(self, NULL)) != NULL) {
        text = PyUnicode_FromFormat("<%U at %R, fd=%d, at %p>", name, address,
                                    self->socket.fd, self);
    }
    Py_XDECREF(address);
    Py_XDECREF(name);
    return text;
}

// clang-format off

static PyMethodDef datagram_methods[] = {
    {"receive", TL_FAST(datagram_receive), METH_FASTCALL | METH_KEYWORDS, receive_doc},
    {"send", TL_FAST(datagram_send), METH_FASTCALL | METH_KEYWORDS, send_doc},
    {"close", (PyCFunction)datagram_close, METH_NOARGS, close_doc},
    {"fileno", (PyCFunction)datagram_fileno, METH_NOARGS, fileno_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef datagram_getset[] = {
    {"family", (getter)get_family, NULL, "The address family, an int.", NULL},
    {"closed", (getter)get_closed, NULL, "Whether the socket was closed.", NULL},
    {"local_address", (getter)get_local_address, NULL,
     "The own address, in the form that socket.getsockname() returns.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef datagram_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(DatagramObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(datagram_doc,
"DatagramSocket(socket)\n"
"--\n"
"\n"
"Sends and receives datagrams, while other tasklets run.\n"
"\n"
"socket: a datagram socket object, which gives its descriptor away, or the number of\n"
"its descriptor. The new object owns the descriptor, makes it non-blocking, and closes\n"
"it.");

static PyType_Slot datagram_slots[] = {
    {Py_tp_doc, (void *)datagram_doc},
    {Py_tp_new, datagram_new},
    {Py_tp_repr, datagram_repr},
    {Py_tp_finalize, datagram_finalize},
    {Py_tp_dealloc, datagram_dealloc},
    {Py_tp_methods, datagram_methods},
    {Py_tp_members, datagram_members},
    {Py_tp_getset, datagram_getset},
    {0, NULL},
};

PyType_Spec tl_datagram_spec = {
    .name = "tasklets._core.DatagramSocket",
    .basicsize = sizeof(DatagramObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = datagram_slots,
};
