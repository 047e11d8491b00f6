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
    TL_FILE_TRUNCATE,
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

// The arguments of an operation. Unused ones are 0.
struct tl_file_args {
    enum tl_file_op op;
    const char *path, *path2; // copied
    int fd, flags, mode;
    PyObject *held; // the owner of memory, or NULL
    char *memory;   // the buffer to read into or write from
    size_t size;    // of memory, in bytes
    int64_t offset; // in bytes; -1: the descriptor's position. For TL_FILE_TRUNCATE
                    // the new size
    tl_deadline deadline;
};

// The times are in nanoseconds since the epoch.
struct tl_file_stat {
    uint64_t mode, ino, dev, nlink, uid, gid, size, rdev, blksize, blocks;
    int64_t atime, mtime, ctime;
};

struct tl_file;

// Do an operation and wait for it. Returns what the caller must free by tl_file_free().
// NULL with an exception set: the wait has failed, and the operation may or may not be
// done, now or later.
// Switch: yes.
struct tl_file *tl_file_do(struct tl_sched *s, const struct tl_file_args *args);

// May run Python code.
void tl_file_free(struct tl_file *file);

// The result: a negative errno, or the return value of the system call. A descriptor
// that was opened belongs to the caller from now on.
int64_t tl_file_result(struct tl_file *file);

// The result of TL_FILE_STAT, TL_FILE_LSTAT and TL_FILE_FSTAT.
void tl_file_get_stat(struct tl_file *file, struct tl_file_stat *result);

// The name of the next directory entry of TL_FILE_SCAN, or NULL at the end. *kind is
// its file type as in st_mode, or 0 if that is not known.
const char *tl_file_next_entry(struct tl_file *file, int *kind);

// The bytes that TL_FILE_READ_WHOLE has read: as many as tl_file_result().
const char *tl_file_content(struct tl_file *file);

#endif // TL_FILE_H
