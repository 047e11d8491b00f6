// fork.c - mutexes held during a fork, and what is made anew in the child.
#include "python/fork.h"
#include "core/os_thread.h"
#include "core/run_frame.h"
#include "core/thread.h"
#include "cpython/gil.h"
#include "cpython/gil_priority.h"
#include "cpython/governor.h"
#include "io/descriptor.h"
#include "io/socket.h"
#include "io/uv_loop.h"
#include "io/uv_request.h"
#include "base/deferred_wakes.h"
#include "base/frame_slab.h"
#include "base/lookup.h"
#include "base/section_lock.h"
#include "base/spare.h"
#include "base/timekeeper.h"

#include <pthread.h>

// A fork has three stages.
//
// hold: the forking thread takes every mutex of the library. No other thread is in the
// middle of a change then, or has a mutex that would stay locked in the child.
//
// release: both processes release the mutexes. In the child, the traces of threads that
// do not exist there are cleared first. That cannot wait for the third stage: between
// the two the interpreter drops the dicts of the other threads, and finalizers may use
// anything.
//
// renew, in the child only, once the interpreter is usable again: what the calling
// thread still uses is made anew. This does not call into Python. Dropping the
// schedulers of the other threads may, so that comes after all of it.
struct part {
    void (*hold)(void);
    void (*release)(bool in_child);
    void (*renew)(struct tl_state *state, struct tl_sched *mine); // mine may be NULL
};

static struct tl_state *the_state;
static bool has_gil; // the forking thread has the GIL: what that guards is consistent

// ---- parts that need more than their own functions

static void
release_turn(bool in_child)
{
    const struct tl_sched *mine = tl_sched_mine;
    tl_section_lock_release(in_child, mine != NULL ? &mine->guard : NULL);
}

static void
hold_gil(void)
{
    has_gil = tl_gil_hold();
}

static void
release_gil(bool in_child)
{
    if (in_child && tl_gil_is_held()) {
        tl_governor_forget_threads();
        tl_gil_priority_forget_threads();
    }
    tl_gil_release(in_child);
}

static void
hold_loops(void)
{
    if (has_gil) {
        tl_uv_loop_hold_all();
    }
}

static void
release_loops(bool in_child)
{
    if (has_gil) {
        tl_uv_loop_release_all(in_child);
    }
}

static void
release_leavers(bool in_child)
{
    if (in_child) {
        tl_os_thread_forget_leavers();
    }
}

// In the child. Its copies of the edge sets are the parent's: from here on nothing must
// be removed from them.
static void
forget_parent(void)
{
    struct tl_link *i = the_state->scheds.next;
    for (; i != &the_state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        s->wakers = 0;
        tl_park_use_edges(&s->park, NULL);
    }
}

static void
release_threads(bool in_child)
{
    if (in_child && has_gil) {
        forget_parent();
    }
}

static void
renew_threads(struct tl_state *state, struct tl_sched *mine)
{
    tl_thread_after_fork(state, mine);
}

static void
renew_loops(struct tl_state *state, struct tl_sched *Py_UNUSED(mine))
{
    tl_uv_request_after_fork(state);
}

static void
renew_natives(struct tl_state *state, struct tl_sched *Py_UNUSED(mine))
{
    tl_os_thread_after_fork(state);
}

static void
renew_descriptors(struct tl_state *Py_UNUSED(state), struct tl_sched *mine)
{
    if (mine != NULL) {
        tl_descriptor_after_fork(mine);
    }
}

static void
renew_sockets(struct tl_state *Py_UNUSED(state), struct tl_sched *mine)
{
    if (mine != NULL) {
        tl_socket_after_fork(mine);
    }
}

static void
renew_governor(struct tl_state *Py_UNUSED(state), struct tl_sched *mine)
{
    tl_governor_after_fork(mine != NULL ? &mine->guard : NULL);
}

static void
renew_alarms(struct tl_state *Py_UNUSED(state), struct tl_sched *mine)
{
    tl_ticks_after_fork();
    if (mine != NULL) {
        tl_run_frame_after_fork(mine);
    }
}

// In the order of holding; released in the opposite order. No function takes two of
// these mutexes in another order: this is the library's lock order.
// clang-format off
static const struct part parts[] = {
    // hold, release, renew
    // greenlet's mutex
    {tl_os_thread_wait_for_leavers, release_leavers, NULL},
    // lookups of addresses
    {tl_lookup_hold, tl_lookup_release, NULL},
    // spare threads
    {tl_spare_hold, tl_spare_release, NULL},
    // ticker and priority
    {hold_gil, release_gil, NULL},
    // libuv's loops
    {hold_loops, release_loops, renew_loops},
    // schedulers, parks
    {NULL, release_threads, renew_threads},
    // waits of OS threads
    {NULL, NULL, renew_natives},
    // the poller
    {NULL, NULL, renew_descriptors},
    // the edge set
    {NULL, NULL, renew_sockets},
    // atomic sections
    {tl_section_lock_hold, release_turn, NULL},
    // the timekeeper's thread
    {tl_timekeeper_hold, tl_timekeeper_release, renew_alarms},
    // the flusher's thread
    {tl_deferred_wakes_hold, tl_deferred_wakes_release, NULL},
    // the ticker
    {NULL, NULL, renew_governor},
    // frame memory
    {tl_frame_slab_hold, tl_frame_slab_release, NULL},
};
// clang-format on

enum { PARTS = sizeof parts / sizeof *parts };

// ---- inside fork()

static void
before(void)
{
    for (int i = 0; i < PARTS; i++) {
        if (parts[i].hold != NULL) {
            parts[i].hold();
        }
    }
}

static void
after(bool in_child)
{
    for (int i = PARTS - 1; i >= 0; i--) {
        if (parts[i].release != NULL) {
            parts[i].release(in_child);
        }
    }
}

static void
after_in_parent(void)
{
    after(false);
}

static void
after_in_child(void)
{
    after(true);
}

int
tl_fork_install(struct tl_state *state)
{
    the_state = state;
    if (pthread_atfork(before, after_in_parent, after_in_child) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

// ---- after os.fork()

void
tl_fork_in_child(struct tl_state *state)
{
    struct tl_sched *mine = tl_sched_mine;
    for (int i = 0; i < PARTS; i++) {
        if (parts[i].renew != NULL) {
            parts[i].renew(state, mine);
        }
    }
    tl_thread_drop_others(state);
}
