// scope.h - blocks of code that can be interrupted, or that hold off interruptions:
// timeout(), TaskGroup and shield().
#ifndef TL_SCOPE_H
#define TL_SCOPE_H

#include "core/sched.h"
#include "cpython/location.h"

enum tl_scope_kind { TL_SCOPE_TIMEOUT, TL_SCOPE_GROUP, TL_SCOPE_SHIELD };

//   IDLE --enter--> ACTIVE --time is up, cancel()--> DUE --taken to be raised--> COMING
//    ^                                              ^  ^                        |  |
//    |                                              |  +-- a stronger one's turn +  |
//    |                                              |                               v
//    |                                              +--- put off, or given back -- SPENT
//    +------------- leave or the tasklet's end, from every state -------------------+
//
// A shield goes from ACTIVE to SPENT when its limit is over.
enum tl_scope_state {
    TL_SCOPE_IDLE,
    TL_SCOPE_ACTIVE,
    TL_SCOPE_DUE,    // its interruption is requested
    TL_SCOPE_COMING, // the tasklet's tempval is that interruption
    TL_SCOPE_SPENT   // it has been raised
};

// Invariants
// I1: who is NULL iff state is IDLE; else the scope is in the list who->scopes.
// I2: timer is set only while state is ACTIVE, in who->home's heap.
// I3: at most one scope of a tasklet is COMING, and then its tempval is
//     state->interrupted, until the tasklet arrives. A finalizer that runs between that
//     and the raise may switch once more.
// I4: who->shields counts the shields that are ACTIVE.
struct tl_scope {
    struct tl_timer timer;
    TaskletObject *who;     // borrowed: it leaves its scopes before it goes
    struct tl_scope *outer; // the next one of who
    PyObject *handled;      // the exception that was being handled at entry, or NULL
    PyObject *raised; // borrowed, compared only: the last instance that was raised
    struct tl_location where; // it was entered
    int64_t when;             // on tl_timer_now()'s clock; 0: never, negative: at once
    unsigned char kind, state;
    bool expired;   // its interruption was sent, or its limit is over
    bool swallowed; // its interruption has been raised, in a finalizer
    bool outlived;  // its tasklet ended inside the block, which was not left yet
};

// t's blocks; and one that has been entered or left, or is in another state.
// Locks: the GIL.
TL_CHECKER(tl_scope_check_all, const TaskletObject *t);
TL_CHECKER(tl_scope_check, const struct tl_scope *scope);

// Enter the block for the current tasklet, to end at scope->when. Returns 0, or -1 with
// an exception set.
int tl_scope_enter(struct tl_sched *s, struct tl_scope *scope);

// Leave the block of the current tasklet with exc (None or NULL: without). *own: whether
// exc is the block's own interruption. If a stronger interruption that arose inside the
// block was replaced by it, returns that one, a new reference; else NULL.
PyObject *tl_scope_leave(struct tl_sched *s, struct tl_scope *scope, PyObject *exc,
                         bool *own);

// Leave the block, which nothing has interrupted. Runs no Python code.
void tl_scope_leave_quietly(struct tl_scope *scope);

// The same as the last act of an __exit__(): drops at once what the block noted, and may
// run Python code then.
void tl_scope_leave_at_exit(struct tl_scope *scope);

// At the end of an __exit__(): drop what the block noted. A loop of blocks in which
// nothing waits would keep it all.
static inline void
tl_scope_drop(struct tl_sched *s)
{
    if (s->ndrop > 0) {
        tl_sched_drop_now(s);
    }
}

// The repr of a timeout or shield: "<tasklets.timeout active, 2.500 s left, at 0x...>". word:
// its state. after: how many nanoseconds it lasts once entered, or as many as are left until
// scope->when, with that set; 0: no end.
PyObject *tl_scope_repr(PyObject *self, const char *name, const char *word,
                        const struct tl_scope *scope, int64_t after);

// Let the block end at another time. Returns 0, or -1 with an exception set.
int tl_scope_move(struct tl_sched *s, struct tl_scope *scope, int64_t when);

// Request the block's interruption now. The caller is on the thread of its tasklet.
void tl_scope_request(struct tl_scope *scope);

// For tl_scope_forget().
void tl_scope_forget_all(struct tl_scope *scope);

// The object that contains the scope goes away, maybe inside the block.
static inline void
tl_scope_forget(struct tl_scope *scope)
{
    if (TL_UNLIKELY(scope->who != NULL || scope->handled != NULL ||
                    scope->where.code != NULL)) {
        tl_scope_forget_all(scope);
    }
}

// t is being deallocated: part with the blocks that it has not left.
void tl_scope_abandon(TaskletObject *t);

// Leave the blocks inside outer (NULL: all) that t, which has ended, or a call that it
// made, has not left. Runs no Python code.
void tl_scope_end(TaskletObject *t, const struct tl_scope *outer);

// Why the current tasklet may not leave the block: an exception is set. Returns 0 if it
// may.
int tl_scope_check_leave(struct tl_sched *s, const struct tl_scope *scope,
                         const char *what);

int tl_scope_traverse(struct tl_scope *scope, visitproc visit, void *arg);

#endif // TL_SCOPE_H
