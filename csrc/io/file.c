// file.c - operations on files, done by libuv's threads.
//
// Most are requests of libuv's own (uv_fs_t). Reading or writing a whole file is
// several system calls in one request (uv_work_t). Any of them can run on a spare
// thread (detour.h).
#include "io/file.h"
#include "io/detour.h"
#include "io/uv_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

// The size of the first read, in bytes, from a file whose size is not known, such as a
// pipe or a file in /proc. It is the capacity of a Linux pipe.
enum { MIN_READ_BYTES = 65536 };

struct tl_file {
    struct tl_uv_request request;
    enum tl_file_op op;
    union {
        uv_fs_t fs;
        uv_work_t work;
    } uv;
    struct tl_file_args args; // its paths are the waiter's, or path and path2
    char *path2;              // a copy, or NULL
    // For operations on whole files, which have no uv_fs_t; path also for other
    // operations that a spare thread does.
    char *path;   // a copy, or NULL
    char *memory; // to be freed iff op is TL_FILE_READ_WHOLE
    size_t size;  // of memory
    int flags, mode;
    int64_t result;
    bool taken; // the waiter has read the result
};

static bool
is_whole(const struct tl_file *file)
{
    return file->op == TL_FILE_READ_WHOLE || file->op == TL_FILE_WRITE_WHOLE;
}

static void
file_free(struct tl_uv_request *request)
{
    struct tl_file *file = TL_CONTAINER(request, struct tl_file, request);
    // In the child of a fork a thread of the parent may have been using a lost request.
    if (request->state == TL_REQUEST_OVER && !is_whole(file)) {
        if (file->op == TL_FILE_OPEN && !file->taken && file->uv.fs.result >= 0) {
            close((int)file->uv.fs.result); // the waiter was killed or timed out
        }
        uv_fs_req_cleanup(&file->uv.fs);
    }
    if (request->state != TL_REQUEST_LOST) {
        free(file->path);
        free(file->path2);
        if (file->op == TL_FILE_READ_WHOLE) {
            free(file->memory);
        }
    }
    PyMem_RawFree(file);
}

// ---- whole files, on one of libuv's threads

// Grow the buffer if it is full. Returns 0, or -1 with errno set.
static int
grow_buffer(struct tl_file *file, size_t used)
{
    if (used < file->size) {
        return 0;
    }
    size_t size =
        file->size < MIN_READ_BYTES ? MIN_READ_BYTES : file->size + file->size / 2;
    char *grown = realloc(file->memory, size);
    if (grown == NULL) {
        errno = ENOMEM;
        return -1;
    }
    file->memory = grown;
    file->size = size;
    return 0;
}

static int64_t
read_all(struct tl_file *file, int fd)
{
    struct stat st;
    size_t used = 0;
    if (fstat(fd, &st) < 0) {
        return -1;
    }
    if (S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size < SIZE_MAX) {
        // One byte more, so that the read that finds the end does not need a larger
        // buffer.
        file->size = (size_t)st.st_size + 1;
        file->memory = malloc(file->size);
        if (file->memory == NULL) {
            errno = ENOMEM;
            return -1;
        }
    }
    for (;;) {
        if (grow_buffer(file, used) < 0) {
            return -1;
        }
        ssize_t n = read(fd, file->memory + used, file->size - used);
        if (n == 0) {
            return (int64_t)used;
        }
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        used += n > 0 ? (size_t)n : 0;
    }
}

