// stream_methods.h - what the type Stream uses of its methods.
#ifndef TL_STREAM_METHODS_H
#define TL_STREAM_METHODS_H

#include "python/stream_type.h"

// __next__() of Stream: the next line, or NULL at the end or with an exception set.
// Switch: may.
PyObject *tl_stream_next(StreamObject *self);

#endif // TL_STREAM_METHODS_H
