// listener_type.c - Listener, and connect().
#include "core/thread.h"
#include "io/connection.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/stream_type.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

typedef struct {
    PyObject_HEAD
    struct tl_listener listener;
    PyObject *weakrefs;
    bool is_tcp; // its connections are TCP connections
} ListenerObject;

// ---- Listener

static PyObject *
listener_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"socket", NULL};
    PyObject *arg;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Listener", names, &arg)) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(arg), listens = 0, type = 0, domain = 0;
    socklen_t size = sizeof listens;
    if (fd < 0) {
        return NULL;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (!listens) {
        PyErr_Format(PyExc_ValueError, "%R does not listen: call its listen() first",
                     arg);
        return NULL;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    ListenerObject *self = (ListenerObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self == NULL) {
        return NULL;
    }
    tl_live_add(TL_LIVE_STREAM, 1);
    tl_listener_init(&self->listener, (PyObject *)self, fd);
    self->is_tcp = type == SOCK_STREAM && (domain == AF_INET || domain == AF_INET6);
    if (!PyLong_Check(arg)) {
        PyObject *detached = tl_call_method(arg, "detach", NULL);
        if (detached == NULL) {
            (void)tl_socket_detach(&self->listener.socket);
            Py_DECREF(self);
            return NULL;
        }
        Py_DECREF(detached);
    }
    return (PyObject *)self;
}

static void
listener_finalize(ListenerObject *self)
{
    if (self->listener.socket.state == TL_SOCKET_CLOSED) {
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning((PyObject *)self, 1, "unclosed listener %R", self) < 0 &&
        PyErr_ExceptionMatches(PyExc_Warning)) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    PyErr_SetRaisedException(exc);
}

static void
listener_dealloc(ListenerObject *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyTypeObject *cls = Py_TYPE(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    tl_listener_fini(&self->listener);
    cls->tp_free(self);
    tl_live_add(TL_LIVE_STREAM, -1);
    Py_DECREF(cls);
}

static PyObject *
own_address(int fd)
{
    union tl_address address;
    socklen_t length = sizeof address;
    return getsockname(fd, &address.any, &length) < 0
               ? PyErr_SetFromErrno(PyExc_OSError)
               : tl_address_object(&address.any, length);
}

static PyObject *
listener_repr(ListenerObject *self)
{
    PyObject *name = tl_args_type_name(Py_TYPE(self)), *text = NULL, *address = NULL;
    int fd = self->listener.socket.fd;
    if (name != NULL && fd >= 0) {
        address = own_address(fd);
        text = address == NULL ? NULL
                               : PyUnicode_FromFormat("<%U at %R, fd=%d, at %p>", name,
                                                      address, fd, self);
    } else if (name != NULL) {
        text = PyUnicode_FromFormat("<%U closed, at %p>", name, self);
    }
    Py_XDECREF(address);
    Py_XDECREF(name);
    return text;
}

PyDoc_STRVAR(accept_doc,
"accept($self, *, timeout=None)\n"
"--\n"
"\n"
"Return a Stream for the next connection.\n"
"\n"
"Waits up to timeout seconds, then raises TimeoutError; raises ClosedError when the\n"
"listener is closed. While no descriptor is left, it tries again after pauses of 50 ms\n"
"to 1 s; after five seconds of that, new connections are closed at once, so that their\n"
"clients do not hang.");

static PyObject *
listener_accept(ListenerObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "accept", .names = names, .maxpos = 0};
    PyObject *argv[1];
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        tl_timer_deadline(argv[0], &deadline) < 0) {
        return NULL;
    }
    union tl_address peer;
    socklen_t length;
    int fd = tl_listener_accept(s, &self->listener, deadline, &peer, &length);
    if (fd < 0) {
        return NULL;
    }
    StreamObject *stream =
        tl_stream_new(tl_state_of_object((PyObject *)self), NULL, fd);
    if (stream == NULL) {
        close(fd);
        return NULL;
    }
    stream->stream.socket.is_socket = true;
    stream->stream.socket.is_tcp = self->is_tcp;
    if (self->is_tcp) {
        tl_socket_note_peer(&stream->stream.socket, &peer.any, length);
    }
    return (PyObject *)stream;
}

PyDoc_STRVAR(close_doc,
"close($self)\n"
"--\n"
"\n"
"Stop listening. A tasklet inside accept() gets ClosedError. Calling it again does\n"
"nothing.");

static PyObject *
listener_close(ListenerObject *self, PyObject *Py_UNUSED(ignored))
{
    tl_listener_fini(&self->listener);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(detach_doc,
"detach($self)\n"
"--\n"
"\n"
"Close the listener without closing its descriptor, which is returned, and is\n"
"non-blocking.");

static PyObject *
listener_detach(ListenerObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_socket *socket = &self->listener.socket;
    if (socket->state == TL_SOCKET_CLOSED) {
        (void)tl_socket_raise_closed(socket);
        return NULL;
    }
    int fd = tl_socket_detach(socket);
    tl_listener_fini(&self->listener);
    return PyLong_FromLong(fd);
}

static PyObject *
listener_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

static PyObject *
listener_exit(ListenerObject *self, PyObject *Py_UNUSED(args))
{
    return listener_close(self, NULL);
}

PyDoc_STRVAR(fileno_doc,
"fileno($self)\n"
"--\n"
"\n"
"Return the descriptor, -1 once the listener is closed.");

static PyObject *
listener_fileno(ListenerObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->listener.socket.fd);
}

