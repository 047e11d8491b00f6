// socket_transfers.c - receiving and sending of the cooperative socket.
//
// recv(), recv_into(), send() and sendall() make the system call themselves. The others
// call the method of the base class, which never waits, and repeat that after a wait.
#include "python/socket_type.h"

// Read a size that is a plain int, not negative. Returns false otherwise: the base
// class raises the error, if it is one.
static bool
read_size(PyObject *arg, Py_ssize_t *size)
{
    if (!PyLong_CheckExact(arg)) {
        return false;
    }
    *size = PyLong_AsSsize_t(arg);
    if (*size == -1 && PyErr_Occurred()) {
        PyErr_Clear();
    }
    return *size >= 0;
}

// ---- receiving

// Receive what is left of size bytes after received of them, which WAITALL demands.
static ssize_t
receive_rest(struct tl_sched *s, SocketPart *part, char *buffer, Py_ssize_t size,
             Py_ssize_t received, int flags)
{
    if (received <= 0 || received >= size || !tl_socket_goes_on(part, flags)) {
        return received;
    }
    ssize_t more = tl_cooperative_receive(s, &part->socket, buffer + received,
                                          (size_t)(size - received), flags);
    return more < 0 ? -1 : received + more;
}

static PyObject *
receive_bytes(struct tl_sched *s, SocketPart *part, Py_ssize_t size, int flags)
{
    if (size <= TL_SOCKET_SCRATCH && !(flags & MSG_WAITALL)) {
        char *scratch = tl_socket_scratch(s);
        ssize_t n = scratch == NULL ? -1
                                    : tl_cooperative_receive(s, &part->socket, scratch,
                                                             (size_t)size, flags);
        return n < 0 ? NULL : PyBytes_FromStringAndSize(scratch, n);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes == NULL) {
        return NULL;
    }
    ssize_t n = tl_cooperative_receive(s, &part->socket, PyBytes_AS_STRING(bytes),
                                       (size_t)size, flags);
    if (n < 0) {
        Py_DECREF(bytes);
        return NULL;
    }
    if (n < size) {
        _PyBytes_Resize(&bytes, n);
    }
    return bytes;
}

PyDoc_STRVAR(recv_doc,
"recv($self, bufsize, flags=0, /)\n"
"--\n"
"\n"
"As socket.socket.recv(); other tasklets run while it waits.");

static PyObject *
socket_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    SocketPart *part = tl_socket_part(self);
    int flags = tl_socket_flags(args, nargs, NULL, 1);
    Py_ssize_t size;
    if (part == NULL || nargs < 1 || nargs > 2 || !read_size(args[0], &size) ||
        (nargs == 2 && !PyLong_Check(args[1]))) {
        Py_XDECREF(part);
        return tl_socket_call_base(self, TL_BASE_RECV, args, nargs, NULL);
    }
    struct tl_sched *s = tl_socket_begin(self, part);
    PyObject *result = s == NULL ? NULL : receive_bytes(s, part, size, flags);
    Py_DECREF(part);
    return result;
}

// recv_into(), and recvfrom_into() after its first part.
static PyObject *
receive_into(PyObject *self, SocketPart *part, PyObject *buffer, Py_ssize_t size,
             Py_ssize_t received, int flags)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    struct tl_sched *s = tl_socket_begin(self, part);
    ssize_t n = -1;
    if (size == 0) {
        size = view.len;
    }
    if (s != NULL) {
        n = received < 0 ? tl_cooperative_receive(s, &part->socket, view.buf,
                                                  (size_t)size, flags)
                         : receive_rest(s, part, view.buf, size, received, flags);
    }
    PyBuffer_Release(&view);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

PyDoc_STRVAR(recv_into_doc,
"recv_into($self, buffer, nbytes=0, flags=0)\n"
"--\n"
"\n"
"As socket.socket.recv_into(); other tasklets run while it waits.");

static PyObject *
socket_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    SocketPart *part = tl_socket_part(self);
    int flags = tl_socket_flags(args, nargs, kwnames, 2);
    Py_ssize_t size = 0;
    bool plain = part != NULL && kwnames == NULL && nargs >= 1 && nargs <= 3 &&
                 (nargs < 2 || read_size(args[1], &size)) &&
                 (nargs < 3 || PyLong_Check(args[2]));
    if (plain && size > 0) {
        Py_buffer view;
        plain = PyObject_GetBuffer(args[0], &view, PyBUF_WRITABLE) == 0;
        if (plain) {
            plain = size <= view.len;
            PyBuffer_Release(&view);
        } else {
            PyErr_Clear();
        }
    } else if (plain && !PyObject_CheckBuffer(args[0])) {
        plain = false;
    }
    PyObject *result;
    if (plain && (flags == 0 || (flags & MSG_WAITALL))) {
        result = receive_into(self, part, args[0], size, -1, flags);
        if (result == NULL && PyErr_ExceptionMatches(PyExc_BufferError)) {
            PyErr_Clear(); // the base class has its own words for it
            plain = false;
        }
    } else {
        plain = false;
        result = NULL;
    }
    Py_XDECREF(part);
    if (!plain) {
        struct tl_socket_call call = {TL_BASE_RECV_INTO, TL_EDGE_READ, flags, false};
        return tl_socket_call(self, &call, args, nargs, kwnames);
    }
    return result;
}

