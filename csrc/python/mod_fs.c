// mod_fs.c - the functions of tasklets.fs: parse, call the core, convert.
#include "core/thread.h"
#include "core/timer.h"
#include "io/file.h"
#include "object/args.h"
#include "python/types.h"

#include <errno.h>
#include <fcntl.h>

// A call whose arguments are being parsed.
struct call {
    struct tl_state *state;
    struct tl_file_args args;
    PyObject *names[2]; // the paths as given, for errors
    PyObject *paths[2]; // the paths as bytes
    PyObject *timeout;  // borrowed
    const char *event;  // the audit event of a call with one path, or NULL
};

static void
call_clear(struct call *call)
{
    for (int i = 0; i < 2; i++) {
        Py_XDECREF(call->names[i]);
        Py_XDECREF(call->paths[i]);
    }
    Py_XDECREF(call->args.held);
}

// Parse the arguments, the last of which is timeout. Returns like tl_args_parse().
static int
call_parse(struct call *call, const struct tl_argspec *spec, PyObject *const *args,
           Py_ssize_t nargs, PyObject *kwnames, PyObject **argv)
{
    int last = 0;
    while (spec->names[last + 1] != NULL) {
        last++;
    }
    int result = tl_args_parse(spec, args, nargs, kwnames, argv);
    call->timeout = argv[last];
    return result;
}

static int
read_path(struct call *call, int i, PyObject *arg)
{
    call->names[i] = PyOS_FSPath(arg);
    if (call->names[i] == NULL ||
        !PyUnicode_FSConverter(call->names[i], &call->paths[i])) {
        return -1;
    }
    const char *path = PyBytes_AS_STRING(call->paths[i]);
    if (i == 0) {
        call->args.path = path;
    } else {
        call->args.path2 = path;
    }
    return 0;
}

static int
read_offset(PyObject *arg, int64_t *result)
{
    *result = -1;
    if (arg == NULL) {
        return 0;
    }
    *result = PyLong_AsLongLong(arg);
    if (*result == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*result < -1) {
        PyErr_Format(PyExc_ValueError, "offset must be -1, 0 or positive, not %R", arg);
        return -1;
    }
    return 0;
}

// Take the memory of data. The memoryview keeps it from being resized during the call.
static int
read_data(struct call *call, PyObject *data)
{
    call->args.held = PyMemoryView_FromObject(data);
    if (call->args.held == NULL) {
        return -1;
    }
    Py_buffer *view = PyMemoryView_GET_BUFFER(call->args.held);
    if (!PyBuffer_IsContiguous(view, 'C')) {
        PyErr_SetString(PyExc_BufferError, "the data must be contiguous");
        return -1;
    }
    call->args.memory = view->buf;
    call->args.size = (size_t)view->len;
    return 0;
}

static void
raise_error(struct call *call, int error)
{
    errno = error;
    PyErr_SetFromErrnoWithFilenameObjects(PyExc_OSError, call->names[0],
                                          call->names[1]);
}

// Run the call. Returns its completed file request, or NULL with an exception set.
static struct tl_file *
call_do(struct call *call)
{
    struct tl_sched *s = tl_sched_get(call->state);
    if (s == NULL || tl_timer_deadline(call->timeout, &call->args.deadline) < 0) {
        return NULL;
    }
    struct tl_file *file = tl_file_do(s, &call->args);
    int64_t result = file == NULL ? 0 : tl_file_result(file);
    if (result < 0) {
        tl_file_free(file);
        raise_error(call, (int)-result);
        return NULL;
    }
    return file;
}

// Finish a function that returns a number. ready: the arguments have been parsed.
static PyObject *
call_number(struct call *call, bool ready)
{
    struct tl_file *file = ready ? call_do(call) : NULL;
    PyObject *result = NULL;
    if (file != NULL) {
        result = PyLong_FromLongLong(tl_file_result(file));
        tl_file_free(file);
    }
    call_clear(call);
    return result;
}

