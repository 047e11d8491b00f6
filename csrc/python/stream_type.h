// stream_type.h - the Stream object.
#ifndef TL_STREAM_TYPE_H
#define TL_STREAM_TYPE_H

#include "io/stream.h"
#include "python/types.h"

typedef struct {
    PyObject_HEAD
    struct tl_stream stream;
    PyObject *weakrefs;
    int64_t read_timeout, write_timeout; // in nanoseconds; 0: none
} StreamObject;

// A new stream of class cls (NULL: Stream) on fd, a socket that is non-blocking and
// belongs to the stream from then on; or NULL with an exception set.
StreamObject *tl_stream_new(struct tl_state *state, PyTypeObject *cls, int fd);

#endif // TL_STREAM_TYPE_H
