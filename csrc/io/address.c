// address.c - socket addresses in the forms of C, of Python's sockets, and of messages.
#include "io/address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

// The path of a Unix address: a str, bytes if it is abstract, "" if it has none.
static PyObject *
path_of(const struct sockaddr_un *un, socklen_t length)
{
    size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t size = length > start ? length - start : 0;
    if (size > 0 && un->sun_path[0] == '\0') {
        return PyBytes_FromStringAndSize(un->sun_path, (Py_ssize_t)size);
    }
    return PyUnicode_DecodeFSDefaultAndSize(un->sun_path,
                                            (Py_ssize_t)strnlen(un->sun_path, size));
}

PyObject *
tl_address_object(const struct sockaddr *address, socklen_t length)
{
    char text[INET6_ADDRSTRLEN];
    int family = length >= sizeof address->sa_family ? address->sa_family : AF_UNSPEC;
    if (family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        if (inet_ntop(AF_INET, &in->sin_addr, text, sizeof text) == NULL) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        return Py_BuildValue("si", text, ntohs(in->sin_port));
    }
    if (family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        if (inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text) == NULL) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        return Py_BuildValue("siII", text, ntohs(in->sin6_port),
                             ntohl(in->sin6_flowinfo), in->sin6_scope_id);
    }
    if (family == AF_UNIX || family == AF_UNSPEC) {
        return path_of((const struct sockaddr_un *)address, length);
    }
    return Py_BuildValue("iy#", family, (const char *)address, (Py_ssize_t)length);
}

PyObject *
tl_address_text(const struct sockaddr *address, socklen_t length)
{
    char text[INET6_ADDRSTRLEN];
    int family = length >= sizeof address->sa_family ? address->sa_family : AF_UNSPEC;
    if (family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        if (inet_ntop(AF_INET, &in->sin_addr, text, sizeof text) != NULL) {
            return PyUnicode_FromFormat("%s:%d", text, ntohs(in->sin_port));
        }
    } else if (family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        if (inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text) != NULL) {
            return PyUnicode_FromFormat("[%s]:%d", text, ntohs(in->sin6_port));
        }
    } else if (family == AF_UNIX) {
        PyObject *path = path_of((const struct sockaddr_un *)address, length);
        if (path == NULL || PyObject_IsTrue(path) > 0) {
            return path;
        }
        Py_DECREF(path);
    }
    return NULL;
}

static int
parse_ip(int family, PyObject *object, union tl_address *address, socklen_t *length)
{
    const char *host;
    int port;
    unsigned int flow = 0, scope = 0;
    if (!PyTuple_Check(object)) {
        PyErr_Format(PyExc_TypeError,
                     "an address must be a tuple (host, port), not %.100s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    if (!PyArg_ParseTuple(object,
                          family == AF_INET
                              ? "si;an IPv4 address is (host, port)"
                              : "si|II;an IPv6 address is (host, port[, flowinfo"
                                "[, scope_id]])",
                          &host, &port, &flow, &scope)) {
        return -1;
    }
    if (port < 0 || port > 65535) {
        PyErr_Format(PyExc_OverflowError, "a port must be from 0 to 65535, not %d",
                     port);
        return -1;
    }
    memset(address, 0, sizeof *address);
    if (family == AF_INET) {
        address->in.sin_family = AF_INET;
        address->in.sin_port = htons((uint16_t)port);
        *length = sizeof address->in;
        return inet_pton(AF_INET, host, &address->in.sin_addr) == 1 ? 0 : 1;
    }
    address->in6.sin6_family = AF_INET6;
    address->in6.sin6_port = htons((uint16_t)port);
    address->in6.sin6_flowinfo = htonl(flow);
    address->in6.sin6_scope_id = scope;
    *length = sizeof address->in6;
    return inet_pton(AF_INET6, host, &address->in6.sin6_addr) == 1 ? 0 : 1;
}

static int
parse_path(PyObject *object, union tl_address *address, socklen_t *length)
{
    PyObject *path;
    if (!PyUnicode_FSConverter(object, &path)) {
        // A name in the abstract namespace begins with a zero byte.
        if (!PyBytes_Check(object)) {
            return -1;
        }
        PyErr_Clear();
        path = Py_NewRef(object);
    }
    size_t size = (size_t)PyBytes_GET_SIZE(path);
    bool abstract = size > 0 && PyBytes_AS_STRING(path)[0] == '\0';
    if (size > sizeof address->un.sun_path - !abstract) {
        PyErr_Format(PyExc_OSError, "the path of a Unix socket is too long: %R",
                     object);
        Py_DECREF(path);
        return -1;
    }
    memset(address, 0, sizeof *address);
    address->un.sun_family = AF_UNIX;
    memcpy(address->un.sun_path, PyBytes_AS_STRING(path), size);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + !abstract);
    Py_DECREF(path);
    return 0;
}

int
tl_address_parse(int family, PyObject *object, union tl_address *address,
                 socklen_t *length)
{
    if (family == AF_UNIX) {
        return parse_path(object, address, length);
    }
    if (family == AF_INET || family == AF_INET6) {
        return parse_ip(family, object, address, length);
    }
    PyErr_Format(PyExc_ValueError, "addresses of family %d are not supported", family);
    return -1;
}