static PyObject *
call_none(struct call *call, bool ready)
{
    PyObject *result = call_number(call, ready);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}

// ---- functions with one argument

// Parse the arguments of a function that takes only a descriptor and a timeout.
static int
read_fd(struct call *call, const char *fname, PyObject *const *args, Py_ssize_t nargs,
        PyObject *kwnames)
{
    static const char *const names[] = {"fd", "timeout", NULL};
    const struct tl_argspec spec = {
        .fname = fname, .names = names, .required = 1, .maxpos = 1};
    PyObject *argv[2];
    return call_parse(call, &spec, args, nargs, kwnames, argv) < 0
               ? -1
               : tl_args_int(argv[0], &call->args.fd);
}

// The same for a path. A directory's path defaults to the current directory.
static int
read_one_path(struct call *call, const char *fname, PyObject *const *args,
              Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"path", "timeout", NULL};
    bool is_directory = call->args.op == TL_FILE_SCAN;
    const struct tl_argspec spec = {
        .fname = fname, .names = names, .required = !is_directory, .maxpos = 1};
    PyObject *argv[2];
    if (call_parse(call, &spec, args, nargs, kwnames, argv) < 0) {
        return -1;
    }
    if (is_directory && (argv[0] == NULL || argv[0] == Py_None)) {
        call->args.path = ".";
        return PySys_Audit(call->event, "O", Py_None);
    }
    if (read_path(call, 0, argv[0]) < 0) {
        return -1;
    }
    if (is_directory) {
        return PySys_Audit(call->event, "O", call->names[0]);
    }
    return call->event == NULL ? 0 : PySys_Audit(call->event, "Oi", call->names[0], -1);
}

#define FUNCTION(name, operation, read, audited, finish)                               \
    static PyObject *fn_##name(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, \
                               PyObject *kwnames)                                      \
    {                                                                                  \
        struct call call = {.state = tl_state_of_module(mod),                          \
                            .args = {.op = operation},                                 \
                            .event = audited};                                         \
        bool ready = read(&call, #name, args, nargs, kwnames) == 0;                    \
        return finish(&call, ready);                                                   \
    }

// ---- descriptors

PyDoc_STRVAR(open_doc,
"open($module, path, flags, mode=0o777, *, timeout=None)\n"
"--\n"
"\n"
"Open a file and return its descriptor, like os.open.\n"
"\n"
"flags: such as os.O_RDONLY. Child processes do not inherit the descriptor. If\n"
"the wait ends early the file may still be opened; it is then closed again.\n"
"Raises OSError, and TimeoutError after timeout seconds.");

static PyObject *
fn_open(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"path", "flags", "mode", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "open", .names = names, .required = 2, .maxpos = 3};
    PyObject *argv[4];
    struct call call = {.state = tl_state_of_module(mod),
                        .args = {.op = TL_FILE_OPEN, .mode = 0777}};
    bool ready = call_parse(&call, &spec, args, nargs, kwnames, argv) == 0 &&
                 read_path(&call, 0, argv[0]) == 0 &&
                 tl_args_int(argv[1], &call.args.flags) == 0 &&
                 tl_args_int(argv[2], &call.args.mode) == 0 &&
                 PySys_Audit("open", "OOi", call.names[0], Py_None,
                             call.args.flags | O_CLOEXEC) == 0;
    return call_number(&call, ready);
}

PyDoc_STRVAR(close_doc,
"close($module, fd, *, timeout=None)\n"
"--\n"
"\n"
"Close a descriptor, like os.close.\n"
"\n"
"If the wait ends early it is closed nevertheless, then or later. Raises\n"
"OSError, and TimeoutError after timeout seconds.");

FUNCTION(close, TL_FILE_CLOSE, read_fd, NULL, call_none)

