// stray.c - notes on which fiber a tasklet pauses.
#include "core/stray.h"
#include "core/fiber.h"

// s->left is the set of fibers of stacks whose tasklet has paused on another fiber. On
// such a fiber greenlet's own API can continue code of a tasklet that is not current.
// The set has addresses, because greenlets of a subclass may define __eq__ and
// __hash__.

static PyObject *
home_of(struct tl_sched *s, TaskletObject *t)
{
    return t->stack != NULL ? t->stack->fiber : s->main_fiber;
}

// Whether fiber is in the set; false without memory.
static bool
is_left(struct tl_sched *s, PyObject *fiber)
{
    if (s->left == NULL) {
        return false;
    }
    PyObject *key = PyLong_FromVoidPtr(fiber);
    int found = key != NULL ? PySet_Contains(s->left, key) : -1;
    Py_XDECREF(key);
    if (found < 0) {
        PyErr_Clear();
    }
    return found > 0;
}

static void
note_left(struct tl_sched *s, PyObject *fiber)
{
    if (s->left == NULL) {
        s->left = PySet_New(NULL);
    }
    PyObject *key = s->left != NULL ? PyLong_FromVoidPtr(fiber) : NULL;
    if (key == NULL || PySet_Add(s->left, key) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(key);
}

int
tl_stray_note(struct tl_sched *s, TaskletObject *t)
{
    PyObject *fiber = tl_fiber_current(), *home = home_of(s, t);
    if (fiber == t->fiber) {
        Py_DECREF(fiber);
        return 0;
    }
    if (fiber == NULL) {
        PyErr_Clear();
        return 0;
    }
    if (fiber != home && is_left(s, fiber)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a greenlet's switch(), throw() or end reached the stack of "
                        "another tasklet: only that tasklet can wait there");
        tl_sched_drop_later(s, fiber);
        return -1;
    }
    if (t->fiber == home) {
        note_left(s, home);
    }
    tl_sched_drop_later(s, t->fiber);
    t->fiber = fiber;
    return 0;
}

void
tl_stray_forget(struct tl_sched *s, PyObject *fiber)
{
    if (s->left == NULL) {
        return;
    }
    PyObject *key = PyLong_FromVoidPtr(fiber);
    if (key == NULL || PySet_Discard(s->left, key) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(key);
}
