// socket_calls.c - how calls of the cooperative socket wait, and its connections.
#include "python/socket_type.h"
#include "python/types.h"

#include <arpa/inet.h>
#include <errno.h>

// ---- helpers

struct tl_sched *
tl_socket_begin(PyObject *self, const SocketPart *part)
{
    struct tl_sched *s = tl_sched_for(self);
    // Calls that never wait may be made where nothing may switch.
    if (s != NULL && part->socket.timeout_ns != 0 && tl_socket_give_way(s) < 0) {
        return NULL;
    }
    return s;
}

int
tl_socket_flags(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                Py_ssize_t place)
{
    PyObject *value = place >= 0 && place < nargs ? args[place] : NULL;
    Py_ssize_t n = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), "flags") ==
            0) {
            value = args[nargs + i];
        }
    }
    if (value == NULL || !PyLong_Check(value)) {
        return 0;
    }
    int overflow;
    long flags = PyLong_AsLongAndOverflow(value, &overflow);
    return overflow || flags < INT_MIN || flags > INT_MAX ? 0 : (int)flags;
}

// The errno of the exception that is set, if it is a BlockingIOError; else 0.
static int
blocking_errno(void)
{
    if (!PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
        return 0;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *number = tl_getattr(exc, "errno");
    long error = number != NULL && PyLong_Check(number) ? PyLong_AsLong(number) : 0;
    PyErr_Clear();
    Py_XDECREF(number);
    PyErr_SetRaisedException(exc);
    return (int)error;
}

static int
is_at_once(int flags)
{
    return flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE);
}

bool
tl_socket_goes_on(const SocketPart *part, int flags)
{
    return part->socket.is_stream && part->socket.timeout_ns < 0 &&
           !(flags & (MSG_PEEK | MSG_DONTWAIT));
}

// Call the method of the base class until it would not block.
static PyObject *
repeat(PyObject *self, SocketPart *part, const struct tl_socket_call *call,
       PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct tl_cooperative *socket = &part->socket;
    struct tl_sched *s = tl_socket_begin(self, part);
    // Sends with flags would block as others do.
    bool uses_ready = call->flags == 0 || call->what == TL_EDGE_WRITE;
    bool pauses = call->has_address && socket->family == AF_UNIX;
    bool has_waited = false;
    tl_deadline deadline = TL_DEADLINE_NEVER;
    while (s != NULL) {
        if (uses_ready) {
            socket->io.ready &= ~call->what; // the GIL may be released from here
        }
        PyObject *result =
            tl_socket_call_base(self, call->method, args, nargs, kwnames);
        bool would_block = result == NULL && blocking_errno() == EAGAIN;
        if (uses_ready && !would_block) {
            socket->io.ready |= call->what;
        }
        if (!would_block || socket->timeout_ns == 0 ||
            (socket->timeout_ns < 0 && is_at_once(call->flags))) {
            if (would_block && uses_ready) {
                socket->io.ready |= call->what; // not known: try
            }
            return result;
        }
        PyErr_Clear();
        if (!has_waited) {
            has_waited = true;
            deadline = tl_cooperative_deadline(s, socket);
        }
        int waited = pauses ? tl_cooperative_pause(s, deadline)
                     : uses_ready
                         ? tl_cooperative_wait(s, socket, call->what, deadline)
                         : tl_cooperative_wait_once(s, socket, call->what, deadline);
        if (waited < 0) {
            return NULL;
        }
    }
    return NULL;
}

PyObject *
tl_socket_call(PyObject *self, const struct tl_socket_call *call, PyObject *const *args,
               Py_ssize_t nargs, PyObject *kwnames)
{
    SocketPart *part = tl_socket_part(self);
    if (part == NULL) {
        return tl_socket_call_base(self, call->method, args, nargs, kwnames);
    }
    PyObject *result = repeat(self, part, call, args, nargs, kwnames);
    Py_DECREF(part);
    return result;
}

// ---- addresses

PyObject *
tl_socket_look_up(PyObject *self, PyObject *address)
{
    SocketPart *part = tl_socket_part(self);
    int family = part == NULL ? AF_UNSPEC : part->socket.family;
    Py_XDECREF(part);
    if ((family != AF_INET && family != AF_INET6) || !PyTuple_Check(address) ||
        PyTuple_GET_SIZE(address) == 0) {
        return Py_NewRef(address);
    }
    PyObject *host = PyTuple_GET_ITEM(address, 0);
    if (PyUnicode_Check(host)) {
        struct in6_addr number;
        const char *text = PyUnicode_AsUTF8(host);
        if (text == NULL) {
            PyErr_Clear();
            return Py_NewRef(address);
        }
        if (text[0] == '\0' || inet_pton(family, text, &number) == 1) {
            return Py_NewRef(address);
        }
    }
    PyObject *mod = PyImport_ImportModule("tasklets._cooperative._lookup");
    PyObject *function = mod == NULL ? NULL : tl_getattr(mod, "numeric");
    PyObject *result = function == NULL
                           ? NULL
                           : PyObject_CallFunction(function, "iO", family, address);
    Py_XDECREF(function);
    Py_XDECREF(mod);
    return result;
}

