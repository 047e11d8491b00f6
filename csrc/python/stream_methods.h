// stream_methods.h - what other types of tasklets.net share with Stream.
#ifndef TL_STREAM_METHODS_H
#define TL_STREAM_METHODS_H

#include "python/stream_type.h"

// __next__() of Stream: the next line, or NULL at the end or with an exception set.
// Switch: may.
PyObject *tl_stream_next(StreamObject *self);

// __reduce__() of objects with a descriptor: refuses.
PyObject *tl_net_refuse_reduce(PyObject *self, PyObject *ignored);

#endif // TL_STREAM_METHODS_H
