// mod_watch.c - the system calls of inotify, for tasklets.fs.watch().
//
// None of them waits: events are read from the descriptor when it is readable.
#include "object/args.h"
#include "python/types.h"

#include <errno.h>

#ifdef __linux__
#include <sys/inotify.h>
#include <unistd.h>

static int
watch_open(void)
{
    return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

static int
watch_add(int fd, const char *path, uint32_t mask)
{
    return inotify_add_watch(fd, path, mask);
}

static int
watch_remove(int fd, int watch)
{
    return inotify_rm_watch(fd, watch);
}

#else

static int
watch_open(void)
{
    errno = ENOSYS;
    return -1;
}

static int
watch_add(int Py_UNUSED(fd), const char *Py_UNUSED(path), uint32_t Py_UNUSED(mask))
{
    return watch_open();
}

static int
watch_remove(int Py_UNUSED(fd), int Py_UNUSED(watch))
{
    return watch_open();
}

#endif

PyDoc_STRVAR(watch_open_doc,
"watch_open($module, /)\n"
"--\n"
"\n"
"Return a new descriptor of inotify, which does not block. Raises OSError.");

static PyObject *
fn_watch_open(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(arg))
{
    int fd = watch_open();
    return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(fd);
}

PyDoc_STRVAR(watch_add_doc,
"watch_add($module, fd, path, mask, /)\n"
"--\n"
"\n"
"Watch a path for the events of a mask (IN_...), and return the watch's number.\n"
"\n"
"A path that leads to a file that is watched already has the same number, and\n"
"its mask is replaced. Raises OSError.");

static PyObject *
fn_watch_add(PyObject *Py_UNUSED(mod), PyObject *args)
{
    int fd;
    PyObject *name, *path = NULL;
    unsigned int mask;
    if (!PyArg_ParseTuple(args, "iOI:watch_add", &fd, &name, &mask) ||
        !PyUnicode_FSConverter(name, &path)) {
        return NULL;
    }
    int watch = watch_add(fd, PyBytes_AS_STRING(path), mask);
    Py_DECREF(path);
    return watch < 0 ? PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name)
                     : PyLong_FromLong(watch);
}

PyDoc_STRVAR(watch_remove_doc,
"watch_remove($module, fd, watch, /)\n"
"--\n"
"\n"
"End a watch. Raises OSError: EINVAL if it has ended already.");

static PyObject *
fn_watch_remove(PyObject *Py_UNUSED(mod), PyObject *args)
{
    int fd, watch;
    if (!PyArg_ParseTuple(args, "ii:watch_remove", &fd, &watch)) {
        return NULL;
    }
    return watch_remove(fd, watch) < 0 ? PyErr_SetFromErrno(PyExc_OSError)
                                       : Py_NewRef(Py_None);
}

// clang-format off

PyMethodDef tl_watch_functions[] = {
    {"watch_open", fn_watch_open, METH_NOARGS, watch_open_doc},
    {"watch_add", fn_watch_add, METH_VARARGS, watch_add_doc},
    {"watch_remove", fn_watch_remove, METH_VARARGS, watch_remove_doc},
    {NULL, NULL, 0, NULL},
};
