// arrivals_type.h - which of several tasklets, futures and events have finished, in
// that order.
//
// An Arrivals object is itself the done callback of everything it waits for. It records
// what has finished without calling into Python, so that no signal handler can run
// between the end of a source and the record.
#ifndef TL_ARRIVALS_TYPE_H
#define TL_ARRIVALS_TYPE_H

#include "object/callback_list.h"
#include "sync/channel.h"

// One of the objects that are waited for.
struct tl_arrival {
    PyObject *object;     // counted
    unsigned char source; // enum tl_source: who completes it
    bool listening;       // the callback was added, or adding it was attempted
    bool direct;          // added without the object's own add_done_callback()
    bool finished;        // it has been put into queue
};

// Invariants
// I1: queue and list are set until tl_arrivals_end().
// I2: left[source] counts the objects of that source that have not been taken out of
//     queue.
// I3: queue has capacity for all objects, so that recording one never fails.
// I4: index is a hash table of size mask + 1, of positions in list; NULL if list is
//     short enough to search.
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    ChannelObject *queue;    // the objects that have finished, in that order
    struct tl_arrival *list; // all objects
    Py_ssize_t count;        // the length of list
    Py_ssize_t *index;
    size_t mask;
    Py_ssize_t left[TL_FROM_WORKERS + 1];
    PyObject *taken; // for wait(): a list of the objects taken out of queue, or NULL
} ArrivalsObject;

// A new Arrivals of objects, each of which tl_arrivals_accepts() accepts. An object
// that is repeated counts once. The callback is not added yet. NULL with an exception
// set.
ArrivalsObject *tl_arrivals_new(struct tl_sched *s, PyObject *const *objects,
                                Py_ssize_t count);

// Whether object is of a type that can be waited for.
bool tl_arrivals_accepts(struct tl_state *state, PyObject *object);

// Add the callback to all objects. Returns 0, or -1 with an exception set. May run
// Python code: the objects' own add_done_callback().
int tl_arrivals_listen(ArrivalsObject *self);

// Tell a wait on queue what kind of source completes the objects that are left.
void tl_arrivals_expect(ArrivalsObject *self);

// The next object that has finished: a new reference, or NULL with an exception set.
// Waits until deadline, which may also be a time that has passed.
// Switch: may.
PyObject *tl_arrivals_take(ArrivalsObject *self, struct tl_sched *s,
                           tl_deadline deadline);

// Remove the callback from all objects and drop them. An exception that is set stays,
// unless an object's own methods raise a new one. Returns 0, or -1 with an exception
// set. May run Python code.
int tl_arrivals_end(ArrivalsObject *self);

// A future has just been cancelled: call those of its callbacks that are Arrivals
// objects, so that a signal handler that raises in the future's Python code cannot
// prevent it.
void tl_arrivals_notify(struct tl_state *state, PyObject *future);

// Add the callable func to the done callbacks of a concurrent.futures.Future.
// TL_LISTENING_INDIRECT: the future is of another kind.
enum tl_listening tl_arrivals_add_callback(struct tl_state *state, PyObject *future,
                                           PyObject *func);

// At import: prepare the attribute names of futures, and the type. Returns 0, or -1
// with an exception set.
int tl_arrivals_ready(struct tl_state *state);

#endif // TL_ARRIVALS_TYPE_H
