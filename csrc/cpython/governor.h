// governor.h - while a thread is inside an atomic section, it is not made to give up
// the GIL.
//
// The interpreter takes the GIL away in one way only: a thread that waits for it times
// out and asks the holder to drop it. While sections exist, the governor is engaged: it
// sets the waiters' timeout to practically infinite, and its own thread, the ticker,
// asks in their place: every holder but those inside a section, which are asked when
// the section ends. docs/internals/gil.md explains the protocol.
//
// Locks: the governor's state is guarded by the GIL's own mutex, gil->mutex. Order: the
// GIL, then gil->mutex, then gil->switch_mutex (tl_gil_play_taker()) or, before 3.13,
// the lock of the interpreter's list of threads (tl_gil_request()). Do not call
// PyEval_RestoreThread(), which takes the GIL, with gil->mutex held.
#ifndef TL_GOVERNOR_H
#define TL_GOVERNOR_H

#include "cpython/compat.h"
#include "base/list.h"
#include "base/timekeeper.h"

// The atomic mark of one thread.
//
// Invariants
// I1: marked is set only while the thread's running tasklet is atomic, and then always,
//     unless the ticker could not be started.
//
// marked is written with the GIL, and read with the GIL or gil->mutex. Where the GIL
// can be governed it is set with gil->mutex as well, under which the ticker decides, so
// that a thread in a section is never asked. Clearing it needs no mutex: a ticker that
// still sees the mark asks one tick later.
struct tl_guard {
    struct tl_link all; // in the governor's list of guards
    PyThreadState *ts;  // of the thread that the mark belongs to
    bool marked;
};

// Locks: the GIL; takes gil->mutex.
void tl_guard_init(struct tl_guard *guard, PyThreadState *ts);

// The thread ends, inside a section or not. Locks: as above.
void tl_guard_fini(struct tl_guard *guard);

// The calling thread, whose guard it is, begins or ends a section. tl_governor_enter()
// may release the GIL for a moment before the section begins; after tl_governor_leave()
// the thread may be asked for it.
// Locks: the GIL; take gil->mutex.
void tl_governor_enter(struct tl_guard *guard);
void tl_governor_leave(struct tl_guard *guard);

// Set or clear the mark of another thread, which does not run Python code now.
// Locks: the GIL; takes gil->mutex.
void tl_governor_mark(struct tl_guard *guard, bool marked);

// Call these around a wait of the calling thread inside a section: the first before it
// releases the GIL, the second when it has the GIL again. Other threads run normally in
// between. tl_governor_return() may release the GIL for a moment.
// Locks: the GIL; take gil->mutex.
void tl_governor_pause(struct tl_guard *guard);
void tl_governor_return(struct tl_guard *guard);

// Ask the holder of the GIL, if any, to drop it at its next chance, or after its
// section. The caller must go on to take the GIL: the holder waits until another thread
// has it.
// Thread: any, without the GIL.  Locks: takes gil->mutex.
void tl_governor_request(void);

// An urgent thread, which was woken, begins to wait for the GIL, or has taken it.
// The first asks the holder, like tl_governor_request(). As long as there are urgent
// threads the switch interval is short (SHORT_US), so that the GIL comes back soon if
// another waiter was faster. Only after tl_governor_is_ready() has returned true.
// Thread: any.  Locks: gil->mutex is held.
void tl_governor_add_urgent(void);
void tl_governor_remove_urgent(void);

// Why sections are not protected in this process; NULL: they are. The first call finds
// out with a trial, which takes some milliseconds and releases the GIL. Without
// protection sections only exclude each other (base/section_lock.h).
const char *tl_governor_refusal(void);

// Whether the governor works and has not been stopped. From the first such call on,
// sys.getswitchinterval() and sys.setswitchinterval() show and set the program's own
// interval, whatever the governor has put in its place.
bool tl_governor_is_ready(void);

// The program's own switch interval, in microseconds.
// Thread: any.  Locks: gil->mutex is held.
unsigned long tl_governor_interval(void);

// End the ticker, for good.
// Thread: any, without the GIL.
void tl_governor_stop(void);

// In the child of a fork: there is no ticker.
// Locks: gil->mutex is held.
void tl_governor_forget_threads(void);

// In the child of a fork, when the interpreter can be used again: continue the section
// of the calling thread, whose guard it is (may be NULL).
void tl_governor_after_fork(struct tl_guard *guard);

// The timekeeper's thread takes the GIL with it, sooner than others would get it.
extern const struct tl_timekeeper_host tl_governor_timekeeper_host;

#endif // TL_GOVERNOR_H
