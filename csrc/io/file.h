// file.h - operations on files, done by libuv's threads.
#ifndef TL_FILE_H
#define TL_FILE_H

#include "io/uv_request.h"

enum tl_file_op {
    TL_FILE_OPEN,
    TL_FILE_CLOSE,
    TL_FILE_READ,
    TL_FILE_WRITE,
    TL_FILE_SYNC,
    TL_FILE_STAT,
    TL_FILE_LSTAT,
    TL_FILE_FSTAT,
    TL_FILE_MKDIR,
    TL_FILE_RMDIR,
    TL_FILE_UNLINK,
    TL_FILE_RENAME,
    TL_FILE_SCAN,
    TL_FILE_READ_WHOLE,
    TL_FILE_WRITE_WHOLE
};

// What an operation is told, as far as it needs it.
struct tl_file_args {
    enum tl_file_op op;
    const char *path, *path2; // copied
    int fd, flags, mode;
    PyObject *held; // what memory belongs to, or NULL
    char *memory;   // to read to or write from
    size_t size;    // of memory
    int64_t offset; // -1: where the descriptor is
    int64_t deadline;
};

// The times are in nanoseconds.
struct tl_file_stat {
    uint64_t mode, ino, dev, nlink, uid, gid, size, rdev, blksize, blocks;
    int64_t atime, mtime, ctime;
};

struct tl_file;

// Do it and wait until it is done. NULL with an exception set: it may or may not happen
// yet, or have happened. Else the caller has to call tl_file_free().
// Switch: yes.
struct tl_file *tl_file_do(struct tl_sched *s, const struct tl_file_args *args);

void tl_file_free(struct tl_file *file);

// What came of it: a negative errno, or what the system call returns. The caller owns the
// descriptor that was opened.
int64_t tl_file_result(struct tl_file *file);

void tl_file_get_stat(struct tl_file *file, struct tl_file_stat *result);

// The next entry of a folder, and what kind of file it is, as in st_mode, or 0. Returns
// NULL at the end.
const char *tl_file_next_entry(struct tl_file *file, int *kind);

// What TL_FILE_READ_WHOLE has read.
const char *tl_file_content(struct tl_file *file);

#endif // TL_FILE_H
