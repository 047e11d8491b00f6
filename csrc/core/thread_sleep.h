// thread_sleep.h - a thread sleeps without the GIL; the main thread stays open to
// signals.
#ifndef TL_THREAD_SLEEP_H
#define TL_THREAD_SLEEP_H

#include "core/sched.h"
#include "base/stress.h"

// Period, in nanoseconds, at which a sleeping thread checks for changes that come
// without a wake-up: a thread that has ended unnoticed, a signal whose pipe the program
// has taken.
#define TL_THREAD_SLEEP_RECHECK_NS INT64_C(1000000000)

// The main thread first sleeps for this many nanoseconds without setting the signal
// wakeup descriptor: setting and resetting it costs more than a short sleep. A signal
// that another thread receives is handled that much later at most.
#define TL_THREAD_SLEEP_SHORT_NS TL_STRESS_OR(INT64_C(1000000), 1000)

// How a thread sleeps.
enum {
    TL_SLEEP_IN_MAIN = 1, // this is the main thread
    TL_SLEEP_POLL = 2     // also until one of the park's descriptors is ready
};

// Set park->many_cpus: whether the thread with park, and the threads that may wake it,
// can run at the same time, on different CPUs.
void tl_thread_sleep_look_for_cpus(struct tl_state *state, struct tl_park *park);

// Give up the GIL and sleep until park, the calling thread's, is woken or limit_ns have
// passed (< 0: no limit). flags: TL_SLEEP_... May return early. The thread has a
// scheduler or a struct tl_os_thread. Its deferred wake-ups are flushed, and an atomic
// section is suspended for that time.
void tl_thread_sleep(struct tl_park *park, int flags, int64_t limit_ns);

// Run signal handlers, which must not switch: the current tasklet is not in the ring.
// Returns 0, or -1 with an exception set.
int tl_thread_sleep_run_handlers(void);

// As tl_thread_sleep() with TL_SLEEP_POLL, for the main thread, but a signal that any
// thread receives ends the sleep, too. Signal handlers run first; it sleeps only if
// goes_on(arg) is still true after that. Returns 0, or -1 with the exception of a
// handler set.
int tl_thread_sleep_in_main(struct tl_state *state, struct tl_park *park,
                            int64_t limit_ns, bool (*goes_on)(void *arg), void *arg);

#endif // TL_THREAD_SLEEP_H
