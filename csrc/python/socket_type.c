// socket_type.c - the cooperative socket: a class derived from socket.socket.
//
// It is that of Lib/socket.py, so that isinstance(), repr(), makefile(), dup() and all
// that does not wait are the standard library's own. The descriptor is non-blocking,
// and for the base class the timeout is 0; ours is in the part.
#include "python/socket_type.h"
#include "core/timer.h"
#include "object/args.h"
#include "python/types.h"

#include <stdalign.h>
#include <sys/ioctl.h>

// ---- parts

// The descriptor is about to be closed, or given away.
static void
end_part(PyObject *self)
{
    SocketPart *part = tl_socket_part(self);
    if (part != NULL) {
        tl_cooperative_end(tl_state_of_object(self), &part->socket);
        Py_DECREF(part);
    }
}

static PyObject *
call_base(PyObject *self, enum tl_socket_method method, PyObject *arg)
{
    return tl_socket_call_base(self, method, &arg, arg != NULL, NULL);
}

// ---- timeouts

// Read what the base class has as its timeout. Returns 0, or -1 with an exception set.
static int
read_timeout(PyObject *self, int64_t *timeout_ns)
{
    PyObject *value = call_base(self, TL_BASE_GETTIMEOUT, NULL);
    double seconds = value == NULL || value == Py_None ? -1 : PyFloat_AsDouble(value);
    if (value == NULL || (seconds == -1 && PyErr_Occurred())) {
        Py_XDECREF(value);
        return -1;
    }
    *timeout_ns = value == Py_None                   ? TL_COOPERATIVE_NO_TIMEOUT
                  : seconds * 1e9 >= TL_TIMER_MAX_NS ? TL_COOPERATIVE_NO_TIMEOUT
                                                     : (int64_t)(seconds * 1e9 + 0.5);
    Py_DECREF(value);
    return 0;
}

static int
base_never_blocks(PyObject *self)
{
    PyObject *zero = PyLong_FromLong(0);
    PyObject *done = zero == NULL ? NULL : call_base(self, TL_BASE_SETTIMEOUT, zero);
    Py_XDECREF(zero);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

// Have the base class read arg: it raises the error for a bad one.
static PyObject *
set_timeout_by_base(PyObject *self, SocketPart *part, PyObject *arg)
{
    PyObject *done = call_base(self, TL_BASE_SETTIMEOUT, arg);
    int64_t timeout_ns;
    if (done == NULL || part == NULL) {
        return done;
    }
    Py_DECREF(done);
    if (read_timeout(self, &timeout_ns) < 0 || base_never_blocks(self) < 0) {
        return NULL;
    }
    part->socket.timeout_ns = timeout_ns;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(settimeout_doc,
"settimeout($self, timeout, /)\n"
"--\n"
"\n"
"Set the timeout of the calls that wait, in seconds; None: none; 0: they never wait.");

static PyObject *
socket_settimeout(PyObject *self, PyObject *arg)
{
    SocketPart *part = tl_socket_part(self);
    PyObject *result;
    double seconds = PyFloat_CheckExact(arg)  ? PyFloat_AS_DOUBLE(arg)
                     : PyLong_CheckExact(arg) ? PyLong_AsDouble(arg)
                                              : -1;
    if (seconds == -1 && PyErr_Occurred()) {
        PyErr_Clear(); // the base class raises what it does for such a number
    }
    if (part != NULL && part->socket.io.fd >= 0 &&
        (arg == Py_None || (seconds >= 0 && seconds * 1e9 < TL_TIMER_MAX_NS))) {
        // Rounded up: a positive timeout is not 0.
        int64_t ns = (int64_t)(seconds * 1e9);
        ns += (double)ns < seconds * 1e9;
        // It is non-blocking already, unless the program has changed that.
        int on = 1;
        if (ioctl(part->socket.io.fd, FIONBIO, &on) < 0) {
            result = PyErr_SetFromErrno(PyExc_OSError);
        } else {
            part->socket.timeout_ns = arg == Py_None ? TL_COOPERATIVE_NO_TIMEOUT : ns;
            result = Py_NewRef(Py_None);
        }
    } else {
        result = set_timeout_by_base(self, part, arg);
    }
    Py_XDECREF(part);
    return result;
}

PyDoc_STRVAR(gettimeout_doc,
"gettimeout($self, /)\n"
"--\n"
"\n"
"Return the timeout of the calls that wait, in seconds, or None.");

static PyObject *
socket_gettimeout(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    SocketPart *part = tl_socket_part(self);
    if (part == NULL) {
        return call_base(self, TL_BASE_GETTIMEOUT, NULL);
    }
    int64_t ns = part->socket.timeout_ns;
    Py_DECREF(part);
    return ns < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)ns / 1e9);
}

