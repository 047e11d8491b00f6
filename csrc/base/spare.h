// spare.h - threads for calls that may block without bound. Another one starts while all
// are busy, and idle ones end.
#ifndef TL_SPARE_H
#define TL_SPARE_H

#include "base/list.h"

// One call. It belongs to the threads from tl_spare_run() until done() is called, which may
// let others free it.
struct tl_spare {
    struct tl_link link;
    void (*work)(struct tl_spare *call);
    // Called after work with the mutex in spare.c held: see tl_spare_settle().
    void (*done)(struct tl_spare *call);
};

// Have work called on some thread, with all signals blocked. Returns 0, or an errno if
// there is no thread.
// Thread: any.
int tl_spare_run(struct tl_spare *call);

// Take back a call that has not begun. Returns whether it had not.
// Thread: any.
bool tl_spare_cancel(struct tl_spare *call);

// Returns when no thread is inside done(): the caller is about to free what that uses.
void tl_spare_settle(void);

// Around a fork: hold the mutex. In the child there are no threads, and their calls are
// lost.
void tl_spare_hold(void);
void tl_spare_release(bool in_child);

#endif // TL_SPARE_H
