// queue_common.h - shared by the Python types of the queues.
#ifndef TL_QUEUE_COMMON_H
#define TL_QUEUE_COMMON_H

#include "sync/queue.h"

// The arguments of put() and get() after the item.
struct tl_queue_options {
    bool block;
    PyObject *timeout; // borrowed; NULL: none
};

// Parse (item, block=True, timeout=None); item: NULL for get(). Returns 0, or -1 with
// an exception set. May run Python code.
int tl_queue_parse(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   PyObject **item, struct tl_queue_options *options);

// The same for put_nowait(item).
int tl_queue_parse_item(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                        PyObject **item);

// Look up what the queues use from other modules, and add the exceptions to mod.
// Returns 0, or -1 with an exception set.
int tl_queue_ready(PyObject *mod, struct tl_state *state);

// Part of the module's traverse.
int tl_queue_visit_tools(struct tl_state *state, visitproc visit, void *arg);

#endif // TL_QUEUE_COMMON_H