static PyObject *
get_timeout(PyObject *self, void *Py_UNUSED(closure))
{
    return socket_gettimeout(self, NULL);
}

PyDoc_STRVAR(setblocking_doc,
"setblocking($self, flag, /)\n"
"--\n"
"\n"
"Whether calls may wait: settimeout(None) or settimeout(0).");

static PyObject *
socket_setblocking(PyObject *self, PyObject *arg)
{
    int flag = PyObject_IsTrue(arg);
    PyObject *timeout = flag < 0 ? NULL
                        : flag   ? Py_NewRef(Py_None)
                                 : PyFloat_FromDouble(0);
    PyObject *result = timeout == NULL ? NULL : socket_settimeout(self, timeout);
    Py_XDECREF(timeout);
    return result;
}

PyDoc_STRVAR(getblocking_doc,
"getblocking($self, /)\n"
"--\n"
"\n"
"Return whether calls may wait.");

static PyObject *
socket_getblocking(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *timeout = socket_gettimeout(self, NULL);
    double seconds =
        timeout == NULL || timeout == Py_None ? 1 : PyFloat_AsDouble(timeout);
    bool failed = timeout == NULL;
    Py_XDECREF(timeout);
    return failed ? NULL : PyBool_FromLong(seconds != 0);
}

// ---- life

// Calls __init__ of the base class by name: its tp_init would find ours again.
static PyObject *
init_base(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *init = tl_state_of_object(self)->socket_tools->methods[TL_BASE_INIT];
    PyObject *me = PyTuple_Pack(1, self);
    PyObject *all = me == NULL ? NULL : PySequence_Concat(me, args);
    PyObject *done = all == NULL ? NULL : PyObject_Call(init, all, kwargs);
    Py_XDECREF(me);
    Py_XDECREF(all);
    return done;
}

static int
descriptor_of(PyObject *self)
{
    PyObject *number = call_base(self, TL_BASE_FILENO, NULL);
    int fd = number == NULL ? -1 : (int)PyLong_AsLong(number);
    Py_XDECREF(number);
    return fd;
}

static int
socket_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    end_part(self); // if __init__() is repeated
    PyObject *done = init_base(self, args, kwargs);
    int64_t timeout_ns;
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    int fd = descriptor_of(self);
    if (PyErr_Occurred() || read_timeout(self, &timeout_ns) < 0 ||
        (timeout_ns != 0 && base_never_blocks(self) < 0)) {
        return -1;
    }
    PyTypeObject *cls = tl_state_of_object(self)->socket_tools->part_type;
    SocketPart *part = (SocketPart *)cls->tp_alloc(cls, 0);
    if (part == NULL) {
        return -1;
    }
    tl_cooperative_init(&part->socket, self, fd);
    part->socket.timeout_ns = timeout_ns;
    PyObject **slot = tl_socket_slot(self), *old = *slot;
    *slot = (PyObject *)part;
    Py_XDECREF(old);
    return 0;
}

// Not tp_dealloc: that of the base class would find ours again.
static void
socket_finalize(PyObject *self)
{
    PyTypeObject *base = tl_state_of_object(self)->socket_tools->base;
    end_part(self);
    if (base->tp_finalize != NULL) {
        base->tp_finalize(self); // warns, and closes the descriptor
    }
}

PyDoc_STRVAR(detach_doc,
"detach($self, /)\n"
"--\n"
"\n"
"Close the socket object, not its descriptor, which is returned, and is non-blocking.");

static PyObject *
socket_detach(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    end_part(self);
    return call_base(self, TL_BASE_DETACH, NULL);
}

// Lib/socket.py calls this when no file object uses the socket any more.
static PyObject *
socket_real_close(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    end_part(self);
    return tl_socket_call_base(self, TL_BASE_REAL_CLOSE, args, nargs, kwnames);
}

// ---- the type

// clang-format off