PyDoc_STRVAR(fsync_doc,
"fsync($module, fd, *, timeout=None)\n"
"--\n"
"\n"
"Flush a file to disk, like os.fsync.\n"
"\n"
"Raises OSError, and TimeoutError after timeout seconds.");

FUNCTION(fsync, TL_FILE_SYNC, read_fd, NULL, call_none)

PyDoc_STRVAR(ftruncate_doc,
"ftruncate($module, fd, length, *, timeout=None)\n"
"--\n"
"\n"
"Change the size of a file to length bytes, like os.ftruncate.\n"
"\n"
"If the wait ends early it may be changed or not. Raises OSError, and\n"
"TimeoutError after timeout seconds.");

static PyObject *
fn_ftruncate(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"fd", "length", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "ftruncate", .names = names, .required = 2, .maxpos = 2};
    PyObject *argv[3];
    struct call call = {.state = tl_state_of_module(mod),
                        .args = {.op = TL_FILE_TRUNCATE}};
    bool ready = call_parse(&call, &spec, args, nargs, kwnames, argv) == 0 &&
                 tl_args_int(argv[0], &call.args.fd) == 0;
    if (ready) {
        call.args.offset = PyLong_AsLongLong(argv[1]);
        ready = call.args.offset != -1 || !PyErr_Occurred();
    }
    ready = ready && PySys_Audit("os.truncate", "iL", call.args.fd,
                                 (long long)call.args.offset) == 0;
    return call_none(&call, ready);
}

PyDoc_STRVAR(read_doc,
"read($module, fd, n, offset=-1, *, timeout=None)\n"
"--\n"
"\n"
"Read at most n bytes from a descriptor and return them; b'' at the end of file.\n"
"\n"
"offset: where to begin, like os.pread; -1: at the descriptor's position, like\n"
"os.read. If the wait ends early the bytes read are lost. Raises OSError, and\n"
"TimeoutError after timeout seconds.");

static PyObject *
fn_read(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"fd", "n", "offset", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "read", .names = names, .required = 2, .maxpos = 3};
    PyObject *argv[4], *result = NULL;
    struct call call = {.state = tl_state_of_module(mod), .args = {.op = TL_FILE_READ}};
    Py_ssize_t size;
    if (call_parse(&call, &spec, args, nargs, kwnames, argv) < 0 ||
        tl_args_int(argv[0], &call.args.fd) < 0 ||
        read_offset(argv[2], &call.args.offset) < 0) {
        return NULL;
    }
    size = PyNumber_AsSsize_t(argv[1], PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (size < 0) {
        raise_error(&call, EINVAL);
        return NULL;
    }
    call.args.held = PyBytes_FromStringAndSize(NULL, size);
    if (call.args.held == NULL) {
        return NULL;
    }
    call.args.memory = PyBytes_AS_STRING(call.args.held);
    call.args.size = (size_t)size;
    struct tl_file *file = call_do(&call);
    if (file != NULL) {
        Py_ssize_t n = (Py_ssize_t)tl_file_result(file);
        tl_file_free(file);
        // The call's reference is the only one left: the bytes may be resized.
        result = call.args.held;
        call.args.held = NULL;
        if (n < size) {
            (void)_PyBytes_Resize(&result, n);
        }
    }
    call_clear(&call);
    return result;
}

PyDoc_STRVAR(write_doc,
"write($module, fd, data, offset=-1, *, timeout=None)\n"
"--\n"
"\n"
"Write bytes to a descriptor and return the number of bytes written.\n"
"\n"
"data: bytes or another contiguous buffer, not to be changed during the call.\n"
"offset: where to begin, like os.pwrite; -1: at the descriptor's position, like\n"
"os.write. If the wait ends early the bytes may be written or not. Raises\n"
"OSError, and TimeoutError after timeout seconds.");

