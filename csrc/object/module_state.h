// module_state.h - everything the module owns, one copy per interpreter.
#ifndef TL_MODULE_STATE_H
#define TL_MODULE_STATE_H

#include "cpython/compat.h"
#include "base/list.h"

struct tl_stack;
struct tl_places;

// The methods of Queue that a subclass may override: what put(), get() and the like call,
// and what put_nowait() and get_nowait() call.
enum tl_queue_name {
    TL_QUEUE_SIZE,
    TL_QUEUE_PUT,
    TL_QUEUE_GET,
    TL_QUEUE_INIT,
    TL_QUEUE_HOOKS,
    TL_QUEUE_PUT_ANY = TL_QUEUE_HOOKS,
    TL_QUEUE_GET_ANY,
    TL_QUEUE_NAMES
};

// What the queues need of the standard library.
struct tl_queue_tools {
    PyTypeObject *type; // Queue
    PyTypeObject *deque;
    PyObject *append, *popleft;            // of deque,
    PyCFunction call_append, call_popleft; // and their C functions; NULL: not known
    PyObject *heappush, *heappop;
    PyObject *empty, *full, *shut_down; // exceptions
    PyObject *names[TL_QUEUE_NAMES];
    PyCFunction functions[TL_QUEUE_NAMES];
    PyObject *block; // ("block",)
};

// What the callbacks need of concurrent.futures.Future.
struct tl_future_tools {
    PyTypeObject *type;
    PyObject *cancelled;               // a value of _state
    PyObject *add, *remove;            // names of methods
    PyObject *callbacks, *state, *job; // names of attributes
};

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
    PyTypeObject *shield_type;
    PyTypeObject *group_type;
    PyTypeObject *handle_type;
    PyTypeObject *case_type;
    PyTypeObject *arrivals_type;
    PyTypeObject *completions_type;
    PyTypeObject *setting_type;
    PyTypeObject *closer_type;               // of worker pools
    PyObject *readable_type, *writable_type; // NULL: not looked up yet
    PyTypeObject *lock_type;
    PyTypeObject *rlock_type;
    PyTypeObject *condition_type;
    PyTypeObject *semaphore_type;
    PyTypeObject *bounded_semaphore_type;
    PyTypeObject *event_type;
    PyTypeObject *nl_condition_type;
    PyTypeObject *barrier_type;
    PyTypeObject *released_type;
    PyTypeObject *local_type;
    struct tl_places *local_places; // counted

    PyObject *tasklet_exit;
    PyObject *cancelled_error;
    PyObject *deadlock_error;
    PyObject *channel_closed;
    PyObject *block_trap_error;
    PyObject *switch_trap_error;
    PyObject *broken_barrier_error; // threading's

    PyObject *channel_callback;  // NULL: none
    PyObject *schedule_callback; // NULL: none
    PyObject *error_handler;     // NULL: none

    PyObject *timeout_exit; // TimeoutExit
    PyObject *group_exit;   // GroupExit
    PyObject *timed_out;    // a bomb of TimeoutError
    PyObject *interrupted;  // the bomb that stands for the interruption of a block
    PyObject *spare_error;  // bombs for when there is no memory for one: MemoryError
    PyObject *spare_exit;   // and TaskletExit
    PyObject *del_name;     // "__del__", interned
    // Put back into a channel what it handed to a receiver that was killed. value is
    // stolen.
    void (*take_back)(PyObject *channel, PyObject *value);
    PyObject *run_stack;     // the builtin that every pooled stack runs
    PyObject *run_nursery;   // the builtin that the nursery runs
    PyObject *set_wakeup_fd; // signal's
    PyObject *stat_result;   // os's
    struct tl_link scheds;   // every thread's scheduler
    struct tl_link natives;  // and what it waits with for locks
    struct tl_link pools;    // of workers
    struct tl_link resting;  // threads of ours without work; see rest.h
    long nresting;
    PyObject **kept; // counted: what was revived in the collection that runs
    Py_ssize_t nkept, kept_room;
    unsigned long collector; // the thread that collects now; 0: none, or not known
    struct tl_queue_tools queue;
    struct tl_future_tools future;
    unsigned forks;        // how often the process has been forked
    struct tl_stack *lost; // that outlive their thread; most can never be ended
    bool reports_cycles;   // of locks, and does not raise
    bool main_has_ended;   // the interpreter waits for its threads, or is past that
    bool ending;           // no tasklet is to run any more
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

#endif // TL_MODULE_STATE_H
