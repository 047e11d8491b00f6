// foreign_threads.h - threads of C libraries, which Python does not know, but which may
// call into it at any time.
#ifndef TL_FOREIGN_THREADS_H
#define TL_FOREIGN_THREADS_H

#include "object/module_state.h"

// Whether a foreign thread may run without help from another thread of this process.
// Slow: reads /proc. False where that is not possible.
// Thread: any.
bool tl_foreign_threads_may_run(void);

// Warn that only foreign threads could wake the calling thread. Returns 0, or -1 with
// an exception set. May run Python code.
int tl_foreign_threads_warn(void);

#endif // TL_FOREIGN_THREADS_H
