// event_type.c - Event, and NLCondition, a condition without a lock.
#include "core/errors.h"
#include "core/stress_points.h"
#include "core/timer.h"
#include "object/args.h"
#include "object/callback_list.h"
#include "object/live_counts.h"
#include "python/lock_common.h"
#include "python/types.h"
#include "sync/condition.h"

// Invariants
// I1: while an Event's flag is set, its only waiters are tasklets of ended threads.
typedef struct EventObject {
    PyObject_HEAD
    struct tl_link waiters;
    bool flag;
    PyObject *cond;      // _cond, created when first read
    PyObject *callbacks; // list, or NULL
    PyObject *weakrefs;
} EventObject;

static const struct tl_wait_kind event_wait = {
    .verb = "see the flag of", .exempt = true, .on_timeout = tl_wait_queue_timed_out};

#ifndef NDEBUG
// Locks: the GIL.
static void
check(const EventObject *self)
{
    TL_CHECK("I1", "event", self,
             !self->flag ||
                 tl_wait_queue_first((struct tl_link *)&self->waiters) == NULL);
}
#else
TL_CHECKER(check, const EventObject *self);
#endif

// ---- construction and destruction of both

static PyObject *
make(PyObject *cls, PyObject *const *Py_UNUSED(args), size_t nargsf, PyObject *kwnames)
{
    PyTypeObject *type = (PyTypeObject *)cls;
    if (PyVectorcall_NARGS(nargsf) > 0 ||
        (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_Format(PyExc_TypeError, "%s() takes no arguments", type->tp_name);
        return NULL;
    }
    EventObject *self = (EventObject *)type->tp_alloc(type, 0); // zeroed
    if (self != NULL) {
        tl_live_add(TL_LIVE_LOCK, 1);
        tl_link_init(&self->waiters);
    }
    return (PyObject *)self;
}

static PyObject *
event_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args) + (kwargs ? PyDict_GET_SIZE(kwargs) : 0);
    bool takes = cls->tp_init != PyBaseObject_Type.tp_init; // a subclass
    return make((PyObject *)cls, NULL, takes ? 0 : (size_t)count, NULL);
}

static int
event_traverse(EventObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->cond);
    Py_VISIT(self->callbacks);
    return tl_wait_queue_traverse(&self->waiters, visit, arg);
}

static int
event_clear_refs(EventObject *self)
{
    Py_CLEAR(self->cond);
    Py_CLEAR(self->callbacks);
    return 0;
}

static void
event_dealloc(EventObject *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    assert(tl_link_is_single(&self->waiters));
    (void)event_clear_refs(self);
    tl_object_free(self, TL_LIVE_LOCK);
}

// Parse the argument of wait(). Returns 0, or -1 with an exception set.
static int
wait_args(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
          tl_deadline *deadline)
{
    static const char *const names[] = {"timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "wait", .names = names, .maxpos = 1};
    PyObject *timeout = NULL;
    *deadline = TL_DEADLINE_NEVER;
    if (nargs == 0 && kwnames == NULL) {
        return 0;
    }
    return tl_args_parse(&spec, args, nargs, kwnames, &timeout) < 0
               ? -1
               : tl_timer_deadline_limited(timeout, deadline);
}

// ---- Event

PyDoc_STRVAR(is_set_doc,
"is_set($self, /)\n"
"--\n"
"\n"
"Return whether the flag is set.");

static PyObject *
event_is_set(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->flag);
}

PyDoc_STRVAR(isSet_doc,
"isSet($self, /)\n"
"--\n"
"\n"
"Deprecated alias of is_set().");

static PyObject *
event_isSet(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning,
                     "isSet() is deprecated, use is_set() instead", 1) < 0) {
        return NULL;
    }
    return PyBool_FromLong(self->flag);
}

// Call one callback. An Exception is reported. Any other exception interrupts the
// caller: the first is put into *interrupt.
static void
call_back(EventObject *self, PyObject *func, PyObject **interrupt)
{
    PyObject *result = PyObject_CallOneArg(func, (PyObject *)self);
    if (result == NULL) {
        if (*interrupt != NULL || PyErr_ExceptionMatches(PyExc_Exception)) {
            tl_errors_unraisable(tl_state_of_object((PyObject *)self), func);
        } else {
            *interrupt = PyErr_GetRaisedException();
        }
    }
    Py_XDECREF(result);
}

