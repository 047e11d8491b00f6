// stream_reads.h - reading from a stream: bytes, lines, counts.
#ifndef TL_STREAM_READS_H
#define TL_STREAM_READS_H

#include "io/stream.h"

// The reads below return a new reference, or NULL with an exception set. What was read
// before an exception stays in the buffer, so that repeating the read loses nothing.

// Up to size bytes, at least one; b"" at the end.
// Switch: may.
PyObject *tl_stream_read(struct tl_sched *s, struct tl_stream *stream, size_t size,
                         tl_deadline deadline);

// All bytes up to the end.
// Switch: may.
PyObject *tl_stream_read_all(struct tl_sched *s, struct tl_stream *stream,
                             tl_deadline deadline);

// Exactly size bytes. Raises IncompleteReadError at the end.
// Switch: may.
PyObject *tl_stream_read_exactly(struct tl_sched *s, struct tl_stream *stream,
                                 size_t size, tl_deadline deadline);

// Up to and with separator (not empty), which ends within the first limit bytes, else
// raises LimitError. At the end: IncompleteReadError or, with lines, what is left.
// Switch: may.
PyObject *tl_stream_read_until(struct tl_sched *s, struct tl_stream *stream,
                               PyObject *separator, size_t limit, bool lines,
                               tl_deadline deadline);

// Read up to size bytes into memory. Returns how many, 0 at the end, or -1 with an
// exception set.
// Switch: may.
ssize_t tl_stream_read_into(struct tl_sched *s, struct tl_stream *stream, void *memory,
                            size_t size, tl_deadline deadline);

#endif // TL_STREAM_READS_H
