// internal_threads.h - which OS threads of the process are the library's own.
//
// The timekeeper's thread, the governor's ticker and the flusher of deferred wake-ups
// never wake a tasklet of their own accord. So the question whether any thread is left
// that may end a wait does not count them (core/foreign_threads.c).
#ifndef TL_INTERNAL_THREADS_H
#define TL_INTERNAL_THREADS_H

#include <stdbool.h>

// The calling thread is one of them, until it ends.
// Thread: any.  Locks: none.
void tl_internal_threads_note(void);

// Whether the thread with the system id tid is one of them.
// Thread: any.  Locks: none.
bool tl_internal_threads_is(unsigned long tid);

#endif // TL_INTERNAL_THREADS_H