static PyMethodDef socket_methods[] = {
    {"settimeout", socket_settimeout, METH_O, settimeout_doc},
    {"gettimeout", socket_gettimeout, METH_NOARGS, gettimeout_doc},
    {"setblocking", socket_setblocking, METH_O, setblocking_doc},
    {"getblocking", socket_getblocking, METH_NOARGS, getblocking_doc},
    {"detach", socket_detach, METH_NOARGS, detach_doc},
    {"_real_close", TL_FAST(socket_real_close), METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef socket_getset[] = {
    {"timeout", get_timeout, NULL, "The timeout in seconds, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(socket_doc,
"A socket.socket whose calls let other tasklets run while they wait.");

// clang-format on

static int
add_methods(PyTypeObject *type, PyMethodDef *defs)
{
    int result = 0;
    for (; result == 0 && defs->ml_name != NULL; defs++) {
        PyObject *method = PyDescr_NewMethod(type, defs);
        result =
            method == NULL ? -1 : tl_setattr((PyObject *)type, defs->ml_name, method);
        Py_XDECREF(method);
    }
    return result;
}

// Our type: the base class's objects and one more slot.
static PyTypeObject *
make_type(PyObject *mod, PyTypeObject *base)
{
    Py_ssize_t offset = base->tp_basicsize;
    offset = (offset + (Py_ssize_t)alignof(PyObject *) - 1) &
             -(Py_ssize_t)alignof(PyObject *);
    PyMemberDef members[] = {
        {"_tasklets_part", Py_T_OBJECT_EX, offset, 0, NULL},
        {NULL, 0, 0, 0, NULL},
    };
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)socket_doc},
        {Py_tp_init, socket_init},
        {Py_tp_finalize, socket_finalize},
        {Py_tp_methods, socket_methods},
        {Py_tp_members, members},
        {Py_tp_getset, socket_getset},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "tasklets._core.CooperativeSocket",
        .basicsize = (int)(offset + (Py_ssize_t)sizeof(PyObject *)),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
        .slots = slots,
    };
    PyTypeObject *type =
        (PyTypeObject *)PyType_FromModuleAndSpec(mod, &spec, (PyObject *)base);
    if (type != NULL && (add_methods(type, tl_socket_calls) < 0 ||
                         add_methods(type, tl_socket_transfers) < 0)) {
        Py_CLEAR(type);
    }
    tl_socket_part_offset = offset;
    return type;
}

static int
find_methods(struct tl_socket_tools *tools)
{
    for (int i = 0; i < TL_BASE_METHODS; i++) {
        tools->methods[i] =
            tl_getattr((PyObject *)tools->base, tl_socket_method_names[i]);
        if (tools->methods[i] == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
                return -1;
            }
            PyErr_Clear(); // depends on the system
        }
    }
    return 0;
}

static struct tl_socket_tools *
make_tools(PyObject *mod)
{
    struct tl_socket_tools *tools = PyMem_Calloc(1, sizeof *tools);
    if (tools == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    PyObject *socket = PyImport_ImportModule("socket");
    tools->base = socket == NULL ? NULL : (PyTypeObject *)tl_getattr(socket, "socket");
    Py_XDECREF(socket);
    if (tools->base != NULL && find_methods(tools) == 0) {
        tools->part_type =
            (PyTypeObject *)PyType_FromModuleAndSpec(mod, &tl_socket_part_spec, NULL);
        tools->type = tools->part_type == NULL ? NULL : make_type(mod, tools->base);
    }
    if (tools->type != NULL) {
        return tools;
    }
    for (int i = 0; i < TL_BASE_METHODS; i++) {
        Py_XDECREF(tools->methods[i]);
    }
    Py_XDECREF(tools->part_type);
    Py_XDECREF(tools->base);
    PyMem_Free(tools);
    return NULL;
}

PyDoc_STRVAR(socket_type_doc,
"socket_type($module, /)\n"
"--\n"
"\n"
"Return the class derived from socket.socket whose calls let other tasklets run.");

static PyObject *
fn_socket_type(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_state *state = tl_state_of_module(mod);
    if (state->socket_tools == NULL) {
        state->socket_tools = make_tools(mod);
    }
    return state->socket_tools == NULL
               ? NULL
               : Py_NewRef((PyObject *)state->socket_tools->type);
}

PyDoc_STRVAR(give_way_doc,
"give_way($module, /)\n"
"--\n"
"\n"
"Count an operation that did not wait. After 16 of them in one slice the other tasklets\n"
"get their turn, if the caller may switch.");

static PyObject *
fn_give_way(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    return s == NULL || tl_socket_give_way(s) < 0 ? NULL : Py_NewRef(Py_None);
}

// clang-format off

PyMethodDef tl_socket_functions[] = {
    {"socket_type", fn_socket_type, METH_NOARGS, socket_type_doc},
    {"give_way", fn_give_way, METH_NOARGS, give_way_doc},
    {NULL, NULL, 0, NULL},
};
