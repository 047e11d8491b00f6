// tasklet_end.h - tasklets that nobody can reach are ended, so that their clean-up runs.
#ifndef TL_TASKLET_END_H
#define TL_TASKLET_END_H

#include "sched.h"

// The type's tp_finalize: kill self, now or when its thread next switches.
void tl_tasklet_finalize(TaskletObject *self);

// For tp_dealloc: finalize self. Returns whether the object is referenced again.
bool tl_tasklet_is_resurrected(TaskletObject *self);

#endif // TL_TASKLET_END_H
