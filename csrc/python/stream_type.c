// stream_type.c - Stream.
#include "core/thread.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/stream_methods.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>

// How long close() goes on sending in the background: a peer that pauses for longer is
// rare, and a process that ends should not wait for it.
static const int64_t linger_ns = 5000000000;

// ---- construction and destruction

// Whether the descriptor is a socket, and what kind.
static void
find_kind(struct tl_socket *socket)
{
    int type, domain;
    socklen_t size = sizeof type;
    if (getsockopt(socket->fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
        return; // a pipe or the like
    }
    socket->is_socket = true;
    size = sizeof domain;
    if (getsockopt(socket->fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0) {
        socket->is_tcp =
            type == SOCK_STREAM && (domain == AF_INET || domain == AF_INET6);
    }
}

StreamObject *
tl_stream_new(struct tl_state *state, PyTypeObject *cls, int fd)
{
    if (cls == NULL) {
        cls = state->stream_type;
    }
    StreamObject *self = (StreamObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self != NULL) {
        tl_live_add(TL_LIVE_STREAM, 1);
        tl_stream_init(&self->stream, (PyObject *)self, fd);
    }
    return self;
}

static PyObject *
stream_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"socket", NULL};
    PyObject *arg;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Stream", names, &arg)) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(arg);
    if (fd < 0) {
        return NULL;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *mod = PyType_GetModuleByDef(cls, &tl_module_def);
    StreamObject *self = tl_stream_new(tl_state_of_module(mod), cls, fd);
    if (self == NULL) {
        return NULL;
    }
    struct tl_socket *socket = &self->stream.socket;
    find_kind(socket);
    if (socket->is_socket) {
        tl_socket_note_peer(socket, NULL, 0);
    }
    if (!PyLong_Check(arg)) {
        // The object gives its descriptor to the stream.
        PyObject *detached = tl_call_method(arg, "detach", NULL);
        if (detached == NULL) {
            (void)tl_socket_detach(socket);
            Py_DECREF(self);
            return NULL;
        }
        Py_DECREF(detached);
    }
    return (PyObject *)self;
}

static void
stream_finalize(StreamObject *self)
{
    struct tl_socket *socket = &self->stream.socket;
    if (socket->state == TL_SOCKET_CLOSED) {
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning((PyObject *)self, 1, "unclosed stream %R", self) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable((PyObject *)self);
        }
    }
    PyErr_Clear();
    if (tl_sched_mine != NULL) {
        (void)tl_stream_close(tl_sched_mine, &self->stream, 0);
    }
    PyErr_SetRaisedException(exc);
}

static int
stream_traverse(StreamObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return self->stream.tls == NULL ? 0 : tl_tls_traverse(self->stream.tls, visit, arg);
}

static int
stream_clear(StreamObject *self)
{
    if (self->stream.tls != NULL) {
        tl_tls_clear(self->stream.tls);
    }
    return 0;
}

