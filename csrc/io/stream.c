// stream.c - a socket or pipe with a read buffer and collected output.
#include "io/stream.h"
#include "core/errors.h"
#include "io/net_errors.h"

#include <errno.h>
#include <string.h>

// A read of this many bytes or more goes to its destination directly; a smaller one
// goes through the thread's scratch memory and is copied, which costs less than making
// an object of the wrong size and shrinking it.
enum { DIRECT_READ = 16384 };

// The first size of a buffer.
enum { FIRST_ROOM = 512 };

#ifndef NDEBUG
static void
check_bytes(const struct tl_stream *stream, const struct tl_bytes *bytes)
{
    TL_CHECK("B1", "tl_stream", stream,
             bytes->start <= bytes->end && bytes->end <= bytes->room);
    TL_CHECK("B1", "tl_stream", stream, bytes->start < bytes->end || bytes->end == 0);
}

void
tl_stream_check(const struct tl_stream *stream)
{
    check_bytes(stream, &stream->in);
    check_bytes(stream, &stream->out);
    TL_CHECK("B2", "tl_stream", stream,
             !stream->socket.output_waits || stream->out.end > 0);
    tl_socket_check(&stream->socket);
}
#endif

// ---- bytes

static size_t
size_of(const struct tl_bytes *bytes)
{
    return bytes->end - bytes->start;
}

// Drop the first n bytes, and the memory when nothing is left.
static void
drop(struct tl_bytes *bytes, size_t n)
{
    bytes->start += n;
    if (bytes->start == bytes->end) {
        PyMem_Free(bytes->data);
        *bytes = (struct tl_bytes){0};
    }
}

// Make room for n more bytes behind the last. Returns 0, or -1 with MemoryError set.
static int
reserve(struct tl_bytes *bytes, size_t n)
{
    size_t have = size_of(bytes);
    if (bytes->room - bytes->end >= n) {
        return 0;
    }
    if (bytes->start > 0) {
        memmove(bytes->data, bytes->data + bytes->start, have);
        bytes->start = 0;
        bytes->end = have;
    }
    if (bytes->room - have < n) {
        size_t room = bytes->room < FIRST_ROOM ? FIRST_ROOM : bytes->room;
        while (room - have < n) {
            room *= 2;
        }
        char *grown = PyMem_Realloc(bytes->data, room);
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        bytes->data = grown;
        bytes->room = room;
    }
    return 0;
}

static int
append(struct tl_bytes *bytes, const char *data, size_t n)
{
    if (reserve(bytes, n) < 0) {
        if (bytes->end == 0) {
            drop(bytes, 0);
        }
        return -1;
    }
    memcpy(bytes->data + bytes->end, data, n);
    bytes->end += n;
    return 0;
}

// The first n bytes as an object, which are dropped from the buffer.
static PyObject *
take(struct tl_stream *stream, size_t n)
{
    struct tl_bytes *in = &stream->in;
    PyObject *result =
        PyBytes_FromStringAndSize(n > 0 ? in->data + in->start : NULL, (Py_ssize_t)n);
    if (result != NULL && n > 0) {
        drop(in, n);
    }
    if (result != NULL) {
        stream->searched = 0;
    }
    return result;
}

// ---- reading

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

