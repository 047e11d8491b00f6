// stress_points.h - where a build with TL_STRESS yields, and where it takes a detour.
#ifndef TL_STRESS_POINTS_H
#define TL_STRESS_POINTS_H

#include "core/sched.h"
#include "base/stress.h"

// Whether the others had a turn so far when they may; for tests that count turns.
extern bool tl_stress_yields;

// What the two below do in a build with TL_STRESS.
int tl_stress_give_way(void);
bool tl_stress_detours(void);

// Let other threads run, now and then. The caller is where other code may run.
void tl_stress_let_threads_run(void);

// At the beginning of an operation that may have to wait, before anything is looked at:
// the other tasklets of the thread have a turn, if the current one may be left. Nothing is
// done in other builds. Returns 0, or -1 with an exception set: an interruption.
// Switch: may.
static inline int
tl_stress_before_wait(void)
{
    return TL_STRESS_YIELDS ? tl_stress_give_way() : 0;
}

// The same for an operation that does not wait after its deadline, which may be negative.
static inline int
tl_stress_before_timed_wait(int64_t deadline)
{
    return TL_STRESS_YIELDS && deadline >= 0 ? tl_stress_give_way() : 0;
}

// Whether to take the general way for once, where a quick one would do. false in other
// builds.
static inline bool
tl_takes_detour(void)
{
    return TL_STRESS_DETOURS && tl_stress_detours();
}

// Whether the current tasklet may be left by an operation that waits.
bool tl_stress_may_wait(void);

// The same for the wait for what is there already.
static inline bool
tl_waits_anyway(void)
{
    return TL_STRESS_DETOURS && tl_stress_may_wait() && tl_stress_detours();
}

#endif // TL_STRESS_POINTS_H
