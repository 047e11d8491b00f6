// mod_net.c - tasklets.net: getaddrinfo().
#include "core/thread.h"
#include "core/timer.h"
#include "io/resolve.h"
#include "object/args.h"
#include "python/types.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

// The host as bytes, as the system expects it. Returns a new reference, None for None,
// or NULL with an exception set.
static PyObject *
host_of(PyObject *arg)
{
    if (arg == Py_None || PyBytes_Check(arg)) {
        return Py_NewRef(arg);
    }
    if (PyUnicode_Check(arg)) {
        return PyUnicode_AsEncodedString(arg, "idna", NULL);
    }
    PyErr_SetString(PyExc_TypeError, "getaddrinfo() argument 1 must be string or None");
    return NULL;
}

// The same for the service or port.
static PyObject *
port_of(PyObject *arg)
{
    if (arg == Py_None || PyBytes_Check(arg)) {
        return Py_NewRef(arg);
    }
    if (PyUnicode_Check(arg)) {
        return PyUnicode_AsUTF8String(arg);
    }
    if (PyLong_Check(arg)) {
        PyObject *text = PyNumber_ToBase(arg, 10);
        PyObject *port = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
        Py_XDECREF(text);
        return port;
    }
    PyErr_SetString(PyExc_OSError, "Int or String expected");
    return NULL;
}

// Raise socket.gaierror. Returns -1.
static int
raise_gaierror(int status)
{
    PyObject *socket = PyImport_ImportModule("_socket");
    PyObject *type = socket ? tl_getattr(socket, "gaierror") : NULL;
    PyObject *args = type ? Py_BuildValue("(is)", status, gai_strerror(status)) : NULL;
    if (args != NULL) {
        PyErr_SetObject(type, args);
    }
    Py_XDECREF(args);
    Py_XDECREF(type);
    Py_XDECREF(socket);
    return -1;
}

static int
check_status(struct tl_resolve *resolve)
{
    int error;
    int status = tl_resolve_status(resolve, &error);
    if (status == 0) {
        return 0;
    }
    if (status != EAI_SYSTEM) {
        return raise_gaierror(status);
    }
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

// An address in the form that sockets take.
static PyObject *
make_address(const struct tl_resolve_answer *answer)
{
    char text[INET6_ADDRSTRLEN];
    if (answer->family == AF_INET && answer->length >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = answer->address;
        if (inet_ntop(AF_INET, &in->sin_addr, text, sizeof text) == NULL) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        return Py_BuildValue("si", text, ntohs(in->sin_port));
    }
    if (answer->family == AF_INET6 && answer->length >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in = answer->address;
        if (inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text) == NULL) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        return Py_BuildValue("siII", text, ntohs(in->sin6_port),
                             ntohl(in->sin6_flowinfo), in->sin6_scope_id);
    }
    return Py_BuildValue("iy#", answer->family, answer->address,
                         (Py_ssize_t)answer->length);
}

static PyObject *
list_answers(struct tl_resolve *resolve)
{
    PyObject *list = check_status(resolve) < 0 ? NULL : PyList_New(0);
    struct tl_resolve_answer answer;
    while (list != NULL && tl_resolve_next(resolve, &answer)) {
        PyObject *address = make_address(&answer);
        PyObject *item =
            address == NULL
                ? NULL
                : Py_BuildValue("iiisN", answer.family, answer.type, answer.proto,
                                answer.name ? answer.name : "", address);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

PyDoc_STRVAR(getaddrinfo_doc,
"getaddrinfo($module, host, port, family=0, type=0, proto=0, flags=0, *, timeout=None)\n"
"--\n"
"\n"
"Return what socket.getaddrinfo returns, with family and type as plain ints.\n"
"\n"
"timeout: in seconds; raises TimeoutError when it is over. Otherwise raises what\n"
"socket.getaddrinfo raises.");

static PyObject *
fn_getaddrinfo(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const char *const names[] = {"host",  "port",  "family",  "type",
                                        "proto", "flags", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "getaddrinfo", .names = names, .required = 2, .maxpos = 6};
    PyObject *argv[7], *host = NULL, *port = NULL, *result = NULL;
    struct tl_resolve_hints hints = {0};
    struct tl_resolve *resolve = NULL;
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    tl_deadline deadline;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        tl_args_int(argv[2], &hints.family) < 0 ||
        tl_args_int(argv[3], &hints.type) < 0 ||
        tl_args_int(argv[4], &hints.proto) < 0 ||
        tl_args_int(argv[5], &hints.flags) < 0 ||
        tl_timer_deadline(argv[6], &deadline) < 0) {
        return NULL;
    }
    host = host_of(argv[0]);
    port = host == NULL ? NULL : port_of(argv[1]);
    if (port != NULL && PySys_Audit("socket.getaddrinfo", "OOiii", argv[0], argv[1],
                                    hints.family, hints.type, hints.proto) == 0) {
        resolve = tl_resolve_do(s, host == Py_None ? NULL : PyBytes_AS_STRING(host),
                                port == Py_None ? NULL : PyBytes_AS_STRING(port),
                                &hints, deadline);
    }
    if (resolve != NULL) {
        result = list_answers(resolve);
        tl_resolve_free(resolve);
    }
    Py_XDECREF(host);
    Py_XDECREF(port);
    return result;
}

// clang-format off

PyMethodDef tl_resolve_functions[] = {
    {"getaddrinfo", TL_FAST(fn_getaddrinfo),
     METH_FASTCALL | METH_KEYWORDS, getaddrinfo_doc},
    {NULL, NULL, 0, NULL},
};