// Returns None, or NULL with interrupt (stolen; may be NULL) set.
static PyObject *
end_of_calls(PyObject *interrupt)
{
    if (interrupt != NULL) {
        PyErr_SetRaisedException(interrupt);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_doc,
"set($self, /)\n"
"--\n"
"\n"
"Set the flag, wake all waiters, and call the callbacks.\n"
"\n"
"An Exception of a callback is reported as unraisable. Any other exception,\n"
"such as KeyboardInterrupt, is raised here once all have been called.");

static PyObject *
event_set(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    self->flag = true;
    tl_wait_queue_wake_many(&self->waiters, PY_SSIZE_T_MAX, TL_GIVEN_NOTIFICATION);
    check(self);
    PyObject *callbacks = self->callbacks, *interrupt = NULL;
    if (TL_LIKELY(callbacks == NULL)) {
        Py_RETURN_NONE;
    }
    self->callbacks = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(callbacks); i++) {
        PyObject *func = Py_NewRef(PyList_GET_ITEM(callbacks, i));
        call_back(self, func, &interrupt);
        Py_DECREF(func);
    }
    Py_DECREF(callbacks);
    return end_of_calls(interrupt);
}

enum tl_listening
tl_event_listen(PyObject *event, PyObject *func)
{
    EventObject *self = (EventObject *)event;
    if (self->flag) {
        return TL_LISTENING_LATE;
    }
    return tl_callback_list_add(&self->callbacks, func) < 0 ? TL_LISTENING_FAILED
                                                            : TL_LISTENING_ADDED;
}

void
tl_event_forget(PyObject *event, PyObject *func)
{
    tl_callback_list_discard(((EventObject *)event)->callbacks, func);
}

PyDoc_STRVAR(add_done_callback_doc,
"add_done_callback($self, func, /)\n"
"--\n"
"\n"
"Call func(event) once, inside the call of set(); at once if the flag is set.\n"
"\n"
"An Exception of func is reported as unraisable. Any other exception, such as\n"
"TaskletExit, is raised by set(). Raises TypeError if func is not callable.");

static PyObject *
event_add_done_callback(EventObject *self, PyObject *func)
{
    if (!PyCallable_Check(func)) {
        PyErr_SetString(PyExc_TypeError, "the callback must be callable");
        return NULL;
    }
    PyObject *interrupt = NULL;
    if (self->flag) {
        call_back(self, func, &interrupt);
    } else if (tl_callback_list_add(&self->callbacks, func) < 0) {
        return NULL;
    }
    return end_of_calls(interrupt);
}

PyDoc_STRVAR(remove_done_callback_doc,
"remove_done_callback($self, func, /)\n"
"--\n"
"\n"
"Remove a callback as many times as it was added, and return that number.");

static PyObject *
event_remove_done_callback(EventObject *self, PyObject *func)
{
    return tl_callback_list_remove(self->callbacks, func);
}

PyDoc_STRVAR(clear_doc,
"clear($self, /)\n"
"--\n"
"\n"
"Reset the flag. Waiters that set() has woken still return.");

static PyObject *
event_clear(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    self->flag = false;
    Py_RETURN_NONE;
}

static bool
is_set(struct tl_queued_wait *how)
{
    return ((EventObject *)how->on)->flag;
}

PyDoc_STRVAR(event_wait_doc,
"wait($self, /, timeout=None)\n"
"--\n"
"\n"
"Wait until the flag is set, for at most timeout seconds.\n"
"\n"
"Returns True, or False if the time is over.");

static PyObject *
event_wait_for(EventObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    tl_deadline deadline;
    if (wait_args(args, nargs, kwnames, &deadline) < 0) {
        return NULL;
    }
    if (tl_stress_before_timed_wait(deadline) < 0) {
        return NULL;
    }
    if (deadline == TL_DEADLINE_PAST || (self->flag && !tl_waits_anyway())) {
        return PyBool_FromLong(self->flag);
    }
    struct tl_queued_wait how = {.kind = &event_wait,
                                 .on = (PyObject *)self,
                                 .queue = &self->waiters,
                                 .deadline = deadline,
                                 .last_check = is_set};
    if (tl_wait_queue_wait(tl_state_of_object((PyObject *)self), &how) < 0) {
        return NULL;
    }
    check(self);
    return PyBool_FromLong(!(how.given & TL_GIVEN_TIMED_OUT) || self->flag);
}