static PyObject *
fn_write(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"fd", "data", "offset", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "write", .names = names, .required = 2, .maxpos = 3};
    PyObject *argv[4];
    struct call call = {.state = tl_state_of_module(mod),
                        .args = {.op = TL_FILE_WRITE}};
    bool ready = call_parse(&call, &spec, args, nargs, kwnames, argv) == 0 &&
                 tl_args_int(argv[0], &call.args.fd) == 0 &&
                 read_data(&call, argv[1]) == 0 &&
                 read_offset(argv[2], &call.args.offset) == 0;
    return call_number(&call, ready);
}

// ---- stat

static long long
whole_seconds(int64_t ns)
{
    return ns / 1000000000 - (ns % 1000000000 < 0);
}

// Adds as os does, so that the result is the same float.
static double
seconds(int64_t ns)
{
    int64_t rest = ns % 1000000000;
    rest += rest < 0 ? 1000000000 : 0;
    return (double)whole_seconds(ns) + 1e-9 * (double)rest;
}

// An os.stat_result, or NULL with an exception set.
static PyObject *
stat_result(struct tl_state *state, const struct tl_file_stat *st)
{
    PyObject *result = NULL;
    PyObject *dict = Py_BuildValue(
        "{s:d,s:L,s:d,s:L,s:d,s:L,s:K,s:K,s:K}", "st_atime", seconds(st->atime),
        "st_atime_ns", (long long)st->atime, "st_mtime", seconds(st->mtime),
        "st_mtime_ns", (long long)st->mtime, "st_ctime", seconds(st->ctime),
        "st_ctime_ns", (long long)st->ctime, "st_blksize",
        (unsigned long long)st->blksize, "st_blocks", (unsigned long long)st->blocks,
        "st_rdev", (unsigned long long)st->rdev);
    if (dict != NULL) {
        result = PyObject_CallFunction(
            state->stat_result, "(KKKKKKKLLL)O", (unsigned long long)st->mode,
            (unsigned long long)st->ino, (unsigned long long)st->dev,
            (unsigned long long)st->nlink, (unsigned long long)st->uid,
            (unsigned long long)st->gid, (unsigned long long)st->size,
            whole_seconds(st->atime), whole_seconds(st->mtime),
            whole_seconds(st->ctime), dict);
    }
    Py_XDECREF(dict);
    return result;
}

static PyObject *
call_stat(struct call *call, bool ready)
{
    struct tl_file *file = ready ? call_do(call) : NULL;
    PyObject *result = NULL;
    if (file != NULL) {
        struct tl_file_stat st;
        tl_file_get_stat(file, &st);
        tl_file_free(file);
        result = stat_result(call->state, &st);
    }
    call_clear(call);
    return result;
}

PyDoc_STRVAR(stat_doc,
"stat($module, path, *, timeout=None)\n"
"--\n"
"\n"
"Return what os.stat returns for a path.\n"
"\n"
"Raises OSError, and TimeoutError after timeout seconds.");

FUNCTION(stat, TL_FILE_STAT, read_one_path, NULL, call_stat)

PyDoc_STRVAR(lstat_doc,
"lstat($module, path, *, timeout=None)\n"
"--\n"
"\n"
"Return what os.lstat returns for a path: symbolic links are not followed.\n"
"\n"
"Raises OSError, and TimeoutError after timeout seconds.");

FUNCTION(lstat, TL_FILE_LSTAT, read_one_path, NULL, call_stat)

PyDoc_STRVAR(fstat_doc,
"fstat($module, fd, *, timeout=None)\n"
"--\n"
"\n"
"Return what os.fstat returns for an open descriptor.\n"
"\n"
"Raises OSError, and TimeoutError after timeout seconds.");

FUNCTION(fstat, TL_FILE_FSTAT, read_fd, NULL, call_stat)

// ---- paths

PyDoc_STRVAR(mkdir_doc,
"mkdir($module, path, mode=0o777, *, timeout=None)\n"
"--\n"
"\n"
"Create a directory, like os.mkdir.\n"
"\n"
"If the wait ends early it may be created or not. Raises OSError, and\n"
"TimeoutError after timeout seconds.");

