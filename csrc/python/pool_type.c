// pool_type.c - the Python types of worker pools and of their jobs.
#include "core/timer.h"
#include "object/args.h"
#include "object/live_counts.h"
#include "python/arrivals_type.h"
#include "python/types.h"
#include "worker/job.h"
#include "worker/worker.h"

// ---- jobs

static int
job_traverse(JobObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->pool);
    Py_VISIT(self->func);
    Py_VISIT(self->args);
    Py_VISIT(self->kwargs);
    Py_VISIT(self->context);
    Py_VISIT(self->owner);
    Py_VISIT(self->value);
    Py_VISIT(self->exc);
    return 0;
}

static void
job_dealloc(JobObject *self)
{
    PyObject_GC_UnTrack(self);
    assert(tl_link_is_single(&self->link) && tl_link_is_single(&self->waiters));
    Py_XDECREF(self->func);
    Py_XDECREF(self->args);
    Py_XDECREF(self->kwargs);
    Py_XDECREF(self->context);
    Py_XDECREF(self->owner);
    Py_XDECREF(self->value);
    Py_XDECREF(self->exc);
    Py_CLEAR(self->pool);
    tl_object_free(self, TL_LIVE_JOB);
}

static const char *const state_words[] = {"queued", "running", "done", "cancelled",
                                          "lost in a fork"};

static PyObject *
job_repr(JobObject *self)
{
    return PyUnicode_FromFormat("<%s %s at %p>", Py_TYPE(self)->tp_name,
                                state_words[self->state], self);
}

PyDoc_STRVAR(job_wait_doc,
"wait($self, timeout=None, /)\n"
"--\n"
"\n"
"Wait until the call is over, or will never run; the other tasklets run.\n"
"\n"
"Raises TimeoutError after timeout seconds.");

static PyObject *
job_wait(JobObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "wait", .names = names, .posonly = 1, .maxpos = 1};
    PyObject *argv[1];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        tl_job_wait(self, argv[0]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(job_cancel_doc,
"cancel($self, /)\n"
"--\n"
"\n"
"Remove the job from the queue. Returns False if a worker has begun it.\n"
"\n"
"If the owner is a Future, its state becomes CANCELLED at the same moment; its own\n"
"cancel() must still call its callbacks.");

static PyObject *
job_cancel(JobObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_state *state = self->pool->state;
    PyObject *owner = self->state == TL_JOB_QUEUED ? self->owner : NULL;
    if (owner == NULL || !PyObject_TypeCheck(owner, state->future.type)) {
        return PyBool_FromLong(tl_job_cancel(self));
    }
    Py_INCREF(owner);
    int set = PyObject_SetAttr(owner, state->future.state, state->future.cancelled);
    bool cancelled = set == 0 && tl_job_cancel(self);
    if (cancelled) {
        tl_arrivals_notify(state, owner);
    }
    Py_DECREF(owner);
    return set < 0 ? NULL : PyBool_FromLong(cancelled);
}

static PyObject *
job_get_owner(JobObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->owner != NULL ? self->owner : Py_None);
}

// ---- pools

static PyObject *
pool_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"start", "max_workers", "max_queued", "on_abandoned",
                            "most",  "linger",      NULL};
    PyObject *start, *on_abandoned = Py_None;
    long max_workers, most = 0;
    Py_ssize_t max_queued = 0;
    PyObject *linger = NULL;
    int64_t linger_ns = INT64_C(10000000000);
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Ol|nOlO:worker_pool", names, &start,
                                     &max_workers, &max_queued, &on_abandoned, &most,
                                     &linger)) {
        return NULL;
    }
    if (linger != NULL && tl_timer_read_ns(linger, "linger", &linger_ns) < 0) {
        return NULL;
    }
    if (linger_ns < 0 || linger_ns >= TL_TIMER_MAX_NS) {
        PyErr_Format(PyExc_ValueError,
                     "linger must be a number of seconds from 0 to 1e9, not %R",
                     linger);
        return NULL;
    }
    if (max_workers < 1 || max_queued < 0) {
        PyErr_SetString(PyExc_ValueError, "a pool needs a positive number of workers");
        return NULL;
    }
    PoolObject *self = (PoolObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self == NULL) {
        return NULL;
    }
    self->state = tl_state_of_object((PyObject *)self);
    tl_link_insert_before(&self->all, &self->state->pools);
    tl_link_init(&self->queue);
    tl_link_init(&self->running);
    tl_link_init(&self->workers);
    tl_link_init(&self->idle);
    tl_link_init(&self->waiters);
    self->generation = self->state->forks;
    self->next_outside = &self->queue;
    self->start = Py_NewRef(start);
    self->on_abandoned = on_abandoned == Py_None ? NULL : Py_NewRef(on_abandoned);
    self->max_workers = self->limit = max_workers;
    self->most = most > max_workers ? most : max_workers;
    self->linger_ns = linger_ns;
    self->max_queued = max_queued;
    return (PyObject *)self;
}

