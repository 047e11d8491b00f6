// ours.h - native threads of ours that wake a tasklet only for what others have asked.
#ifndef TL_OURS_H
#define TL_OURS_H

#include <stdbool.h>

// The calling thread is such a one, from now to its end or that of the process.
void tl_ours_note(void);

// Whether the thread with the system's number tid is.
bool tl_ours_is(unsigned long tid);

#endif // TL_OURS_H
