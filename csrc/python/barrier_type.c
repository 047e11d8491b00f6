// barrier_type.c - Barrier.
#include "core/stress_points.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/lock_common.h"
#include "python/types.h"
#include "sync/condition.h"

// Invariants
// I1: count is the number of parties that have arrived and not left: the waiters in
//     waiters and leaving, the party that runs the action, and the parties whose wait
//     has ended but that have not run since. It is at most parties.
// I2: leaving holds the waiters that arrived before the running action, gate the
//     waiters that arrived during it. Both are empty while no action runs.
typedef struct BarrierObject {
    PyObject_HEAD
    Py_ssize_t parties, count;
    PyObject *action, *timeout; // NULL: none
    struct tl_link waiters, leaving, gate;
    uint64_t resets; // number of calls of reset() and abort()
    uint64_t passes; // number of times that all parties have passed
    bool broken, acting;
    PyObject *weakrefs;
#ifndef NDEBUG
    size_t changes; // since the last full count of the waiters
#endif
} BarrierObject;

// TL_GIVEN_NOTIFICATION tells a waiter to pass, TL_GIVEN_RETRY to look at the barrier
// again.
static const struct tl_wait_kind barrier_wait = {
    .verb = "pass", .exempt = true, .on_timeout = tl_wait_queue_timed_out};

#ifndef NDEBUG
// Locks: the GIL.
static void
check(BarrierObject *self)
{
    TL_CHECK("I1", "barrier", self, self->count >= 0 && self->count <= self->parties);
    TL_CHECK("I2", "barrier", self, self->acting || tl_link_is_single(&self->leaving));
    TL_CHECK("I2", "barrier", self, self->acting || tl_link_is_single(&self->gate));
    if (tl_check_is_due(&self->changes, (size_t)self->count)) {
        Py_ssize_t waiting = tl_condition_count(&self->waiters);
        TL_CHECK("I1", "barrier", self,
                 waiting + tl_condition_count(&self->leaving) <= self->count);
    }
}
#else
TL_CHECKER(check, BarrierObject *self);
#endif

// ---- construction and destruction

static PyObject *
barrier_new(PyTypeObject *cls, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    BarrierObject *self = (BarrierObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self != NULL) {
        tl_live_add(TL_LIVE_LOCK, 1);
        tl_link_init(&self->waiters);
        tl_link_init(&self->leaving);
        tl_link_init(&self->gate);
    }
    return (PyObject *)self;
}

static int
barrier_init(BarrierObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"parties", "action", "timeout", NULL};
    Py_ssize_t parties;
    PyObject *action = Py_None, *timeout = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n|OO:Barrier", names, &parties,
                                     &action, &timeout)) {
        return -1;
    }
    if (parties < 1) {
        PyErr_SetString(PyExc_ValueError, "parties must be >= 1");
        return -1;
    }
    if (action != Py_None && !PyCallable_Check(action)) {
        PyErr_Format(PyExc_TypeError, "action must be callable or None, not %s",
                     Py_TYPE(action)->tp_name);
        return -1;
    }
    tl_deadline deadline; // unused: this only validates timeout
    if (tl_timer_deadline_limited(timeout, &deadline) < 0) {
        return -1;
    }
    if (self->count > 0 || self->acting) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this barrier has waiters: it cannot be initialised again");
        return -1;
    }
    self->parties = parties;
    self->broken = false;
    Py_XSETREF(self->action, action == Py_None ? NULL : Py_NewRef(action));
    Py_XSETREF(self->timeout, timeout == Py_None ? NULL : Py_NewRef(timeout));
    return 0;
}

static int
barrier_traverse(BarrierObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->action);
    Py_VISIT(self->timeout);
    int result = tl_wait_queue_traverse(&self->waiters, visit, arg);
    result = result ? result : tl_wait_queue_traverse(&self->leaving, visit, arg);
    return result ? result : tl_wait_queue_traverse(&self->gate, visit, arg);
}

static int
barrier_clear(BarrierObject *self)
{
    Py_CLEAR(self->action);
    Py_CLEAR(self->timeout);
    return 0;
}

static void
barrier_dealloc(BarrierObject *self)
{
    PyObject_GC_UnTrack(self);
    TL_TRASHCAN_BEGIN(self, barrier_dealloc)
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    assert(tl_link_is_single(&self->waiters) && tl_link_is_single(&self->leaving) &&
           tl_link_is_single(&self->gate));
    (void)barrier_clear(self);
    tl_object_free(self, TL_LIVE_LOCK);
    TL_TRASHCAN_END
}

// ---- passing

static int
raise_broken(BarrierObject *self)
{
    PyErr_SetNone(tl_state_of_object((PyObject *)self)->broken_barrier_error);
    return -1;
}