// Complete the first item of a tuple, bytes, to size: steals result.
static PyObject *
complete_bytes(PyObject *self, PyObject *result, PyObject *size_arg, int flags)
{
    SocketPart *part;
    Py_ssize_t size;
    if (result == NULL || !(flags & MSG_WAITALL) || !read_size(size_arg, &size) ||
        (part = tl_socket_part(self)) == NULL) {
        return result;
    }
    PyObject *first = PyTuple_GET_ITEM(result, 0), *done = result;
    Py_ssize_t received = PyBytes_GET_SIZE(first);
    if (received > 0 && received < size && tl_socket_goes_on(part, flags)) {
        struct tl_sched *s = tl_sched_for(self);
        PyObject *rest =
            s == NULL ? NULL : receive_bytes(s, part, size - received, flags);
        PyObject *bytes = rest == NULL ? NULL : PySequence_Concat(first, rest);
        Py_XDECREF(rest);
        done = bytes == NULL ? NULL : PySequence_GetSlice(result, 1, PY_SSIZE_T_MAX);
        if (done != NULL) {
            PyObject *head = PyTuple_Pack(1, bytes);
            PyObject *tail = done;
            done = head == NULL ? NULL : PySequence_Concat(head, tail);
            Py_XDECREF(head);
            Py_DECREF(tail);
        }
        Py_XDECREF(bytes);
        Py_DECREF(result);
    }
    Py_DECREF(part);
    return done;
}

PyDoc_STRVAR(recvfrom_doc,
"recvfrom($self, bufsize, flags=0, /)\n"
"--\n"
"\n"
"As socket.socket.recvfrom(); other tasklets run while it waits.");

static PyObject *
socket_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_socket_call call = {TL_BASE_RECVFROM, TL_EDGE_READ,
                                  tl_socket_flags(args, nargs, NULL, 1), false};
    PyObject *result = tl_socket_call(self, &call, args, nargs, NULL);
    return result == NULL ? NULL : complete_bytes(self, result, args[0], call.flags);
}

PyDoc_STRVAR(recvfrom_into_doc,
"recvfrom_into($self, buffer, nbytes=0, flags=0)\n"
"--\n"
"\n"
"As socket.socket.recvfrom_into(); other tasklets run while it waits.");

static PyObject *
socket_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    struct tl_socket_call call = {TL_BASE_RECVFROM_INTO, TL_EDGE_READ,
                                  tl_socket_flags(args, nargs, kwnames, 2), false};
    PyObject *result = tl_socket_call(self, &call, args, nargs, kwnames);
    SocketPart *part;
    Py_ssize_t size = 0;
    if (result == NULL || !(call.flags & MSG_WAITALL) || kwnames != NULL ||
        !read_size(args[1], &size) || (part = tl_socket_part(self)) == NULL) {
        return result;
    }
    Py_ssize_t received = PyLong_AsSsize_t(PyTuple_GET_ITEM(result, 0));
    PyObject *n = receive_into(self, part, args[0], size, received, call.flags);
    PyObject *done = n == NULL ? NULL : PyTuple_Pack(2, n, PyTuple_GET_ITEM(result, 1));
    Py_XDECREF(n);
    Py_DECREF(part);
    Py_DECREF(result);
    return done;
}

PyDoc_STRVAR(recvmsg_doc,
"recvmsg($self, bufsize, ancbufsize=0, flags=0, /)\n"
"--\n"
"\n"
"As socket.socket.recvmsg(); other tasklets run while it waits.");

static PyObject *
socket_recvmsg(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_socket_call call = {TL_BASE_RECVMSG, TL_EDGE_READ,
                                  tl_socket_flags(args, nargs, NULL, 2), false};
    PyObject *result = tl_socket_call(self, &call, args, nargs, NULL);
    return result == NULL ? NULL : complete_bytes(self, result, args[0], call.flags);
}

