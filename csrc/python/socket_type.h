// socket_type.h - the parts of the cooperative socket, for its four files.
#ifndef TL_SOCKET_TYPE_H
#define TL_SOCKET_TYPE_H

#include "core/thread.h"
#include "io/cooperative.h"

// The methods of the standard class that ours call.
enum tl_socket_method {
    TL_BASE_ACCEPT,
    TL_BASE_BIND,
    TL_BASE_CONNECT,
    TL_BASE_CONNECT_EX,
    TL_BASE_DETACH,
    TL_BASE_FILENO,
    TL_BASE_GETTIMEOUT,
    TL_BASE_INIT,
    TL_BASE_REAL_CLOSE,
    TL_BASE_RECV,
    TL_BASE_RECV_INTO,
    TL_BASE_RECVFROM,
    TL_BASE_RECVFROM_INTO,
    TL_BASE_RECVMSG,
    TL_BASE_RECVMSG_INTO,
    TL_BASE_SEND,
    TL_BASE_SENDALL,
    TL_BASE_SENDMSG,
    TL_BASE_SENDMSG_AFALG,
    TL_BASE_SENDTO,
    TL_BASE_SETTIMEOUT,
    TL_BASE_METHODS,
};

// What the cooperative socket uses of the standard library. Made at the first use, kept
// until the process ends.
struct tl_socket_tools {
    PyTypeObject *type; // our own
    PyTypeObject *base; // socket.socket
    PyTypeObject *part_type;
    PyObject *methods[TL_BASE_METHODS];
};

// Our part of a socket: an object of its own, in a slot, so that the interpreter
// releases it with the others whatever a subclass does in its __del__().
typedef struct {
    PyObject_HEAD
    struct tl_cooperative socket;
} SocketPart;

extern PyType_Spec tl_socket_part_spec;
extern const char *const tl_socket_method_names[TL_BASE_METHODS];

// Offset of the slot in an object, the same in all subclasses; set with the type.
extern Py_ssize_t tl_socket_part_offset;
PyObject **tl_socket_slot(PyObject *self);

// Our part of self: a new reference, for a call; or NULL, without an exception, before
// its __init__().
SocketPart *tl_socket_part(PyObject *self);

// Call a method of the standard class.
PyObject *tl_socket_call_base(PyObject *self, enum tl_socket_method method,
                              PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames);

struct tl_socket_call {
    enum tl_socket_method method;
    int what;         // TL_EDGE_READ or TL_EDGE_WRITE
    int flags;        // of the call
    bool has_address; // it sends to an address
};

// Begin a call: other tasklets may get a turn. Returns the scheduler, or NULL with an
// exception set.
// Switch: may.
struct tl_sched *tl_socket_begin(PyObject *self, const SocketPart *part);

// The argument flags, at that place or as a keyword. What is no int is 0: the base
// class raises the error.
int tl_socket_flags(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                    Py_ssize_t place);

// Whether a call that returned less than all goes on as a blocking one would.
bool tl_socket_goes_on(const SocketPart *part, int flags);

// Call the method of the base class until it would not block.
// Switch: may.
PyObject *tl_socket_call(PyObject *self, const struct tl_socket_call *call,
                         PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

// The address with its host looked up, if that is a name: a new reference, or NULL with
// an exception set. What is no address is returned as it is: the base class raises the
// error.
// Switch: may.
PyObject *tl_socket_look_up(PyObject *self, PyObject *address);

// Methods that may wait.
extern PyMethodDef tl_socket_calls[], tl_socket_transfers[];

#endif // TL_SOCKET_TYPE_H
