// tls.c - TLS records, made and read by the objects of the standard ssl module.
#include "io/tls.h"

#include <errno.h>
#include <string.h>
#include <time.h>

// The plain text of one record has at most that many bytes.
enum { MAX_RECORD = 16384 };

// What a record has beside the plain text is less than that.
enum { OVERHEAD = 64 };

// Pause of a thread that waits for another one to leave OpenSSL, which takes
// microseconds, or a millisecond for a handshake.
enum { PAUSE_NS = 20000 };

// ---- a window: memory of ours, as an object that _ssl and MemoryBIO take

struct window {
    PyObject_HEAD
    void *data; // NULL: closed
    Py_ssize_t size;
};

static int
window_getbuffer(struct window *self, Py_buffer *view, int flags)
{
    if (self->data == NULL) {
        PyErr_SetString(PyExc_BufferError, "the window is closed");
        view->obj = NULL;
        return -1;
    }
    return PyBuffer_FillInfo(view, (PyObject *)self, self->data, self->size, 0, flags);
}

static void
window_dealloc(struct window *self)
{
    PyTypeObject *cls = Py_TYPE(self);
    cls->tp_free(self);
    Py_DECREF(cls);
}

static PyType_Slot window_slots[] = {
    {Py_bf_getbuffer, window_getbuffer},
    {Py_tp_dealloc, window_dealloc},
    {0, NULL},
};

static PyType_Spec window_spec = {
    .name = "tasklets._core.window",
    .basicsize = sizeof(struct window),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = window_slots,
};

// ---- what is used of ssl

static PyObject *
take_from(PyObject *mod, const char *name)
{
    return mod == NULL ? NULL : tl_getattr(mod, name);
}

// Look it up. Returns 0, or -1 with an exception set.
static int
find_tools(struct tl_state *state)
{
    struct tl_tls_tools *tools = &state->tls;
    if (tools->window_type != NULL) {
        return 0;
    }
    PyObject *mod = PyImport_ImportModule("ssl");
    Py_XSETREF(tools->context_type, take_from(mod, "SSLContext"));
    Py_XSETREF(tools->memory_bio, take_from(mod, "MemoryBIO"));
    Py_XSETREF(tools->error, take_from(mod, "SSLError"));
    Py_XSETREF(tools->want_read, take_from(mod, "SSLWantReadError"));
    Py_XSETREF(tools->zero_return, take_from(mod, "SSLZeroReturnError"));
    Py_XSETREF(tools->eof_error, take_from(mod, "SSLEOFError"));
    Py_XDECREF(mod);
    Py_XSETREF(tools->read, PyUnicode_InternFromString("read"));
    Py_XSETREF(tools->write, PyUnicode_InternFromString("write"));
    Py_XSETREF(tools->pending, PyUnicode_InternFromString("pending"));
    if (mod == NULL || tools->context_type == NULL || tools->memory_bio == NULL ||
        tools->error == NULL || tools->want_read == NULL ||
        tools->zero_return == NULL || tools->eof_error == NULL || tools->read == NULL ||
        tools->write == NULL || tools->pending == NULL) {
        return -1;
    }
    tools->window_type = (PyTypeObject *)PyType_FromSpec(&window_spec);
    return tools->window_type == NULL ? -1 : 0;
}

static PyObject *
wrap(struct tl_tls *tls, const struct tl_tls_options *options)
{
    PyObject *wrap_bio = tl_getattr(options->context, "wrap_bio");
    PyObject *args = PyTuple_Pack(2, tls->incoming, tls->outgoing);
    PyObject *kwargs = Py_BuildValue(
        "{s:O,s:O,s:O}", "server_side", options->server_side ? Py_True : Py_False,
        "server_hostname", options->server_hostname, "session", options->session);
    PyObject *object = wrap_bio == NULL || args == NULL || kwargs == NULL
                           ? NULL
                           : PyObject_Call(wrap_bio, args, kwargs);
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(wrap_bio);
    return object;
}

