// stress_points.c - the yields and slow paths of a build with TL_STRESS.
#include "core/stress_points.h"

#include <sched.h>

bool tl_stress_yields = true;

bool
tl_stress_may_wait(void)
{
    struct tl_sched *s = tl_sched_mine;
    if (s == NULL) {
        return true; // the thread would sleep
    }
    TaskletObject *me = s->current;
    return s->trap == 0 && !tl_sched_is_held(s) && !me->block_trap && !me->atomic &&
           me->place == TL_RUNNABLE && s->head == me;
}

int
tl_stress_give_way(void)
{
    struct tl_sched *s = tl_sched_mine;
    assert(!PyErr_Occurred());
    if (s == NULL || !tl_stress_yields || !tl_stress_may_wait() ||
        tl_task_next(s->current) == s->current) {
        return 0;
    }
    PyObject *value = tl_sched_yield(s, Py_None);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

bool
tl_stress_detours(void)
{
    // The parities of successive numbers have no period, so that no pair of operations
    // always gets the same answers. Guarded by the GIL.
    static unsigned count;
    return __builtin_parity(++count);
}

// Let threads run at every THREADS_EVERY-th call only: while another thread computes,
// each time costs a switch interval.
enum { THREADS_EVERY = 64 };

void
tl_stress_let_threads_run(void)
{
    static unsigned count; // guarded by the GIL
    if (++count % THREADS_EVERY != 0) {
        return;
    }
    Py_BEGIN_ALLOW_THREADS;
    sched_yield();
    Py_END_ALLOW_THREADS;
}
