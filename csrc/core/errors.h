// errors.h - deadlock messages, the errors of traps, and exceptions without a caller.
#ifndef TL_ERRORS_H
#define TL_ERRORS_H

#include "core/sched.h"

// The exception for a deadlock: a new reference. If that cannot be made, the exception
// that prevents it. The tasklet is waiting, or about to wait, for kind on an object
// (NULL: none); kind is NULL if it is about to pause itself. classic: a RuntimeError
// with only Stackless's text.
PyObject *tl_errors_deadlock(TaskletObject *who, const struct tl_wait_kind *kind,
                             PyObject *on, bool classic);

// The same for a main tasklet or caller of run() that waits and cannot be resumed.
PyObject *tl_errors_stranded(struct tl_state *state, TaskletObject *waiter);

// Add a note to exc, which leaves t: t's name (may be NULL), and where it was spawned.
// Does not call into Python. Adds nothing if there is no memory.
void tl_errors_note(TaskletObject *t, PyObject *name, PyObject *exc);

// Whether exc is raised in the main tasklet even if a waiter gets it, too:
// KeyboardInterrupt, and in the main thread SystemExit. Not TaskletExit, which derives
// from SystemExit.
bool tl_errors_always_go_to_main(struct tl_state *state, PyObject *exc);

// If the exception that is set ends the program (as above), raise it in the main
// tasklet. Only in the main thread, where signals are handled, and while its program
// runs. Returns true if it did: then no exception is set.
bool tl_errors_interrupt_main(struct tl_state *state);

// Deal with the exception that is set where no caller can get it: raise it in the main
// tasklet if it ends the program, or report it. where: as for PyErr_WriteUnraisable().
// May run Python code: sys.unraisablehook.
void tl_errors_unraisable(struct tl_state *state, PyObject *where);

// Raise the error of a switch inside a callback, signal handler or finalizer, or else
// of switch_trap().
void tl_errors_no_switch(struct tl_sched *s);

// Whether block_trap forbids the current tasklet to wait: BlockTrapError is set then.
bool tl_errors_block_trap(struct tl_sched *s);

// Check that the current tasklet may wait: nothing is due to be raised in it, and no
// trap or callback forbids it. Returns 0, or -1 with an exception set.
int tl_errors_check_may_wait(struct tl_sched *s);

#endif // TL_ERRORS_H
