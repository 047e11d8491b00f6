// stream_methods.c - the methods of Stream that read and write.
#include "python/stream_methods.h"
#include "core/thread.h"
#include "io/stream_reads.h"
#include "object/args.h"

// The default limit of a line: what HTTP servers allow a header at most, and more than
// any protocol of lines needs.
enum { LINE_LIMIT = 65536 };

// ---- arguments

// The deadline of timeout, an argument or NULL; by_default: the stream's own, in
// nanoseconds, or 0.
static int
deadline_of(struct tl_sched *s, PyObject *timeout, int64_t by_default,
            tl_deadline *deadline)
{
    if (TL_LIKELY(timeout == NULL)) {
        *deadline = by_default > 0 ? tl_timer_now(s) + by_default : TL_DEADLINE_NEVER;
        return 0;
    }
    return tl_timer_deadline(timeout, deadline);
}

static int
size_of(PyObject *arg, const char *what, Py_ssize_t *size)
{
    *size = PyNumber_AsSsize_t(arg, PyExc_OverflowError);
    if (*size == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*size < 0) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative, %zd is", what, *size);
        return -1;
    }
    return 0;
}

// ---- reading

PyDoc_STRVAR(read_doc,
"read($self, n=65536, /, *, timeout=None)\n"
"--\n"
"\n"
"Return what has come, at least one and at most n bytes; b\"\" at the end.\n"
"\n"
"n=-1: all bytes up to the end. Waits up to timeout seconds, by default read_timeout,\n"
"then raises TimeoutError; raises OSError if the connection breaks, RuntimeError if\n"
"another tasklet is reading, ClosedError if the stream is closed. After an error\n"
"nothing is lost: what had come is returned by the next read.");

static PyObject *
stream_read(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const char *const names[] = {"n", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "read", .names = names, .posonly = 1, .maxpos = 1};
    PyObject *argv[2] = {nargs > 0 ? args[0] : NULL, NULL};
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    Py_ssize_t size = TL_SOCKET_SCRATCH;
    if (s == NULL ||
        ((nargs > 1 || kwnames != NULL) &&
         tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) ||
        deadline_of(s, argv[1], self->read_timeout, &deadline) < 0) {
        return NULL;
    }
    if (argv[0] != NULL) {
        size = PyNumber_AsSsize_t(argv[0], PyExc_OverflowError);
        if (size == -1 && !PyErr_Occurred()) {
            return tl_stream_read_all(s, &self->stream, deadline);
        }
        if (size < 0) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_ValueError, "n must be -1 or more, not %zd", size);
            }
            return NULL;
        }
    }
    return tl_stream_read(s, &self->stream, (size_t)size, deadline);
}

PyDoc_STRVAR(read_exactly_doc,
"read_exactly($self, n, /, *, timeout=None)\n"
"--\n"
"\n"
"Return exactly n bytes.\n"
"\n"
"Raises IncompleteReadError if the stream ends before, and otherwise what read()\n"
"raises.");

static PyObject *
stream_read_exactly(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const char *const names[] = {"n", "timeout", NULL};
    static const struct tl_argspec spec = {.fname = "read_exactly",
                                           .names = names,
                                           .required = 1,
                                           .posonly = 1,
                                           .maxpos = 1};
    PyObject *argv[2];
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    Py_ssize_t size;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        size_of(argv[0], "n", &size) < 0 ||
        deadline_of(s, argv[1], self->read_timeout, &deadline) < 0) {
        return NULL;
    }
    return tl_stream_read_exactly(s, &self->stream, (size_t)size, deadline);
}

PyDoc_STRVAR(read_until_doc,
"read_until($self, separator, /, *, limit=65536, timeout=None)\n"
"--\n"
"\n"
"Return the bytes up to and including separator.\n"
"\n"
"Raises LimitError, and takes nothing, if that would be more than limit bytes;\n"
"IncompleteReadError if the stream ends before; and otherwise what read() raises.");

PyDoc_STRVAR(readline_doc,
"readline($self, *, limit=65536, timeout=None)\n"
"--\n"
"\n"
"Return the next line, with its b\"\\n\"; the last one may have none. b\"\" at the end.\n"
"\n"
"Raises LimitError, and takes nothing, if the line is longer than limit bytes, and\n"
"otherwise what read() raises.");