// Wake all waiters, which then raise BrokenBarrierError.
static void
wake_all(BarrierObject *self)
{
    self->resets++;
    self->count = 0;
    tl_wait_queue_wake_many(&self->waiters, PY_SSIZE_T_MAX, TL_GIVEN_RETRY);
    tl_wait_queue_wake_many(&self->leaving, PY_SSIZE_T_MAX, TL_GIVEN_RETRY);
    check(self);
}

static void
break_barrier(BarrierObject *self)
{
    self->broken = true;
    wake_all(self);
}

// All parties have arrived: run the action. The waiters move to leaving first, where
// their timeouts no longer count. Returns 0, or -1 with an exception set.
static int
act(BarrierObject *self)
{
    uint64_t resets = self->resets;
    struct tl_waiter *waiter;
    while ((waiter = tl_wait_queue_first(&self->waiters)) != NULL) {
        tl_wait_queue_move(waiter, &barrier_wait, (PyObject *)self, &self->leaving, 0);
    }
    self->acting = true;
    PyObject *action = Py_NewRef(self->action);
    PyObject *result = PyObject_CallNoArgs(action);
    Py_DECREF(action);
    Py_XDECREF(result);
    self->acting = false;
    tl_wait_queue_wake_many(&self->gate, PY_SSIZE_T_MAX, TL_GIVEN_RETRY);
    if (result == NULL) {
        PyObject *exc = PyErr_GetRaisedException();
        break_barrier(self);
        PyErr_SetRaisedException(exc);
        return -1;
    }
    if (self->resets != resets) {
        return raise_broken(self);
    }
    return 0;
}

// All parties have arrived: let them pass. Returns 0, or -1 with an exception set.
static int
pass(BarrierObject *self)
{
    if (self->action != NULL && act(self) < 0) {
        return -1;
    }
    self->passes++;
    self->count = 0;
    tl_wait_queue_wake_many(&self->waiters, PY_SSIZE_T_MAX, TL_GIVEN_NOTIFICATION);
    tl_wait_queue_wake_many(&self->leaving, PY_SSIZE_T_MAX, TL_GIVEN_NOTIFICATION);
    check(self);
    return 0;
}

// One wait, and the barrier's counters when it began.
struct stay {
    struct tl_queued_wait block;
    uint64_t resets, passes;
};

static bool
is_over(struct tl_queued_wait *how)
{
    const struct stay *stay = TL_CONTAINER(how, struct stay, block);
    const BarrierObject *self = (BarrierObject *)how->on;
    return self->resets != stay->resets || self->passes != stay->passes;
}

static bool
is_open(struct tl_queued_wait *how)
{
    return !((BarrierObject *)how->on)->acting;
}

// Wait until the running action has ended. Returns 0, or -1 with an exception set.
static int
wait_at_gate(BarrierObject *self, tl_deadline deadline)
{
    struct tl_queued_wait how = {.kind = &barrier_wait,
                                 .on = (PyObject *)self,
                                 .queue = &self->gate,
                                 .deadline = deadline,
                                 .last_check = is_open};
    if (tl_wait_queue_wait(tl_state_of_object((PyObject *)self), &how) < 0) {
        return -1;
    }
    if (how.given & TL_GIVEN_TIMED_OUT) {
        break_barrier(self);
        return raise_broken(self);
    }
    return 0;
}

// Wait for the other parties. Returns 0, or -1 with an exception set.
static int
wait_inside(BarrierObject *self, tl_deadline deadline)
{
    struct stay stay = {.block = {.kind = &barrier_wait,
                                  .on = (PyObject *)self,
                                  .queue = &self->waiters,
                                  .deadline = deadline,
                                  .last_check = is_over},
                        .resets = self->resets,
                        .passes = self->passes};
    int result =
        deadline == TL_DEADLINE_PAST
            ? 0
            : tl_wait_queue_wait(tl_state_of_object((PyObject *)self), &stay.block);
    if (self->passes != stay.passes && !(stay.block.given & TL_GIVEN_RETRY)) {
        return result;
    }
    bool waits = self->resets == stay.resets && !self->acting;
    if (result < 0) {
        self->count -= waits; // the caller leaves; the other parties keep waiting
        check(self);
        return -1;
    }
    if (waits) {
        break_barrier(self); // timed out
    }
    return raise_broken(self);
}

PyDoc_STRVAR(wait_doc,
"wait($self, /, timeout=None)\n"
"--\n"
"\n"
"Wait until all parties have arrived, then let them pass.\n"
"\n"
"The last party to arrive calls the action before any of them passes. Returns\n"
"an int from 0 to parties - 1, different for each party unless one of them left\n"
"early.\n"
"\n"
"timeout: in seconds; None: the barrier's own. Raises BrokenBarrierError if it\n"
"is over, which breaks the barrier, or if the barrier is broken or is reset or\n"
"aborted while it waits. An exception of the action is raised in the last\n"
"party, and breaks the barrier.");