static int
pool_traverse(PoolObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->start);
    Py_VISIT(self->on_abandoned);
    struct tl_link *i = self->queue.next;
    for (; i != NULL && i != &self->queue; i = i->next) {
        Py_VISIT(TL_CONTAINER(i, JobObject, link));
    }
    return 0;
}

static int
pool_clear(PoolObject *self)
{
    // The queued jobs refer to the pool: they are garbage, too.
    while (self->queued > 0) {
        JobObject *job =
            (JobObject *)Py_NewRef(TL_CONTAINER(self->queue.next, JobObject, link));
        (void)tl_job_cancel(job);
        Py_DECREF(job);
    }
    // Keeps start and on_abandoned, since callers may be inside submit(): the objects
    // that these refer to break the cycle.
    return 0;
}

static void
pool_dealloc(PoolObject *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    assert(tl_link_is_single(&self->workers) && tl_link_is_single(&self->waiters));
    pool_clear(self);
    Py_DECREF(self->start);
    Py_XDECREF(self->on_abandoned);
    tl_link_remove(&self->all);
    tl_object_free(self, TL_LIVE_NONE);
}

static PyObject *
pool_repr(PoolObject *self)
{
    return PyUnicode_FromFormat("<%s%s workers=%ld idle=%ld queued=%zd at %p>",
                                Py_TYPE(self)->tp_name, self->closed ? " closed" : "",
                                self->nworkers, self->nidle, self->queued, self);
}

// Check func, args and kwargs, the first three of argv. Returns 0, or -1 with TypeError
// set.
static int
check_call(PyObject **argv)
{
    if (argv[2] == Py_None ||
        (argv[2] != NULL && PyDict_Check(argv[2]) && PyDict_GET_SIZE(argv[2]) == 0)) {
        argv[2] = NULL;
    }
    if (tl_args_function("call", argv[0], 2) < 0) { // tasklets/workers.py calls this
        return -1;
    }
    if (!PyTuple_Check(argv[1]) || (argv[2] != NULL && !PyDict_Check(argv[2]))) {
        PyErr_SetString(PyExc_TypeError, "args must be a tuple and kwargs a dict");
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(pool_call_doc,
"call($self, func, args, kwargs=None, timeout=None, /)\n"
"--\n"
"\n"
"Run func(*args, **kwargs) on a worker, wait, and return its result.\n"
"\n"
"Raises the exception of func, and TimeoutError after timeout seconds.");

static PyObject *
pool_call(PoolObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"func", "args", "kwargs", "timeout", NULL};
    static const struct tl_argspec spec = {
        .fname = "call", .names = names, .required = 2, .posonly = 4, .maxpos = 4};
    PyObject *argv[4];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 || check_call(argv) < 0) {
        return NULL;
    }
    return tl_pool_call(self, argv[0], argv[1], argv[2], argv[3]);
}

PyDoc_STRVAR(pool_submit_doc,
"submit($self, func, args, kwargs=None, owner=None, at_once=False, /)\n"
"--\n"
"\n"
"Run func(*args, **kwargs) on a worker, and return its job at once.\n"
"\n"
"Waits while the queue is full, unless at_once is true. on_abandoned(owner) is called\n"
"if all waiters of the job give up.");

static PyObject *
pool_submit(PoolObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const char *const names[] = {"func",  "args",    "kwargs",
                                        "owner", "at_once", NULL};
    static const struct tl_argspec spec = {
        .fname = "submit", .names = names, .required = 2, .posonly = 5, .maxpos = 5};
    PyObject *argv[5];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 || check_call(argv) < 0) {
        return NULL;
    }
    int at_once = argv[4] == NULL ? 0 : PyObject_IsTrue(argv[4]);
    if (at_once < 0) {
        return NULL;
    }
    return (PyObject *)tl_pool_submit(self, argv[0], argv[1], argv[2],
                                      argv[3] == Py_None ? NULL : argv[3], at_once);
}

PyDoc_STRVAR(pool_work_doc,
"work($self, /)\n"
"--\n"
"\n"
"Run jobs as a worker, until the pool is closed and its queue is empty.");

