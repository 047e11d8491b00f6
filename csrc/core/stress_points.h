// stress_points.h - where a build with TL_STRESS yields, and where it takes a slow
// path. base/stress.h has the rules.
#ifndef TL_STRESS_POINTS_H
#define TL_STRESS_POINTS_H

#include "core/sched.h"
#include "base/stress.h"

// Whether the build yields. Tests that count turns set it to false for a while.
extern bool tl_stress_yields;

// tl_stress_before_wait() and tl_takes_detour() in a build with TL_STRESS.
// Switch: may (tl_stress_give_way()).
int tl_stress_give_way(void);
bool tl_stress_detours(void);

// At every 64th call, let other threads run. Called only where Python code may run.
void tl_stress_let_threads_run(void);

// The beginning of an operation that may have to wait, before it looks at anything: the
// other tasklets of the thread have a turn, if the current one may be left. Does
// nothing in other builds. Returns 0, or -1 with an exception set: an interruption.
// Switch: may.
static inline int
tl_stress_before_wait(void)
{
    return TL_STRESS_YIELDS ? tl_stress_give_way() : 0;
}

// The same for an operation that does not wait if deadline is PAST.
static inline int
tl_stress_before_timed_wait(tl_deadline deadline)
{
    return TL_STRESS_YIELDS && deadline != TL_DEADLINE_PAST ? tl_stress_give_way() : 0;
}

// Whether to take the slow path this time, where the fast one would do: about every
// second call. Always false in other builds.
static inline bool
tl_takes_detour(void)
{
    return TL_STRESS_DETOURS && tl_stress_detours();
}

// Whether the current tasklet may be left by an operation that waits.
bool tl_stress_may_wait(void);

// Whether to wait this time for something that is there already.
static inline bool
tl_waits_anyway(void)
{
    return TL_STRESS_DETOURS && tl_stress_may_wait() && tl_stress_detours();
}

#endif // TL_STRESS_POINTS_H