static PyObject *
fn_mkdir(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"path", "mode", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "mkdir", .names = names, .required = 1, .maxpos = 2};
    PyObject *argv[3];
    struct call call = {.state = tl_state_of_module(mod),
                        .args = {.op = TL_FILE_MKDIR, .mode = 0777}};
    bool ready = call_parse(&call, &spec, args, nargs, kwnames, argv) == 0 &&
                 read_path(&call, 0, argv[0]) == 0 &&
                 tl_args_int(argv[1], &call.args.mode) == 0 &&
                 PySys_Audit("os.mkdir", "Oii", call.names[0], call.args.mode, -1) == 0;
    return call_none(&call, ready);
}

PyDoc_STRVAR(rmdir_doc,
"rmdir($module, path, *, timeout=None)\n"
"--\n"
"\n"
"Remove an empty directory, like os.rmdir.\n"
"\n"
"If the wait ends early it may be removed or not. Raises OSError, and\n"
"TimeoutError after timeout seconds.");

FUNCTION(rmdir, TL_FILE_RMDIR, read_one_path, "os.rmdir", call_none)

PyDoc_STRVAR(unlink_doc,
"unlink($module, path, *, timeout=None)\n"
"--\n"
"\n"
"Remove a file, like os.unlink.\n"
"\n"
"If the wait ends early it may be removed or not. Raises OSError, and\n"
"TimeoutError after timeout seconds.");

FUNCTION(unlink, TL_FILE_UNLINK, read_one_path, "os.remove", call_none)

PyDoc_STRVAR(rename_doc,
"rename($module, src, dst, *, timeout=None)\n"
"--\n"
"\n"
"Rename a file or directory, like os.rename.\n"
"\n"
"If the wait ends early it may be renamed or not. Raises OSError, and\n"
"TimeoutError after timeout seconds.");

static PyObject *
fn_rename(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"src", "dst", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "rename", .names = names, .required = 2, .maxpos = 2};
    PyObject *argv[3];
    struct call call = {.state = tl_state_of_module(mod),
                        .args = {.op = TL_FILE_RENAME}};
    bool ready =
        call_parse(&call, &spec, args, nargs, kwnames, argv) == 0 &&
        read_path(&call, 0, argv[0]) == 0 && read_path(&call, 1, argv[1]) == 0 &&
        PySys_Audit("os.rename", "OOii", call.names[0], call.names[1], -1, -1) == 0;
    return call_none(&call, ready);
}

// ---- directories

// An entry's name: bytes if the directory's path was bytes.
static PyObject *
name_of(const char *name, bool as_bytes)
{
    return as_bytes ? PyBytes_FromString(name) : PyUnicode_DecodeFSDefault(name);
}

static PyObject *
call_scan(struct call *call, bool ready, bool with_kinds)
{
    struct tl_file *file = ready ? call_do(call) : NULL;
    bool as_bytes = call->names[0] != NULL && PyBytes_Check(call->names[0]);
    PyObject *list = file == NULL ? NULL : PyList_New(0);
    const char *name;
    int kind, error = 0;
    while (list != NULL && error == 0 &&
           (name = tl_file_next_entry(file, &kind)) != NULL) {
        PyObject *item = name_of(name, as_bytes);
        if (with_kinds && item != NULL) {
            item = Py_BuildValue("(Ni)", item, kind);
        }
        error = item == NULL ? -1 : PyList_Append(list, item);
        Py_XDECREF(item);
    }
    if (error != 0) {
        Py_CLEAR(list);
    }
    if (file != NULL) {
        tl_file_free(file);
    }
    call_clear(call);
    return list;
}

static PyObject *
call_names(struct call *call, bool ready)
{
    return call_scan(call, ready, false);
}