static PyObject *
pool_work(PoolObject *self, PyObject *Py_UNUSED(ignored))
{
    if (tl_pool_work(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(pool_close_doc,
"close($self, /)\n"
"--\n"
"\n"
"Take no more jobs; the workers end when the queue is empty.");

static PyObject *
pool_close(PoolObject *self, PyObject *Py_UNUSED(ignored))
{
    tl_pool_close(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(pool_join_doc,
"join($self, /)\n"
"--\n"
"\n"
"Wait until all workers of a closed pool have ended; other tasklets run.");

static PyObject *
pool_join(PoolObject *self, PyObject *Py_UNUSED(ignored))
{
    if (tl_pool_join(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(pool_pending_doc,
"pending($self, /)\n"
"--\n"
"\n"
"Return a list of the jobs that no worker has begun, the oldest first.");

// The jobs in one of the lists of a pool.
static PyObject *
list_jobs(struct tl_link *jobs)
{
    PyObject *list = PyList_New(0);
    struct tl_link *i = jobs->next;
    for (; list != NULL && i != jobs; i = i->next) {
        if (PyList_Append(list, (PyObject *)TL_CONTAINER(i, JobObject, link)) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
pool_pending(PoolObject *self, PyObject *Py_UNUSED(ignored))
{
    return list_jobs(&self->queue);
}

PyDoc_STRVAR(pool_running_doc,
"running($self, /)\n"
"--\n"
"\n"
"Return a list of the jobs that workers are running.");

static PyObject *
pool_running(PoolObject *self, PyObject *Py_UNUSED(ignored))
{
    return list_jobs(&self->running);
}

PyDoc_STRVAR(pool_after_fork_doc,
"after_fork($self, /)\n"
"--\n"
"\n"
"In the child of a fork: forget the workers and their jobs.\n"
"\n"
"Returns a list of the lost jobs. Does nothing elsewhere.");

static PyObject *
pool_after_fork(PoolObject *self, PyObject *Py_UNUSED(ignored))
{
    return tl_pool_after_fork(self);
}

// ---- closing an abandoned pool

typedef struct {
    PyObject_HEAD
    PoolObject *pool;
} CloserObject;

PyDoc_STRVAR(pool_closer_doc,
"closer($self, /)\n"
"--\n"
"\n"
"Return an object that closes the pool when it is deallocated.\n"
"\n"
"A __del__() would be Python code, in which a signal handler's exception is lost.");

static PyObject *
pool_closer(PoolObject *self, PyObject *Py_UNUSED(ignored))
{
    PyTypeObject *type = self->state->closer_type;
    CloserObject *closer = (CloserObject *)type->tp_alloc(type, 0);
    if (closer != NULL) {
        closer->pool = (PoolObject *)Py_NewRef(self);
    }
    return (PyObject *)closer;
}

static int
closer_traverse(CloserObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->pool);
    return 0;
}

static int
closer_clear(CloserObject *self)
{
    if (self->pool != NULL) {
        tl_pool_close(self->pool);
        Py_CLEAR(self->pool);
    }
    return 0;
}

static void
closer_dealloc(CloserObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)closer_clear(self);
    tl_object_free(self, TL_LIVE_NONE);
}

PyDoc_STRVAR(worker_pools_doc,
"worker_pools($module, /)\n"
"--\n"
"\n"
"Return a list of all worker pools.");

static PyObject *
fn_worker_pools(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_state *state = tl_state_of_module(mod);
    PyObject *list = PyList_New(0);
    struct tl_link *i = state->pools.next;
    for (; list != NULL && i != &state->pools; i = i->next) {
        if (PyList_Append(list, (PyObject *)TL_CONTAINER(i, PoolObject, all)) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

PyDoc_STRVAR(call_undisturbed_doc,
"call_undisturbed($module, func, arg, /)\n"
"--\n"
"\n"
"Return func(arg), called where no signal handler can interrupt it.\n"
"\n"
"The main thread lets another thread call it.");

static PyObject *
fn_call_undisturbed(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "a function and its argument are needed");
        return NULL;
    }
    return tl_worker_call_undisturbed(args[0], args[1]);
}

PyDoc_STRVAR(future_listen_doc,
"future_listen($module, future, func, /)\n"
"--\n"
"\n"
"Add a done callback without taking the future's lock.\n"
"\n"
"Returns False, without adding it, if the future is done.");

static PyObject *
fn_future_listen(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_state *state = tl_state_of_module(mod);
    if (nargs != 2 || !PyObject_TypeCheck(args[0], state->future.type)) {
        PyErr_SetString(PyExc_TypeError, "a future and a function are needed");
        return NULL;
    }
    enum tl_listening status = tl_arrivals_add_callback(state, args[0], args[1]);
    return status == TL_LISTENING_FAILED
               ? NULL
               : PyBool_FromLong(status == TL_LISTENING_ADDED);
}

static PyObject *
get_max_queued(PoolObject *self, void *Py_UNUSED(closure))
{
    return self->max_queued == 0 ? Py_NewRef(Py_None)
                                 : PyLong_FromSsize_t(self->max_queued);
}

static PyObject *
get_closed(PoolObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->closed);
}

static PyObject *
get_count(PoolObject *self, void *which)
{
    long *counts[] = {&self->max_workers, &self->nworkers, &self->nidle};
    return PyLong_FromLong(*counts[(intptr_t)which]);
}

static PyObject *
get_queued(PoolObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(self->queued);
}

static PyObject *
get_finished(PoolObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self->finished);
}

// clang-format off

static PyMethodDef job_methods[] = {
    {"wait", TL_FAST(job_wait), METH_FASTCALL | METH_KEYWORDS, job_wait_doc},
    {"cancel", (PyCFunction)job_cancel, METH_NOARGS, job_cancel_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef job_getset[] = {
    {"owner", (getter)job_get_owner, NULL, "The owner passed to submit().", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

// No tp_clear, since the job may be in use: the objects that it refers to break the
// cycle.
static PyType_Slot job_slots[] = {
    {Py_tp_doc, "A call for a worker."},
    {Py_tp_traverse, job_traverse},
    {Py_tp_dealloc, job_dealloc},
    {Py_tp_repr, job_repr},
    {Py_tp_methods, job_methods},
    {Py_tp_getset, job_getset},
    {0, NULL},
};

PyType_Spec tl_job_spec = {
    .name = "tasklets._core.job",
    .basicsize = sizeof(JobObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = job_slots,
};

static PyMethodDef pool_methods[] = {
    {"call", TL_FAST(pool_call), METH_FASTCALL | METH_KEYWORDS, pool_call_doc},
    {"submit", TL_FAST(pool_submit), METH_FASTCALL | METH_KEYWORDS, pool_submit_doc},
    {"work", (PyCFunction)pool_work, METH_NOARGS, pool_work_doc},
    {"close", (PyCFunction)pool_close, METH_NOARGS, pool_close_doc},
    {"join", (PyCFunction)pool_join, METH_NOARGS, pool_join_doc},
    {"pending", (PyCFunction)pool_pending, METH_NOARGS, pool_pending_doc},
    {"running", (PyCFunction)pool_running, METH_NOARGS, pool_running_doc},
    {"after_fork", (PyCFunction)pool_after_fork, METH_NOARGS, pool_after_fork_doc},
    {"closer", (PyCFunction)pool_closer, METH_NOARGS, pool_closer_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef pool_getset[] = {
    {"max_workers", (getter)get_count, NULL, "The normal maximum number of threads.",
     (void *)0},
    {"workers", (getter)get_count, NULL, "The number of threads.", (void *)1},
    {"idle", (getter)get_count, NULL, "The number of idle threads.", (void *)2},
    {"max_queued", (getter)get_max_queued, NULL,
     "The number of jobs stored before submit() waits; None: no limit.", NULL},
    {"queued", (getter)get_queued, NULL, "The number of jobs not begun.", NULL},
    {"finished", (getter)get_finished, NULL, "The number of finished calls.", NULL},
    {"closed", (getter)get_closed, NULL, "Whether the pool takes no more jobs.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef pool_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(PoolObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot pool_slots[] = {
    {Py_tp_doc,
     "worker_pool(start, max_workers, max_queued=0, on_abandoned=None, most=0,\n"
     "            linger=10)\n"
     "--\n"
     "\n"
     "A queue of calls, and the threads that run them. start(pool) starts a thread.\n"
     "\n"
     "most: the maximum number of threads while calls only wait; idle threads beyond\n"
     "max_workers end after linger seconds."},
    {Py_tp_new, pool_new},
    {Py_tp_traverse, pool_traverse},
    {Py_tp_clear, pool_clear},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_repr, pool_repr},
    {Py_tp_methods, pool_methods},
    {Py_tp_getset, pool_getset},
    {Py_tp_members, pool_members},
    {0, NULL},
};

PyType_Spec tl_worker_pool_spec = {
    .name = "tasklets._core.worker_pool",
    .basicsize = sizeof(PoolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = pool_slots,
};

PyMethodDef tl_worker_functions[] = {
    {"worker_pools", fn_worker_pools, METH_NOARGS, worker_pools_doc},
    {"call_undisturbed", TL_FAST(fn_call_undisturbed), METH_FASTCALL,
     call_undisturbed_doc},
    {"future_listen", TL_FAST(fn_future_listen), METH_FASTCALL, future_listen_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot closer_slots[] = {
    {Py_tp_doc, "Closes a pool of workers when it is deallocated."},
    {Py_tp_traverse, closer_traverse},
    {Py_tp_clear, closer_clear},
    {Py_tp_dealloc, closer_dealloc},
    {0, NULL},
};

PyType_Spec tl_closer_spec = {
    .name = "tasklets._core.pool_closer",
    .basicsize = sizeof(CloserObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = closer_slots,
};
