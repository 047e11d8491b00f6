// stream.h - a socket or pipe with a read buffer and collected output.
//
// Reads: what a line or a count leaves over stays in a buffer, which exists only then.
// One tasklet may read at a time.
//
// Writes are collected until the tasklet is left, and then sent by one system call.
// What the system does not take goes out as soon as it does, while the tasklets run or
// the thread sleeps. A writer waits while too much is collected. Each write is
// contiguous: while one is under way, the next waits.
#ifndef TL_STREAM_H
#define TL_STREAM_H

#include "core/flush.h"
#include "core/timer.h"
#include "io/byte_buffer.h"
#include "io/tls.h"

// Output is collected up to TL_STREAM_MAX_OUTPUT bytes; then writers wait until at most
// TL_STREAM_LOW_OUTPUT are left. A write of more than TL_STREAM_MAX_OUTPUT is never
// copied. One of more than TL_STREAM_DIRECT bytes is first offered to the system, if
// nothing is collected: an echo of 16 KiB costs a third less so, and from there on the
// saving of a system call is small beside the rest.
enum {
    TL_STREAM_MAX_OUTPUT = 65536,
    TL_STREAM_LOW_OUTPUT = 16384,
    TL_STREAM_DIRECT = 4096
};

// Invariants
// B2: output_waits of the socket implies out is not empty.
struct tl_stream {
    struct tl_socket socket;
    struct tl_flush flush; // of out
    struct tl_bytes in, out;
    size_t searched;        // bytes of in that are known to have no separator
    struct tl_link gate;    // writers that wait until another writer has finished
    struct tl_timer linger; // set while the stream sends its output after close()
    int out_error;          // errno of a write that no tasklet saw, or 0
    bool reading;           // a tasklet is inside a read
    bool writing;           // a tasklet is inside a write that is not copied
    bool at_end;            // the peer has finished
    bool finished;          // write_eof() was called
    bool cut_short;         // a write was interrupted in the middle: nothing may follow
    bool wants_more;        // the last read filled the scratch memory
    int in_error;           // errno that ended the reads, or 0: raised again by each
    struct tl_tls *tls;     // owned: encrypts and decrypts; NULL: no TLS
    bool has_part;          // TLS: the last write was interrupted in the middle
};

// Locks: the GIL.
TL_CHECKER(tl_stream_check, const struct tl_stream *stream);

void tl_stream_init(struct tl_stream *stream, PyObject *owner, int fd);

// The object goes away, or only its memory does (after tl_stream_close()).
void tl_stream_fini(struct tl_stream *stream);

// Write all of it. After an exception, *written bytes have been written or collected;
// if these are a part, nothing more can be written, except with TLS: there the rest
// can. Returns 0, or -1 with an exception set.
// Switch: may.
int tl_stream_write(struct tl_sched *s, struct tl_stream *stream, const char *data,
                    size_t size, tl_deadline deadline, size_t *written);

// Output may have been collected: send it before the next switch.
void tl_stream_send_later(struct tl_sched *s, struct tl_stream *stream);

// Wait until all output has been given to the system. Returns 0, or -1 with an
// exception set.
// Switch: may.
int tl_stream_flush(struct tl_sched *s, struct tl_stream *stream, tl_deadline deadline);

// Flush, and tell the peer that nothing follows. Returns as above.
// Switch: may.
int tl_stream_write_eof(struct tl_sched *s, struct tl_stream *stream,
                        tl_deadline deadline);

// Begin TLS. *tls is the stream's from then on, and NULL. Checks first that nobody
// reads or writes, and that nothing has come that was not read; if that is so and the
// handshake fails, the stream is closed. Returns 0, or -1 with an exception set.
// Switch: may.
int tl_stream_start_tls(struct tl_sched *s, struct tl_stream *stream,
                        struct tl_tls **tls, tl_deadline deadline);

// Close the stream. Output that the system does not take at once is sent in the
// background for up to linger_ns; 0: it is dropped, and with TLS the peer is not told
// of the end. Does not wait. Returns 0 or an errno.
int tl_stream_close(struct tl_sched *s, struct tl_stream *stream, int64_t linger_ns);

// Drop the output, and close: the peer of a TCP connection gets a reset.
void tl_stream_abort(struct tl_stream *stream);

#endif // TL_STREAM_H