static PyObject *
read_until(StreamObject *self, PyObject *separator, PyObject *limit, PyObject *timeout,
           bool lines)
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    Py_ssize_t most = LINE_LIMIT;
    tl_deadline deadline;
    if (s == NULL || (limit != NULL && size_of(limit, "limit", &most) < 0) ||
        deadline_of(s, timeout, self->read_timeout, &deadline) < 0) {
        return NULL;
    }
    return tl_stream_read_until(s, &self->stream, separator, (size_t)most, lines,
                                deadline);
}

static PyObject *
stream_read_until(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const char *const names[] = {"separator", "limit", "timeout", NULL};
    static const struct tl_argspec spec = {.fname = "read_until",
                                           .names = names,
                                           .required = 1,
                                           .posonly = 1,
                                           .maxpos = 1};
    PyObject *argv[3];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    PyObject *separator = PyBytes_FromObject(argv[0]);
    if (separator != NULL && PyBytes_GET_SIZE(separator) == 0) {
        PyErr_SetString(PyExc_ValueError, "the separator must not be empty");
        Py_CLEAR(separator);
    }
    PyObject *result =
        separator == NULL ? NULL : read_until(self, separator, argv[1], argv[2], false);
    Py_XDECREF(separator);
    return result;
}

static PyObject *
stream_readline(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const char *const names[] = {"limit", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "readline", .names = names, .maxpos = 0};
    PyObject *argv[2] = {NULL};
    if ((nargs > 0 || kwnames != NULL) &&
        tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    PyObject *newline = tl_state_of_object((PyObject *)self)->newline;
    return read_until(self, newline, argv[0], argv[1], true);
}

PyObject *
tl_stream_next(StreamObject *self)
{
    PyObject *newline = tl_state_of_object((PyObject *)self)->newline;
    PyObject *line = read_until(self, newline, NULL, NULL, true);
    if (line != NULL && PyBytes_GET_SIZE(line) == 0) {
        Py_CLEAR(line); // the end of the iteration
    }
    return line;
}

PyDoc_STRVAR(readinto_doc,
"readinto($self, buffer, /, *, timeout=None)\n"
"--\n"
"\n"
"Read into a writable buffer, and return the number of bytes; 0 at the end.\n"
"\n"
"Raises what read() raises.");

static PyObject *
stream_readinto(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const char *const names[] = {"buffer", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "readinto", .names = names, .required = 1, .posonly = 1, .maxpos = 1};
    PyObject *argv[2];
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    Py_buffer view;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        deadline_of(s, argv[1], self->read_timeout, &deadline) < 0 ||
        PyObject_GetBuffer(argv[0], &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    ssize_t n =
        tl_stream_read_into(s, &self->stream, view.buf, (size_t)view.len, deadline);
    PyBuffer_Release(&view);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

// ---- writing

// A write was interrupted: the exception tells how much has been written.
static void
note_sent(size_t written)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *number = PyLong_FromSize_t(written);
    if (number == NULL || tl_setattr(exc, "sent", number) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(number);
    PyErr_SetRaisedException(exc);
}

static int
write_buffer(struct tl_sched *s, StreamObject *self, PyObject *data,
             tl_deadline deadline, size_t *sent)
{
    Py_buffer view;
    size_t written;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    int result = tl_stream_write(s, &self->stream, view.buf, (size_t)view.len, deadline,
                                 &written);
    *sent += written;
    PyBuffer_Release(&view);
    return result;
}

PyDoc_STRVAR(write_doc,
"write($self, data, /, *, timeout=None)\n"
"--\n"
"\n"
"Write all of data, which is bytes or another buffer.\n"
"\n"
"Small writes are collected until the tasklet gives way to others, up to 64 KiB, and\n"
"sent together: flush() sends them at once. Waits while too much is collected, up to\n"
"timeout seconds, by default write_timeout, then raises TimeoutError. Raises OSError\n"
"if the connection breaks, also for an earlier write. If an exception cuts a write\n"
"short, its attribute sent is the number of bytes that have gone, and later writes\n"
"raise BrokenPipeError; with TLS they go on, so that the rest can be written.");

static PyObject *
stream_write(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const char *const names[] = {"data", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "write", .names = names, .required = 1, .posonly = 1, .maxpos = 1};
    PyObject *argv[2] = {nargs > 0 ? args[0] : NULL, NULL};
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    size_t sent = 0;
    if (s == NULL ||
        ((nargs != 1 || kwnames != NULL) &&
         tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) ||
        deadline_of(s, argv[1], self->write_timeout, &deadline) < 0) {
        return NULL;
    }
    if (write_buffer(s, self, argv[0], deadline, &sent) < 0) {
        note_sent(sent);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(writelines_doc,
"writelines($self, pieces, /, *, timeout=None)\n"
"--\n"
"\n"
"Write each of the pieces, an iterable of bytes or other buffers. As write().");

static PyObject *
stream_writelines(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const char *const names[] = {"pieces", "timeout", NULL};
    static const struct tl_argspec spec = {.fname = "writelines",
                                           .names = names,
                                           .required = 1,
                                           .posonly = 1,
                                           .maxpos = 1};
    PyObject *argv[2];
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    size_t sent = 0;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        deadline_of(s, argv[1], self->write_timeout, &deadline) < 0) {
        return NULL;
    }
    PyObject *iterator = PyObject_GetIter(argv[0]), *piece = NULL;
    int result = iterator == NULL ? -1 : 0;
    while (result == 0 && (piece = PyIter_Next(iterator)) != NULL) {
        result = write_buffer(s, self, piece, deadline, &sent);
        Py_DECREF(piece);
    }
    if (result < 0 && iterator != NULL) {
        note_sent(sent);
    }
    Py_XDECREF(iterator);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

// A method that takes only a timeout, of writing.
static PyObject *
call_with_timeout(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames, const char *fname,
                  int (*func)(struct tl_sched *s, struct tl_stream *stream,
                              tl_deadline deadline))
{
    static const char *const names[] = {"timeout", NULL};
    const struct tl_argspec spec = {.fname = fname, .names = names, .maxpos = 0};
    PyObject *argv[1];
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        deadline_of(s, argv[0], self->write_timeout, &deadline) < 0) {
        return NULL;
    }
    return func(s, &self->stream, deadline) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(flush_doc,
"flush($self, *, timeout=None)\n"
"--\n"
"\n"
"Wait until everything written so far has been given to the system.\n"
"\n"
"Raises what write() raises.");

static PyObject *
stream_flush(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    return call_with_timeout(self, args, nargs, kwnames, "flush", tl_stream_flush);
}

PyDoc_STRVAR(write_eof_doc,
"write_eof($self, *, timeout=None)\n"
"--\n"
"\n"
"Flush, and tell the peer that nothing follows; reading goes on.\n"
"\n"
"With TLS the peer gets a close_notify; up to TLS 1.2 it may end the connection then.\n"
"Raises what write() raises. Calling it again does nothing.");

static PyObject *
stream_write_eof(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    return call_with_timeout(self, args, nargs, kwnames, "write_eof",
                             tl_stream_write_eof);
}

// clang-format off

PyMethodDef tl_stream_methods[] = {
    {"read", TL_FAST(stream_read), METH_FASTCALL | METH_KEYWORDS, read_doc},
    {"read_exactly", TL_FAST(stream_read_exactly), METH_FASTCALL | METH_KEYWORDS,
     read_exactly_doc},
    {"read_until", TL_FAST(stream_read_until), METH_FASTCALL | METH_KEYWORDS,
     read_until_doc},
    {"readline", TL_FAST(stream_readline), METH_FASTCALL | METH_KEYWORDS, readline_doc},
    {"readinto", TL_FAST(stream_readinto), METH_FASTCALL | METH_KEYWORDS, readinto_doc},
    {"write", TL_FAST(stream_write), METH_FASTCALL | METH_KEYWORDS, write_doc},
    {"writelines", TL_FAST(stream_writelines), METH_FASTCALL | METH_KEYWORDS,
     writelines_doc},
    {"flush", TL_FAST(stream_flush), METH_FASTCALL | METH_KEYWORDS, flush_doc},
    {"write_eof", TL_FAST(stream_write_eof), METH_FASTCALL | METH_KEYWORDS,
     write_eof_doc},
    {NULL, NULL, 0, NULL},
};
