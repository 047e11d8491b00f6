// stream_tls.c - the methods of Stream that concern TLS.
#include "core/thread.h"
#include "object/args.h"
#include "python/stream_methods.h"

// Default limit of a handshake: a client on a bad line needs seconds, and a silent
// client must not keep a descriptor forever.
static const int64_t handshake_ns = 60000000000;

// The text by which errors of a handshake name the peer: the name that was to be
// verified, else its address. NULL without an exception if there is none.
static PyObject *
peer_name(StreamObject *self, PyObject *hostname)
{
    const struct tl_socket *socket = &self->stream.socket;
    if (PyUnicode_Check(hostname)) {
        return Py_NewRef(hostname);
    }
    return socket->peer_length == 0
               ? NULL
               : tl_address_text((const struct sockaddr *)socket->peer,
                                 socket->peer_length);
}

// A handshake has raised: put the peer's name into the text of the error.
static void
name_peer(StreamObject *self, PyObject *hostname, bool is_late)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *error = tl_state_of_object((PyObject *)self)->tls.error;
    PyObject *name = peer_name(self, hostname), *text = NULL, *amended = NULL;
    if (name != NULL && PyErr_GivenExceptionMatches(exc, error)) {
        text = tl_getattr(exc, "strerror");
        amended = text == NULL ? NULL : PyUnicode_FromFormat("%S: %U", text, name);
        if (amended != NULL) {
            (void)tl_setattr(exc, "strerror", amended);
        }
    } else if (name != NULL && is_late &&
               PyErr_GivenExceptionMatches(exc, PyExc_TimeoutError)) {
        PyErr_Format(PyExc_TimeoutError, "the TLS handshake with %U has timed out",
                     name);
        Py_SETREF(exc, PyErr_GetRaisedException());
    }
    Py_XDECREF(amended);
    Py_XDECREF(text);
    Py_XDECREF(name);
    PyErr_SetRaisedException(exc);
}

PyDoc_STRVAR(start_tls_doc,
"start_tls($self, context, /, *, server_side=False, server_hostname=None,\n"
"          session=None, suppress_ragged_eofs=False, timeout=60)\n"
"--\n"
"\n"
"Begin TLS on this connection, and wait until the handshake is complete.\n"
"\n"
"context is an ssl.SSLContext; server_side says which end this is. A client gives\n"
"server_hostname, which is sent to the server, and which its certificate must be for;\n"
"session is one of an earlier connection, to resume it. If the peer ends the\n"
"connection without saying so in TLS, reads raise ssl.SSLEOFError, because an attacker\n"
"may have cut it; with suppress_ragged_eofs they return b\"\".\n"
"\n"
"Raises RuntimeError, and changes nothing, if TLS has begun, if another tasklet reads\n"
"or writes, or if bytes were received that nobody has read. If the handshake fails or\n"
"is interrupted, the stream is closed: raises ssl.SSLError, of which\n"
"ssl.SSLCertVerificationError is a kind, OSError, or TimeoutError after timeout\n"
"seconds (None: no limit).");

static PyObject *
stream_start_tls(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const char *const names[] = {
        "context", "server_side", "server_hostname", "session", "suppress_ragged_eofs",
        "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "start_tls", .names = names, .required = 1, .posonly = 1, .maxpos = 1};
    PyObject *argv[6];
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    tl_deadline deadline = TL_DEADLINE_NEVER;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    int server_side = argv[1] == NULL ? 0 : PyObject_IsTrue(argv[1]);
    int suppresses = argv[4] == NULL ? 0 : PyObject_IsTrue(argv[4]);
    if (server_side < 0 || suppresses < 0) {
        return NULL;
    }
    struct tl_tls_options options = {
        .context = argv[0],
        .server_hostname = argv[2] == NULL ? Py_None : argv[2],
        .session = argv[3] == NULL ? Py_None : argv[3],
        .server_side = server_side,
        .suppresses_eof = suppresses,
    };
    struct tl_tls *tls = tl_tls_new(tl_state_of_object((PyObject *)self), &options);
    if (tls == NULL) {
        return NULL;
    }
    if (argv[5] == NULL) {
        deadline = tl_timer_now(s) + handshake_ns;
    } else if (tl_timer_deadline(argv[5], &deadline) < 0) {
        tl_tls_free(tls);
        return NULL;
    }
    int result = tl_stream_start_tls(s, &self->stream, &tls, deadline);
    if (result < 0 && tls == NULL) {
        name_peer(self, options.server_hostname, tl_timer_now(s) >= deadline);
    }
    tl_tls_free(tls); // NULL if the handshake has begun
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

// clang-format off

PyMethodDef tl_stream_tls_methods[] = {
    {"start_tls", TL_FAST(stream_start_tls), METH_FASTCALL | METH_KEYWORDS,
     start_tls_doc},
    {NULL, NULL, 0, NULL},
};
