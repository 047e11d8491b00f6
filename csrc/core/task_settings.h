// task_settings.h - what a tasklet has set for itself: the atomic flag, trace
// functions, locals, blocks. It ends with the tasklet.
#ifndef TL_TASK_SETTINGS_H
#define TL_TASK_SETTINGS_H

#include "core/sched_state.h"

// Set or clear t's atomic flag. If t is running it takes effect at once, and its thread
// may give up the GIL.
// Thread: any.
void tl_task_set_atomic(TaskletObject *t, bool flag);

// t, which is current, has trace functions of its own: put those of the thread in their
// place. May run Python code.
void tl_task_drop_hooks(struct tl_sched *s, TaskletObject *t);

// t, which is current, has ended: drop its locals, trace functions, atomic flag, blocks
// and pending interruptions. May run Python code and give up the GIL.
void tl_task_clear_settings(struct tl_sched *s, TaskletObject *t);

#endif // TL_TASK_SETTINGS_H