static PyObject *
get_cond(EventObject *self, void *Py_UNUSED(closure))
{
    if (self->cond == NULL) {
        struct tl_state *state = tl_state_of_object((PyObject *)self);
        PyObject *lock = (PyObject *)tl_lock_new(state->lock_type, false);
        PyObject *cond =
            lock ? PyObject_CallOneArg((PyObject *)state->condition_type, lock) : NULL;
        Py_XDECREF(lock);
        if (cond == NULL) {
            return NULL;
        }
        Py_XSETREF(self->cond, cond);
    }
    return Py_NewRef(self->cond);
}

static PyObject *
event_at_fork_reinit(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *cond = self->cond;
    if (cond == NULL) {
        Py_RETURN_NONE;
    }
    Py_INCREF(cond);
    PyObject *result = tl_call_method(cond, "_at_fork_reinit", NULL);
    Py_DECREF(cond);
    return result;
}

static PyObject *
event_repr(EventObject *self)
{
    PyObject *name = tl_lock_type_name((PyObject *)self);
    PyObject *text = name ? PyUnicode_FromFormat("<%U at %p: %s>", name, self,
                                                 self->flag ? "set" : "unset")
                          : NULL;
    Py_XDECREF(name);
    return text;
}

// ---- NLCondition

static enum tl_waited
wait_alone(EventObject *self, tl_deadline deadline)
{
    return tl_condition_wait_alone(tl_state_of_object((PyObject *)self),
                                   (PyObject *)self, &self->waiters, deadline);
}

PyDoc_STRVAR(nl_wait_doc,
"wait($self, /, timeout=None)\n"
"--\n"
"\n"
"Wait to be notified: return True, or False after timeout seconds.\n"
"\n"
"If it raises, because of a kill for instance, a notification that it received\n"
"is passed on to the next waiter.");

static PyObject *
nl_wait(EventObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    tl_deadline deadline;
    if (wait_args(args, nargs, kwnames, &deadline) < 0) {
        return NULL;
    }
    enum tl_waited result = wait_alone(self, deadline);
    return result == TL_WAITED_FAILED ? NULL : PyBool_FromLong(result);
}

static enum tl_waited
wait_alone_until(PyObject *self, tl_deadline deadline)
{
    return wait_alone((EventObject *)self, deadline);
}

PyDoc_STRVAR(nl_wait_for_doc,
"wait_for($self, /, predicate, timeout=None)\n"
"--\n"
"\n"
"Wait until predicate() is true, for at most timeout seconds.\n"
"\n"
"predicate is called at once and after each notification. Returns its last\n"
"result.");

static PyObject *
nl_wait_for(EventObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    return tl_lock_wait_for_predicate((PyObject *)self, args, nargs, kwnames,
                                      wait_alone_until);
}

PyDoc_STRVAR(nl_notify_doc,
"notify($self, /, n=1)\n"
"--\n"
"\n"
"Wake the n longest-waiting waiters, or all if there are fewer.");

