// tasklet.h - the tasklet object and its states.
//
// Two state machines describe a tasklet: life, what it has to run, and place, where its
// link is. Values and exceptions reach it in tempval, not as arguments of a switch.
#ifndef TL_TASKLET_H
#define TL_TASKLET_H

#include "cpython/compat.h" // before all of the system's

#include "cpython/trace_hooks.h"
#include "object/module_state.h"
#include "object/wait.h"
#include "base/list.h"
#include "base/timer_heap.h"

struct tl_sched;
struct tl_stack;
struct tl_scope;
struct tl_locals;

//   UNBOUND --bind with arguments, setup--> NEW --first switch--> STARTED
//      ^                                     |                       |
//      +---------- bind(None) ---------------+                       |
//      +----------------- return or raise (ended is set) ------------+
enum tl_life { TL_UNBOUND, TL_NEW, TL_STARTED };

//   FLOATING <--insert, remove--> RUNNABLE --block--> WAITING
//                                     ^--- wake, kill ----+
enum tl_place { TL_FLOATING, TL_RUNNABLE, TL_WAITING };

// A tasklet's membership of a TaskGroup.
struct tl_member {
    struct tl_link link;
    struct TaskletObject *task; // counted
    PyObject *group;            // borrowed: it removes its members before it dies
    // Called when the tasklet has ended. Must not call into Python.
    void (*ended)(struct tl_member *member);
};

// The result of a tasklet, its waiters and its callbacks. Made when first needed.
struct tl_outcome {
    PyObject *name;           // NULL: the function's
    PyObject *code;           // that called spawn(), or NULL
    int lasti;                // the instruction of code that did
    bool keep;                // made by spawn(): store value or exception
    bool done;                // the tasklet has ended, or never will
    bool cancelled;           // it ended with TaskletExit, or never will
    PyObject *value, *exc;    // what it ended with, if keep is set; else NULL
    PyObject *callbacks;      // list, or NULL
    struct tl_link waiters;   // tasklets inside join() and the like
    struct tl_member *member; // NULL: it is in no group
};

// An owner of locks: a tasklet, or an OS thread for its main tasklet or if it has none.
struct tl_holder {
    struct tl_link held; // the locks it owns
    bool native;         // it is part of a struct tl_os_thread
};

// Invariants
// I1: place is RUNNABLE iff link is in home's ring, WAITING iff wait is armed and link
//     in its queue, FLOATING iff link is single.
// I2: the ring and the queues of waiters own one reference to each member.
// I3: fiber is set while life is STARTED and its thread lives, until its function has
//     returned; stack only while STARTED and never for main.
// I4: top is only meaningful while STARTED and not running; the fiber keeps it alive.
//     It never points into a C stack.
// I5: timer is set only while place is WAITING, in home's heap.
typedef struct TaskletObject {
    PyObject_HEAD
    union {
        struct tl_waiter waiter;
        struct {
            struct tl_link link;
            struct tl_wait wait;
        };
    };
    struct tl_timer timer; // of its wait's timeout
    struct tl_sched *home; // counted: the scheduler of its thread
    PyObject *tempval;     // what the pending operation will return; NULL: None
    // Where it continues: its stack's fiber, or a greenlet made inside it.
    PyObject *fiber;
    struct tl_stack *stack;         // on which its function runs
    PyObject *func, *args, *kwargs; // from setup to the end
    // The contextvars Context to enter when it next runs, or NULL.
    PyObject *context;
    void *top;              // innermost frame
    PyObject *seen_context; // the Context where it paused, if it has no frame
    struct tl_link started; // in home->started
    struct tl_holder holder;
    struct tl_outcome *outcome; // NULL: not needed yet
    struct tl_scope *scopes;    // the blocks it is in, the innermost first
    PyObject *pending;          // bombs not raised in it yet, the strongest first
    PyObject *handed;           // borrowed: the channel of its tempval, or NULL
    // Borrowed: an object to which its stack has a reference, or NULL.
    PyObject *held;
    struct tl_trace_hooks *hooks; // its trace and profile functions; NULL: the thread's
    struct tl_locals *locals;     // see local.c; NULL: it has none
    PyObject *weakrefs;
    // Value of home->switches when it was last entered or became runnable; 0: it was
    // chosen to run next.
    uint64_t turn;
    int64_t since;  // its wait began then or shortly after: true time in nanoseconds
    int depth;      // Python recursion depth where it paused
    unsigned epoch; // tl_ticks_epoch() when its frames were last made to count ticks
    unsigned char life;  // enum tl_life
    unsigned char place; // enum tl_place
    signed char sending; // 1: it waits to send on a channel, -1: to receive; else 0
    bool is_main, ended, atomic, ignore_nesting, block_trap;
    bool thrown;    // an interruption is due, and will be raised by its next operation
    bool in_run;    // it has called run(), and may still be inside
    bool stopped;   // a budget of run() stopped it, and it has not gone on since
    bool abandoned; // it computed past the end of its thread, and was stopped for good
    // It has been waiting since the end of its thread's or the program's tasklets, and
    // is not expected to run again.
    bool left_waiting;
    bool inherited; // started before a fork, in the parent: no warning if it is lost
    bool revived;   // its finalizer has run, and must be able to run again
    unsigned int own_refs; // to itself, from its own stack in tl_wait_queue_wait()
    unsigned int shields;  // active shield() blocks, which hold off interruptions
    unsigned int holds;    // waits that hold off all interruptions
} TaskletObject;

