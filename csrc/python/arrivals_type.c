// arrivals_type.c - the done callback of wait(), as_completed() and select().
#include "python/arrivals_type.h"
#include "core/errors.h"
#include "core/outcome.h"
#include "core/stress_points.h"
#include "core/timer.h"
#include "object/callback_list.h"
#include "object/live_counts.h"
#include "python/lock_common.h"
#include "python/types.h"
#include "sync/channel_buffer.h"
#include "worker/job.h"

// Up to this many objects are searched linearly, without a hash table.
enum { MAX_LINEAR_SEARCH = TL_STRESS_OR(8, 1) };

static struct tl_state *
state_of(ArrivalsObject *self)
{
    return tl_state_of_object((PyObject *)self);
}

// ---- finding an object

static size_t
hash_of(const PyObject *object)
{
    size_t bits = (size_t)object >> 4;
    return bits ^ (bits >> 15);
}

// The object's slot in the table, or the free slot where it belongs.
static Py_ssize_t *
find_slot(ArrivalsObject *self, const PyObject *object)
{
    size_t i = hash_of(object) & self->mask;
    while (self->index[i] >= 0 && self->list[self->index[i]].object != object) {
        i = (i + 1) & self->mask;
    }
    return &self->index[i];
}

static struct tl_arrival *
find(ArrivalsObject *self, const PyObject *object)
{
    if (self->index != NULL) {
        Py_ssize_t found = *find_slot(self, object);
        return found < 0 ? NULL : &self->list[found];
    }
    for (Py_ssize_t i = 0; i < self->count; i++) {
        if (self->list[i].object == object) {
            return &self->list[i];
        }
    }
    return NULL;
}

// Build the hash table for up to max_count objects. Returns 0, or -1 with MemoryError
// set.
static int
make_index(ArrivalsObject *self, Py_ssize_t max_count)
{
    size_t size = 2 * MAX_LINEAR_SEARCH;
    while (size < 2 * (size_t)max_count) {
        size *= 2;
    }
    self->index = PyMem_New(Py_ssize_t, size);
    if (self->index == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memset(self->index, 0xff, size * sizeof *self->index); // -1
    self->mask = size - 1;
    return 0;
}

// ---- an object has finished

static PyObject *
arrivals_call(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    ArrivalsObject *self = (ArrivalsObject *)op;
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames != NULL) {
        PyErr_SetString(PyExc_TypeError, "a done callback takes one argument");
        return NULL;
    }
    if (self->queue == NULL) {
        Py_RETURN_NONE; // tl_arrivals_end() cannot remove us from a finished future
    }
    struct tl_arrival *one = find(self, args[0]);
    if (one != NULL && one->finished) {
        Py_RETURN_NONE;
    }
    if (one == NULL && tl_channel_reserve(self->queue, self->queue->room + 1) < 0) {
        return NULL; // not in the list: a future that delegates to a listed one
    }
    if (one != NULL) {
        one->finished = true;
    }
    Py_INCREF(self);
    tl_channel_deliver(self->queue, args[0]);
    Py_DECREF(self);
    Py_RETURN_NONE;
}

// ---- construction

#ifndef NDEBUG
// Valid from the end of tl_arrivals_new() until tl_arrivals_end().
static void
check(const ArrivalsObject *self)
{
    Py_ssize_t left = 0;
    for (int source = 0; source <= TL_FROM_WORKERS; source++) {
        TL_CHECK("I2", "arrivals", self, self->left[source] >= 0);
        left += self->left[source];
    }
    TL_CHECK("I1", "arrivals", self, self->queue != NULL && self->list != NULL);
    TL_CHECK("I2", "arrivals", self, left <= self->count);
    TL_CHECK("I3", "arrivals", self, self->queue->room >= left);
    TL_CHECK("I4", "arrivals", self,
             self->index != NULL ? (self->mask & (self->mask + 1)) == 0 &&
                                       (size_t)self->count <= self->mask
                                 : self->count <= MAX_LINEAR_SEARCH);
}
#else
TL_CHECKER(check, const ArrivalsObject *self);
#endif

bool
tl_arrivals_accepts(struct tl_state *state, PyObject *object)
{
    return PyObject_TypeCheck(object, state->tasklet_type) ||
           PyObject_TypeCheck(object, state->event_type) ||
           PyObject_TypeCheck(object, state->future.type);
}

// Look up an attribute that may be missing. Returns 1, 0, or -1 with an exception set.
static int
look_up(PyObject *object, PyObject *name, PyObject **value)
{
    *value = PyObject_GetAttr(object, name);
    if (*value == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
    }
    return *value != NULL;
}

