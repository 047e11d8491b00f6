// lock_common.c - shared by the Python types of the locks.
#include "python/lock_common.h"
#include "core/timer.h"
#include "object/args.h"

PyObject *
tl_lock_wait_for_predicate(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames,
                           enum tl_waited (*wait)(PyObject *, tl_deadline))
{
    static const char *const names[] = {"predicate", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "wait_for", .names = names, .required = 1, .maxpos = 2};
    PyObject *argv[2];
    tl_deadline deadline;
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        tl_timer_deadline_limited(argv[1], &deadline) < 0) {
        return NULL;
    }
    for (bool timed_out = false;;) {
        PyObject *result = PyObject_CallNoArgs(argv[0]);
        int truth = result == NULL ? -1 : PyObject_IsTrue(result);
        if (truth != 0 || timed_out) {
            if (truth < 0) {
                Py_CLEAR(result);
            }
            return result;
        }
        Py_DECREF(result);
        enum tl_waited waited = wait(self, deadline);
        if (waited == TL_WAITED_FAILED) {
            return NULL;
        }
        timed_out = waited == TL_WAITED_TIMED_OUT;
    }
}

int
tl_lock_count_arg(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                  Py_ssize_t *count)
{
    static const char *const names[] = {"n", NULL};
    static const struct tl_argspec spec = {
        .fname = "notify", .names = names, .maxpos = 1};
    PyObject *arg = NULL;
    if ((nargs > 0 || kwnames != NULL) &&
        tl_args_parse(&spec, args, nargs, kwnames, &arg) < 0) {
        return -1;
    }
    *count = arg == NULL ? 1 : PyNumber_AsSsize_t(arg, NULL);
    return *count == -1 && PyErr_Occurred() ? -1 : 0;
}

PyObject *
tl_lock_type_name(PyObject *self)
{
    PyObject *mod = tl_getattr((PyObject *)Py_TYPE(self), "__module__");
    PyObject *name = tl_getattr((PyObject *)Py_TYPE(self), "__qualname__");
    PyObject *text = mod && name ? PyUnicode_FromFormat("%S.%S", mod, name) : NULL;
    Py_XDECREF(mod);
    Py_XDECREF(name);
    return text;
}
