// thread.h - schedulers are made and end with their threads; forks and the program's
// exit; looking up threads.
#ifndef TL_THREAD_H
#define TL_THREAD_H

#include "core/sched.h"

// The calling thread's scheduler, made if it has none. NULL with an exception set. When
// it is made, the schedule callback is called.
struct tl_sched *tl_sched_make(struct tl_state *state);

static inline struct tl_sched *
tl_sched_get(struct tl_state *state)
{
    return TL_LIKELY(tl_sched_mine != NULL) ? tl_sched_mine : tl_sched_make(state);
}

// For a caller that has an object of the module at hand, not its state.
static inline struct tl_sched *
tl_sched_for(PyObject *object)
{
    return TL_LIKELY(tl_sched_mine != NULL) ? tl_sched_mine
                                            : tl_sched_make(tl_state_of_object(object));
}

// Drop a reference. The last one frees s, whose thread is gone.
// Thread: any.
void tl_sched_unref(struct tl_sched *s);

// The scheduler of a thread, or NULL if that has none.
struct tl_sched *tl_thread_sched(struct tl_state *state, unsigned long ident);

// The scheduler of the thread that object names: its ident, a threading.Thread, or None
// for the calling thread, which gets one. NULL with an exception set if there is none.
// May run Python code.
struct tl_sched *tl_thread_sched_of(struct tl_state *state, PyObject *object);

// Whether the thread of s still exists. On Python 3.11 one may have ended unnoticed.
// Then its tasklets are abandoned here, which may run Python code, and s is dead or
// even freed.
bool tl_thread_is_there(struct tl_sched *s);

// Idents of all Python threads but idle workers, oldest first: a new list, or NULL with
// an exception set.
PyObject *tl_thread_list(struct tl_state *state);

// Whether a Python thread with that ident exists.
bool tl_thread_exists(unsigned long ident);

// The main thread has run the program to its end, and now waits for the other threads.
// If there are any, its own tasklets are ended: other threads may wait for locks they
// own.
// Switch: yes.
void tl_thread_main_has_ended(struct tl_state *state);

// The interpreter ends: end the calling thread's tasklets.
// Switch: yes.
void tl_thread_at_exit(struct tl_state *state);

// Then stop the internal threads that watch the time, the GIL and its priorities.
void tl_thread_stop_helpers(struct tl_state *state);

// In the child of a fork. mine: the calling thread's scheduler, or NULL. The first one
// marks the schedulers of the other threads as dead, without calling into Python. The
// second one then drops their tasklets, which may run Python code.
void tl_thread_after_fork(struct tl_state *state, struct tl_sched *mine);
void tl_thread_drop_others(struct tl_state *state);

#endif // TL_THREAD_H
