// errors.h - the exceptions that tell who waits for what.
#ifndef TL_ERRORS_H
#define TL_ERRORS_H

#include "core/sched.h"

// The deadlock exception: a new reference, or NULL with another exception set. who wants
// to wait, or waits, for kind on an object (NULL: none); kind is NULL if it wants to pause.
// classic: a RuntimeError with Stackless's text alone.
PyObject *tl_errors_deadlock(TaskletObject *who, const struct tl_wait_kind *kind,
                             PyObject *on, bool classic);

// The same for a main tasklet or caller of run() that waits in vain.
PyObject *tl_errors_stranded(struct tl_state *state, TaskletObject *waiter);

// Note in exc, which leaves t, what t is called (name, or NULL) and where it was spawned.
// Does not call into Python. Without memory there is no note.
void tl_errors_note(TaskletObject *t, PyObject *name, PyObject *exc);

// Whether exc goes to the main tasklet even if others are given it: KeyboardInterrupt, and
// in the main thread SystemExit. TaskletExit is no such.
bool tl_errors_always_go_to_main(struct tl_state *state, PyObject *exc);

// If the exception that is set interrupts the program, have the main tasklet raise it.
// Only in the main thread, where signals are handled, and while its program runs. Returns
// whether it has been taken.
bool tl_errors_interrupt_main(struct tl_state *state);

// Deal with the exception that is set, which no caller can be given: it interrupts the main
// tasklet, or is reported as unraisable. where: as for PyErr_WriteUnraisable().
void tl_errors_unraisable(struct tl_state *state, PyObject *where);

// Raise the error for a switch under switch_trap(), or inside a callback.
void tl_errors_no_switch(struct tl_sched *s);

// Whether the current tasklet must not wait: BlockTrapError is set then.
bool tl_errors_block_trap(struct tl_sched *s);

// Whether the current tasklet may wait, or switch at all. Returns 0, or -1 with an
// exception set.
int tl_errors_check_may_wait(struct tl_sched *s);

#endif // TL_ERRORS_H
