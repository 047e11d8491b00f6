// thread_sleep.h - a thread sleeps without the GIL, and with care for signals.
#ifndef TL_THREAD_SLEEP_H
#define TL_THREAD_SLEEP_H

#include "core/sched.h"
#include "base/stress.h"

// So often a thread looks again for what nobody may tell it of. In nanoseconds.
#define TL_THREAD_SLEEP_LOOK_AGAIN INT64_C(1000000000)

// How long the main thread sleeps without care for signals that other threads receive:
// the care costs more than a short sleep.
#define TL_THREAD_SLEEP_SHORT TL_STRESS_OR(INT64_C(1000000), 1000)

// Find out whether the thread with park and those that may wake it can run at the same
// time.
void tl_thread_sleep_look_for_cpus(struct tl_state *state, struct tl_park *park);

// Give up the GIL until park, the calling thread's, is woken or limit_ns have passed (< 0:
// no limit); with poll, also when one of its descriptors is ready. in_main: this is the
// main thread.
void tl_thread_sleep(struct tl_park *park, bool in_main, bool poll, int64_t limit_ns);

// Run signal handlers. The current tasklet is in no state to be left meanwhile. Returns
// 0, or -1 with an exception set.
int tl_thread_sleep_run_handlers(void);

// The same as tl_thread_sleep() for the main thread, but signals that come in on whatever thread
// end it. Their handlers run first: it does not sleep unless goes_on(arg) then. Returns
// 0, or -1 with an exception of theirs set.
int tl_thread_sleep_in_main(struct tl_state *state, struct tl_park *park,
                            int64_t limit_ns, bool (*goes_on)(void *arg), void *arg);

#endif // TL_THREAD_SLEEP_H
