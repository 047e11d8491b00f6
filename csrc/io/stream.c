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

// The output of a stream that is being closed has been sent, or its time is over.
static void
finish_close(struct tl_stream *stream)
{
    struct tl_sched *s = tl_socket_home(&stream->socket);
    if (tl_timer_is_set(&stream->linger)) {
        tl_timer_cancel(s, &stream->linger);
    }
    tl_bytes_drop(&stream->out, tl_bytes_size(&stream->out));
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
    if (sent < size && !stream->socket.output_waits) {
        tl_flush_later(s, &stream->flush);
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
    tl_bytes_drop(&stream->in, tl_bytes_size(&stream->in));
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
    PyMem_Free(stream->in.data);
    PyMem_Free(stream->out.data);
}
