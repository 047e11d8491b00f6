// state.h - everything the module owns, one copy per interpreter.
#ifndef TL_STATE_H
#define TL_STATE_H

#include "compat.h"
#include "list.h"

struct tl_stack;

struct tl_state {
    PyTypeObject *tasklet_type;
    PyTypeObject *channel_type;
    PyTypeObject *queue_channel_type;
    PyTypeObject *classic_channel_type; // raises as Stackless does
    PyTypeObject *bomb_type;
    PyTypeObject *atomic_type;
    PyTypeObject *job_type;
    PyTypeObject *worker_pool_type;
    PyTypeObject *timeout_type;
    PyTypeObject *handle_type;
    PyTypeObject *case_type;

    PyObject *tasklet_exit;
    PyObject *cancelled_error;
    PyObject *deadlock_error;
    PyObject *channel_closed;
    PyObject *block_trap_error;
    PyObject *switch_trap_error;

    PyObject *channel_callback;  // NULL: none
    PyObject *schedule_callback; // NULL: none
    PyObject *error_handler;     // NULL: none

    PyObject *interrupt;     // TimeoutExit
    PyObject *timed_out;     // bombs: TimeoutError,
    PyObject *interrupted;   // and TimeoutExit
    PyObject *run_stack;     // the builtin that every pooled stack runs
    PyObject *run_nursery;   // the builtin that the nursery runs
    PyObject *set_wakeup_fd; // signal's
    PyObject *stat_result;   // os's
    struct tl_link scheds;   // every thread's scheduler
    struct tl_link resting;  // threads of ours without work; see rest.h
    long nresting;
    PyObject **kept; // counted: what was revived in the collection that runs
    Py_ssize_t nkept, kept_room;
    unsigned long collector; // the thread that collects now; 0: none, or not known
    struct tl_stack *lost;   // that outlive their thread; most can never be ended
    bool main_has_ended;     // the interpreter waits for its threads, or is past that
    bool ending;             // no tasklet is to run any more
};

extern struct PyModuleDef tl_module_def;

static inline struct tl_state *
tl_state_of_module(PyObject *mod)
{
    struct tl_state *state = PyModule_GetState(mod);
    assert(state != NULL);
    return state;
}

// For an object of one of our types or of a subclass.
static inline struct tl_state *
tl_state_of_object(PyObject *object)
{
    PyObject *mod = PyType_GetModuleByDef(Py_TYPE(object), &tl_module_def);
    assert(mod != NULL);
    return tl_state_of_module(mod);
}

#endif // TL_STATE_H