// Read from the peer. Returns the number of bytes, 0 at the end, or -1 with an exception
// set.
static ssize_t
receive(struct tl_sched *s, struct tl_stream *stream, void *memory, size_t size,
        int64_t deadline)
{
    if (stream->in_error != 0) {
        return tl_socket_raise(&stream->socket, stream->in_error);
    }
    if (stream->at_end) {
        return 0;
    }
    ssize_t n = tl_socket_read(s, &stream->socket, memory, size, deadline);
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
fill(struct tl_sched *s, struct tl_stream *stream, size_t wanted, int64_t deadline)
{
    char *scratch = tl_socket_scratch(s);
    if (scratch == NULL) {
        return -1;
    }
    if (wanted >= DIRECT_READ) {
        if (reserve(&stream->in, wanted) < 0) {
            return -1;
        }
        struct tl_bytes *in = &stream->in;
        ssize_t n =
            receive(s, stream, in->data + in->end, in->room - in->end, deadline);
        if (n > 0) {
            in->end += (size_t)n;
        }
        if (in->end == in->start) {
            drop(in, 0);
        }
        return n;
    }
    ssize_t n = receive(s, stream, scratch, TL_SOCKET_SCRATCH, deadline);
    return n > 0 && append(&stream->in, scratch, (size_t)n) < 0 ? -1 : n;
}

static PyObject *
read_some(struct tl_sched *s, struct tl_stream *stream, size_t size, int64_t deadline)
{
    size_t have = size_of(&stream->in);
    if (have > 0 || size == 0) {
        return take(stream, size < have ? size : have);
    }
    if (size > TL_SOCKET_SCRATCH && stream->wants_more) {
        PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        ssize_t n = result == NULL ? -1
                                   : receive(s, stream, PyBytes_AS_STRING(result), size,
                                             deadline);
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
               int64_t deadline)
{
    return begin_read(s, stream) < 0
               ? NULL
               : end_read(stream, read_some(s, stream, size, deadline));
}

PyObject *
tl_stream_read_all(struct tl_sched *s, struct tl_stream *stream, int64_t deadline)
{
    if (begin_read(s, stream) < 0) {
        return NULL;
    }
    ssize_t n;
    do {
        n = fill(s, stream, size_of(&stream->in), deadline);
    } while (n > 0);
    return end_read(stream, n < 0 ? NULL : take(stream, size_of(&stream->in)));
}

// The stream has ended: raise IncompleteReadError with what is left.
static PyObject *
raise_incomplete(struct tl_stream *stream, Py_ssize_t expected)
{
    PyObject *partial = take(stream, size_of(&stream->in));
    if (partial != NULL) {
        (void)tl_net_errors_incomplete(partial, expected);
        Py_DECREF(partial);
    }
    return NULL;
}

static PyObject *
read_exactly(struct tl_sched *s, struct tl_stream *stream, size_t size,
             int64_t deadline)
{
    if (size_of(&stream->in) == 0 && size > 0 && size < DIRECT_READ) {
        // The usual case: the next message is all that comes.
        char *scratch = tl_socket_scratch(s);
        ssize_t n = scratch == NULL
                        ? -1
                        : receive(s, stream, scratch, TL_SOCKET_SCRATCH, deadline);
        if (n == (ssize_t)size) {
            return PyBytes_FromStringAndSize(scratch, n);
        }
        if (n < 0 || (n > 0 && append(&stream->in, scratch, (size_t)n) < 0)) {
            return NULL;
        }
    }
    while (size_of(&stream->in) < size) {
        ssize_t n = fill(s, stream, size - size_of(&stream->in), deadline);
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
                       int64_t deadline)
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
    size_t have = size_of(in), from = stream->searched;
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
           size_t limit, bool lines, int64_t deadline)
{
    const char *bytes = PyBytes_AS_STRING(separator);
    size_t size = (size_t)PyBytes_GET_SIZE(separator);
    if (size_of(&stream->in) == 0) {
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
        if (came > 0 && append(&stream->in, scratch, came) < 0) {
            return NULL;
        }
    }
    for (;;) {
        size_t length = size_of(&stream->in) > 0 ? find(stream, bytes, size) : 0;
        if (length > limit || (length == 0 && size_of(&stream->in) >= limit)) {
            (void)tl_net_errors_limit(separator, (Py_ssize_t)limit);
            return NULL;
        }
        if (length > 0) {
            return take(stream, length);
        }
        ssize_t n = fill(s, stream, 0, deadline);
        if (n == 0) {
            return lines ? take(stream, size_of(&stream->in))
                         : raise_incomplete(stream, -1);
        }
        if (n < 0) {
            return NULL;
        }
    }
}

PyObject *
tl_stream_read_until(struct tl_sched *s, struct tl_stream *stream, PyObject *separator,
                     size_t limit, bool lines, int64_t deadline)
{
    if (begin_read(s, stream) < 0) {
        return NULL;
    }
    stream->searched = 0; // of another separator
    return end_read(stream,
                    read_until(s, stream, separator, limit, lines, deadline));
}

ssize_t
tl_stream_read_into(struct tl_sched *s, struct tl_stream *stream, void *memory,
                    size_t size, int64_t deadline)
{
    if (begin_read(s, stream) < 0) {
        return -1;
    }
    ssize_t n = (ssize_t)size_of(&stream->in);
    if (n > 0) {
        n = (size_t)n < size ? n : (ssize_t)size;
        memcpy(memory, stream->in.data + stream->in.start, (size_t)n);
        drop(&stream->in, (size_t)n);
        stream->searched = 0;
    } else if (size > 0) {
        n = receive(s, stream, memory, size, deadline);
    }
    (void)end_read(stream, NULL);
    return n;
}

// ---- output

// Send what the system takes now. What it does not take waits until it does.
static void
send_output(struct tl_sched *s, struct tl_stream *stream)
{
    struct tl_bytes *out = &stream->out;
    int error = 0;
    while (out->end > 0 && error == 0) {
        struct iovec piece = {out->data + out->start, size_of(out)};
        ssize_t n = tl_socket_try_write(&stream->socket, &piece, 1);
        error = n < 0 ? errno : 0;
        if (n > 0) {
            drop(out, (size_t)n);
        }
    }
    if (error == EAGAIN) {
        error = tl_socket_watch(s, &stream->socket);
    }
    if (error != 0) {
        stream->out_error = error; // raised by the next operation
        drop(out, size_of(out));
    }
    if (stream->socket.state == TL_SOCKET_WATCHED) {
        tl_socket_expect(&stream->socket, out->end > 0);
    }
    tl_stream_check(stream);
}

static void
flush_before_switch(struct tl_flush *flush)
{
    struct tl_stream *stream = TL_CONTAINER(flush, struct tl_stream, flush);
    if (stream->socket.state != TL_SOCKET_CLOSED && stream->out.end > 0 &&
        !stream->socket.output_waits) {
        send_output(tl_sched_mine, stream);
    }
}

// The output of a stream that is being closed has been sent, or its time is over.
static void
finish_close(struct tl_stream *stream)
{
    struct tl_sched *s = tl_socket_home(&stream->socket);
    if (tl_timer_is_set(&stream->linger)) {
        tl_timer_cancel(s, &stream->linger);
    }
    drop(&stream->out, size_of(&stream->out));
    (void)tl_socket_close(&stream->socket);
    tl_sched_drop_later(s, stream->socket.owner); // of tl_stream_close()
}

static void
close_now(struct tl_socket *socket)
{
    finish_close(TL_CONTAINER(socket, struct tl_stream, socket));
}

static void
linger_is_over(struct tl_timer *timer)
{
    finish_close(TL_CONTAINER(timer, struct tl_stream, linger));
}

static void
on_writable(struct tl_socket *socket)
{
    struct tl_stream *stream = TL_CONTAINER(socket, struct tl_stream, socket);
    if (stream->out.end > 0) {
        send_output(tl_socket_home(socket), stream);
    }
    if (socket->closing && stream->out.end == 0) {
        finish_close(stream);
    }
}

static void
gate_joined(struct tl_wait *wait)
{
    tl_task_of_wait(wait)->home->awaited++;
}

static void
gate_left(struct tl_wait *wait)
{
    tl_task_of_wait(wait)->home->awaited--;
}

static const struct tl_wait_kind gate_wait = {
    .verb = "write to", .joined = gate_joined, .left = gate_left};

static bool
gate_is_open(const struct tl_leave *how)
{
    struct tl_stream *stream = TL_CONTAINER(how->queue, struct tl_stream, gate);
    return !stream->writing;
}

static void
open_gate(struct tl_stream *stream)
{
    stream->writing = false;
    while (!tl_link_is_single(&stream->gate)) {
        TaskletObject *t = tl_task_of(stream->gate.next);
        tl_task_end_wait(t);
        tl_sched_ready(t);
    }
}

// Check that output is possible. Returns 0, or -1 with an exception set.
static int
check_output(struct tl_stream *stream)
{
    if (stream->socket.state == TL_SOCKET_CLOSED || stream->socket.closing) {
        return tl_socket_raise_closed(&stream->socket);
    }
    if (stream->out_error != 0) {
        return tl_socket_raise(&stream->socket, stream->out_error);
    }
    if (stream->finished) {
        PyErr_SetString(PyExc_BrokenPipeError,
                        "cannot write after write_eof() of this stream");
        return -1;
    }
    if (stream->cut_short) {
        PyErr_SetString(PyExc_BrokenPipeError,
                        "cannot write: an earlier write to this stream was cut short");
        return -1;
    }
    return 0;
}

// Wait until no other tasklet is inside a write, and at most `most` bytes of output are
// left. Returns 0, or -1 with an exception set.
static int
wait_for_room(struct tl_sched *s, struct tl_stream *stream, size_t most,
              int64_t deadline)
{
    for (;;) {
        if (check_output(stream) < 0) {
            return -1;
        }
        if (stream->writing) {
            if (tl_errors_block_trap(s)) {
                return -1;
            }
            struct tl_leave how = {.kind = &gate_wait,
                                   .on = stream->socket.owner,
                                   .queue = &stream->gate,
                                   .deadline = deadline,
                                   .comes = true,
                                   .last_check = gate_is_open};
            PyObject *value = tl_sched_leave(s, &how);
            Py_XDECREF(value);
            if (value == NULL) {
                return -1;
            }
            continue;
        }
        if (size_of(&stream->out) <= most) {
            return 0;
        }
        if (!stream->socket.output_waits) {
            send_output(s, stream);
            continue;
        }
        if (tl_socket_wait(s, &stream->socket, TL_EDGE_WRITE, deadline) < 0) {
            return -1;
        }
    }
}

int
tl_stream_write(struct tl_sched *s, struct tl_stream *stream, const char *data,
                size_t size, int64_t deadline, size_t *written)
{
    *written = 0;
    if (tl_socket_give_way(s) < 0) {
        return -1;
    }
    bool is_huge = size > TL_STREAM_MAX_OUTPUT;
    bool waits = stream->writing || size_of(&stream->out) + size > TL_STREAM_MAX_OUTPUT;
    if ((waits ? wait_for_room(s, stream, is_huge ? 0 : TL_STREAM_LOW_OUTPUT, deadline)
               : check_output(stream)) < 0) {
        return -1;
    }
    if (is_huge) {
        stream->writing = true;
        int result =
            tl_socket_write(s, &stream->socket, data, size, deadline, written);
        stream->cut_short |= *written > 0 && *written < size;
        open_gate(stream);
        return result;
    }
    size_t sent = 0;
    if (size > TL_STREAM_DIRECT && stream->out.end == 0) {
        struct iovec piece = {(char *)data, size};
        ssize_t n = tl_socket_try_write(&stream->socket, &piece, 1);
        if (n < 0 && errno != EAGAIN) {
            return tl_socket_raise(&stream->socket, errno);
        }
        sent = n < 0 ? 0 : (size_t)n;
    }
    if (sent < size && append(&stream->out, data + sent, size - sent) < 0) {
        stream->cut_short |= sent > 0;
        *written = sent;
        return -1;
    }
    *written = size;
    if (sent < size && !stream->socket.output_waits) {
        tl_flush_later(s, &stream->flush);
    }
    tl_stream_check(stream);
    return 0;
}

int
tl_stream_flush(struct tl_sched *s, struct tl_stream *stream, int64_t deadline)
{
    return wait_for_room(s, stream, 0, deadline);
}

int
tl_stream_write_eof(struct tl_sched *s, struct tl_stream *stream, int64_t deadline)
{
    if (stream->finished && stream->socket.state != TL_SOCKET_CLOSED) {
        return 0;
    }
    if (wait_for_room(s, stream, 0, deadline) < 0) {
        return -1;
    }
    if (shutdown(stream->socket.fd, SHUT_WR) < 0 && errno != ENOTCONN) {
        return tl_socket_raise(&stream->socket, errno);
    }
    stream->finished = true;
    return 0;
}

// ---- life

void
tl_stream_init(struct tl_stream *stream, PyObject *owner, int fd)
{
    memset(stream, 0, sizeof *stream);
    tl_socket_init(&stream->socket, owner, fd);
    stream->socket.writable = on_writable;
    stream->socket.close_now = close_now;
    stream->flush.flush = flush_before_switch;
    stream->linger.fire = linger_is_over;
    tl_link_init(&stream->flush.link);
    tl_link_init(&stream->gate);
}

int
tl_stream_close(struct tl_sched *s, struct tl_stream *stream, int64_t linger_ns)
{
    struct tl_socket *socket = &stream->socket;
    if (socket->state == TL_SOCKET_CLOSED || socket->closing) {
        return 0;
    }
    tl_flush_forget(&stream->flush);
    if (stream->out.end > 0 && !socket->output_waits && !stream->writing) {
        send_output(s, stream);
    }
    int error = stream->out_error;
    open_gate(stream);
    drop(&stream->in, size_of(&stream->in));
    if (stream->out.end > 0 && linger_ns > 0 &&
        tl_timer_heap_reserve(&tl_socket_home(socket)->timers)) {
        socket->closing = true;
        Py_INCREF(socket->owner); // until finish_close()
        tl_socket_wake(socket);
        struct tl_sched *home = tl_socket_home(socket);
        tl_timer_set(home, &stream->linger, tl_timer_now(home) + linger_ns);
        tl_sched_notify(home);
        return error;
    }
    drop(&stream->out, size_of(&stream->out));
    int closed = tl_socket_close(socket);
    return error != 0 ? error : closed;
}

void
tl_stream_abort(struct tl_stream *stream)
{
    struct tl_socket *socket = &stream->socket;
    if (socket->state == TL_SOCKET_CLOSED) {
        return;
    }
    struct linger linger = {.l_onoff = 1};
    (void)setsockopt(socket->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    if (socket->closing) {
        finish_close(stream);
        return;
    }
    tl_flush_forget(&stream->flush);
    drop(&stream->out, size_of(&stream->out));
    (void)tl_socket_close(socket);
    open_gate(stream);
}

void
tl_stream_fini(struct tl_stream *stream)
{
    tl_flush_forget(&stream->flush);
    (void)tl_socket_close(&stream->socket);
    PyMem_Free(stream->in.data);
    PyMem_Free(stream->out.data);
}
