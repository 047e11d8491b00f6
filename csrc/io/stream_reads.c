// stream_reads.c - reading from a stream: bytes, lines, counts.
#include "io/stream_reads.h"
#include "io/net_errors.h"

#include <errno.h>
#include <string.h>

// A read of this many bytes or more goes to its destination directly; a smaller one
// goes through the thread's scratch memory and is copied, which costs less than making
// an object of the wrong size and shrinking it.
enum { DIRECT_READ = 16384 };

// The first n bytes as an object, which are dropped from the buffer.
static PyObject *
take(struct tl_stream *stream, size_t n)
{
    struct tl_bytes *in = &stream->in;
    PyObject *result =
        PyBytes_FromStringAndSize(n > 0 ? in->data + in->start : NULL, (Py_ssize_t)n);
    if (result != NULL && n > 0) {
        tl_bytes_drop(in, n);
    }
    if (result != NULL) {
        stream->searched = 0;
    }
    return result;
}

// Begin a read. Returns 0, or -1 with an exception set.
static int
begin_read(struct tl_sched *s, struct tl_stream *stream)
{
    if (stream->socket.state == TL_SOCKET_CLOSED || stream->socket.closing) {
        return tl_socket_raise_closed(&stream->socket);
    }
    if (stream->reading) {
        PyErr_SetString(PyExc_RuntimeError,
                        "another tasklet is reading from this stream");
        return -1;
    }
    if (tl_socket_give_way(s) < 0) {
        return -1;
    }
    // Others may have run.
    if (stream->socket.state == TL_SOCKET_CLOSED || stream->socket.closing) {
        return tl_socket_raise_closed(&stream->socket);
    }
    if (stream->reading) {
        PyErr_SetString(PyExc_RuntimeError,
                        "another tasklet is reading from this stream");
        return -1;
    }
    stream->reading = true;
    return 0;
}

static PyObject *
end_read(struct tl_stream *stream, PyObject *result)
{
    stream->reading = false;
    tl_stream_check(stream);
    return result;
}

// receive() with TLS.
static ssize_t
decrypt(struct tl_sched *s, struct tl_stream *stream, void *memory, size_t size,
        tl_deadline deadline)
{
    struct tl_tls *tls = stream->tls;
    for (;;) {
        if (stream->socket.state == TL_SOCKET_CLOSED || stream->socket.closing) {
            return tl_socket_raise_closed(&stream->socket);
        }
        if (tls->may_have || tls->failure != NULL) {
            ssize_t n = tl_tls_read(s, tls, memory, size, &stream->out);
            tl_stream_send_later(s, stream);
            if (n != TL_TLS_WANTS) {
                return n;
            }
        }
        if (tl_tls_fill(s, tls, &stream->socket, deadline) < 0) {
            return -1;
        }
    }
}

// Read from the peer. Returns the number of bytes, 0 at the end, or -1 with an
// exception set.
static ssize_t
receive(struct tl_sched *s, struct tl_stream *stream, void *memory, size_t size,
        tl_deadline deadline)
{
    if (stream->in_error != 0) {
        return tl_socket_raise(&stream->socket, stream->in_error);
    }
    if (stream->at_end) {
        return 0;
    }
    ssize_t n = stream->tls != NULL
                    ? decrypt(s, stream, memory, size, deadline)
                    : tl_socket_read(s, &stream->socket, memory, size, deadline);
    if (n == 0) {
        stream->at_end = true;
    } else if (n < 0 && PyErr_ExceptionMatches(PyExc_ConnectionError)) {
        // The system reports it once, and the end of the stream from then on.
        stream->in_error = stream->socket.last_error;
    }
    return n;
}

