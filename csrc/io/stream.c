// stream.c - the output of a stream, and its life.
#include "io/stream.h"
#include "core/errors.h"

#include <errno.h>
#include <string.h>

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

// ---- output

// Send what the system takes now. What it does not take waits until it does.
static void
send_output(struct tl_sched *s, struct tl_stream *stream)
{
    struct tl_bytes *out = &stream->out;
    int error = 0;
    tl_flush_forget(&stream->flush);
    while (out->end > 0 && error == 0) {
        struct iovec piece = {out->data + out->start, tl_bytes_size(out)};
        ssize_t n = tl_socket_try_write(&stream->socket, &piece, 1);
        error = n < 0 ? errno : 0;
        if (n > 0) {
            tl_bytes_drop(out, (size_t)n);
        }
    }
    if (error == EAGAIN) {
        error = tl_socket_watch(s, &stream->socket);
    }
    if (error != 0) {
        stream->out_error = error; // raised by the next operation
        tl_bytes_drop(out, tl_bytes_size(out));
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

// Drop what has come and nobody will read: session tickets, which a server sends after
// the handshake. If they were left, the system would reset the connection, and the peer
// could lose what was written last.
static void
drop_input(struct tl_stream *stream)
{
    char memory[1024];
    int pieces = 64; // a peer that goes on sending is reset
    if (stream->tls != NULL && stream->tls->is_open && stream->socket.is_socket) {
        while (pieces-- > 0 && recv(stream->socket.fd, memory, sizeof memory, 0) > 0) {
        }
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
    tl_bytes_drop(&stream->out, tl_bytes_size(&stream->out));
    drop_input(stream);
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

static int
raise_finished(void)
{
    PyErr_SetString(PyExc_BrokenPipeError,
                    "cannot write after write_eof() of this stream");
    return -1;
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
        return raise_finished();
    }
    if (stream->cut_short) {
        PyErr_SetString(PyExc_BrokenPipeError,
                        "cannot write: an earlier write to this stream was cut short");
        return -1;
    }
    return 0;
}

// Output is possible, and more than `most` bytes are left. Send some, or wait. Returns
// 0, or -1 with an exception set.
static inline int
make_room(struct tl_sched *s, struct tl_stream *stream, tl_deadline deadline)
{
    if (!stream->socket.output_waits) {
        send_output(s, stream);
        return 0;
    }
    return tl_socket_wait(s, &stream->socket, TL_EDGE_WRITE, deadline);
}

// Wait until no other tasklet is inside a write, and at most `most` bytes of output are
// left. Returns 0, or -1 with an exception set.
static int
wait_for_room(struct tl_sched *s, struct tl_stream *stream, size_t most,
              tl_deadline deadline)
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
        if (tl_bytes_size(&stream->out) <= most) {
            return 0;
        }
        if (make_room(s, stream, deadline) < 0) {
            return -1;
        }
    }
}

void
tl_stream_send_later(struct tl_sched *s, struct tl_stream *stream)
{
    if (stream->out.end > 0 && !stream->socket.output_waits) {
        tl_flush_later(s, &stream->flush);
    }
}

// Encrypt and collect all of it. As tl_stream_write(), inside a write.
static int
encrypt(struct tl_sched *s, struct tl_stream *stream, const char *data, size_t size,
        tl_deadline deadline, size_t *written)
{
    while (*written < size) {
        size_t left = size - *written, n;
        size_t most = left < TL_STREAM_MAX_OUTPUT ? left : TL_STREAM_MAX_OUTPUT;
        int result =
            tl_tls_write(s, stream->tls, data + *written, most, &stream->out, &n);
        *written += n;
        tl_stream_send_later(s, stream);
        if (result == TL_TLS_WANTS) {
            // A change of keys is under way; after it OpenSSL takes only the same
            // bytes.
            stream->cut_short = true;
            if (tl_tls_fill(s, stream->tls, &stream->socket, deadline) < 0) {
                return -1;
            }
            stream->cut_short = false;
        } else if (result < 0) {
            return -1;
        }
        while (*written < size && tl_bytes_size(&stream->out) > TL_STREAM_LOW_OUTPUT) {
            if (check_output(stream) < 0 || make_room(s, stream, deadline) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int
write_with_tls(struct tl_sched *s, struct tl_stream *stream, const char *data,
               size_t size, tl_deadline deadline, size_t *written)
{
    if (stream->tls->is_shut) {
        return raise_finished();
    }
    stream->writing = true;
    int result = encrypt(s, stream, data, size, deadline, written);
    if (*written > 0) {
        stream->has_part = *written < size;
    }
    open_gate(stream);
    tl_stream_check(stream);
    return result;
}

int
tl_stream_write(struct tl_sched *s, struct tl_stream *stream, const char *data,
                size_t size, tl_deadline deadline, size_t *written)
{
    *written = 0;
    if (tl_socket_give_way(s) < 0) {
        return -1;
    }
    bool is_huge = size > TL_STREAM_MAX_OUTPUT;
    bool waits =
        stream->writing || tl_bytes_size(&stream->out) + size > TL_STREAM_MAX_OUTPUT;
    if ((waits ? wait_for_room(s, stream, is_huge ? 0 : TL_STREAM_LOW_OUTPUT, deadline)
               : check_output(stream)) < 0) {
        return -1;
    }
    if (stream->tls != NULL) {
        return write_with_tls(s, stream, data, size, deadline, written);
    }
    if (is_huge) {
        stream->writing = true;
        int result = tl_socket_write(s, &stream->socket, data, size, deadline, written);
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
    if (sent < size && tl_bytes_append(&stream->out, data + sent, size - sent) < 0) {
        stream->cut_short |= sent > 0;
        *written = sent;
        return -1;
    }
    *written = size;
    if (sent < size) {
        tl_stream_send_later(s, stream);
    }
    tl_stream_check(stream);
    return 0;
}

int
tl_stream_flush(struct tl_sched *s, struct tl_stream *stream, tl_deadline deadline)
{
    return wait_for_room(s, stream, 0, deadline);
}

int
tl_stream_write_eof(struct tl_sched *s, struct tl_stream *stream, tl_deadline deadline)
{
    if (stream->finished && stream->socket.state != TL_SOCKET_CLOSED) {
        return 0;
    }
    if (wait_for_room(s, stream, 0, deadline) < 0) {
        return -1;
    }
    if (stream->tls != NULL &&
        (tl_tls_shut(s, stream->tls, stream->reading ? NULL : &stream->in,
                     &stream->out) < 0 ||
         wait_for_room(s, stream, 0, deadline) < 0)) {
        return -1;
    }
    if (shutdown(stream->socket.fd, SHUT_WR) < 0 && errno != ENOTCONN) {
        return tl_socket_raise(&stream->socket, errno);
    }
    stream->finished = true;
    return 0;
}

// ---- TLS

// Check that TLS may begin. Returns 0, or -1 with an exception set.
static int
check_start(struct tl_stream *stream)
{
    const char *problem = stream->tls != NULL ? "this stream has TLS already"
                          : stream->reading   ? "another tasklet is reading"
                          : stream->writing   ? "another tasklet is writing"
                          : stream->at_end    ? "the peer has ended the stream"
                                              : NULL;
    if (check_output(stream) < 0) {
        return -1;
    }
    if (problem != NULL) {
        PyErr_Format(PyExc_RuntimeError, "cannot start TLS: %s", problem);
        return -1;
    }
    if (stream->in.end > 0) {
        PyErr_Format(PyExc_RuntimeError,
                     "cannot start TLS with %zu bytes in the read buffer: they came "
                     "before TLS began, and must be read first",
                     tl_bytes_size(&stream->in));
        return -1;
    }
    return 0;
}

int
tl_stream_start_tls(struct tl_sched *s, struct tl_stream *stream, struct tl_tls **tls,
                    tl_deadline deadline)
{
    if (check_start(stream) < 0) {
        return -1;
    }
    stream->tls = *tls;
    *tls = NULL;
    stream->reading = stream->writing = true;
    int result;
    do {
        result = tl_tls_handshake(s, stream->tls, &stream->out);
        if (stream->out.end > 0 && !stream->socket.output_waits &&
            stream->socket.state != TL_SOCKET_CLOSED) {
            send_output(s, stream); // at once: the peer waits for it
        }
        if (result == TL_TLS_WANTS &&
            tl_tls_fill(s, stream->tls, &stream->socket, deadline) < 0) {
            result = -1;
        }
    } while (result == TL_TLS_WANTS);
    stream->reading = false;
    open_gate(stream);
    if (result == 0 &&
        (stream->socket.state == TL_SOCKET_CLOSED || stream->socket.closing)) {
        result = tl_socket_raise_closed(&stream->socket); // by a callback
    }
    if (result < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        (void)tl_stream_close(s, stream, 0); // an alert has gone, if there is one
        PyErr_SetRaisedException(exc);
    }
    tl_stream_check(stream);
    return result;
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
    bool has_output = stream->out.end > 0;
    // Not after a part of a write, which would seem to be whole.
    bool sends_notice = stream->tls != NULL && linger_ns > 0 &&
                        stream->out_error == 0 && !stream->writing && !stream->has_part;
    if (sends_notice) {
        if (tl_tls_shut(s, stream->tls, NULL, &stream->out) < 0) {
            PyErr_Clear();
        }
        if (socket->state == TL_SOCKET_CLOSED || socket->closing) {
            return 0; // another thread has closed it, while this one waited for OpenSSL
        }
    }
    tl_flush_forget(&stream->flush);
    if (stream->out.end > 0 && !socket->output_waits && !stream->writing) {
        send_output(s, stream);
    }
    // That the peer cannot be told of the end is no error.
    int error = has_output || !sends_notice ? stream->out_error : 0;
    open_gate(stream);
    if (stream->tls == NULL) { // else another thread may be decrypting into it
        tl_bytes_drop(&stream->in, tl_bytes_size(&stream->in));
    }
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
    tl_bytes_drop(&stream->out, tl_bytes_size(&stream->out));
    drop_input(stream);
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
    tl_bytes_drop(&stream->out, tl_bytes_size(&stream->out));
    (void)tl_socket_close(socket);
    open_gate(stream);
}

void
tl_stream_fini(struct tl_stream *stream)
{
    tl_flush_forget(&stream->flush);
    (void)tl_socket_close(&stream->socket);
    tl_tls_free(stream->tls);
    stream->tls = NULL;
    PyMem_Free(stream->in.data);
    PyMem_Free(stream->out.data);
}
