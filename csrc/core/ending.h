// ending.h - the tasklets of a thread are told to end, before the thread or the program
// does.
#ifndef TL_ENDING_H
#define TL_ENDING_H

#include "core/sched.h"

// Kill every started tasklet of the calling thread once, also tasklets that start
// during this, and run them for a limited time. Tasklets that go on waiting stay as
// they are. Tasklets that compute on are stopped for good, and reported as unraisable
// errors.
// Switch: yes.
void tl_ending_run(struct tl_sched *s);

// How long a tasklet that was told to end may run without giving way, in nanoseconds of
// CPU time and of true time.
void tl_ending_set_times(int64_t cpu_time, int64_t turn_time);

#endif // TL_ENDING_H
