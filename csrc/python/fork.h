// fork.h - what each part of the runtime does around a fork of the process, in which
// order.
#ifndef TL_FORK_H
#define TL_FORK_H

#include "object/module_state.h"

// Register the handlers that run inside fork() itself, also if C code calls it. Called
// once per process. Returns 0, or -1 with MemoryError set.
int tl_fork_install(struct tl_state *state);

// Called by os.fork() in the child, once the interpreter is usable again. May run
// Python code, of the other threads' tasklets.
void tl_fork_in_child(struct tl_state *state);

#endif // TL_FORK_H
