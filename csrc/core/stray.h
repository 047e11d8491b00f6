// stray.h - tasklets that pause inside greenlets they have made themselves.
//
// Such a tasklet must be continued on that greenlet, not on its stack's fiber.
#ifndef TL_STRAY_H
#define TL_STRAY_H

#include "core/sched.h"
#include "core/stacks.h"
#include "cpython/gil.h"

// Whether t, which is current, is certainly on its own stack's fiber: a greenlet made
// inside it would have other frame memory. false if unknown. Cheap: compares two
// pointers.
static inline bool
tl_stray_is_at_home(struct tl_sched *s, TaskletObject *t)
{
    if (t->stack == NULL) {
        return t->fiber == s->main_fiber && tl_gil_has_chunk(s->ts, s->main_chunk);
    }
    return t->fiber == t->stack->fiber && tl_gil_has_chunk(s->ts, t->stack->chunk);
}

// t, which is current and may not be on its own fiber, is about to pause: note on which
// fiber. Returns 0; or -1 with RuntimeError set if that is the stack of another
// tasklet, which could not continue there until t does.
TL_COLD int tl_stray_note(struct tl_sched *s, TaskletObject *t);

// The stack with this fiber is about to end.
void tl_stray_forget(struct tl_sched *s, PyObject *fiber);

#endif