static PyObject *
nl_notify(EventObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t count;
    if (tl_lock_count_arg(args, nargs, kwnames, &count) < 0) {
        return NULL;
    }
    tl_wait_queue_wake_many(&self->waiters, count, TL_GIVEN_NOTIFICATION);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(nl_notify_all_doc,
"notify_all($self, /)\n"
"--\n"
"\n"
"Wake all waiters.");

static PyObject *
nl_notify_all(EventObject *self, PyObject *Py_UNUSED(ignored))
{
    tl_wait_queue_wake_many(&self->waiters, PY_SSIZE_T_MAX, TL_GIVEN_NOTIFICATION);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(nl_acquire_doc,
"acquire($self, /, *args, **kwargs)\n"
"--\n"
"\n"
"Do nothing, since there is no lock. Returns True.");

static PyObject *
nl_acquire(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args),
           Py_ssize_t Py_UNUSED(nargs), PyObject *Py_UNUSED(kwnames))
{
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(nl_release_doc,
"release($self, /)\n"
"--\n"
"\n"
"Do nothing, since there is no lock.");

static PyObject *
nl_release(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_NONE;
}

static PyObject *
nl_enter(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static PyObject *
nl_exit(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args),
        Py_ssize_t Py_UNUSED(nargs))
{
    Py_RETURN_NONE;
}

static PyObject *
nl_repr(EventObject *self)
{
    PyObject *name = tl_lock_type_name((PyObject *)self);
    PyObject *text = name ? PyUnicode_FromFormat("<%U at %p: waiters=%zd>", name, self,
                                                 tl_condition_count(&self->waiters))
                          : NULL;
    Py_XDECREF(name);
    return text;
}

int
tl_event_ready(PyTypeObject *type)
{
    type->tp_vectorcall = make;
    return 0;
}

// clang-format off

static PyMethodDef event_methods[] = {
    {"is_set", (PyCFunction)event_is_set, METH_NOARGS, is_set_doc},
    {"isSet", (PyCFunction)event_isSet, METH_NOARGS, isSet_doc},
    {"set", (PyCFunction)event_set, METH_NOARGS, set_doc},
    {"clear", (PyCFunction)event_clear, METH_NOARGS, clear_doc},
    {"wait", TL_FAST(event_wait_for), METH_FASTCALL | METH_KEYWORDS, event_wait_doc},
    {"add_done_callback", (PyCFunction)event_add_done_callback, METH_O,
     add_done_callback_doc},
    {"remove_done_callback", (PyCFunction)event_remove_done_callback, METH_O,
     remove_done_callback_doc},
    {"_at_fork_reinit", (PyCFunction)event_at_fork_reinit, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef event_getset[] = {
    {"_cond", (getter)get_cond, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef nl_methods[] = {
    {"wait", TL_FAST(nl_wait), METH_FASTCALL | METH_KEYWORDS, nl_wait_doc},
    {"wait_for", TL_FAST(nl_wait_for), METH_FASTCALL | METH_KEYWORDS, nl_wait_for_doc},
    {"notify", TL_FAST(nl_notify), METH_FASTCALL | METH_KEYWORDS, nl_notify_doc},
    {"notify_all", (PyCFunction)nl_notify_all, METH_NOARGS, nl_notify_all_doc},
    {"acquire", TL_FAST(nl_acquire), METH_FASTCALL | METH_KEYWORDS, nl_acquire_doc},
    {"release", nl_release, METH_NOARGS, nl_release_doc},
    {"__enter__", nl_enter, METH_NOARGS, NULL},
    {"__exit__", TL_FAST(nl_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef event_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(EventObject, weakrefs), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(event_doc,
"Event()\n"
"--\n"
"\n"
"threading.Event, for tasklets of any thread and for threads without tasklets.\n"
"\n"
"tasklets.wait(), as_completed() and select() accept it too.");

PyDoc_STRVAR(nl_doc,
"NLCondition()\n"
"--\n"
"\n"
"A Condition without a lock, for the tasklets of one thread.\n"
"\n"
"They need no lock: between two waits of a tasklet no other tasklet runs.\n"
"acquire(), release() and the with statement do nothing.");

static PyType_Slot event_slots[] = {
    {Py_tp_doc, (void *)event_doc},
    {Py_tp_new, event_new},
    {Py_tp_repr, event_repr},
    {Py_tp_traverse, event_traverse},
    {Py_tp_clear, event_clear_refs},
    {Py_tp_dealloc, event_dealloc},
    {Py_tp_methods, event_methods},
    {Py_tp_getset, event_getset},
    {Py_tp_members, event_members},
    {0, NULL},
};

static PyType_Slot nl_slots[] = {
    {Py_tp_doc, (void *)nl_doc},
    {Py_tp_new, event_new},
    {Py_tp_repr, nl_repr},
    {Py_tp_traverse, event_traverse},
    {Py_tp_clear, event_clear_refs},
    {Py_tp_dealloc, event_dealloc},
    {Py_tp_methods, nl_methods},
    {Py_tp_members, event_members},
    {0, NULL},
};

PyType_Spec tl_event_spec = {
    .name = "tasklets.locks.Event",
    .basicsize = sizeof(EventObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = event_slots,
};

PyType_Spec tl_nl_condition_spec = {
    .name = "tasklets.locks.NLCondition",
    .basicsize = sizeof(EventObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = nl_slots,
};