// The source that completes object: an enum tl_source, or -1 with an exception set.
static int
source_of(struct tl_state *state, PyObject *object)
{
    if (PyObject_TypeCheck(object, state->tasklet_type)) {
        return TL_FROM_TASKLETS;
    }
    if (PyObject_TypeCheck(object, state->event_type)) {
        return TL_FROM_HANDLERS;
    }
    if (Py_IS_TYPE(object, state->future.type)) {
        return TL_FROM_THREADS;
    }
    PyObject *job;
    if (look_up(object, state->future.job, &job) < 0) {
        return -1;
    }
    bool is_job = job != NULL && PyObject_TypeCheck(job, state->job_type);
    Py_XDECREF(job);
    return is_job ? TL_FROM_WORKERS : TL_FROM_THREADS;
}

// Add an object that is not in the list. Returns 0, or -1 with an exception set.
static int
add(struct tl_sched *s, ArrivalsObject *self, PyObject *object)
{
    int source = source_of(s->state, object);
    if (source < 0) {
        return -1;
    }
    if (self->index != NULL) {
        *find_slot(self, object) = self->count;
    }
    self->list[self->count++] =
        (struct tl_arrival){.object = Py_NewRef(object), .source = (uint8_t)source};
    self->left[source]++;
    return 0;
}

ArrivalsObject *
tl_arrivals_new(struct tl_sched *s, PyObject *const *objects, Py_ssize_t count)
{
    PyTypeObject *type = s->state->arrivals_type;
    PyObject *cls = (PyObject *)s->state->queue_channel_type;
    ArrivalsObject *self = (ArrivalsObject *)type->tp_alloc(type, 0); // zeroed
    if (self == NULL) {
        return NULL;
    }
    self->call = arrivals_call;
    self->list = PyMem_New(struct tl_arrival, count + 1);
    self->queue = (ChannelObject *)PyObject_CallNoArgs(cls);
    if (self->list == NULL || self->queue == NULL) {
        PyErr_NoMemory();
        goto fail;
    }
    self->queue->preference = 0; // the finishing tasklet keeps running
    if (tl_channel_reserve(self->queue, count) < 0 ||
        (count > MAX_LINEAR_SEARCH && make_index(self, count) < 0)) {
        goto fail;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (find(self, objects[i]) == NULL && add(s, self, objects[i]) < 0) {
            goto fail;
        }
    }
    check(self);
    return self;

fail:
    Py_DECREF(self);
    return NULL;
}

// ---- listening

// Whether object's class inherits the method of this name from base. -1 with an
// exception set.
static int
inherits(PyObject *object, PyTypeObject *base, PyObject *name)
{
    if (Py_IS_TYPE(object, base)) {
        return 1;
    }
    PyObject *own = PyObject_GetAttr((PyObject *)Py_TYPE(object), name);
    PyObject *bases = own ? PyObject_GetAttr((PyObject *)base, name) : NULL;
    int same = bases == NULL ? -1 : own == bases;
    Py_XDECREF(own);
    Py_XDECREF(bases);
    return same;
}

// The progress of a future. NOT_KNOWN: it lacks the attributes of concurrent.futures.
enum progress { ERROR = -1, PENDING, DONE, NOT_KNOWN };

// *callbacks: the callback list of a pending future (a new reference), otherwise NULL.
static enum progress
progress_of(struct tl_state *state, PyObject *future, PyObject **callbacks)
{
    static const char *const names[] = {"PENDING", "RUNNING", "FINISHED", "CANCELLED",
                                        "CANCELLED_AND_NOTIFIED"};
    PyObject *text;
    *callbacks = NULL;
    if (look_up(future, state->future.state, &text) < 0 ||
        look_up(future, state->future.callbacks, callbacks) < 0) {
        Py_XDECREF(text);
        return ERROR;
    }
    int i = 0;
    bool known = text != NULL && PyUnicode_Check(text) && *callbacks != NULL &&
                 PyList_CheckExact(*callbacks);
    while (known && i < 5 && PyUnicode_CompareWithASCIIString(text, names[i]) != 0) {
        i++;
    }
    Py_XDECREF(text);
    if (known && i < 2) {
        return PENDING;
    }
    Py_CLEAR(*callbacks);
    return known && i < 5 ? DONE : NOT_KNOWN;
}

// Does not take the future's lock, which a signal inside the future's own methods can
// leave locked. Nothing is missed, because the GIL is held from reading the state to
// appending: a future's owner changes the state first and calls the callbacks
// afterwards.
enum tl_listening
tl_arrivals_add_callback(struct tl_state *state, PyObject *future, PyObject *func)
{
    PyObject *callbacks;
    switch (progress_of(state, future, &callbacks)) {
    case ERROR:
        return TL_LISTENING_FAILED;
    case DONE:
        return TL_LISTENING_LATE;
    case NOT_KNOWN:
        return TL_LISTENING_INDIRECT;
    case PENDING:
        break;
    }
    int result = PyList_Append(callbacks, func);
    Py_DECREF(callbacks);
    return result < 0 ? TL_LISTENING_FAILED : TL_LISTENING_ADDED;
}

