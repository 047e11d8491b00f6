// module_state.h - the state of the module tasklets._core, one per interpreter.
//
// Locks: the GIL, for all of it.
#ifndef TL_MODULE_STATE_H
#define TL_MODULE_STATE_H

#include "cpython/compat.h"
#include "base/list.h"

struct tl_sched;
struct tl_stack;
struct tl_places;
struct tl_socket_tools;

// The methods of Queue that a subclass may override, and that the queue then calls:
// _qsize(), _put(), _get() and _init(), which hold the items, and put() and get(),
// which put_nowait() and get_nowait() call.
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

// What the queues use of the standard library.
struct tl_queue_tools {
    PyTypeObject *deque;
    PyObject *append, *popleft;            // methods of deque
    PyCFunction call_append, call_popleft; // their C functions; NULL: not known
    PyObject *heappush, *heappop;
    PyObject *empty, *full, *shut_down;    // exceptions
    PyObject *names[TL_QUEUE_NAMES];       // by enum tl_queue_name
    PyCFunction functions[TL_QUEUE_NAMES]; // our own implementations
    PyObject *block;                       // ("block",)
};

// What TLS uses of the module ssl, looked up when it is first needed.
struct tl_tls_tools {
    PyTypeObject *window_type; // see tls.c; NULL: nothing has been looked up
    PyObject *context_type, *memory_bio;
    PyObject *error, *want_read, *zero_return, *eof_error; // exceptions
    PyObject *read, *write, *pending;                      // names
};

// What the callbacks use of concurrent.futures.Future.
struct tl_future_tools {
    PyTypeObject *type;
    PyObject *cancelled;               // a value of _state
    PyObject *add, *remove;            // names of methods
    PyObject *callbacks, *state, *job; // names of attributes
};

struct tl_state {
#define TL_TYPE(noun, ...) PyTypeObject *noun##_type;
#include "object/types.def"
    PyObject *readable_type, *writable_type; // NULL: not looked up yet
    struct tl_places *local_places;          // counted

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
    PyObject *spare_error;  // a bomb of MemoryError, for want of memory for a bomb
    PyObject *spare_exit;   // a bomb of TaskletExit, for the same case
    PyObject *del_name;     // "__del__", interned
    // Put back into a channel the value (stolen) that it handed to a receiver that was
    // killed before it could return it.
    void (*take_back)(PyObject *channel, PyObject *value);
    bool (*thread_is_there)(struct tl_sched *s); // tl_thread_is_there()
    PyObject *run_stack;      // the builtin that every pooled stack runs
    PyObject *run_base_fiber; // the builtin that each base fiber runs
    PyObject *set_wakeup_fd;  // signal.set_wakeup_fd
    PyObject *stat_result;    // os.stat_result
    PyObject *newline;        // b"\n"
    struct tl_link scheds;    // list head: every thread's scheduler
    struct tl_link
        os_threads;       // list head: struct tl_os_thread, for waits without a tasklet
    struct tl_link pools; // list head: worker pools
    struct tl_link
        idle_workers;   // list head: idle worker threads; see core/idle_threads.h
    long nidle_workers; // length of idle_workers
    PyObject **kept;    // counted: objects revived in the current collection
    Py_ssize_t nkept, kept_room; // used and allocated length of kept
    unsigned long
        collector; // ident of the thread that collects now; 0: none or not known
    struct tl_queue_tools queue;
    struct tl_socket_tools *socket_tools; // NULL: not used yet
    struct tl_future_tools future;
    struct tl_tls_tools tls;
    unsigned forks; // number of forks that this process descends from
    struct tl_stack
        *lost;           // stacks that outlived their thread; most can never be unwound
    bool reports_cycles; // a deadlock of locks is a warning, not a DeadlockError
    bool main_has_ended; // the interpreter joins its threads, or has joined them
    bool ending;         // no tasklet may run any more
};

extern struct PyModuleDef tl_module_def;

static inline struct tl_state *
tl_state_of_module(PyObject *mod)
{
    struct tl_state *state = PyModule_GetState(mod);
    assert(state != NULL);
    return state;
}

// The state behind an object of one of the module's types, or of a subclass.
static inline struct tl_state *
tl_state_of_object(PyObject *object)
{
    PyObject *mod = PyType_GetModuleByDef(Py_TYPE(object), &tl_module_def);
    assert(mod != NULL);
    return tl_state_of_module(mod);
}

#endif // TL_MODULE_STATE_H
