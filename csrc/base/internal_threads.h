// internal_threads.h - native threads of ours that wake a tasklet only for what others have asked.
#ifndef TL_INTERNAL_THREADS_H
#define TL_INTERNAL_THREADS_H

#include <stdbool.h>

// The calling thread is such a one, from now to its end or that of the process.
void tl_internal_threads_note(void);

// Whether the thread with the system's number tid is.
bool tl_internal_threads_is(unsigned long tid);

#endif // TL_INTERNAL_THREADS_H
