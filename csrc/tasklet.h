// tasklet.h - the tasklet object and its states.
#ifndef TL_TASKLET_H
#define TL_TASKLET_H

#include "compat.h" // before all of the system's

#include "heap.h"
#include "hooks.h"
#include "list.h"
#include "state.h"
#include "wait.h"

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

// A tasklet's place in a TaskGroup.
struct tl_member {
    struct tl_link link;
    struct TaskletObject *task; // counted
    PyObject *group;            // borrowed: it takes out its members before it goes
    // The tasklet has ended. Runs no Python code.
    void (*ended)(struct tl_member *member);
};

// What becomes of a tasklet and who wants to know; made when first needed.
struct tl_outcome {
    PyObject *name; // NULL: the function's
    PyObject *code; // where spawn() was called, or NULL
    int lasti;
    bool keep; // made by spawn(): keep value or exception
    bool done, cancelled;
    PyObject *value, *exc;
    PyObject *callbacks;      // list, or NULL
    struct tl_link waiters;   // tasklets that wait for the end
    struct tl_member *member; // or NULL: it is in no group
};

// Who can own locks: a tasklet, or a thread for its main tasklet or if it has none.
struct tl_holder {
    struct tl_link held; // locks
    bool native;         // it is a thread's: see native.h
};

// Invariants
// I1: place is RUNNABLE iff link is in home's ring, WAITING iff wait is armed and link
//     in its queue, FLOATING iff link is single.
// I2: the ring and the queues own one reference to each member.
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
    struct tl_timer timer; // when it stops waiting
    struct tl_sched *home; // counted
    PyObject *tempval;     // what the pending operation will return; NULL: None
    PyObject *fiber;       // where it continues
    struct tl_stack *stack;
    PyObject *func, *args, *kwargs; // from setup to the end
    PyObject *context;              // to be put in force when it next runs, or NULL
    void *top;                      // innermost frame
    PyObject *seen_context;         // in force where it left, if it has no frame
    struct tl_link started;         // in home's list of the started
    struct tl_holder holder;
    struct tl_outcome *outcome;
    struct tl_scope *scopes; // the blocks it is in, the innermost first
    PyObject *pending; // bombs that are still to be raised in it, the strongest first
    PyObject *handed;  // borrowed: the channel whose value its tempval is, or NULL
    PyObject *held;    // borrowed: its stack has one reference to it, or NULL
    struct tl_hooks *hooks;   // its trace and profile functions; NULL: the thread's
    struct tl_locals *locals; // see local.c; NULL: nothing
    PyObject *weakrefs;
    // home->switches when it was last entered or became runnable; 0: it was chosen to run
    // next.
    uint64_t turn;
    int64_t since;  // it has been waiting, about: true time in nanoseconds
    int depth;      // Python recursion depth where it left
    unsigned epoch; // of the events that its frames have, as tl_events_epoch()
    unsigned char life, place;
    signed char sending; // 1 or -1 while it waits on a channel
    bool is_main, ended, atomic, ignore_nesting, block_trap;
    bool thrown;  // something is due to be raised at its next operation
    bool stopped; // a budget of run() ended inside it, and it has not gone on
    bool
        left; // it waits on although its thread, or the program, has ended its tasklets
    bool abandoned; // it computed on when its thread ended, and was stopped for good
    bool inherited; // from the process that forked: not missed if it does not end
    bool revived;   // its finalizer has run, and posted a kill
    unsigned int own_refs; // to itself, that its stack has while it is in tl_block()
    unsigned int shields;  // shield() blocks that hold off interruptions
    unsigned int holds;    // waits of its own that hold off all of them
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

// Of a waiter that is no thread.
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

void tl_task_stop_timer(TaskletObject *t);

// Locks: the GIL.
TL_CHECKER(tl_task_check, const TaskletObject *t);

// Take t out of what it waits for. The queue's reference passes to the caller.
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

// t's outcome record, made if it has none. NULL with MemoryError set.
struct tl_outcome *tl_outcome_of(TaskletObject *t);
void tl_outcome_free(struct tl_outcome *outcome);

// A new tasklet of class cls that lives on sched's thread.
TaskletObject *tl_task_new(PyTypeObject *cls, struct tl_sched *sched);

// Stackless's rules for bind() and for what setup() does to a bound tasklet.
int tl_task_bind(TaskletObject *t, PyObject *func, PyObject *args, PyObject *kwargs);
int tl_task_setup(TaskletObject *t, PyObject *args, PyObject *kwargs);

// Have t, which is fresh, call args[0] with the rest, in a copy of the current context.
// Returns 0, or -1 with an exception set.
int tl_task_set_call(TaskletObject *t, PyObject *const *args, Py_ssize_t nargs);

// Whether it has something to run, on a thread that exists.
bool tl_task_is_alive(TaskletObject *t);

// Its name, and a line about it: new references. No code of others runs.
PyObject *tl_task_name(TaskletObject *t);
PyObject *tl_task_describe(TaskletObject *t);

// "running", "runnable", "blocked", "paused" and so on.
const char *tl_task_state_word(TaskletObject *t);

// "waits to receive from <tasklets.channel ...>", for a wait of this kind: a new
// reference. on may be NULL. Does not call into Python.
PyObject *tl_task_describe_wait(struct tl_state *state, const struct tl_wait_kind *kind,
                                PyObject *on);

// Whether it waits for what a signal handler may do, say, and is not told that nobody can
// run.
static inline bool
tl_task_is_patient(const TaskletObject *t)
{
    const struct tl_wait_kind *kind = t->wait.kind;
    return t->place == TL_WAITING &&
           (kind->patient || (kind->is_patient != NULL && kind->is_patient(&t->wait)));
}

// Whether its thread is executing its code, if only to wait for other threads.
bool tl_task_is_running(TaskletObject *t);

// Whether it is the one that runs on its thread; while that waits for others, nobody is.
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
