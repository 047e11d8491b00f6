// frames.h - shows the collector what the frames of a suspended stack hold.
#ifndef TL_FRAMES_H
#define TL_FRAMES_H

#include "compat.h"

// The innermost frame of the calling thread, opaque; NULL without one.
void *tl_frames_top(PyThreadState *ts);

// Visit what the frames from top outwards own: only frames that the stack itself owns,
// and of these only what is known to be counted. A reference that is left out only
// keeps its object alive.
int tl_frames_traverse(void *top, visitproc visit, void *arg);

#endif // TL_FRAMES_H
