// loop.h - libuv.
#ifndef TL_LOOP_H
#define TL_LOOP_H

// The version of the libuv that is loaded, as text.
const char *tl_loop_version(void);

#endif // TL_LOOP_H