// Refuse what wrap_bio() of some versions ignores: above all a client that would verify
// a name and has none. Returns 0, or -1 with an exception set.
static int
check_name(const struct tl_tls_options *options)
{
    PyObject *flag = tl_getattr(options->context, "check_hostname");
    int checks = flag == NULL ? -1 : PyObject_IsTrue(flag);
    Py_XDECREF(flag);
    bool has_name = options->server_hostname != Py_None;
    if (checks > 0 && !options->server_side && !has_name) {
        PyErr_SetString(PyExc_ValueError,
                        "this context verifies the name of the server: give "
                        "server_hostname, or set its check_hostname to False");
        return -1;
    }
    if (checks >= 0 && options->server_side && has_name) {
        PyErr_SetString(PyExc_ValueError, "server_hostname is for clients only");
        return -1;
    }
    return checks < 0 ? -1 : 0;
}

struct tl_tls *
tl_tls_new(struct tl_state *state, const struct tl_tls_options *options)
{
    struct tl_tls_tools *tools = &state->tls;
    if (find_tools(state) < 0) {
        return NULL;
    }
    int is_context = PyObject_IsInstance(options->context, tools->context_type);
    if (is_context <= 0) {
        if (is_context == 0) {
            PyErr_Format(PyExc_TypeError,
                         "the context must be an ssl.SSLContext, not %s",
                         Py_TYPE(options->context)->tp_name);
        }
        return NULL;
    }
    if (check_name(options) < 0) {
        return NULL;
    }
    struct tl_tls *tls = PyMem_Calloc(1, sizeof *tls);
    if (tls == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    tls->state = state;
    tls->suppresses_eof = options->suppresses_eof;
    tls->incoming = PyObject_CallNoArgs(tools->memory_bio);
    tls->outgoing = PyObject_CallNoArgs(tools->memory_bio);
    tls->window = tools->window_type->tp_alloc(tools->window_type, 0);
    if (tls->incoming != NULL && tls->outgoing != NULL && tls->window != NULL) {
        tls->object = wrap(tls, options);
    }
    tls->ssl = tls->object == NULL ? NULL : tl_getattr(tls->object, "_sslobj");
    if (tls->ssl == NULL) {
        tl_tls_free(tls);
        return NULL;
    }
    return tls;
}

int
tl_tls_traverse(struct tl_tls *tls, visitproc visit, void *arg)
{
    Py_VISIT(tls->object);
    Py_VISIT(tls->ssl);
    Py_VISIT(tls->incoming);
    Py_VISIT(tls->outgoing);
    Py_VISIT(tls->failure);
    return 0;
}

void
tl_tls_clear(struct tl_tls *tls)
{
    Py_CLEAR(tls->object);
    Py_CLEAR(tls->ssl);
    Py_CLEAR(tls->incoming);
    Py_CLEAR(tls->outgoing);
    Py_CLEAR(tls->window);
    Py_CLEAR(tls->failure);
}

void
tl_tls_free(struct tl_tls *tls)
{
    if (tls != NULL) {
        assert(tls->user == NULL || tls->user_forks != tls->state->forks);
        tl_tls_clear(tls);
        PyMem_Free(tls);
    }
}

// ---- calls

// Check that the caller is not inside a call. Returns 0, or -1 with an exception set.
static int
check_user(struct tl_sched *s, struct tl_tls *tls)
{
    if (TL_UNLIKELY(tls->user == s)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot use a stream inside a callback of its own TLS "
                        "connection");
        return -1;
    }
    return 0;
}

// Begin a call. Returns 0, or -1 with an exception set.
static int
enter(struct tl_sched *s, struct tl_tls *tls)
{
    if (check_user(s, tls) < 0) {
        return -1;
    }
    while (TL_UNLIKELY(tls->user != NULL)) {
        if (tls->user_forks != tls->state->forks) {
            PyErr_SetString(PyExc_RuntimeError,
                            "another thread was using this TLS connection when the "
                            "process forked: open a new one");
            return -1;
        }
        static const struct timespec pause = {.tv_nsec = PAUSE_NS};
        PyThreadState *saved = PyEval_SaveThread();
        (void)nanosleep(&pause, NULL);
        PyEval_RestoreThread(saved);
    }
    if (tls->ssl == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this stream is being deallocated");
        return -1;
    }
    tls->user = s;
    tls->user_forks = tls->state->forks;
    s->no_switch++;
    return 0;
}

