// foreign_threads.h - threads that were never in Python, and may enter it any time: a C library's.
#ifndef TL_FOREIGN_THREADS_H
#define TL_FOREIGN_THREADS_H

#include "object/module_state.h"

// Whether such a thread may run without help from another thread of this process. Slow: it
// reads /proc. False where that is not possible.
bool tl_foreign_threads_may_run(void);

// Warn that the calling thread waits for what only such a thread could do. Returns 0, or -1
// with an exception set.
int tl_foreign_threads_warn(void);

#endif // TL_FOREIGN_THREADS_H
