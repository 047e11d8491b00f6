// interrupt.h - what is raised in a tasklet from outside: kills, throws, and the
// interruptions of the blocks it is in.
//
// A request stays until it has been raised. If two meet, the stronger is raised first and
// the other one is kept: see enum tl_rank for the order. Of two blocks the outer one is
// stronger. docs/semantics.md has the rules.
#ifndef TL_INTERRUPT_H
#define TL_INTERRUPT_H

#include "core/sched.h"

// Set the rank of bomb by the type of its exception. Returns bomb.
PyObject *tl_interrupt_rated(struct tl_state *state, PyObject *bomb);

// A bomb that kills.
PyObject *tl_interrupt_kill(struct tl_state *state);

// Have bomb (stolen) raised in t when it next runs. The caller resumes t. Returns what the
// caller is to drop when all is whole again, or NULL. Runs no Python code.
PyObject *tl_interrupt_force(TaskletObject *t, PyObject *bomb);

// t goes on with an exception in place of its tempval: keep that if it is a request, and
// give it back to the channel if it is a value. As for the rest.
PyObject *tl_interrupt_displace(TaskletObject *t);

// Have bomb (stolen) raised at the next operation of t that may block. As for the rest.
PyObject *tl_interrupt_add(TaskletObject *t, PyObject *bomb);

// Have bomb (stolen) raised in t, which is alive: when it next runs, for which it is made
// runnable, or later if it runs now or that is held off. As for the rest.
PyObject *tl_interrupt_send(TaskletObject *t, PyObject *bomb);

// Whether t, which is not the current tasklet, cannot be resumed with bomb now: a shield
// or a lock that it must acquire again holds it off, or it was stopped inside a finalizer,
// which would swallow the exception.
bool tl_interrupt_is_held_off(TaskletObject *t, PyObject *bomb);

// exc (stolen) was raised in t, which could not leave with it: it comes again.
void tl_interrupt_again(TaskletObject *t, PyObject *exc);

// How strong exc is as an interruption of t; 0: it is none.
int tl_interrupt_strength(TaskletObject *t, PyObject *exc);

// The strongest exception in the context of exc, up to `until`, that is stronger than
// least: a new reference, or NULL.
PyObject *tl_interrupt_replaced(TaskletObject *t, PyObject *exc, PyObject *until,
                                int least);

// Raise the strongest of what is due in the current tasklet. Returns 0 if there is
// nothing, else -1.
int tl_interrupt_check(struct tl_sched *s);

// Whether a kill or throw is due in the current tasklet, and would leave the code that
// runs there.
bool tl_interrupt_is_overdue(struct tl_sched *s);

// Raise in the current tasklet what bomb (stolen), its tempval, carries. Returns NULL.
PyObject *tl_interrupt_raise(struct tl_sched *s, PyObject *bomb);

// What is held off, or due, has changed: refresh t->thrown.
void tl_interrupt_update(TaskletObject *t);

// The same, and resume t, of the calling thread, if it waits or is paused and something
// is due.
void tl_interrupt_wake(TaskletObject *t);

// Hold off all interruptions of the current tasklet, and no longer.
void tl_interrupt_hold(TaskletObject *t);
void tl_interrupt_release(TaskletObject *t);

// t has ended: forget what was to be raised in it. Returns as tl_interrupt_force().
PyObject *tl_interrupt_clear(TaskletObject *t);

// exc, with which a tasklet or the program ends, is the interruption of a block that has
// been left, or was never left: a RuntimeError that says so, a new reference; else NULL.
PyObject *tl_interrupt_escaped(struct tl_state *state, PyObject *exc);

#endif // TL_INTERRUPT_H