static int64_t
write_all(struct tl_file *file, int fd)
{
    size_t done = 0;
    while (done < file->size) {
        ssize_t n = write(fd, file->memory + done, file->size - done);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return (int64_t)done;
}

static void
do_whole(uv_work_t *work)
{
    struct tl_file *file = TL_CONTAINER(work, struct tl_file, uv.work);
    bool writes = file->op == TL_FILE_WRITE_WHOLE;
    int fd;
    do {
        fd = open(file->path, file->flags | O_CLOEXEC, file->mode);
    } while (fd < 0 && errno == EINTR);
    int64_t result = fd < 0 ? -1 : writes ? write_all(file, fd) : read_all(file, fd);
    int error = errno;
    if (fd >= 0 && close(fd) < 0 && writes && result >= 0 && errno != EINTR) {
        result = -1; // some file systems report a failed write only when closing
        error = errno;
    }
    file->result = result < 0 ? -error : result;
}

// ---- requests

static void
fs_over(uv_fs_t *fs)
{
    struct tl_uv_request *request = &TL_CONTAINER(fs, struct tl_file, uv.fs)->request;
    if (!tl_detour_takes(request, fs->result == UV_ECANCELED)) {
        tl_uv_loop_over(request);
    }
}

static void
whole_over(uv_work_t *work, int status)
{
    struct tl_file *file = TL_CONTAINER(work, struct tl_file, uv.work);
    if (status < 0) {
        file->result = status; // cancelled
    }
    if (!tl_detour_takes(&file->request, status == UV_ECANCELED)) {
        tl_uv_loop_over(&file->request);
    }
}

// Copy what do_whole() needs. Returns 0 or a negative errno.
static int
keep_whole(struct tl_file *file, const struct tl_file_args *args)
{
    file->path = strdup(args->path);
    if (file->path == NULL) {
        return UV_ENOMEM;
    }
    file->flags = args->flags;
    file->mode = args->mode;
    if (args->op == TL_FILE_WRITE_WHOLE) {
        file->memory = args->memory;
        file->size = args->size;
    }
    return 0;
}

// Give the operation to libuv, which calls fs_over in the end. With uv and fs_over
// NULL, do it synchronously (not for whole files). Returns 0 or a negative errno.
static int
start(struct tl_file *file, uv_loop_t *uv, uv_fs_cb fs_over)
{
    const struct tl_file_args *args = &file->args;
    uv_fs_t *fs = &file->uv.fs;
    uv_buf_t buf = {.base = args->memory, .len = args->size};
    const char *path = args->path;
    switch (args->op) {
    case TL_FILE_OPEN:
        return uv_fs_open(uv, fs, path, args->flags, args->mode, fs_over);
    case TL_FILE_CLOSE:
        return uv_fs_close(uv, fs, args->fd, fs_over);
    case TL_FILE_READ:
        return uv_fs_read(uv, fs, args->fd, &buf, 1, args->offset, fs_over);
    case TL_FILE_WRITE:
        return uv_fs_write(uv, fs, args->fd, &buf, 1, args->offset, fs_over);
    case TL_FILE_SYNC:
        return uv_fs_fsync(uv, fs, args->fd, fs_over);
    case TL_FILE_TRUNCATE:
        return uv_fs_ftruncate(uv, fs, args->fd, args->offset, fs_over);
    case TL_FILE_STAT:
        return uv_fs_stat(uv, fs, path, fs_over);
    case TL_FILE_LSTAT:
        return uv_fs_lstat(uv, fs, path, fs_over);
    case TL_FILE_FSTAT:
        return uv_fs_fstat(uv, fs, args->fd, fs_over);
    case TL_FILE_MKDIR:
        return uv_fs_mkdir(uv, fs, path, args->mode, fs_over);
    case TL_FILE_RMDIR:
        return uv_fs_rmdir(uv, fs, path, fs_over);
    case TL_FILE_UNLINK:
        return uv_fs_unlink(uv, fs, path, fs_over);
    case TL_FILE_RENAME:
        return uv_fs_rename(uv, fs, path, args->path2, fs_over);
    case TL_FILE_SCAN:
        return uv_fs_scandir(uv, fs, path, 0, fs_over);
    case TL_FILE_READ_WHOLE:
    case TL_FILE_WRITE_WHOLE:
        return uv_queue_work(uv, &file->uv.work, do_whole, whole_over);
    }
    return UV_ENOSYS;
}

// ---- without libuv's threads

static bool
file_keep(struct tl_uv_request *request)
{
    struct tl_file *file = TL_CONTAINER(request, struct tl_file, request);
    struct tl_file_args *args = &file->args;
    if (is_whole(file)) {
        return true;
    }
    uv_fs_req_cleanup(&file->uv.fs); // if libuv had it before
    if (args->path != NULL) {
        args->path = file->path = strdup(args->path);
    }
    if (args->path2 != NULL) {
        args->path2 = file->path2 = strdup(args->path2);
    }
    return (args->path == NULL) == (file->path == NULL) &&
           (args->path2 == NULL) == (file->path2 == NULL);
}

static void
file_fail(struct tl_uv_request *request, int error)
{
    struct tl_file *file = TL_CONTAINER(request, struct tl_file, request);
    if (is_whole(file)) {
        file->result = error;
    } else {
        file->uv.fs.result = error;
    }
}

static void
file_run(struct tl_uv_request *request)
{
    struct tl_file *file = TL_CONTAINER(request, struct tl_file, request);
    if (is_whole(file)) {
        do_whole(&file->uv.work);
    } else {
        int result = start(file, NULL, NULL);
        if (result < 0) {
            file->uv.fs.result = result;
        }
    }
}

// Start the request. Returns 0 if it is in flight or over, or a negative errno.
static int
start_request(struct tl_file *file, struct tl_uv_loop *loop)
{
    if (TL_LIKELY(!tl_uv_threads_are_blocked())) {
        int error = start(file, tl_uv_loop_uv(loop), fs_over);
        if (error == 0) {
            tl_uv_loop_begun(loop, &file->request);
        }
        return error;
    }
    tl_uv_loop_begun(loop, &file->request); // first: the thread may be done at once
    int error = tl_detour_start(&file->request);
    if (error != 0) {
        file_fail(&file->request, -error);
        tl_uv_loop_over(&file->request);
    }
    return 0;
}

struct tl_file *
tl_file_do(struct tl_sched *s, const struct tl_file_args *args)
{
    struct tl_uv_loop *loop = tl_uv_request_prepare(s, args->deadline);
    struct tl_file *file =
        loop == NULL ? NULL
                     : tl_uv_request_new(sizeof *file, &tl_uv_request_file, file_free);
    if (file == NULL) {
        return NULL;
    }
    file->op = args->op;
    file->request.uv_req = &file->uv;
    file->request.held = Py_XNewRef(args->held);
    // The caller of close() forgets the descriptor, however its wait ends.
    file->request.must_run = args->op == TL_FILE_CLOSE;
    file->request.keep = file_keep;
    file->request.run = file_run;
    file->request.fail = file_fail;
    file->args = *args;
    int error = is_whole(file) ? keep_whole(file, args) : 0;
    if (error == 0) {
        error = start_request(file, loop);
    }
    if (error != 0) {
        tl_uv_request_unref(&file->request);
        errno = -error;
        PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    if (tl_uv_request_wait(s, &file->request, args->deadline) < 0) {
        tl_uv_request_unref(&file->request);
        return NULL;
    }
    return file;
}

void
tl_file_free(struct tl_file *file)
{
    tl_uv_request_unref(&file->request);
}

// ---- results

int64_t
tl_file_result(struct tl_file *file)
{
    file->taken = true;
    return is_whole(file) ? file->result : (int64_t)file->uv.fs.result;
}

static int64_t
in_ns(uv_timespec_t time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void
tl_file_get_stat(struct tl_file *file, struct tl_file_stat *result)
{
    const uv_stat_t *st = &file->uv.fs.statbuf;
    *result = (struct tl_file_stat){.mode = st->st_mode,
                                    .ino = st->st_ino,
                                    .dev = st->st_dev,
                                    .nlink = st->st_nlink,
                                    .uid = st->st_uid,
                                    .gid = st->st_gid,
                                    .size = st->st_size,
                                    .rdev = st->st_rdev,
                                    .blksize = st->st_blksize,
                                    .blocks = st->st_blocks,
                                    .atime = in_ns(st->st_atim),
                                    .mtime = in_ns(st->st_mtim),
                                    .ctime = in_ns(st->st_ctim)};
}

static int
kind_of(uv_dirent_type_t type)
{
    switch (type) {
    case UV_DIRENT_FILE:
        return S_IFREG;
    case UV_DIRENT_DIR:
        return S_IFDIR;
    case UV_DIRENT_LINK:
        return S_IFLNK;
    case UV_DIRENT_FIFO:
        return S_IFIFO;
    case UV_DIRENT_SOCKET:
        return S_IFSOCK;
    case UV_DIRENT_CHAR:
        return S_IFCHR;
    case UV_DIRENT_BLOCK:
        return S_IFBLK;
    default:
        return 0;
    }
}

const char *
tl_file_next_entry(struct tl_file *file, int *kind)
{
    uv_dirent_t entry;
    if (uv_fs_scandir_next(&file->uv.fs, &entry) != 0) {
        return NULL;
    }
    *kind = kind_of(entry.type);
    return entry.name;
}

const char *
tl_file_content(struct tl_file *file)
{
    return file->memory;
}
