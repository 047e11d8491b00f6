// mod_waiting.c - wait() and as_completed().
#include "core/errors.h"
#include "core/thread.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/arrivals_type.h"
#include "python/types.h"

// Check that the current tasklet can wait for object. Returns 0, or -1 with an
// exception set.
static int
check(struct tl_sched *s, PyObject *object)
{
    if (!tl_arrivals_accepts(s->state, object)) {
        PyErr_Format(PyExc_TypeError,
                     "can only wait for tasklets, concurrent.futures.Future and "
                     "tasklets.locks.Event, not %R",
                     object);
        return -1;
    }
    if (object == (PyObject *)s->current) {
        PyErr_SetString(PyExc_RuntimeError, "a tasklet cannot wait for its own end");
        return -1;
    }
    return 0;
}

// The arrivals of an iterable of objects, each once. NULL with an exception set.
static ArrivalsObject *
arrivals_of(struct tl_sched *s, PyObject *objects)
{
    // A copy. (PySequence_List() leaks a list when out of memory, up to 3.11.)
    PyObject *list = PyList_CheckExact(objects)
                         ? PyList_GetSlice(objects, 0, PyList_GET_SIZE(objects))
                         : PySequence_List(objects);
    Py_ssize_t count = list == NULL ? 0 : PyList_GET_SIZE(list), i = 0;
    while (i < count && check(s, PyList_GET_ITEM(list, i)) == 0) {
        i++;
    }
    ArrivalsObject *arrivals = NULL;
    if (list != NULL && i == count) {
        arrivals = tl_arrivals_new(s, PySequence_Fast_ITEMS(list), count);
    }
    Py_XDECREF(list);
    return arrivals;
}

// The next of arrivals. seen: the collector sees the caller's reference; otherwise the
// tasklet holds one during the wait.
static PyObject *
take(ArrivalsObject *arrivals, struct tl_sched *s, tl_deadline deadline, bool seen)
{
    TaskletObject *me = s->current;
    PyObject *outer = me->held;
    if (!seen) {
        me->held = (PyObject *)arrivals;
    }
    PyObject *one = tl_arrivals_take(arrivals, s, deadline);
    if (!seen && tl_sched_mine == s && s->current == me) {
        me->held = outer;
    }
    return one;
}

// Whether the exception that is set means that the caller's timeout is over. (It may be
// another TimeoutError.)
static bool
is_out_of_time(struct tl_sched *s, tl_deadline deadline)
{
    return tl_sched_mine == s && PyErr_ExceptionMatches(PyExc_TimeoutError) &&
           deadline <= tl_timer_now(s);
}

// ---- wait()

PyDoc_STRVAR(wait_doc,
"wait($module, /, objects, timeout=None, count=None)\n"
"--\n"
"\n"
"Wait until count of the objects have finished, or all if count is None.\n"
"\n"
"objects: an iterable of tasklets of any thread, concurrent.futures.Future, and\n"
"tasklets.locks.Event, which has finished once it is set, even if it is cleared\n"
"again. A repeated object counts once.\n"
"\n"
"Returns a list of all objects that have finished, in the order in which they did;\n"
"objects finished before the call come first, in the order given. It has fewer\n"
"than count items only if timeout seconds are over. A tasklet's exception is not\n"
"raised here; if the tasklet ends during the call, it is not raised elsewhere either.\n"
"\n"
"Raises TypeError for an object of another type; ValueError if count is negative or\n"
"greater than the number of objects, or timeout is NaN; RuntimeError if the caller is\n"
"among the objects; DeadlockError if too few of them can ever finish.");

// How many objects to wait for. -1 with an exception set.
static Py_ssize_t
count_of(PyObject *arg, Py_ssize_t max)
{
    if (arg == NULL || arg == Py_None) {
        return max;
    }
    PyObject *number = PyNumber_Index(arg);
    Py_ssize_t count = number == NULL ? -1 : PyNumber_AsSsize_t(number, NULL);
    if (number != NULL && (count < 0 || count > max)) {
        PyErr_Format(PyExc_ValueError,
                     "count must be between 0 and %zd, the number of objects, not %R",
                     max, number);
        count = -1;
    }
    Py_XDECREF(number);
    return count;
}

