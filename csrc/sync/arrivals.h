// arrivals.h - which of several tasklets, futures and events have finished, in that order.
//
// The object itself is the done callback. It records what has finished without calling into
// Python, so that no signal can be handled in between.
#ifndef TL_ARRIVALS_H
#define TL_ARRIVALS_H

#include "sync/channel.h"

// One of the objects.
struct tl_arrival {
    PyObject *object;
    unsigned char source; // enum tl_source
    bool listening;       // the callback has been added, or was about to be
    bool direct;          // added without the object's own add_done_callback()
    bool finished;
};

// Invariants
// I1: queue and list are set until tl_arrivals_end().
// I2: left[source] counts the objects of that source that nobody has taken out of queue.
// I3: queue has room for all objects.
// I4: index is a hash table of size mask + 1, of positions in list; NULL: list is short.
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    ChannelObject *queue; // of objects that have finished
    struct tl_arrival *list;
    Py_ssize_t count;
    Py_ssize_t *index;
    size_t mask;
    Py_ssize_t left[TL_FROM_WORKERS + 1];
    PyObject *taken; // for wait(): a list of what was taken out of queue, or NULL
} ArrivalsObject;

// Of an array of objects that tl_arrivals_takes(), each once. Nobody listens yet.
ArrivalsObject *tl_arrivals_new(struct tl_sched *s, PyObject *const *objects,
                                Py_ssize_t count);

// Whether object is of a type that can be waited for.
bool tl_arrivals_takes(struct tl_state *state, PyObject *object);

// Add the callback to all objects. Returns 0, or -1 with an exception set.
int tl_arrivals_listen(ArrivalsObject *self);

// Tell a wait on queue what kind of source completes the objects that are left.
void tl_arrivals_expect(ArrivalsObject *self);

// The next that has finished. Waits with a deadline as in struct tl_leave, but one that has
// passed meanwhile will do.
// Switch: may.
PyObject *tl_arrivals_take(ArrivalsObject *self, struct tl_sched *s, int64_t deadline);

// Remove the callback from all objects, and forget them. The exception that is set stays,
// but for a new one from an object's own methods. Returns 0, or -1 with an exception set.
int tl_arrivals_end(ArrivalsObject *self);

// A future has just been cancelled: tell those of its callbacks that are ours, so that no
// signal in its Python code keeps them waiting.
void tl_arrivals_tell(struct tl_state *state, PyObject *future);

// Add func, which can be called, to the callbacks of a future as concurrent.futures has
// them. Returns 0, 1 if it is done and func is not called, -1 with an exception set, or -2
// if it is another kind of future.
int tl_arrivals_add_callback(struct tl_state *state, PyObject *future, PyObject *func);

// The name for what futures have, and the type, at import. Returns 0, or -1 with an
// exception set.
int tl_arrivals_ready(struct tl_state *state);

#endif // TL_ARRIVALS_H
