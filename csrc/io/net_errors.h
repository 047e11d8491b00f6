// net_errors.h - raising the exceptions of tasklets.net that are Python classes.
#ifndef TL_NET_ERRORS_H
#define TL_NET_ERRORS_H

#include "cpython/compat.h"

// Each imports tasklets.net, sets the exception or the error of that, and returns -1.

// object was used after it was closed, or closed during the operation.
int tl_net_errors_closed(PyObject *object);

// The stream has ended before the read was complete. partial (borrowed): what was read;
// expected: the number of bytes that were wanted, -1: up to a separator.
int tl_net_errors_incomplete(PyObject *partial, Py_ssize_t expected);

// No separator was found in the first limit bytes.
int tl_net_errors_limit(PyObject *separator, Py_ssize_t limit);

#endif // TL_NET_ERRORS_H