// Fill arrivals->taken until it has wanted objects, or until the deadline. Returns 0,
// or -1 with an exception set.
static int
take_many(ArrivalsObject *arrivals, struct tl_sched *s, Py_ssize_t wanted,
          tl_deadline deadline)
{
    PyObject *taken = arrivals->taken;
    if (tl_arrivals_listen(arrivals) < 0) {
        return -1;
    }
    while (PyList_GET_SIZE(taken) < wanted || arrivals->queue->count > 0) {
        PyObject *one = take(arrivals, s, deadline, false);
        if (one == NULL) {
            if (!is_out_of_time(s, deadline)) {
                return -1;
            }
            PyErr_Clear();
            break;
        }
        int added = PyList_Append(taken, one);
        Py_DECREF(one);
        if (added < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
fn_wait(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"objects", "timeout", "count", NULL};
    static const struct tl_argspec spec = {
        .fname = "wait", .names = names, .required = 1, .maxpos = 3};
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    PyObject *argv[3];
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    ArrivalsObject *arrivals = arrivals_of(s, argv[0]);
    Py_ssize_t wanted = arrivals == NULL ? -1 : count_of(argv[2], arrivals->count);
    tl_deadline deadline;
    PyObject *result = NULL;
    if (wanted >= 0 && tl_timer_deadline(argv[1], &deadline) == 0) {
        arrivals->taken = PyList_New(0);
        int failed =
            arrivals->taken == NULL || take_many(arrivals, s, wanted, deadline) < 0;
        if (tl_arrivals_end(arrivals) == 0 && !failed) {
            result = Py_NewRef(arrivals->taken);
        }
    }
    Py_XDECREF(arrivals);
    return result;
}

// ---- as_completed()

// Invariants
// I1: arrivals is NULL after all objects have been returned, or an error.
typedef struct {
    PyObject_HEAD
    ArrivalsObject *arrivals;
    Py_ssize_t left, count;
    tl_deadline deadline;
    bool waits; // a tasklet is inside next()
} CompletionsObject;

PyDoc_STRVAR(as_completed_doc,
"as_completed($module, /, objects, timeout=None)\n"
"--\n"
"\n"
"Return an iterator over the objects in the order in which they finish.\n"
"\n"
"Objects that have finished already come first, in the order given. objects and\n"
"errors are as for wait(). timeout: in seconds from this call; when it is over the\n"
"iterator raises TimeoutError and ends.");

static PyObject *
fn_as_completed(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const char *const names[] = {"objects", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "as_completed", .names = names, .required = 1, .maxpos = 2};
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_get(state);
    PyObject *argv[2];
    tl_deadline deadline;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    ArrivalsObject *arrivals = arrivals_of(s, argv[0]);
    if (arrivals == NULL || tl_timer_deadline(argv[1], &deadline) < 0) {
        Py_XDECREF(arrivals);
        return NULL;
    }
    PyTypeObject *type = state->completions_type;
    CompletionsObject *self = (CompletionsObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(arrivals);
        return NULL;
    }
    self->arrivals = arrivals;
    self->left = self->count = arrivals->count;
    self->deadline = deadline;
    if (tl_arrivals_listen(arrivals) < 0) {
        Py_CLEAR(self); // its dealloc removes the callbacks
    }
    return (PyObject *)self;
}

// Stop listening and forget the objects. Returns 0, or -1 with an exception set.
static int
end(CompletionsObject *self)
{
    ArrivalsObject *arrivals = self->arrivals;
    if (arrivals == NULL) {
        return 0;
    }
    self->arrivals = NULL;
    int result = tl_arrivals_end(arrivals);
    Py_DECREF(arrivals);
    return result;
}

// Check that no other tasklet is inside next(). Returns 0, or -1 with ValueError set.
static int
check_not_waiting(CompletionsObject *self)
{
    if (self->waits) {
        PyErr_SetString(PyExc_ValueError,
                        "another tasklet is waiting in this iterator already");
        return -1;
    }
    return 0;
}

static PyObject *
completions_next(CompletionsObject *self)
{
    struct tl_sched *s = tl_sched_for((PyObject *)self);
    if (s == NULL || check_not_waiting(self) < 0) {
        return NULL;
    }
    if (self->arrivals == NULL) {
        return NULL;
    }
    PyObject *one = NULL;
    if (self->left > 0) {
        self->waits = true;
        one = take(self->arrivals, s, self->deadline, true);
        self->waits = false;
    }
    if (one != NULL) {
        self->left--;
        TL_CHECK("I1", "completions", self, self->arrivals != NULL && self->left >= 0);
        return one;
    }
    if (self->left > 0 && is_out_of_time(s, self->deadline)) {
        PyErr_Clear();
        PyErr_Format(PyExc_TimeoutError, "%zd of %zd have not finished in time",
                     self->left, self->count);
    }
    (void)end(self);
    return NULL;
}

PyDoc_STRVAR(close_doc,
"close($self, /)\n"
"--\n"
"\n"
"End the iteration and forget the objects.\n"
"\n"
"Raises ValueError if a tasklet is waiting in the iterator.");

static PyObject *
completions_close(CompletionsObject *self, PyObject *Py_UNUSED(ignored))
{
    if (check_not_waiting(self) < 0 || end(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
completions_traverse(CompletionsObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->arrivals);
    return 0;
}

static int
completions_clear(CompletionsObject *self)
{
    if (self->waits) {
        return 0; // the waiting tasklet uses arrivals
    }
    PyObject *exc = PyErr_GetRaisedException();
    if (end(self) < 0) {
        tl_errors_unraisable(tl_state_of_object((PyObject *)self), (PyObject *)self);
    }
    PyErr_SetRaisedException(exc);
    return 0;
}

static void
completions_dealloc(CompletionsObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)completions_clear(self);
    tl_object_free(self, TL_LIVE_NONE);
}

// clang-format off

PyMethodDef tl_waiting_functions[] = {
    {"wait", TL_FAST(fn_wait), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"as_completed", TL_FAST(fn_as_completed), METH_FASTCALL | METH_KEYWORDS,
     as_completed_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef completions_methods[] = {
    {"close", (PyCFunction)completions_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(completions_doc,
"The iterator that as_completed() returns.");

static PyType_Slot completions_slots[] = {
    {Py_tp_doc, (void *)completions_doc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, completions_next},
    {Py_tp_methods, completions_methods},
    {Py_tp_traverse, completions_traverse},
    {Py_tp_clear, completions_clear},
    {Py_tp_dealloc, completions_dealloc},
    {0, NULL},
};

PyType_Spec tl_completions_spec = {
    .name = "tasklets._core.completions",
    .basicsize = sizeof(CompletionsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = completions_slots,
};