static inline TaskletObject *
tl_task_of(struct tl_link *link)
{
    return TL_CONTAINER(link, TaskletObject, link);
}

static inline TaskletObject *
tl_task_of_wait(struct tl_wait *wait)
{
    return TL_CONTAINER(wait, TaskletObject, wait);
}

// waiter is a tasklet's, not a thread's.
static inline TaskletObject *
tl_task_of_waiter(const struct tl_waiter *waiter)
{
    return TL_CONTAINER(waiter, TaskletObject, waiter);
}

static inline TaskletObject *
tl_task_next(TaskletObject *t)
{
    return tl_task_of(t->link.next);
}

// Cancel t's timer, which is set.
// Thread: any.
void tl_task_stop_timer(TaskletObject *t);

// Locks: the GIL.
TL_CHECKER(tl_task_check, const TaskletObject *t);

// End t's wait: t floats, and the queue's reference passes to the caller.
// Thread: any.
static inline void
tl_task_end_wait(TaskletObject *t)
{
    if (TL_UNLIKELY(tl_timer_is_set(&t->timer))) {
        tl_task_stop_timer(t);
    }
    tl_wait_end(&t->wait, &t->link);
    t->place = TL_FLOATING;
    tl_task_check(t);
}

// A new tasklet of class cls that lives on sched's thread.
TaskletObject *tl_task_new(PyTypeObject *cls, struct tl_sched *sched);

// Set t, which has just been made, to call args[0] with the rest in a copy of the
// current context. Returns 0, or -1 with an exception set.
int tl_task_set_call(TaskletObject *t, PyObject *const *args, Py_ssize_t nargs);

// Whether t has something to run, on a thread that exists.
bool tl_task_is_alive(TaskletObject *t);

// t's name, and a line about it: new references, or NULL with an exception set. Neither
// calls into Python.
PyObject *tl_task_name(TaskletObject *t);
PyObject *tl_task_describe(TaskletObject *t);

// "running", "runnable", "blocked", "paused" and so on.
const char *tl_task_state_word(TaskletObject *t);

// "waits to receive from <tasklets.channel ...>", for a wait of this kind: a new
// reference, or NULL with an exception set. on may be NULL. Does not call into Python.
PyObject *tl_task_describe_wait(struct tl_state *state, const struct tl_wait_kind *kind,
                                PyObject *on);

// Whether t's wait is exempt from deadlock detection: a signal handler may still end
// it.
static inline bool
tl_task_is_exempt(const TaskletObject *t)
{
    const struct tl_wait_kind *kind = t->wait.kind;
    return t->place == TL_WAITING &&
           (kind->exempt || (kind->is_exempt != NULL && kind->is_exempt(&t->wait)));
}

// Whether t is its thread's current tasklet, also while that thread is idle.
bool tl_task_is_running(TaskletObject *t);

// Whether t runs: it is its thread's current tasklet, and the thread is not idle.
bool tl_task_is_current(TaskletObject *t);

// Put value (stolen) into tempval and return what was there, owned, or NULL.
static inline PyObject *
tl_task_swap(TaskletObject *t, PyObject *value)
{
    PyObject *old = t->tempval;
    t->tempval = value;
    return old;
}

#endif // TL_TASKLET_H