static PyObject *
barrier_wait_for(BarrierObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "wait", .names = names, .maxpos = 1};
    PyObject *timeout;
    tl_deadline deadline;
    if (tl_args_parse(&spec, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    timeout = timeout == NULL || timeout == Py_None ? self->timeout : timeout;
    Py_XINCREF(timeout); // its __float__() may initialise the barrier again
    int read = tl_timer_deadline_limited(timeout, &deadline);
    Py_XDECREF(timeout);
    if (read < 0) {
        return NULL;
    }
    if (self->parties == 0) {
        PyErr_SetString(PyExc_RuntimeError, "Barrier.__init__() was not called");
        return NULL;
    }
    if (tl_stress_before_timed_wait(deadline) < 0) {
        return NULL;
    }
    while (self->acting && !self->broken) {
        if (deadline == TL_DEADLINE_PAST) {
            break_barrier(self);
        } else if (wait_at_gate(self, deadline) < 0) {
            return NULL;
        }
    }
    if (self->broken) {
        (void)raise_broken(self);
        return NULL;
    }
    Py_ssize_t index = self->count++;
    check(self);
    bool last = index + 1 == self->parties;
    if ((last ? pass(self) : wait_inside(self, deadline)) < 0) {
        return NULL;
    }
    return PyLong_FromSsize_t(index);
}

PyDoc_STRVAR(reset_doc,
"reset($self, /)\n"
"--\n"
"\n"
"Make the barrier empty and unbroken; its waiters raise BrokenBarrierError.");

static PyObject *
barrier_reset(BarrierObject *self, PyObject *Py_UNUSED(ignored))
{
    wake_all(self);
    self->broken = false;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(abort_doc,
"abort($self, /)\n"
"--\n"
"\n"
"Break the barrier until reset(): wait() raises BrokenBarrierError.\n"
"\n"
"Parties that are waiting already raise it too.");

static PyObject *
barrier_abort(BarrierObject *self, PyObject *Py_UNUSED(ignored))
{
    break_barrier(self);
    Py_RETURN_NONE;
}

// ---- attributes

static PyObject *
get_n_waiting(BarrierObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(self->count);
}

static PyObject *
get_broken(BarrierObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->broken);
}

static PyObject *
barrier_repr(BarrierObject *self)
{
    PyObject *name = tl_lock_type_name((PyObject *)self), *text = NULL;
    if (name != NULL && self->broken) {
        text = PyUnicode_FromFormat("<%U at %p: broken>", name, self);
    } else if (name != NULL) {
        text = PyUnicode_FromFormat("<%U at %p: waiters=%zd/%zd>", name, self,
                                    self->count, self->parties);
    }
    Py_XDECREF(name);
    return text;
}

// clang-format off

static PyMethodDef barrier_methods[] = {
    {"wait", TL_FAST(barrier_wait_for), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"reset", (PyCFunction)barrier_reset, METH_NOARGS, reset_doc},
    {"abort", (PyCFunction)barrier_abort, METH_NOARGS, abort_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef barrier_getset[] = {
    {"n_waiting", (getter)get_n_waiting, NULL, "The number of waiting parties.", NULL},
    {"broken", (getter)get_broken, NULL, "Whether the barrier is broken.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef barrier_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(BarrierObject, weakrefs), Py_READONLY,
     NULL},
    {"parties", Py_T_PYSSIZET, offsetof(BarrierObject, parties), Py_READONLY,
     "The number of parties that must arrive before all can pass."},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(barrier_doc,
"Barrier(parties, action=None, timeout=None)\n"
"--\n"
"\n"
"threading.Barrier, for tasklets of any thread and for threads without tasklets.\n"
"\n"
"parties: the number of parties, at least 1. action: called without arguments\n"
"by the last party to arrive, each time. timeout: in seconds, for each wait()\n"
"that has none of its own. A party that has passed can wait again at once.\n"
"\n"
"Raises ValueError if parties is less than 1, RuntimeError if it is initialised\n"
"again while it has waiters.");

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc, (void *)barrier_doc},
    {Py_tp_new, barrier_new},
    {Py_tp_init, barrier_init},
    {Py_tp_repr, barrier_repr},
    {Py_tp_traverse, barrier_traverse},
    {Py_tp_clear, barrier_clear},
    {Py_tp_dealloc, barrier_dealloc},
    {Py_tp_methods, barrier_methods},
    {Py_tp_getset, barrier_getset},
    {Py_tp_members, barrier_members},
    {0, NULL},
};

PyType_Spec tl_barrier_spec = {
    .name = "tasklets.locks.Barrier",
    .basicsize = sizeof(BarrierObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = barrier_slots,
};
