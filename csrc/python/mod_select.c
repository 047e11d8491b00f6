// mod_select.c - select() with cases other than recv() and send(): a channel for each.
#include "python/mod_select.h"
#include "core/stress_points.h"
#include "io/descriptor.h"
#include "python/arrivals_type.h"
#include "python/types.h"
#include "sync/channel_buffer.h"

// The state of one case. All zero for recv() and send().
struct way {
    ArrivalsObject *arrivals; // of a tasklet, future or event; borrowed from held
    int fd, what;             // of a descriptor; what: readiness to listen for, or 0
    ChannelObject *channel;   // receives a descriptor's readiness; borrowed from held
    struct tl_descriptor_listener listener;
};

// One call. On the heap, because other tasklets cannot reach into a suspended C stack.
struct mixed {
    struct tl_state *state;
    PyObject *held; // tuple: count Case objects, then for each what it needs, or None
    Py_ssize_t count;
    struct way ways[];
};

static void
on_ready(struct tl_descriptor_listener *listener)
{
    struct way *way = TL_CONTAINER(listener, struct way, listener);
    tl_channel_put(way->channel, Py_None);
}

// Look up the classes readable and writable, at the first use. Returns 0, or -1 with an
// exception set.
static int
find_classes(struct tl_state *state)
{
    if (state->writable_type != NULL) {
        return 0;
    }
    PyObject *mod = PyImport_ImportModule("tasklets._select");
    PyObject *readable = mod ? tl_getattr(mod, "readable") : NULL;
    PyObject *writable = readable ? tl_getattr(mod, "writable") : NULL;
    Py_XDECREF(mod);
    if (writable == NULL) {
        Py_XDECREF(readable);
        return -1;
    }
    Py_XSETREF(state->readable_type, readable);
    Py_XSETREF(state->writable_type, writable);
    return 0;
}

// The readiness that a case is about; 0: none. -1 with an exception set.
static int
readiness_of(struct tl_state *state, PyObject *arg)
{
    int reads = PyObject_IsInstance(arg, state->readable_type);
    int writes = reads == 0 ? PyObject_IsInstance(arg, state->writable_type) : 0;
    return reads < 0 || writes < 0 ? -1
           : reads                 ? TL_POLLER_READ
           : writes                ? TL_POLLER_WRITE
                                   : 0;
}

// Make a receive from channel stand for case i, and keep more (stolen) for it. Returns
// 0, or -1 with an exception set.
static int
stand_for(struct mixed *mixed, Py_ssize_t i, ChannelObject *channel, PyObject *more)
{
    PyTuple_SET_ITEM(mixed->held, mixed->count + i, more);
    PyObject *one = tl_case_new(mixed->state, channel, NULL);
    if (one == NULL) {
        return -1;
    }
    PyTuple_SET_ITEM(mixed->held, i, one);
    return 0;
}

static int
add_descriptor(struct mixed *mixed, struct tl_sched *s, Py_ssize_t i, PyObject *arg,
               int what)
{
    struct way *way = &mixed->ways[i];
    int fd = PyObject_AsFileDescriptor(PyTuple_GET_ITEM(arg, 0)), ready = -1;
    if (fd >= 0 && tl_descriptor_note(s, &way->listener, fd) == 0) {
        ready = tl_descriptor_is_ready(fd, what);
    }
    PyObject *cls = (PyObject *)mixed->state->queue_channel_type;
    PyObject *made = ready < 0 ? NULL : PyObject_CallNoArgs(cls);
    if (made == NULL) {
        return -1;
    }
    ChannelObject *channel = way->channel = (ChannelObject *)made;
    if (stand_for(mixed, i, channel, made) < 0 || tl_channel_reserve(channel, 1) < 0) {
        return -1;
    }
    way->fd = fd;
    way->what = what;
    way->listener.ready = on_ready;
    if (ready) {
        way->what = 0; // ready already: no need to listen
        tl_channel_put(channel, Py_None);
    }
    return 0;
}

static int
add_waitable(struct mixed *mixed, struct tl_sched *s, Py_ssize_t i, PyObject *arg)
{
    if (!tl_arrivals_accepts(mixed->state, arg)) {
        PyErr_Format(PyExc_TypeError,
                     "select() takes recv(channel), send(channel, value), "
                     "readable(fd), writable(fd), tasklets, futures and events, not %R",
                     arg);
        return -1;
    }
    ArrivalsObject *arrivals = tl_arrivals_new(s, &arg, 1);
    if (arrivals == NULL) {
        return -1;
    }
    mixed->ways[i].arrivals = arrivals;
    tl_arrivals_expect(arrivals);
    return stand_for(mixed, i, arrivals->queue, (PyObject *)arrivals) < 0 ||
                   tl_arrivals_listen(arrivals) < 0
               ? -1
               : 0;
}

