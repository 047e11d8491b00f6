// spare.h - internal threads for system calls that may block without bound.
//
// The idea: libuv's pool has a fixed number of threads, and a call that never returns,
// on a pipe or a dead network file system, occupies one of them. While all are
// occupied, calls are made here (io/detour.c): another thread starts when all are busy,
// and idle threads end after some seconds.
//
// Locks: the mutex in spare.c guards the queue and the links of all calls. It is taken
// with and without the GIL, so nothing that is done with it held may wait for the GIL.
#ifndef TL_SPARE_H
#define TL_SPARE_H

#include "base/list.h"

// One call. The threads own it from tl_spare_run() until done() is called.
struct tl_spare {
    struct tl_link link; // in the queue until a thread begins with it
    // Makes the call. Thread: a spare one, with all signals blocked.  Locks: none.
    void (*work)(struct tl_spare *call);
    // Called right after work() on the same thread. The call may be freed from now on.
    // Locks: the mutex is held; see tl_spare_settle().
    void (*done)(struct tl_spare *call);
};

// Queue the call. Returns 0, or an errno if there is no thread; then it is not queued.
// Thread: any.
int tl_spare_run(struct tl_spare *call);

// Take back a call that no thread has begun. Returns whether that succeeded; then
// neither work() nor done() will be called.
// Thread: any.
bool tl_spare_cancel(struct tl_spare *call);

// Wait until no thread is inside done(). The caller is about to free what done() uses.
void tl_spare_settle(void);

// Around a fork: take the mutex. In the child there are no threads, and their calls are
// lost.
void tl_spare_hold(void);
void tl_spare_release(bool in_child);

#endif // TL_SPARE_H