void
tl_arrivals_notify(struct tl_state *state, PyObject *future)
{
    PyObject *callbacks;
    if (look_up(future, state->future.callbacks, &callbacks) < 0) {
        tl_errors_unraisable(state, future);
        return;
    }
    bool known = callbacks != NULL && PyList_CheckExact(callbacks);
    for (Py_ssize_t i = 0; known && i < PyList_GET_SIZE(callbacks); i++) {
        PyObject *func = Py_NewRef(PyList_GET_ITEM(callbacks, i));
        PyObject *result = Py_IS_TYPE(func, state->arrivals_type)
                               ? arrivals_call(func, &future, 1, NULL)
                               : Py_NewRef(Py_None);
        if (result == NULL) {
            tl_errors_unraisable(state, func);
        }
        Py_XDECREF(result);
        Py_DECREF(func);
    }
    Py_XDECREF(callbacks);
}

static enum tl_listening
listen_directly(ArrivalsObject *self, struct tl_arrival *one)
{
    struct tl_state *state = state_of(self);
    bool is_tasklet = PyObject_TypeCheck(one->object, state->tasklet_type);
    bool is_event = !is_tasklet && PyObject_TypeCheck(one->object, state->event_type);
    PyTypeObject *base = is_tasklet ? state->tasklet_type
                         : is_event ? state->event_type
                                    : state->future.type;
    int same = one->source == TL_FROM_WORKERS // a WorkerFuture
                   ? 1
                   : inherits(one->object, base, state->future.add);
    if (same <= 0) {
        return same < 0 ? TL_LISTENING_FAILED : TL_LISTENING_INDIRECT;
    }
    return is_tasklet
               ? tl_outcome_listen((TaskletObject *)one->object, (PyObject *)self)
           : is_event ? tl_event_listen(one->object, (PyObject *)self)
                      : tl_arrivals_add_callback(state, one->object, (PyObject *)self);
}

int
tl_arrivals_listen(ArrivalsObject *self)
{
    struct tl_state *state = state_of(self);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        struct tl_arrival *one = &self->list[i];
        PyObject *args[] = {one->object, (PyObject *)self}, *result = Py_None;
        enum tl_listening status = listen_directly(self, one);
        if (status == TL_LISTENING_FAILED) {
            return -1;
        }
        one->direct = status == TL_LISTENING_ADDED;
        one->listening = status != TL_LISTENING_LATE;
        if (status == TL_LISTENING_LATE) {
            result = arrivals_call((PyObject *)self, &one->object, 1, NULL);
        } else if (status == TL_LISTENING_INDIRECT) {
            result = PyObject_VectorcallMethod(state->future.add, args, 2, NULL);
        }
        if (result == NULL) {
            return -1;
        }
        if (status != TL_LISTENING_ADDED) {
            Py_DECREF(result);
        }
    }
    return 0;
}

// Remove our callback from a future, unless it is done: its callbacks may be running,
// and removing ours would make the loop skip the next one.
static int
forget_future(ArrivalsObject *self, PyObject *future)
{
    PyObject *callbacks;
    enum progress progress = progress_of(state_of(self), future, &callbacks);
    if (progress == PENDING) {
        tl_callback_list_discard(callbacks, (PyObject *)self);
        Py_DECREF(callbacks);
    }
    return progress == ERROR ? -1 : 0;
}

static int
forget(ArrivalsObject *self, struct tl_arrival *one)
{
    struct tl_state *state = state_of(self);
    if (PyObject_TypeCheck(one->object, state->future.type)) {
        return forget_future(self, one->object); // has no remove_done_callback()
    }
    if (!one->direct) {
        PyObject *args[] = {one->object, (PyObject *)self};
        PyObject *result =
            PyObject_VectorcallMethod(state->future.remove, args, 2, NULL);
        Py_XDECREF(result);
        return result == NULL ? -1 : 0;
    }
    if (PyObject_TypeCheck(one->object, state->event_type)) {
        tl_event_forget(one->object, (PyObject *)self);
    } else if (((TaskletObject *)one->object)->outcome != NULL) {
        struct tl_outcome *outcome = ((TaskletObject *)one->object)->outcome;
        tl_callback_list_discard(outcome->callbacks, (PyObject *)self);
    }
    return 0;
}

// Release the objects and the queue. No listener is left, or all are garbage.
static void
drop_all(ArrivalsObject *self)
{
    struct tl_arrival *list = self->list;
    Py_ssize_t count = self->count;
    ChannelObject *queue = self->queue;
    PyMem_Free(self->index);
    self->index = NULL;
    self->list = NULL;
    self->count = 0;
    self->queue = NULL;
    Py_XDECREF(queue);
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_DECREF(list[i].object);
    }
    PyMem_Free(list);
}