// Read more into the buffer, which gets at least one byte. Returns as receive().
static ssize_t
fill(struct tl_sched *s, struct tl_stream *stream, size_t wanted, tl_deadline deadline)
{
    char *scratch = tl_socket_scratch(s);
    if (scratch == NULL) {
        return -1;
    }
    // Not with TLS, as another thread may close the stream, which frees the buffer,
    // while OpenSSL writes into it.
    if (wanted >= DIRECT_READ && stream->tls == NULL) {
        if (tl_bytes_reserve(&stream->in, wanted) < 0) {
            return -1;
        }
        struct tl_bytes *in = &stream->in;
        ssize_t n =
            receive(s, stream, in->data + in->end, in->room - in->end, deadline);
        if (n > 0) {
            in->end += (size_t)n;
        }
        if (in->end == in->start) {
            tl_bytes_drop(in, 0);
        }
        return n;
    }
    ssize_t n = receive(s, stream, scratch, TL_SOCKET_SCRATCH, deadline);
    return n > 0 && tl_bytes_append(&stream->in, scratch, (size_t)n) < 0 ? -1 : n;
}

static PyObject *
read_some(struct tl_sched *s, struct tl_stream *stream, size_t size,
          tl_deadline deadline)
{
    size_t have = tl_bytes_size(&stream->in);
    if (have > 0 || size == 0) {
        return take(stream, size < have ? size : have);
    }
    if (size > TL_SOCKET_SCRATCH && stream->wants_more) {
        PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        ssize_t n = result == NULL
                        ? -1
                        : receive(s, stream, PyBytes_AS_STRING(result), size, deadline);
        if (n < 0) {
            Py_CLEAR(result);
        } else {
            stream->wants_more = n > TL_SOCKET_SCRATCH;
            (void)_PyBytes_Resize(&result, n);
        }
        return result;
    }
    char *scratch = tl_socket_scratch(s);
    if (scratch == NULL) {
        return NULL;
    }
    size_t most = size < TL_SOCKET_SCRATCH ? size : TL_SOCKET_SCRATCH;
    ssize_t n = receive(s, stream, scratch, most, deadline);
    stream->wants_more = n == TL_SOCKET_SCRATCH;
    return n < 0 ? NULL : PyBytes_FromStringAndSize(scratch, n);
}

PyObject *
tl_stream_read(struct tl_sched *s, struct tl_stream *stream, size_t size,
               tl_deadline deadline)
{
    return begin_read(s, stream) < 0
               ? NULL
               : end_read(stream, read_some(s, stream, size, deadline));
}

PyObject *
tl_stream_read_all(struct tl_sched *s, struct tl_stream *stream, tl_deadline deadline)
{
    if (begin_read(s, stream) < 0) {
        return NULL;
    }
    ssize_t n;
    do {
        n = fill(s, stream, tl_bytes_size(&stream->in), deadline);
    } while (n > 0);
    return end_read(stream, n < 0 ? NULL : take(stream, tl_bytes_size(&stream->in)));
}

// The stream has ended: raise IncompleteReadError with what is left.
static PyObject *
raise_incomplete(struct tl_stream *stream, Py_ssize_t expected)
{
    PyObject *partial = take(stream, tl_bytes_size(&stream->in));
    if (partial != NULL) {
        (void)tl_net_errors_incomplete(partial, expected);
        Py_DECREF(partial);
    }
    return NULL;
}

static PyObject *
read_exactly(struct tl_sched *s, struct tl_stream *stream, size_t size,
             tl_deadline deadline)
{
    if (tl_bytes_size(&stream->in) == 0 && size > 0 && size < DIRECT_READ) {
        // The usual case: the next message is all that comes.
        char *scratch = tl_socket_scratch(s);
        ssize_t n = scratch == NULL
                        ? -1
                        : receive(s, stream, scratch, TL_SOCKET_SCRATCH, deadline);
        if (n == (ssize_t)size) {
            return PyBytes_FromStringAndSize(scratch, n);
        }
        if (n < 0 || (n > 0 && tl_bytes_append(&stream->in, scratch, (size_t)n) < 0)) {
            return NULL;
        }
    }
    while (tl_bytes_size(&stream->in) < size) {
        ssize_t n = fill(s, stream, size - tl_bytes_size(&stream->in), deadline);
        if (n < 0) {
            return NULL;
        }
        if (n == 0) {
            return raise_incomplete(stream, (Py_ssize_t)size);
        }
    }
    return take(stream, size);
}

