// interrupt.h - exceptions that are raised in a tasklet from outside: kills, throws,
// and the interruptions of blocks (timeout(), TaskGroup).
//
// An interruption is requested, then becomes due, and is raised when the tasklet next
// runs or calls an operation that may wait. It is requested as
// - the tasklet's tempval: a bomb that is raised when the tasklet resumes;
// - a bomb in t->pending, the strongest first, if the tasklet runs now, or the
//   interruption is held off by a shield() or by a lock that must be re-acquired;
// - the state TL_SCOPE_DUE of a block, which needs no memory.
// t->thrown says whether the tasklet has to look for what is due.
//
// A request is kept until it was raised. (But several plain kills are raised once, and
// of two throws only the later one, as in Stackless.) If two meet, the stronger one is
// raised first and the other later. enum tl_rank is the order; of two blocks the outer
// one is stronger. docs/semantics.md has the rules.
#ifndef TL_INTERRUPT_H
#define TL_INTERRUPT_H

#include "core/sched.h"

// Set the rank of bomb (may be NULL) by the type of its exception. Returns bomb.
PyObject *tl_interrupt_rated(struct tl_state *state, PyObject *bomb);

// A bomb of TaskletExit with its rank. Never NULL.
PyObject *tl_interrupt_kill(struct tl_state *state);

// Raise bomb (stolen) in t when it next runs. The caller makes t runnable. Returns an
// object that the caller must drop after the next switch, or NULL. Does not call into
// Python.
PyObject *tl_interrupt_force(TaskletObject *t, PyObject *bomb);

// t is about to raise another exception in place of its tempval: keep the tempval if it
// is a request, and give it back to its channel if it is a value. Returns as above.
PyObject *tl_interrupt_displace(TaskletObject *t);

// Raise bomb (stolen) at the next operation of t that may wait. Returns as above.
PyObject *tl_interrupt_add(TaskletObject *t, PyObject *bomb);

// Raise bomb (stolen) in t, which is alive and is made runnable for that; but later if
// t runs now, or bomb is held off. Returns as above.
PyObject *tl_interrupt_send(TaskletObject *t, PyObject *bomb);

// Whether t, which is not the current tasklet, must not be resumed with bomb now:
// because of a shield or a lock that it must re-acquire, or because a budget stopped it
// inside a finalizer, which would swallow the exception.
bool tl_interrupt_is_held_off(TaskletObject *t, PyObject *bomb);

// exc (stolen) was raised in t but gave way to another exception: request it again.
void tl_interrupt_again(TaskletObject *t, PyObject *exc);

// The strength of exc as an interruption of t; 0: it is none.
int tl_interrupt_strength(TaskletObject *t, PyObject *exc);

// The strongest exception in the chain of contexts of exc, up to but without `until`,
// whose strength exceeds least: a new reference, or NULL.
PyObject *tl_interrupt_replaced(TaskletObject *t, PyObject *exc, PyObject *until,
                                int least);

// Raise the strongest interruption that is due in the current tasklet. Returns 0 if
// none is, else -1.
int tl_interrupt_check(struct tl_sched *s);

// Whether a kill or throw is due in the current tasklet, and would leave the code that
// runs there: it is not inside a finalizer.
bool tl_interrupt_is_overdue(struct tl_sched *s);

// The current tasklet has resumed with bomb (stolen), its tempval so far: drop what
// waits for the next switch, and raise the exception of bomb. Returns NULL.
// Switch: may.
PyObject *tl_interrupt_arrive(struct tl_sched *s, PyObject *bomb);

// Refresh t->thrown, after a change of what is due or held off.
void tl_interrupt_update(TaskletObject *t);

// The same; and if an interruption is due and t waits or is paused, make t runnable
// with it. t is of the calling thread.
void tl_interrupt_wake(TaskletObject *t);

// Hold off all interruptions of t, the current tasklet; stop holding them off. Calls
// nest.
void tl_interrupt_hold(TaskletObject *t);
void tl_interrupt_release(TaskletObject *t);

// t has ended: forget all its requests. Returns as tl_interrupt_force().
PyObject *tl_interrupt_clear(TaskletObject *t);

// A tasklet or the program ends with exc. If that is the interruption of a block, which
// should have caught it: a RuntimeError that says so, a new reference; else NULL.
PyObject *tl_interrupt_escaped(struct tl_state *state, PyObject *exc);

#endif // TL_INTERRUPT_H
