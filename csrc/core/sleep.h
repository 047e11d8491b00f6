// sleep.h - a tasklet waits for a time.
#ifndef TL_SLEEP_H
#define TL_SLEEP_H

#include "core/sched.h"

// Wait until deadline. Returns None, or NULL with an exception set.
// Switch: yes.
PyObject *tl_sleep(struct tl_sched *s, tl_deadline deadline);

#endif // TL_SLEEP_H
