// thread.h - schedulers come and go with their threads: births, ends, forks, exit.
#ifndef TL_THREAD_H
#define TL_THREAD_H

#include "core/sched.h"

// The scheduler of a thread, or NULL if that has none.
struct tl_sched *tl_thread_sched(struct tl_state *state, unsigned long ident);

// The scheduler of the thread that object names: its ident, a threading.Thread, or None for
// the calling one. NULL with an exception set if there is none.
struct tl_sched *tl_thread_sched_of(struct tl_state *state, PyObject *object);

// Whether the thread of s still exists. One that went unseen is found out here, and its
// tasklets are abandoned: then other code may have run, and s is dead, if not freed.
bool tl_thread_is_there(struct tl_sched *s);

// Idents of all Python threads but those that rest, oldest first: a new list.
PyObject *tl_thread_list(struct tl_state *state);

// Whether a thread with that ident exists.
bool tl_thread_exists(unsigned long ident);

// The main thread has left the program and waits for the others.
void tl_thread_main_has_ended(struct tl_state *state);

// End the calling thread's tasklets, for the end of the interpreter.
void tl_thread_at_exit(struct tl_state *state);

// After that: no thread runs tasklets any more. Stop the threads that watch the time, the
// GIL and its priorities.
void tl_thread_stop_helpers(struct tl_state *state);

// In the child of a fork, where mine (may be NULL) is the calling thread's: the schedulers,
// without calling into Python; and then the tasklets of other threads, which may.
void tl_thread_after_fork(struct tl_state *state, struct tl_sched *mine);
void tl_thread_drop_others(struct tl_state *state);

#endif // TL_THREAD_H