PyObject *
tl_stream_read_exactly(struct tl_sched *s, struct tl_stream *stream, size_t size,
                       tl_deadline deadline)
{
    return begin_read(s, stream) < 0
               ? NULL
               : end_read(stream, read_exactly(s, stream, size, deadline));
}

// The number of bytes up to and with the separator, 0 if it is not in the buffer yet.
static size_t
find(struct tl_stream *stream, const char *separator, size_t size)
{
    const struct tl_bytes *in = &stream->in;
    const char *begin = in->data + in->start;
    size_t have = tl_bytes_size(in), from = stream->searched;
    const char *found =
        have - from < size ? NULL : memmem(begin + from, have - from, separator, size);
    if (found != NULL) {
        return (size_t)(found - begin) + size;
    }
    stream->searched = have < size ? 0 : have - size + 1;
    return 0;
}

static PyObject *
read_until(struct tl_sched *s, struct tl_stream *stream, PyObject *separator,
           size_t limit, bool lines, tl_deadline deadline)
{
    const char *bytes = PyBytes_AS_STRING(separator);
    size_t size = (size_t)PyBytes_GET_SIZE(separator);
    if (tl_bytes_size(&stream->in) == 0) {
        // The usual case: the next line is all that comes.
        char *scratch = tl_socket_scratch(s);
        ssize_t n = scratch == NULL
                        ? -1
                        : receive(s, stream, scratch, TL_SOCKET_SCRATCH, deadline);
        if (n < 0) {
            return NULL;
        }
        size_t came = (size_t)n;
        if (came >= size && came <= limit &&
            memmem(scratch, came, bytes, size) == scratch + came - size) {
            return PyBytes_FromStringAndSize(scratch, n);
        }
        if (came > 0 && tl_bytes_append(&stream->in, scratch, came) < 0) {
            return NULL;
        }
    }
    for (;;) {
        size_t length = tl_bytes_size(&stream->in) > 0 ? find(stream, bytes, size) : 0;
        if (length > limit || (length == 0 && tl_bytes_size(&stream->in) >= limit)) {
            (void)tl_net_errors_limit(separator, (Py_ssize_t)limit);
            return NULL;
        }
        if (length > 0) {
            return take(stream, length);
        }
        ssize_t n = fill(s, stream, 0, deadline);
        if (n == 0) {
            return lines ? take(stream, tl_bytes_size(&stream->in))
                         : raise_incomplete(stream, -1);
        }
        if (n < 0) {
            return NULL;
        }
    }
}

PyObject *
tl_stream_read_until(struct tl_sched *s, struct tl_stream *stream, PyObject *separator,
                     size_t limit, bool lines, tl_deadline deadline)
{
    if (begin_read(s, stream) < 0) {
        return NULL;
    }
    stream->searched = 0; // of another separator
    return end_read(stream, read_until(s, stream, separator, limit, lines, deadline));
}

ssize_t
tl_stream_read_into(struct tl_sched *s, struct tl_stream *stream, void *memory,
                    size_t size, tl_deadline deadline)
{
    if (begin_read(s, stream) < 0) {
        return -1;
    }
    ssize_t n = (ssize_t)tl_bytes_size(&stream->in);
    if (n > 0) {
        n = (size_t)n < size ? n : (ssize_t)size;
        memcpy(memory, stream->in.data + stream->in.start, (size_t)n);
        tl_bytes_drop(&stream->in, (size_t)n);
        stream->searched = 0;
    } else if (size > 0) {
        n = receive(s, stream, memory, size, deadline);
    }
    (void)end_read(stream, NULL);
    return n;
}