static void
stream_dealloc(StreamObject *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    PyTypeObject *cls = Py_TYPE(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    tl_stream_fini(&self->stream);
    cls->tp_free(self);
    tl_live_add(TL_LIVE_STREAM, -1);
    Py_DECREF(cls);
}

static PyObject *
stream_repr(StreamObject *self)
{
    const struct tl_socket *socket = &self->stream.socket;
    PyObject *name = tl_args_type_name(Py_TYPE(self)), *text = NULL, *peer = NULL;
    if (name != NULL && socket->peer_length > 0) {
        peer =
            tl_address_text((const struct sockaddr *)socket->peer, socket->peer_length);
    }
    if (name != NULL && !PyErr_Occurred()) {
        const char *word = socket->state == TL_SOCKET_CLOSED ? "closed"
                           : socket->closing                 ? "closing"
                                                             : "open";
        text = peer != NULL ? PyUnicode_FromFormat("<%U %U, %s, fd=%d, at %p>", name,
                                                   peer, word, socket->fd, self)
                            : PyUnicode_FromFormat("<%U %s, fd=%d, at %p>", name, word,
                                                   socket->fd, self);
    }
    Py_XDECREF(peer);
    Py_XDECREF(name);
    return text;
}

// ---- closing

PyDoc_STRVAR(close_doc,
"close($self)\n"
"--\n"
"\n"
"Close the stream, without waiting. Tasklets that wait for it get ClosedError.\n"
"\n"
"What was written and has not gone yet is sent in the background for up to five\n"
"seconds; call flush() first to be sure of it. With TLS the peer is told of the end,\n"
"unless the last write was cut short. Raises OSError if an earlier write has failed:\n"
"the stream is closed all the same. Calling it again does nothing.");

static PyObject *
stream_close(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    int error = tl_stream_close(s, &self->stream, linger_ns);
    if (error != 0) {
        (void)tl_socket_raise(&self->stream.socket, error);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(abort_doc,
"abort($self)\n"
"--\n"
"\n"
"Close the stream, and drop what has not been sent. The peer of a TCP connection gets\n"
"a reset. Calling it again does nothing.");

static PyObject *
stream_abort(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL) {
        return NULL;
    }
    tl_stream_abort(&self->stream);
    if (s->ndrop > 0) {
        tl_sched_drop_now(s); // the reference of a close in the background
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(detach_doc,
"detach($self)\n"
"--\n"
"\n"
"Close the stream without closing its descriptor, which is returned.\n"
"\n"
"The descriptor is non-blocking. Raises ValueError, and changes nothing, if bytes that\n"
"have come or were written would be lost, or with TLS.");

static PyObject *
stream_detach(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_stream *stream = &self->stream;
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s != NULL && stream->tls != NULL && stream->socket.state != TL_SOCKET_CLOSED) {
        PyErr_SetString(PyExc_ValueError,
                        "cannot detach a stream with TLS: nobody could read what comes "
                        "from its descriptor");
        return NULL;
    }
    if (s == NULL || tl_stream_flush(s, stream, TL_DEADLINE_PAST) < 0) {
        return NULL;
    }
    if (stream->in.end > 0) {
        PyErr_Format(PyExc_ValueError,
                     "cannot detach a stream with %zu bytes in its read buffer: read "
                     "them first",
                     stream->in.end - stream->in.start);
        return NULL;
    }
    return PyLong_FromLong(tl_socket_detach(&stream->socket));
}

static PyObject *
stream_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

static PyObject *
stream_exit(StreamObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *closed = stream_close(self, NULL);
    if (closed == NULL && nargs > 1 && args[1] != Py_None) {
        PyErr_Clear(); // the exception of the block says more
        Py_RETURN_NONE;
    }
    return closed;
}

// ---- attributes

PyDoc_STRVAR(fileno_doc,
"fileno($self)\n"
"--\n"
"\n"
"Return the descriptor, -1 once the stream is closed.");

static PyObject *
stream_fileno(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->stream.socket.fd);
}

static PyObject *
address_by(StreamObject *self, int (*get)(int, struct sockaddr *, socklen_t *))
{
    union tl_address address;
    socklen_t length = sizeof address;
    struct tl_socket *socket = &self->stream.socket;
    if (socket->state == TL_SOCKET_CLOSED) {
        (void)tl_socket_raise_closed(socket);
        return NULL;
    }
    if (get(socket->fd, &address.any, &length) < 0) {
        (void)tl_socket_raise(socket, errno);
        return NULL;
    }
    return tl_address_object(&address.any, length);
}

static PyObject *
get_peer_address(StreamObject *self, void *Py_UNUSED(closure))
{
    const struct tl_socket *socket = &self->stream.socket;
    return socket->peer_length > 0
               ? tl_address_object((const struct sockaddr *)socket->peer,
                                   socket->peer_length)
               : address_by(self, getpeername);
}

static PyObject *
get_local_address(StreamObject *self, void *Py_UNUSED(closure))
{
    return address_by(self, getsockname);
}

static PyObject *
get_closed(StreamObject *self, void *Py_UNUSED(closure))
{
    const struct tl_socket *socket = &self->stream.socket;
    return PyBool_FromLong(socket->state == TL_SOCKET_CLOSED || socket->closing);
}

static PyObject *
get_tls(StreamObject *self, void *Py_UNUSED(closure))
{
    const struct tl_tls *tls = self->stream.tls;
    return Py_NewRef(tls == NULL || tls->object == NULL ? Py_None : tls->object);
}

static PyObject *
get_timeout(StreamObject *self, void *offset)
{
    int64_t ns = *(int64_t *)((char *)self + (intptr_t)offset);
    return ns == 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)ns / 1e9);
}

