// fork.h - what each part of the runtime does around a fork of the process.
#ifndef TL_FORK_H
#define TL_FORK_H

#include "object/module_state.h"

// Register the handlers that run inside fork() itself, also if C code calls it. Returns 0,
// or -1 with MemoryError set.
int tl_fork_install(struct tl_state *state);

// Called by os.fork(), with the GIL: in the child, once the interpreter is whole again.
void tl_fork_in_child(struct tl_state *state);

#endif // TL_FORK_H