// ---- connections

static PyObject *
socket_accept(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_socket_call call = {TL_BASE_ACCEPT, TL_EDGE_READ, 0, false};
    return tl_socket_call(self, &call, NULL, 0, NULL);
}

PyDoc_STRVAR(bind_doc,
"bind($self, address, /)\n"
"--\n"
"\n"
"As socket.socket.bind(); other tasklets run while a host name is looked up.");

static PyObject *
socket_bind(PyObject *self, PyObject *arg)
{
    PyObject *address = tl_socket_look_up(self, arg);
    PyObject *result = address == NULL
                           ? NULL
                           : tl_socket_call_base(self, TL_BASE_BIND, &address, 1, NULL);
    Py_XDECREF(address);
    return result;
}

// Begin to connect, or try again. Returns 0 if it is done, the errno of connect(), or
// -1 with an exception set. With connect(), exceptions of another kind than
// BlockingIOError stay set: they are those of the base class.
static int
begin_connect(PyObject *self, enum tl_socket_method method, PyObject *address)
{
    PyObject *result = tl_socket_call_base(self, method, &address, 1, NULL);
    int error = 0;
    if (result == NULL) {
        error = blocking_errno();
        if (error != 0) {
            PyErr_Clear();
        }
        return error != 0 ? error : -1;
    }
    if (method == TL_BASE_CONNECT_EX) {
        error = (int)PyLong_AsLong(result);
    }
    Py_DECREF(result);
    return error;
}

// Whether a blocking connect() would wait after that errno, where ours does not.
static bool
connect_waits(const struct tl_cooperative *socket, int error)
{
    return socket->timeout_ns != 0 &&
           (error == EINPROGRESS ||
            (socket->timeout_ns < 0 &&
             (error == EALREADY || (error == EAGAIN && socket->family == AF_UNIX))));
}

// Returns 0, the errno, or -1 with an exception set.
static int
do_connect(PyObject *self, SocketPart *part, enum tl_socket_method method,
           PyObject *address)
{
    struct tl_cooperative *socket = &part->socket;
    struct tl_sched *s = tl_socket_begin(self, part);
    tl_deadline deadline =
        s == NULL ? TL_DEADLINE_NEVER : tl_cooperative_deadline(s, socket);
    bool again = s != NULL;
    int error = -1;
    while (again) {
        error = begin_connect(self, method, address);
        if (error <= 0 || !connect_waits(socket, error)) {
            return error;
        }
        error = tl_cooperative_connect(s, socket, error, deadline, &again);
        again = again && error == 0;
    }
    return error;
}

static PyObject *
connect_to(PyObject *self, enum tl_socket_method method, PyObject *arg)
{
    SocketPart *part = tl_socket_part(self);
    if (part == NULL) {
        return tl_socket_call_base(self, method, &arg, 1, NULL);
    }
    PyObject *address = tl_socket_look_up(self, arg), *result = NULL;
    int error = address == NULL ? -1 : do_connect(self, part, method, address);
    Py_XDECREF(address);
    if (error >= 0 && method == TL_BASE_CONNECT_EX) {
        result = PyLong_FromLong(error);
    } else if (error < 0 && address != NULL && method == TL_BASE_CONNECT_EX &&
               part->socket.timeout_ns > 0 &&
               PyErr_ExceptionMatches(PyExc_TimeoutError)) {
        PyErr_Clear();
        result = PyLong_FromLong(EAGAIN); // as for the standard library's sockets
    } else if (error > 0) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
    } else if (error == 0) {
        result = Py_NewRef(Py_None);
    }
    Py_DECREF(part);
    return result;
}

PyDoc_STRVAR(connect_doc,
"connect($self, address, /)\n"
"--\n"
"\n"
"As socket.socket.connect(); other tasklets run while it waits.");

static PyObject *
socket_connect(PyObject *self, PyObject *arg)
{
    return connect_to(self, TL_BASE_CONNECT, arg);
}

PyDoc_STRVAR(connect_ex_doc,
"connect_ex($self, address, /)\n"
"--\n"
"\n"
"As socket.socket.connect_ex(); other tasklets run while it waits.");

static PyObject *
socket_connect_ex(PyObject *self, PyObject *arg)
{
    return connect_to(self, TL_BASE_CONNECT_EX, arg);
}

// clang-format off

PyMethodDef tl_socket_calls[] = {
    {"_accept", socket_accept, METH_NOARGS, NULL},
    {"bind", socket_bind, METH_O, bind_doc},
    {"connect", socket_connect, METH_O, connect_doc},
    {"connect_ex", socket_connect_ex, METH_O, connect_ex_doc},
    {NULL, NULL, 0, NULL},
};
