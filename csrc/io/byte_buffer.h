// byte_buffer.h - bytes that are appended at the end and taken from the front.
#ifndef TL_BYTE_BUFFER_H
#define TL_BYTE_BUFFER_H

#include "cpython/compat.h"

// Invariants
// B1: start <= end <= room; without bytes, start and end are 0.
struct tl_bytes {
    char *data; // [start .. end) are the bytes
    size_t start, end, room;
};

static inline size_t
tl_bytes_size(const struct tl_bytes *bytes)
{
    return bytes->end - bytes->start;
}

// Drop the first n bytes, and the memory when nothing is left.
void tl_bytes_drop(struct tl_bytes *bytes, size_t n);

// Make room for n more bytes behind the last. Returns 0, or -1 with MemoryError set.
int tl_bytes_reserve(struct tl_bytes *bytes, size_t n);

// Append n bytes. Returns as above.
int tl_bytes_append(struct tl_bytes *bytes, const char *data, size_t n);

#endif // TL_BYTE_BUFFER_H