PyDoc_STRVAR(recvmsg_into_doc,
"recvmsg_into($self, buffers, ancbufsize=0, flags=0, /)\n"
"--\n"
"\n"
"As socket.socket.recvmsg_into(); other tasklets run while it waits. With MSG_WAITALL it may\n"
"return less than the buffers take.");

static PyObject *
socket_recvmsg_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_socket_call call = {TL_BASE_RECVMSG_INTO, TL_EDGE_READ,
                                  tl_socket_flags(args, nargs, NULL, 2), false};
    PyObject *first = nargs > 0 ? PySequence_Tuple(args[0]) : NULL;
    if (first == NULL) {
        PyErr_Clear(); // the base class raises the error
        return tl_socket_call(self, &call, args, nargs, NULL);
    }
    PyObject *again[3] = {first};
    for (Py_ssize_t i = 1; i < nargs && i < 3; i++) {
        again[i] = args[i];
    }
    PyObject *result = nargs > 3 ? tl_socket_call(self, &call, args, nargs, NULL)
                                 : tl_socket_call(self, &call, again, nargs, NULL);
    Py_DECREF(first);
    return result;
}

// ---- sending

static PyObject *
send_data(PyObject *self, PyObject *const *args, Py_ssize_t nargs, bool all)
{
    SocketPart *part = tl_socket_part(self);
    Py_buffer view;
    bool plain = part != NULL && (nargs == 1 || (nargs == 2 && PyLong_Check(args[1])));
    if (!plain || PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0) {
        Py_XDECREF(part);
        PyErr_Clear(); // the base class raises the error
        struct tl_socket_call call = {all ? TL_BASE_SENDALL : TL_BASE_SEND,
                                      TL_EDGE_WRITE, 0, false};
        return tl_socket_call_base(self, call.method, args, nargs, NULL);
    }
    struct tl_sched *s = tl_socket_begin(self, part);
    ssize_t n = s == NULL
                    ? -1
                    : tl_cooperative_send(s, &part->socket, view.buf, (size_t)view.len,
                                          tl_socket_flags(args, nargs, NULL, 1), all);
    PyBuffer_Release(&view);
    Py_DECREF(part);
    return n < 0 ? NULL : all ? Py_NewRef(Py_None) : PyLong_FromSsize_t(n);
}

PyDoc_STRVAR(send_doc,
"send($self, data, flags=0, /)\n"
"--\n"
"\n"
"As socket.socket.send(); other tasklets run while it waits.");

static PyObject *
socket_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return send_data(self, args, nargs, false);
}

PyDoc_STRVAR(sendall_doc,
"sendall($self, data, flags=0, /)\n"
"--\n"
"\n"
"As socket.socket.sendall(); other tasklets run while it waits.");

static PyObject *
socket_sendall(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return send_data(self, args, nargs, true);
}

// result (stolen) is the number of bytes of data that were sent: send the rest, if a
// socket that blocks would.
static PyObject *
send_rest(PyObject *self, PyObject *result, PyObject *data, int flags)
{
    SocketPart *part = result == NULL ? NULL : tl_socket_part(self);
    if (part == NULL) {
        return result;
    }
    Py_buffer view;
    Py_ssize_t sent = PyLong_AsSsize_t(result);
    if (tl_socket_goes_on(part, flags) && sent >= 0 &&
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) == 0) {
        struct tl_sched *s = tl_sched_for(self);
        if (s != NULL && sent < view.len) {
            ssize_t n = tl_cooperative_send(s, &part->socket, (char *)view.buf + sent,
                                            (size_t)(view.len - sent), flags, false);
            Py_SETREF(result, n < 0 ? NULL : PyLong_FromSsize_t(sent + n));
        }
        PyBuffer_Release(&view);
    }
    Py_DECREF(part);
    return result;
}

PyDoc_STRVAR(sendto_doc,
"sendto($self, data, /, *args)\n"
"--\n"
"\n"
"As socket.socket.sendto(data[, flags], address); other tasklets run while it waits.");

static PyObject *
socket_sendto(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_socket_call call = {
        TL_BASE_SENDTO, TL_EDGE_WRITE,
        nargs == 3 ? tl_socket_flags(args, nargs, NULL, 1) : 0, true};
    if (nargs < 2 || nargs > 3) {
        return tl_socket_call(self, &call, args, nargs, NULL);
    }
    PyObject *again[3] = {args[0], args[1], NULL};
    PyObject *address = tl_socket_look_up(self, args[nargs - 1]);
    if (address == NULL) {
        return NULL;
    }
    again[nargs - 1] = address;
    PyObject *result = tl_socket_call(self, &call, again, nargs, NULL);
    Py_DECREF(address);
    return send_rest(self, result, args[0], call.flags);
}