static PyObject *
call_entries(struct call *call, bool ready)
{
    return call_scan(call, ready, true);
}

PyDoc_STRVAR(listdir_doc,
"listdir($module, path='.', *, timeout=None)\n"
"--\n"
"\n"
"Return the names in a directory, like os.listdir: bytes if path is bytes.\n"
"\n"
"Raises OSError, and TimeoutError after timeout seconds.");

FUNCTION(listdir, TL_FILE_SCAN, read_one_path, "os.listdir", call_names)

PyDoc_STRVAR(entries_doc,
"entries($module, path='.', *, timeout=None)\n"
"--\n"
"\n"
"Return a list of (name, kind) of the entries of a directory.\n"
"\n"
"kind is the file type bits of st_mode; 0 if not known. Raises OSError, and\n"
"TimeoutError after timeout seconds.");

FUNCTION(entries, TL_FILE_SCAN, read_one_path, "os.scandir", call_entries)

// ---- whole files

PyDoc_STRVAR(read_bytes_doc,
"read_bytes($module, path, *, timeout=None)\n"
"--\n"
"\n"
"Return the contents of a file.\n"
"\n"
"Raises OSError, and TimeoutError after timeout seconds.");

static PyObject *
fn_read_bytes(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *result = NULL;
    struct call call = {.state = tl_state_of_module(mod),
                        .args = {.op = TL_FILE_READ_WHOLE, .flags = O_RDONLY}};
    bool ready =
        read_one_path(&call, "read_bytes", args, nargs, kwnames) == 0 &&
        PySys_Audit("open", "Osi", call.names[0], "rb", O_RDONLY | O_CLOEXEC) == 0;
    struct tl_file *file = ready ? call_do(&call) : NULL;
    if (file != NULL) {
        result = PyBytes_FromStringAndSize(tl_file_content(file),
                                           (Py_ssize_t)tl_file_result(file));
        tl_file_free(file);
    }
    call_clear(&call);
    return result;
}

PyDoc_STRVAR(write_bytes_doc,
"write_bytes($module, path, data, *, timeout=None)\n"
"--\n"
"\n"
"Replace the contents of a file, and return the number of bytes written.\n"
"\n"
"data: bytes or another contiguous buffer, not to be changed during the call.\n"
"If the wait ends early the file may be written completely, in part or not at\n"
"all. Raises OSError, and TimeoutError after timeout seconds.");

static PyObject *
fn_write_bytes(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const char *const names[] = {"path", "data", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "write_bytes", .names = names, .required = 2, .maxpos = 2};
    PyObject *argv[3];
    struct call call = {.state = tl_state_of_module(mod),
                        .args = {.op = TL_FILE_WRITE_WHOLE,
                                 .flags = O_WRONLY | O_CREAT | O_TRUNC,
                                 .mode = 0666}};
    bool ready = call_parse(&call, &spec, args, nargs, kwnames, argv) == 0 &&
                 read_path(&call, 0, argv[0]) == 0 && read_data(&call, argv[1]) == 0 &&
                 PySys_Audit("open", "Osi", call.names[0], "wb",
                             call.args.flags | O_CLOEXEC) == 0;
    return call_number(&call, ready);
}

// clang-format off

#define ROW(name) \
    {#name, TL_FAST(fn_##name), METH_FASTCALL | METH_KEYWORDS, name##_doc}

PyMethodDef tl_file_functions[] = {
    ROW(open),
    ROW(close),
    ROW(read),
    ROW(write),
    ROW(fsync),
    ROW(ftruncate),
    ROW(stat),
    ROW(lstat),
    ROW(fstat),
    ROW(mkdir),
    ROW(rmdir),
    ROW(unlink),
    ROW(rename),
    ROW(listdir),
    ROW(entries),
    ROW(read_bytes),
    ROW(write_bytes),
    {NULL, NULL, 0, NULL},
};
