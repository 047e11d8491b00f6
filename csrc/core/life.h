// life.h - the life of a stack: it runs one tasklet after the other, and ends.
#ifndef TL_LIFE_H
#define TL_LIFE_H

#include "core/sched.h"

// Leak t's stack on purpose: its thread is gone, so its frames can neither run nor be
// unwound.
// Thread: any.
void tl_stacks_keep(struct tl_sched *s, TaskletObject *t);

// The thread ends: end the parked stacks and the base fibers. May run Python code.
void tl_stacks_free(struct tl_sched *s);

// The builtins that fibers run.
extern PyMethodDef tl_stacks_run_def, tl_stacks_base_def;

#endif // TL_LIFE_H