static int
set_timeout(StreamObject *self, PyObject *value, void *offset)
{
    int64_t *ns = (int64_t *)((char *)self + (intptr_t)offset);
    int64_t given;
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "a timeout cannot be deleted: set it to None");
        return -1;
    }
    if (value == Py_None) {
        *ns = 0;
        return 0;
    }
    if (tl_timer_read_ns(value, "a default timeout", &given) < 0) {
        return -1;
    }
    if (given <= 0) {
        PyErr_Format(PyExc_ValueError,
                     "a default timeout must be positive, or None, not %R", value);
        return -1;
    }
    *ns = given < TL_TIMER_MAX_NS ? given : 0;
    return 0;
}

int
tl_stream_ready(PyTypeObject *type)
{
    PyMethodDef *tables[] = {tl_stream_methods, tl_stream_tls_methods};
    int result = 0;
    for (int i = 0; i < 2; i++) {
        for (PyMethodDef *def = tables[i]; result == 0 && def->ml_name; def++) {
            result = tl_add_method(type, def);
        }
    }
    return result;
}

// clang-format off

static PyMethodDef stream_methods[] = {
    {"close", (PyCFunction)stream_close, METH_NOARGS, close_doc},
    {"abort", (PyCFunction)stream_abort, METH_NOARGS, abort_doc},
    {"detach", (PyCFunction)stream_detach, METH_NOARGS, detach_doc},
    {"fileno", (PyCFunction)stream_fileno, METH_NOARGS, fileno_doc},
    {"__enter__", stream_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(stream_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stream_getset[] = {
    {"peer_address", (getter)get_peer_address, NULL,
     "The peer's address, in the form that socket.getpeername() returns.", NULL},
    {"local_address", (getter)get_local_address, NULL,
     "The own address, in the form that socket.getsockname() returns.", NULL},
    {"closed", (getter)get_closed, NULL, "Whether the stream was closed.", NULL},
    {"tls", (getter)get_tls, NULL,
     "The ssl.SSLObject of the connection, to ask for version(), cipher(),\n"
     "getpeercert(), selected_alpn_protocol(), session and the like; None: no TLS.",
     NULL},
    {"read_timeout", (getter)get_timeout, (setter)set_timeout,
     "The timeout of reads without one, in seconds; None: none.",
     (void *)offsetof(StreamObject, read_timeout)},
    {"write_timeout", (getter)get_timeout, (setter)set_timeout,
     "The same for writes.", (void *)offsetof(StreamObject, write_timeout)},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef stream_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(StreamObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(stream_doc,
"Stream(socket)\n"
"--\n"
"\n"
"A connection: bytes in both directions, while other tasklets run.\n"
"\n"
"socket: a connected socket object, which gives its descriptor away, or the number of\n"
"a descriptor: a socket's or one end of a pipe. The stream owns the descriptor, makes\n"
"it non-blocking, and closes it. One tasklet may read at a time; writes of several\n"
"tasklets do not mix. Iteration yields lines.");

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, (void *)stream_doc},
    {Py_tp_new, stream_new},
    {Py_tp_repr, stream_repr},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, tl_stream_next},
    {Py_tp_finalize, stream_finalize},
    {Py_tp_traverse, stream_traverse},
    {Py_tp_clear, stream_clear},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_members, stream_members},
    {Py_tp_getset, stream_getset},
    {0, NULL},
};

PyType_Spec tl_stream_spec = {
    .name = "tasklets.net.Stream",
    .basicsize = sizeof(StreamObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = stream_slots,
};
