// byte_buffer.c - bytes that are appended at the end and taken from the front.
#include "io/byte_buffer.h"

#include <string.h>

// The first size of a buffer: that of a few lines.
enum { FIRST_ROOM = 512 };

void
tl_bytes_drop(struct tl_bytes *bytes, size_t n)
{
    bytes->start += n;
    if (bytes->start == bytes->end) {
        PyMem_Free(bytes->data);
        *bytes = (struct tl_bytes){0};
    }
}

int
tl_bytes_reserve(struct tl_bytes *bytes, size_t n)
{
    size_t have = tl_bytes_size(bytes);
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

int
tl_bytes_append(struct tl_bytes *bytes, const char *data, size_t n)
{
    if (tl_bytes_reserve(bytes, n) < 0) {
        if (bytes->end == 0) {
            tl_bytes_drop(bytes, 0);
        }
        return -1;
    }
    memcpy(bytes->data + bytes->end, data, n);
    bytes->end += n;
    return 0;
}