// Set up all cases. Returns 0, or -1 with an exception set.
static int
add_all(struct mixed *mixed, struct tl_sched *s, PyObject *const *args)
{
    for (Py_ssize_t i = 0; i < mixed->count; i++) {
        if (Py_IS_TYPE(args[i], mixed->state->case_type)) {
            PyTuple_SET_ITEM(mixed->held, i, Py_NewRef(args[i]));
            continue;
        }
        int what = readiness_of(mixed->state, args[i]);
        int added = what < 0    ? -1
                    : what != 0 ? add_descriptor(mixed, s, i, args[i], what)
                                : add_waitable(mixed, s, i, args[i]);
        if (added < 0) {
            return -1;
        }
    }
    return 0;
}

// Start to listen to the descriptors. Returns 0, or -1 with an exception set.
static int
listen_to_descriptors(struct mixed *mixed, struct tl_sched *s)
{
    for (Py_ssize_t i = 0; i < mixed->count; i++) {
        struct way *way = &mixed->ways[i];
        int ready = way->what == 0
                        ? 0
                        : tl_descriptor_listen(s, &way->listener, way->fd, way->what);
        if (ready < 0) {
            return -1;
        }
        if (ready > 0) {
            tl_channel_put(way->channel, Py_None);
        }
    }
    return 0;
}

// Undo everything. An exception that is set stays set. Returns 0, or -1 with one set.
static int
end(struct mixed *mixed)
{
    int result = 0;
    for (Py_ssize_t i = 0; i < mixed->count; i++) {
        struct way *way = &mixed->ways[i];
        tl_descriptor_forget(&way->listener);
        if (way->arrivals != NULL && tl_arrivals_end(way->arrivals) < 0) {
            result = -1;
        }
    }
    PyObject *exc = PyErr_GetRaisedException();
    Py_DECREF(mixed->held);
    PyMem_Free(mixed);
    PyErr_SetRaisedException(exc);
    return result;
}

// Like tl_stress_before_timed_wait(), with mixed->held visible to the collector.
static inline int
give_way(struct mixed *mixed, struct tl_sched *s, tl_deadline deadline)
{
    if (!TL_STRESS_YIELDS) {
        return 0;
    }
    TaskletObject *me = s->current;
    PyObject *outer = me->held;
    me->held = mixed->held;
    int result = tl_stress_before_timed_wait(deadline);
    if (tl_sched_mine == s && s->current == me) {
        me->held = outer;
    }
    return result;
}

static Py_ssize_t
select_held(struct mixed *mixed, struct tl_sched *s, tl_deadline deadline, bool no_wait,
            PyObject **value)
{
    CaseObject *const *cases =
        (CaseObject *const *)((PyTupleObject *)mixed->held)->ob_item;
    if (!no_wait && give_way(mixed, s, deadline) < 0) {
        return TL_SELECT_FAILED;
    }
    Py_ssize_t done = tl_select(s, cases, mixed->count, TL_DEADLINE_NEVER, true, value);
    if (done != TL_SELECT_NONE || no_wait) {
        return done;
    }
    if (deadline != TL_DEADLINE_PAST && listen_to_descriptors(mixed, s) < 0) {
        return TL_SELECT_FAILED;
    }
    TaskletObject *me = s->current;
    PyObject *outer = me->held;
    me->held = mixed->held;
    done = tl_select(s, cases, mixed->count, deadline, false, value);
    if (tl_sched_mine == s && s->current == me) {
        me->held = outer;
    }
    return done;
}

Py_ssize_t
tl_select_mixed(struct tl_sched *s, PyObject *const *args, Py_ssize_t count,
                tl_deadline deadline, bool no_wait, PyObject **value)
{
    if (find_classes(s->state) < 0) {
        return -1;
    }
    struct mixed *mixed =
        PyMem_Calloc(1, sizeof *mixed + (size_t)count * sizeof mixed->ways[0]);
    PyObject *held = mixed == NULL ? PyErr_NoMemory() : PyTuple_New(2 * count);
    if (held == NULL) {
        PyMem_Free(mixed);
        return TL_SELECT_FAILED;
    }
    mixed->state = s->state;
    mixed->held = held;
    mixed->count = count;
    Py_ssize_t done = add_all(mixed, s, args) < 0
                          ? TL_SELECT_FAILED
                          : select_held(mixed, s, deadline, no_wait, value);
    bool stands = done >= 0 && !Py_IS_TYPE(args[done], s->state->case_type);
    bool closed = stands && tl_descriptor_has_closed(&mixed->ways[done].listener);
    int fd = closed ? mixed->ways[done].fd : -1;
    if ((end(mixed) < 0 || (closed && tl_descriptor_raise_closed(fd) < 0)) &&
        done >= 0) {
        Py_DECREF(*value);
        return TL_SELECT_FAILED;
    }
    if (stands) {
        Py_SETREF(*value, Py_NewRef(Py_None));
    }
    return done;
}
