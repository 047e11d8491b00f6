// scope.h - blocks of code that can be interrupted, or that hold off interruptions:
// timeout(), TaskGroup and shield().
//
// A tasklet's blocks are a list, the innermost first. A block is interrupted by an
// exception (TimeoutExit, GroupExit) that only its own __exit__() catches. interrupt.h
// decides when it is raised.
#ifndef TL_SCOPE_H
#define TL_SCOPE_H

#include "core/sched.h"
#include "cpython/location.h"

enum tl_scope_kind { TL_SCOPE_TIMEOUT, TL_SCOPE_GROUP, TL_SCOPE_SHIELD };

//   IDLE --enter--> ACTIVE --deadline, cancel()--> DUE --taken to be raised--> COMING
//    ^                                              ^  ^                        |  |
//    |                                              |  +-- a stronger one first +  |
//    |                                              |                     RAISING, |
//    |                                              |                 or directly  v
//    |                                              +-- gave way to another -- SPENT
//    +------------- leave or the tasklet's end, from every state ------------------+
//
// A shield goes from ACTIVE to SPENT when its limit has passed.
enum tl_scope_state {
    TL_SCOPE_IDLE,
    TL_SCOPE_ACTIVE,
    TL_SCOPE_DUE,    // its interruption is requested
    TL_SCOPE_COMING, // the tasklet's tempval is that interruption
    // The tasklet has resumed with it, and runs finalizers before it is raised.
    TL_SCOPE_RAISING,
    TL_SCOPE_SPENT // it has been raised
};

// Invariants
// I1: who is NULL iff state is IDLE; else the scope is in the list who->scopes.
// I2: timer is set only while state is ACTIVE, in who->home's heap.
// I3: at most one scope of a tasklet is COMING, and then its tempval is
//     state->interrupted. More than one may be RAISING, each for another finalizer.
// I4: who->shields counts the shields that are ACTIVE.
struct tl_scope {
    struct tl_timer timer;
    TaskletObject *who;     // borrowed: a tasklet leaves its scopes before it is freed
    struct tl_scope *outer; // the next outer block of who
    PyObject *handled;      // the exception that was being handled at entry, or NULL
    PyObject *raised;       // borrowed, compared only: the last instance raised for it
    struct tl_location where; // where it was entered
    tl_deadline when;         // its end on tl_timer_now()'s clock
    unsigned char kind;       // enum tl_scope_kind
    unsigned char state;      // enum tl_scope_state
    bool expired;             // its interruption was raised, or its limit has passed
    bool swallowed;           // a finalizer has swallowed its interruption
    bool outlived;            // its tasklet ended without leaving the block
};

// Check all blocks of t; or one block, after a change of its state.
// Locks: the GIL.
TL_CHECKER(tl_scope_check_all, const TaskletObject *t);
TL_CHECKER(tl_scope_check, const struct tl_scope *scope);

// The current tasklet enters the block, which ends at scope->when. Returns 0, or -1
// with an exception set.
int tl_scope_enter(struct tl_sched *s, struct tl_scope *scope);

// The current tasklet leaves its block with exc (None or NULL: without an exception).
// *own: whether exc is the block's own interruption. If that has replaced a stronger
// interruption inside the block, returns the stronger one, a new reference; else NULL.
PyObject *tl_scope_leave(struct tl_sched *s, struct tl_scope *scope, PyObject *exc,
                         bool *own);

// Leave the block without looking at exceptions. The objects that it noted at entry are
// dropped after the next switch. Does not call into Python.
void tl_scope_leave_quietly(struct tl_scope *scope);

// The same as the last step of an __exit__(): drops the noted objects at once, which
// may run Python code.
void tl_scope_leave_at_exit(struct tl_scope *scope);

// At the end of an __exit__(): drop now what waits for the next switch. A loop of
// blocks in which nothing waits would never drop it.
static inline void
tl_scope_drop(struct tl_sched *s)
{
    if (s->ndrop > 0) {
        tl_sched_drop_now(s);
    }
}

// For a new scope of that kind, zeroed: it does not end by itself.
static inline void
tl_scope_init(struct tl_scope *scope, enum tl_scope_kind kind)
{
    scope->kind = kind;
    scope->when = TL_DEADLINE_NEVER;
}

// The repr of a timeout or shield: "<tasklets.timeout active, 2.500 s left, at 0x...>".
// name: of its type, NULL: self's own. word: its state. after: the nanoseconds that the
// block will last from its entry on; TL_TIMER_MAX_NS: only scope->when counts.
PyObject *tl_scope_repr(PyObject *self, const char *name, const char *word,
                        const struct tl_scope *scope, int64_t after);

// Change the time when the block ends, and forget an interruption that is due. Returns
// 0, or -1 with an exception set.
int tl_scope_move(struct tl_sched *s, struct tl_scope *scope, tl_deadline when);

// Request the block's interruption now.
// Thread: that of its tasklet.
void tl_scope_request(struct tl_scope *scope);

// The slow path of tl_scope_forget().
void tl_scope_forget_all(struct tl_scope *scope);

// The object that contains the scope goes away, perhaps inside the block. May run
// Python code.
static inline void
tl_scope_forget(struct tl_scope *scope)
{
    if (TL_UNLIKELY(scope->who != NULL || scope->handled != NULL ||
                    scope->where.code != NULL)) {
        tl_scope_forget_all(scope);
    }
}

// t is being deallocated: unlink the blocks that it has not left.
void tl_scope_abandon(TaskletObject *t);

// t, or a call that it made, has ended: leave the blocks inside outer (NULL: all) that
// it has not left. Does not call into Python.
void tl_scope_end(TaskletObject *t, const struct tl_scope *outer);

// Check that the current tasklet may leave the block; what is its name in messages.
// Returns 0, or -1 with RuntimeError set.
int tl_scope_check_leave(struct tl_sched *s, const struct tl_scope *scope,
                         const char *what);

// For tp_traverse of the object that contains the scope.
int tl_scope_traverse(struct tl_scope *scope, visitproc visit, void *arg);

#endif // TL_SCOPE_H
