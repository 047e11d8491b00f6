// ending.h - the tasklets of a thread are told to end, before the thread or program does.
#ifndef TL_ENDING_H
#define TL_ENDING_H

#include "sched.h"

// Tell every started tasklet of the calling thread once to end, those too that are born
// meanwhile, and let them. Those that compute on, or go on waiting, are left as they are;
// of those that compute, it is reported as an unraisable error.
// Switch: yes.
void tl_ending_run(struct tl_sched *s);

// How long a tasklet may go on without giving way once it was told to end: in nanoseconds
// of CPU time, and of true time.
void tl_ending_set_times(int64_t computing, int64_t turn);

#endif // TL_ENDING_H