// The buffers as one: bytes, or NULL with an exception set.
static PyObject *
join(PyObject *buffers)
{
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    PyObject *joined = empty == NULL ? NULL : tl_call_method(empty, "join", buffers);
    Py_XDECREF(empty);
    return joined;
}

PyDoc_STRVAR(sendmsg_doc,
"sendmsg($self, buffers, ancdata=(), flags=0, address=None, /)\n"
"--\n"
"\n"
"As socket.socket.sendmsg(); other tasklets run while it waits.");

static PyObject *
socket_sendmsg(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_socket_call call = {TL_BASE_SENDMSG, TL_EDGE_WRITE,
                                  tl_socket_flags(args, nargs, NULL, 2),
                                  nargs == 4 && args[3] != Py_None};
    // Iterators are used up by the first attempt.
    PyObject *again[4] = {NULL}, *result = NULL;
    for (Py_ssize_t i = 0; i < nargs && i < 4; i++) {
        again[i] = i < 2    ? PySequence_Tuple(args[i])
                   : i == 3 ? tl_socket_look_up(self, args[i])
                            : Py_NewRef(args[i]);
        if (again[i] == NULL && i < 2 && PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear(); // the base class raises the error
            again[i] = Py_NewRef(args[i]);
        }
        if (again[i] == NULL) {
            goto done;
        }
    }
    result = nargs < 1 || nargs > 4 ? tl_socket_call(self, &call, args, nargs, NULL)
                                    : tl_socket_call(self, &call, again, nargs, NULL);
    if (result != NULL) {
        PyObject *joined = NULL;
        SocketPart *part = tl_socket_part(self);
        if (part != NULL && tl_socket_goes_on(part, call.flags)) {
            Py_ssize_t total = 0, n = PyTuple_GET_SIZE(again[0]);
            for (Py_ssize_t i = 0; i < n; i++) {
                Py_buffer view;
                if (PyObject_GetBuffer(PyTuple_GET_ITEM(again[0], i), &view,
                                       PyBUF_SIMPLE) == 0) {
                    total += view.len;
                    PyBuffer_Release(&view);
                }
            }
            if (PyLong_AsSsize_t(result) < total) {
                joined = join(again[0]);
            }
        }
        Py_XDECREF(part);
        if (joined != NULL) {
            result = send_rest(self, result, joined, call.flags);
            Py_DECREF(joined);
        } else if (PyErr_Occurred()) {
            Py_CLEAR(result);
        }
    }
done:
    for (int i = 0; i < 4; i++) {
        Py_XDECREF(again[i]);
    }
    return result;
}

PyDoc_STRVAR(sendmsg_afalg_doc,
"sendmsg_afalg($self, msg=(), *, op, iv=None, assoclen=0, flags=0)\n"
"--\n"
"\n"
"As socket.socket.sendmsg_afalg(); other tasklets run while it waits.");

static PyObject *
socket_sendmsg_afalg(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    struct tl_socket_call call = {TL_BASE_SENDMSG_AFALG, TL_EDGE_WRITE,
                                  tl_socket_flags(args, nargs, kwnames, -1), false};
    return tl_socket_call(self, &call, args, nargs, kwnames);
}

// clang-format off

PyMethodDef tl_socket_transfers[] = {
    {"recv", TL_FAST(socket_recv), METH_FASTCALL, recv_doc},
    {"recv_into", TL_FAST(socket_recv_into), METH_FASTCALL | METH_KEYWORDS,
     recv_into_doc},
    {"recvfrom", TL_FAST(socket_recvfrom), METH_FASTCALL, recvfrom_doc},
    {"recvfrom_into", TL_FAST(socket_recvfrom_into), METH_FASTCALL | METH_KEYWORDS,
     recvfrom_into_doc},
    {"recvmsg", TL_FAST(socket_recvmsg), METH_FASTCALL, recvmsg_doc},
    {"recvmsg_into", TL_FAST(socket_recvmsg_into), METH_FASTCALL, recvmsg_into_doc},
    {"send", TL_FAST(socket_send), METH_FASTCALL, send_doc},
    {"sendall", TL_FAST(socket_sendall), METH_FASTCALL, sendall_doc},
    {"sendto", TL_FAST(socket_sendto), METH_FASTCALL, sendto_doc},
    {"sendmsg", TL_FAST(socket_sendmsg), METH_FASTCALL, sendmsg_doc},
    {"sendmsg_afalg", TL_FAST(socket_sendmsg_afalg), METH_FASTCALL | METH_KEYWORDS,
     sendmsg_afalg_doc},
    {NULL, NULL, 0, NULL},
};