static void
leave(struct tl_sched *s, struct tl_tls *tls)
{
    s->no_switch--;
    tls->user = NULL;
}

static PyObject *
call(PyObject *object, PyObject *name, PyObject *first, PyObject *second)
{
    PyObject *args[] = {object, first, second};
    size_t n = 1 + (first != NULL) + (second != NULL);
    return PyObject_VectorcallMethod(name, args, n | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                     NULL);
}

static PyObject *
call_with_window(struct tl_tls *tls, PyObject *object, PyObject *name, PyObject *first,
                 void *data, size_t size)
{
    struct window *window = (struct window *)tls->window;
    window->data = data;
    window->size = (Py_ssize_t)size;
    PyObject *result = first == NULL ? call(object, name, tls->window, NULL)
                                     : call(object, name, first, tls->window);
    window->data = NULL;
    return result;
}

// The number of bytes that a MemoryBIO has, or -1 with an exception set.
static Py_ssize_t
pending(struct tl_tls *tls, PyObject *bio)
{
    PyObject *n = PyObject_GetAttr(bio, tls->state->tls.pending);
    Py_ssize_t result = n == NULL ? -1 : PyLong_AsSsize_t(n);
    Py_XDECREF(n);
    return result;
}

// Move the records for the peer to out. Where there is no memory they stay where they
// are until the next call.
static void
take_output(struct tl_tls *tls, struct tl_bytes *out)
{
    PyObject *exc = PyErr_GetRaisedException(), *data = NULL;
    Py_ssize_t n = pending(tls, tls->outgoing);
    if (n > 0 && tl_bytes_reserve(out, (size_t)n) == 0) {
        data = call(tls->outgoing, tls->state->tls.read, NULL, NULL);
        if (data != NULL) {
            memcpy(out->data + out->end, PyBytes_AS_STRING(data), (size_t)n);
            out->end += (size_t)n;
        }
        Py_XDECREF(data);
    }
    if (out->end == 0) {
        tl_bytes_drop(out, 0);
    }
    PyErr_SetRaisedException(exc);
}

// Remember the raised exception, which has ended the connection.
static int
fail(struct tl_tls *tls)
{
    PyObject *exc = PyErr_GetRaisedException();
    Py_XSETREF(tls->failure, Py_NewRef(exc));
    PyErr_SetRaisedException(exc);
    return -1;
}

// Set an attribute to what it is of another object. Returns 0, or -1 with an exception
// set.
static int
copy_attribute(PyObject *from, PyObject *to, const char *name)
{
    PyObject *value = tl_getattr(from, name);
    int result = value == NULL ? -1 : tl_setattr(to, name, value);
    Py_XDECREF(value);
    return result;
}

// Raise the error that has ended the connection once more: a new one, as the old one
// has its own traceback. Returns -1.
static int
fail_again(struct tl_tls *tls)
{
    PyObject *old = Py_NewRef(tls->failure), *cls = (PyObject *)Py_TYPE(old);
    PyObject *args = tl_getattr(old, "args");
    PyObject *exc = args == NULL ? NULL : PyObject_Call(cls, args, NULL);
    if (exc != NULL && (!PyErr_GivenExceptionMatches(exc, tls->state->tls.error) ||
                        (copy_attribute(old, exc, "reason") == 0 &&
                         copy_attribute(old, exc, "library") == 0))) {
        PyErr_SetObject(cls, exc);
    }
    Py_XDECREF(exc);
    Py_XDECREF(args);
    Py_DECREF(old);
    return -1;
}

