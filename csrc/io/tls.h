// tls.h - TLS records, made and read by the objects of the standard ssl module.
//
// An SSLObject works on two MemoryBIOs: what has come from the peer is put into one,
// what must be sent to the peer is taken from the other. Where it needs more from the
// peer, a function below returns TL_TLS_WANTS; only tl_tls_fill() waits.
//
// A call into OpenSSL gives up the GIL, and may call back into Python, for example to
// choose a certificate. One thread at a time is inside such a call, others wait for it.
// Tasklets must not be switched there: the callback that tries gets an error.
#ifndef TL_TLS_H
#define TL_TLS_H

#include "io/byte_buffer.h"
#include "io/socket.h"

// Invariants
// L1: user is NULL, or a thread that is inside a call of one of the objects.
struct tl_tls {
    struct tl_state *state;
    PyObject *object;   // the SSLObject, which programs see
    PyObject *ssl;      // its part in C
    PyObject *incoming; // MemoryBIO: records from the peer,
    PyObject *outgoing; // and for the peer
    PyObject *window;   // see tls.c
    PyObject *failure;  // the error that has ended the connection, or NULL
    const struct tl_sched *user;
    unsigned user_forks; // state->forks when user was set
    unsigned fed;        // how many times records were put into incoming
    bool may_have;       // a read may succeed before more has come
    bool at_end;         // the peer's records have ended
    bool is_open;        // the handshake is complete
    bool is_shut;        // close_notify was sent
    bool suppresses_eof; // an end without close_notify is an end, and no error
};

enum { TL_TLS_WANTS = -2 };

// What a handshake needs: the arguments of SSLContext.wrap_bio().
struct tl_tls_options {
    PyObject *context;         // an SSLContext
    PyObject *server_hostname; // or None
    PyObject *session;         // or None
    bool server_side;
    bool suppresses_eof;
};

// Returns NULL with an exception set. May run Python code.
struct tl_tls *tl_tls_new(struct tl_state *state, const struct tl_tls_options *options);

// tls may be NULL.
void tl_tls_free(struct tl_tls *tls);

int tl_tls_traverse(struct tl_tls *tls, visitproc visit, void *arg);

// Drop the references; an operation raises RuntimeError from then on.
void tl_tls_clear(struct tl_tls *tls);

// In the following functions, records for the peer are appended to out. They may run
// Python code, which cannot switch. An error is an exception, and -1 is returned.

// Go on with the handshake. Returns 0 when it is complete, or TL_TLS_WANTS.
int tl_tls_handshake(struct tl_sched *s, struct tl_tls *tls, struct tl_bytes *out);

// Decrypt up to size bytes into memory. Returns how many, 0 at the end, or
// TL_TLS_WANTS.
ssize_t tl_tls_read(struct tl_sched *s, struct tl_tls *tls, void *memory, size_t size,
                    struct tl_bytes *out);

// Encrypt. *written: how many of the bytes, also after an error. Returns 0, or
// TL_TLS_WANTS: call it again with the same bytes.
int tl_tls_write(struct tl_sched *s, struct tl_tls *tls, const void *data, size_t size,
                 struct tl_bytes *out, size_t *written);

// Tell the peer that nothing follows, unless the connection has failed. What had come
// from the peer is decrypted first, and appended to in: it would be lost. Returns 0.
int tl_tls_shut(struct tl_sched *s, struct tl_tls *tls, struct tl_bytes *in,
                struct tl_bytes *out);

// Wait until more records have come. Returns 0, also at the end.
// Switch: may.
int tl_tls_fill(struct tl_sched *s, struct tl_tls *tls, struct tl_socket *socket,
                tl_deadline deadline);

#endif // TL_TLS_H