int
tl_arrivals_end(ArrivalsObject *self)
{
    PyObject *exc = PyErr_GetRaisedException();
    Py_INCREF(self);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        struct tl_arrival *one = &self->list[i];
        bool listens = one->listening && !(one->direct && one->finished);
        one->listening = false;
        if (!listens || forget(self, one) == 0) {
            continue;
        }
        PyObject *other = PyErr_GetRaisedException();
        if (exc != NULL) {
            PyException_SetContext(other, exc);
        }
        exc = other;
    }
    drop_all(self);
    Py_DECREF(self);
    PyErr_SetRaisedException(exc);
    return exc == NULL ? 0 : -1;
}

// ---- taking the next finished object

#ifndef NDEBUG
static bool
has_receiver(const ChannelObject *ch)
{
    return ch->waiting < 0 || !tl_link_is_single(&ch->receivers);
}
#endif

void
tl_arrivals_expect(ArrivalsObject *self)
{
    const Py_ssize_t *left = self->left;
    int source = TL_FROM_TASKLETS;
    if (left[TL_FROM_WORKERS] > 0) {
        // A worker must not count on other workers: it may be the last one they wait
        // for.
        source = tl_worker_mine != NULL ? TL_FROM_THREADS : TL_FROM_WORKERS;
    } else if (left[TL_FROM_THREADS] > 0) {
        source = TL_FROM_THREADS;
    }
    if (left[TL_FROM_HANDLERS] > 0 && source < TL_FROM_HANDLERS) {
        source = TL_FROM_HANDLERS;
    }
    TL_CHECK("I5", "channel", self->queue,
             source == self->queue->source || !has_receiver(self->queue));
    self->queue->source = (uint8_t)source;
}

PyObject *
tl_arrivals_take(ArrivalsObject *self, struct tl_sched *s, tl_deadline deadline)
{
    if (self->queue->count > 0 && tl_stress_before_timed_wait(deadline) < 0) {
        return NULL;
    }
    if (self->queue->count > 0) {
        deadline = TL_DEADLINE_NEVER;
    } else {
        tl_arrivals_expect(self);
        if (deadline <= tl_timer_now(s)) {
            deadline = TL_DEADLINE_PAST;
        }
    }
    PyObject *taken = tl_channel_receive(self->queue, deadline);
    struct tl_arrival *one = taken != NULL ? find(self, taken) : NULL;
    if (one != NULL) {
        self->left[one->source]--;
        check(self);
    }
    return taken;
}

// ---- the type

static int
arrivals_traverse(ArrivalsObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->queue);
    Py_VISIT(self->taken);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_VISIT(self->list[i].object);
    }
    return 0;
}

static void
arrivals_dealloc(ArrivalsObject *self)
{
    PyObject_GC_UnTrack(self);
    drop_all(self);
    Py_XDECREF(self->taken);
    tl_object_free(self, TL_LIVE_NONE);
}

int
tl_arrivals_ready(struct tl_state *state)
{
    struct tl_future_tools *tools = &state->future;
    PyObject *futures = PyImport_ImportModule("concurrent.futures");
    PyObject *type = futures ? tl_getattr(futures, "Future") : NULL;
    Py_XDECREF(futures);
    if (type == NULL || !PyType_Check(type)) {
        Py_XDECREF(type);
        return -1;
    }
    tools->type = (PyTypeObject *)type;
    tools->add = PyUnicode_InternFromString("add_done_callback");
    tools->remove = PyUnicode_InternFromString("remove_done_callback");
    tools->callbacks = PyUnicode_InternFromString("_done_callbacks");
    tools->state = PyUnicode_InternFromString("_state");
    tools->job = PyUnicode_InternFromString("_job");
    tools->cancelled = PyUnicode_InternFromString("CANCELLED");
    return tools->add == NULL || tools->remove == NULL || tools->callbacks == NULL ||
                   tools->state == NULL || tools->job == NULL ||
                   tools->cancelled == NULL
               ? -1
               : 0;
}

// clang-format off

static PyMemberDef arrivals_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(ArrivalsObject, call), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(arrivals_doc,
"The done callback of wait(), as_completed() and select().");

// No tp_clear, since the object may be in use: the objects that it refers to break the
// cycle.
static PyType_Slot arrivals_slots[] = {
    {Py_tp_doc, (void *)arrivals_doc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_traverse, arrivals_traverse},
    {Py_tp_dealloc, arrivals_dealloc},
    {Py_tp_members, arrivals_members},
    {0, NULL},
};

PyType_Spec tl_arrivals_spec = {
    .name = "tasklets._core.arrivals",
    .basicsize = sizeof(ArrivalsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = arrivals_slots,
};