// A call of the SSLObject has raised. Returns TL_TLS_WANTS, 0 at the end, or -1 with an
// exception set.
static int
sort_error(struct tl_tls *tls)
{
    const struct tl_tls_tools *tools = &tls->state->tls;
    if (PyErr_ExceptionMatches(tools->want_read)) {
        PyErr_Clear();
        tls->may_have = false;
        if (!tls->at_end) {
            return TL_TLS_WANTS;
        }
        PyObject *args =
            Py_BuildValue("is", 8, "EOF occurred in violation of protocol");
        PyErr_SetObject(tools->eof_error, args);
        Py_XDECREF(args);
    }
    if (PyErr_ExceptionMatches(tools->zero_return)) {
        PyErr_Clear();
        return 0;
    }
    if (tls->suppresses_eof && tls->is_open && tls->at_end &&
        PyErr_ExceptionMatches(tools->eof_error)) {
        PyErr_Clear();
        return 0;
    }
    return PyErr_ExceptionMatches(tools->error) ? fail(tls) : -1;
}

int
tl_tls_handshake(struct tl_sched *s, struct tl_tls *tls, struct tl_bytes *out)
{
    if (enter(s, tls) < 0) {
        return -1;
    }
    // By the method in Python, which subclasses extend by checks of their own.
    PyObject *done = tl_call_method(tls->object, "do_handshake", NULL);
    int result = done == NULL ? sort_error(tls) : 0;
    if (done != NULL) {
        tls->is_open = tls->may_have = true;
        Py_DECREF(done);
    }
    take_output(tls, out);
    leave(s, tls);
    return result;
}

// Read once, inside a call. Returns as tl_tls_read().
static ssize_t
read_once(struct tl_tls *tls, char *memory, size_t size)
{
    PyObject *most = PyLong_FromSize_t(size), *n = NULL;
    if (most != NULL) {
        n = call_with_window(tls, tls->ssl, tls->state->tls.read, most, memory, size);
        Py_DECREF(most);
    }
    if (n == NULL) {
        return sort_error(tls);
    }
    Py_ssize_t got = PyLong_AsSsize_t(n);
    Py_DECREF(n);
    // A record that did not fit is at hand, and so may be what is in incoming.
    tls->may_have = tls->at_end || (size_t)got == size || got == 0 ||
                    pending(tls, tls->incoming) != 0;
    return got;
}

// Read all records that have come whole, as far as there is room: a caller that
// waits for the socket to be readable, and then reads, must not leave any behind.
static ssize_t
read_records(struct tl_tls *tls, char *memory, size_t size)
{
    ssize_t got = read_once(tls, memory, size), more = got;
    while (more > 0 && tls->may_have && !tls->at_end && (size_t)got < size) {
        more = read_once(tls, memory + got, size - (size_t)got);
        got += more > 0 ? more : 0;
    }
    if (more >= 0 || got <= 0) {
        tls->may_have |= more == 0; // the next read finds the end again
        return got;
    }
    if (more == -1 && tls->failure == NULL) {
        return -1; // a signal handler has raised
    }
    PyErr_Clear(); // the next read raises it again
    return got;
}

ssize_t
tl_tls_read(struct tl_sched *s, struct tl_tls *tls, void *memory, size_t size,
            struct tl_bytes *out)
{
    if (tls->failure != NULL) {
        return fail_again(tls);
    }
    if (enter(s, tls) < 0) {
        return -1;
    }
    ssize_t got = read_records(tls, memory, size);
    take_output(tls, out); // an answer to a change of keys, an alert
    leave(s, tls);
    return got;
}

