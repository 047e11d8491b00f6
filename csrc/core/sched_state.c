// sched_state.c - the calling thread's scheduler, the clock of its waits, and the
// references it drops later.
#include "core/sched_state.h"
#include "core/run_frame.h"
#include "base/clock.h"
#include "base/frame_slab.h"
#include "base/stress.h"

#include <malloc.h>

TL_THREAD_LOCAL struct tl_sched *tl_sched_mine;
TL_THREAD_LOCAL struct tl_os_thread *tl_os_thread_mine;

// Waits share a reading of the clock, which costs a tenth of a switch: up to
// MAX_STAMP_WAITS, adapted so that two readings are MIN_STAMP_NS to MAX_STAMP_NS apart.
enum { MIN_STAMP_NS = 250000, MAX_STAMP_NS = 1000000 };
enum { MAX_STAMP_WAITS = TL_STRESS_OR(16, 2) };

TL_COLD void
tl_sched_stamp(struct tl_sched *s)
{
    int64_t now = tl_clock_now(), past = now - s->stamp;
    if (past > MAX_STAMP_NS) {
        s->stamp_step = (unsigned)(s->stamp_step * (int64_t)MAX_STAMP_NS / past);
    } else if (past < MIN_STAMP_NS && s->stamp_step < MAX_STAMP_WAITS / 2) {
        s->stamp_step = 2 * s->stamp_step + 1;
    }
    s->stamp = now;
    s->stamp_left = s->stamp_step;
}

TaskletObject *
tl_sched_innermost(struct tl_sched *s)
{
    return s->frames[s->nframes - 1]->caller;
}

TL_COLD void
tl_sched_drop_object(struct tl_sched *s, PyObject *object)
{
    int room = 2 * s->drop_room;
    PyObject **grown = PyMem_Realloc(s->drop, 2 * (size_t)room * sizeof *grown);
    if (grown != NULL) {
        s->drop = grown;
        s->drop_room = room;
    } else if (s->ndrop == room) {
        return; // the reserve is used up: leak it, since a decref may run Python code
    }
    s->drop[s->ndrop++] = object;
}

void
tl_sched_trim(struct tl_sched *s)
{
    s->trim_due = false;
    tl_frame_slab_trim();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void
tl_sched_drop_now(struct tl_sched *s)
{
    // Not in a callback or signal handler: the list may have the last reference to the
    // current tasklet, on whose stack that runs.
    while (s->ndrop > 0 && s->no_switch == 0) {
        PyObject *object = s->drop[--s->ndrop];
        Py_DECREF(object);
    }
    if (TL_UNLIKELY(s->trim_due)) {
        tl_sched_trim(s);
    }
    if (TL_UNLIKELY(s->has_lost) && s->no_switch == 0) {
        s->has_lost = false;
        PyObject *exc = PyErr_GetRaisedException();
        PyErr_SetString(PyExc_MemoryError,
                        "an interruption, or a value of a channel, was lost for want "
                        "of memory");
        PyErr_WriteUnraisable(NULL);
        PyErr_SetRaisedException(exc);
    }
}

void
tl_sched_report_lost(struct tl_sched *s)
{
    s->has_lost = true;
    tl_sched_drop_later(s, Py_NewRef(Py_None)); // an arrival looks if ndrop > 0
}
