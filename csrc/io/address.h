// address.h - socket addresses in the forms of C, of Python's sockets, and of messages.
#ifndef TL_ADDRESS_H
#define TL_ADDRESS_H

#include "cpython/compat.h" // before all of the system's

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

// The length of the longest IP address: most sockets have nothing longer.
enum { TL_ADDRESS_SHORT = sizeof(struct sockaddr_in6) };

union tl_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

// The address in the form that Python's sockets take: a new reference, or NULL with an
// exception set.
PyObject *tl_address_object(const struct sockaddr *address, socklen_t length);

// The address for messages, "127.0.0.1:80", "[::1]:80" or a path: a new reference, NULL
// with an exception set, or NULL without one if it has no text, as an unnamed Unix
// socket.
PyObject *tl_address_text(const struct sockaddr *address, socklen_t length);

// Read object, in the form that Python's sockets of that family take, with a host that
// is a number. *length: that of *address. Returns 0, -1 with an exception set, or 1 if
// the host must be looked up.
int tl_address_parse(int family, PyObject *object, union tl_address *address,
                     socklen_t *length);

#endif // TL_ADDRESS_H