int
tl_tls_write(struct tl_sched *s, struct tl_tls *tls, const void *data, size_t size,
             struct tl_bytes *out, size_t *written)
{
    *written = 0;
    if (tls->failure != NULL) {
        return fail_again(tls);
    }
    // Memory is reserved first: afterwards there is no way back.
    if (size == 0 ||
        tl_bytes_reserve(out, size + OVERHEAD * (size / MAX_RECORD + 1)) < 0 ||
        enter(s, tls) < 0) {
        if (out->end == 0) {
            tl_bytes_drop(out, 0);
        }
        return size == 0 ? 0 : -1;
    }
    int result = 0;
    PyObject *n = call_with_window(tls, tls->ssl, tls->state->tls.write, NULL,
                                   (void *)data, size);
    if (n != NULL) {
        *written = PyLong_AsSize_t(n);
        Py_DECREF(n);
    } else {
        result = sort_error(tls);
        if (result == -1 && tls->failure == NULL) {
            // A signal handler has raised: perhaps after the encryption.
            PyObject *exc = PyErr_GetRaisedException();
            *written = pending(tls, tls->outgoing) > 0 ? size : 0;
            PyErr_SetRaisedException(exc);
        }
    }
    take_output(tls, out);
    leave(s, tls);
    return result;
}

// Decrypt what has come, which a shutdown would lose. Returns 0, or -1 with an
// exception set.
static int
read_rest(struct tl_tls *tls, struct tl_bytes *in)
{
    ssize_t n = 1;
    while (n > 0 && tls->may_have && !tls->at_end) {
        if (tl_bytes_reserve(in, MAX_RECORD) < 0) {
            return -1;
        }
        n = read_once(tls, in->data + in->end, MAX_RECORD);
        in->end += n > 0 ? (size_t)n : 0;
    }
    if (in->end == 0) {
        tl_bytes_drop(in, 0);
    }
    if (n == -1 && tls->failure != NULL) {
        PyErr_Clear(); // the next read raises it again
        return 0;
    }
    return n == -1 ? -1 : 0;
}

int
tl_tls_shut(struct tl_sched *s, struct tl_tls *tls, struct tl_bytes *in,
            struct tl_bytes *out)
{
    if (tls->is_shut || !tls->is_open || tls->failure != NULL) {
        return 0;
    }
    if (enter(s, tls) < 0) {
        return -1;
    }
    int result = in == NULL ? 0 : read_rest(tls, in);
    if (result == 0 && tls->failure == NULL) {
        tls->is_shut = true;
        PyObject *done = tl_call_method(tls->ssl, "shutdown", NULL);
        if (done == NULL) {
            // The peer's close_notify has not come: nobody waits for that.
            result = PyErr_ExceptionMatches(tls->state->tls.error) ? 0 : -1;
        }
        if (result == 0) {
            PyErr_Clear();
        }
        Py_XDECREF(done);
    }
    take_output(tls, out);
    leave(s, tls);
    return result;
}

// Put what has come into incoming; n = 0: the end.
static int
feed(struct tl_sched *s, struct tl_tls *tls, char *data, size_t n)
{
    if (enter(s, tls) < 0) {
        return -1;
    }
    PyObject *done = n == 0 ? tl_call_method(tls->incoming, "write_eof", NULL)
                            : call_with_window(tls, tls->incoming,
                                               tls->state->tls.write, NULL, data, n);
    tls->at_end |= n == 0;
    tls->may_have = true;
    tls->fed++;
    int result = done == NULL ? fail(tls) : 0; // a part is missing
    Py_XDECREF(done);
    leave(s, tls);
    return result;
}

int
tl_tls_fill(struct tl_sched *s, struct tl_tls *tls, struct tl_socket *socket,
            tl_deadline deadline)
{
    for (;;) {
        if (socket->state == TL_SOCKET_CLOSED || socket->closing) {
            return tl_socket_raise_closed(socket);
        }
        if (check_user(s, tls) < 0) {
            return -1; // before anything is taken from the socket
        }
        char *scratch = tl_socket_scratch(s);
        if (scratch == NULL) {
            return -1;
        }
        ssize_t n = tl_socket_try_read(socket, scratch, TL_SOCKET_SCRATCH);
        if (n >= 0) {
            return feed(s, tls, scratch, (size_t)n);
        }
        if (errno != EAGAIN) {
            return tl_socket_raise(socket, errno);
        }
        unsigned fed = tls->fed;
        if (tl_socket_wait(s, socket, TL_EDGE_READ, deadline) < 0) {
            return -1;
        }
        if (tls->fed != fed) {
            return 0; // by another tasklet
        }
    }
}