static PyObject *
get_address(ListenerObject *self, void *Py_UNUSED(closure))
{
    struct tl_socket *socket = &self->listener.socket;
    if (socket->state == TL_SOCKET_CLOSED) {
        (void)tl_socket_raise_closed(socket);
        return NULL;
    }
    return own_address(socket->fd);
}

static PyObject *
get_closed(ListenerObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->listener.socket.state == TL_SOCKET_CLOSED);
}

static PyObject *
get_shed(ListenerObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self->listener.shed);
}

// ---- connect()

PyDoc_STRVAR(connect_doc,
"connect($module, family, address, local=None, /, *, timeout=None)\n"
"--\n"
"\n"
"Return a Stream that is connected to address, in the form that sockets of that family\n"
"take, with a numeric host.\n"
"\n"
"local: the own address, or None. Raises TimeoutError after timeout seconds, OSError\n"
"with the address in it if the connection fails, ValueError if a host is a name. After\n"
"an error no descriptor is left.");

static int
parse_numeric(int family, PyObject *object, union tl_address *address,
              socklen_t *length)
{
    int result = tl_address_parse(family, object, address, length);
    if (result > 0) {
        PyErr_Format(PyExc_ValueError, "the host of %R is not a numeric address",
                     object);
    }
    return result == 0 ? 0 : -1;
}

static PyObject *
fn_connect(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"family", "address", "local", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "connect", .names = names, .required = 2, .posonly = 3, .maxpos = 3};
    PyObject *argv[4];
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_get(state);
    tl_deadline deadline;
    int family = 0;
    union tl_address address, local;
    socklen_t length, local_length = 0;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        tl_args_int(argv[0], &family) < 0 ||
        parse_numeric(family, argv[1], &address, &length) < 0 ||
        (argv[2] != NULL && argv[2] != Py_None &&
         parse_numeric(family, argv[2], &local, &local_length) < 0) ||
        tl_timer_deadline(argv[3], &deadline) < 0) {
        return NULL;
    }
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    StreamObject *stream = tl_stream_new(state, NULL, fd);
    if (stream == NULL) {
        close(fd);
        return NULL;
    }
    struct tl_socket *end = &stream->stream.socket;
    end->is_socket = true;
    end->is_tcp = family == AF_INET || family == AF_INET6;
    if (end->is_tcp) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if ((local_length > 0 && bind(fd, &local.any, local_length) < 0 &&
         tl_socket_raise(end, errno) < 0) ||
        tl_connection_open(s, end, &address.any, length, deadline) < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        (void)tl_socket_close(end);
        Py_DECREF(stream);
        PyErr_SetRaisedException(exc);
        return NULL;
    }
    return (PyObject *)stream;
}

// clang-format off

PyMethodDef tl_net_functions[] = {
    {"connect", TL_FAST(fn_connect), METH_FASTCALL | METH_KEYWORDS, connect_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef listener_methods[] = {
    {"accept", TL_FAST(listener_accept), METH_FASTCALL | METH_KEYWORDS, accept_doc},
    {"close", (PyCFunction)listener_close, METH_NOARGS, close_doc},
    {"detach", (PyCFunction)listener_detach, METH_NOARGS, detach_doc},
    {"fileno", (PyCFunction)listener_fileno, METH_NOARGS, fileno_doc},
    {"__enter__", listener_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)listener_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef listener_getset[] = {
    {"address", (getter)get_address, NULL,
     "The own address, in the form that socket.getsockname() returns.", NULL},
    {"closed", (getter)get_closed, NULL, "Whether the listener was closed.", NULL},
    {"shed", (getter)get_shed, NULL,
     "The number of connections closed at once for want of descriptors.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef listener_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(ListenerObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(listener_doc,
"Listener(socket)\n"
"--\n"
"\n"
"Accepts connections, while other tasklets run.\n"
"\n"
"socket: a listening socket object, which gives its descriptor away, or the number of\n"
"its descriptor. The listener owns the descriptor, makes it non-blocking, and closes\n"
"it.");

static PyType_Slot listener_slots[] = {
    {Py_tp_doc, (void *)listener_doc},
    {Py_tp_new, listener_new},
    {Py_tp_repr, listener_repr},
    {Py_tp_finalize, listener_finalize},
    {Py_tp_dealloc, listener_dealloc},
    {Py_tp_methods, listener_methods},
    {Py_tp_members, listener_members},
    {Py_tp_getset, listener_getset},
    {0, NULL},
};

PyType_Spec tl_listener_spec = {
    .name = "tasklets.net.Listener",
    .basicsize = sizeof(ListenerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = listener_slots,
};
