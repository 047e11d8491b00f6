// poll_source.h - what gives a thread's tasklets work besides timers and other threads.
//
// A source has a descriptor that is readable when it has something to report. A thread
// with nothing to run sleeps on the descriptors of all its sources, and tl_timer_poll()
// asks each of them. A part of the runtime adds its source to a scheduler when a
// tasklet first needs it, so that the scheduler need not know any by name.
#ifndef TL_POLL_SOURCE_H
#define TL_POLL_SOURCE_H

#include "core/sched_state.h"

struct tl_poll_source {
    const struct tl_poll_source_kind *kind;
    int fd;
};

// All are called by the scheduler's thread, except fini, and with the GIL. None calls
// into Python, except thread_ends. Sources are asked in the order in which they were
// added.
struct tl_poll_source_kind {
    // Put the waiters of what is ready into the ring.
    void (*look)(struct tl_sched *s, struct tl_poll_source *source);
    // Whether anything is waited for. If no source is busy, the thread sleeps on none.
    bool (*is_busy)(const struct tl_poll_source *source);
    // Check, at the time now, for what the descriptor does not report. May be NULL.
    void (*check)(struct tl_poll_source *source, int64_t now);
    // When to check next: not before the last check. NULL iff check is.
    tl_deadline (*next_check)(const struct tl_poll_source *source);
    // The thread's tasklets are being ended, or that is over. May be NULL.
    void (*set_ending)(struct tl_poll_source *source, bool is_ending);
    // The thread is about to end. May remove and free the source. May be NULL.
    void (*thread_ends)(struct tl_sched *s, struct tl_poll_source *source);
    // The thread is gone: remove and free the source. Thread: any.
    void (*fini)(struct tl_sched *s, struct tl_poll_source *source);
};

// Add a source, whose descriptor is open, or remove it. There is always room: each kind
// is added once, and TL_PARK_SOURCES kinds exist.
void tl_poll_source_add(struct tl_sched *s, struct tl_poll_source *source);
void tl_poll_source_remove(struct tl_sched *s, struct tl_poll_source *source);

// The source has another descriptor now.
void tl_poll_source_set_fd(struct tl_sched *s, struct tl_poll_source *source, int fd);

// The source of that kind, or NULL.
static inline struct tl_poll_source *
tl_poll_source_find(const struct tl_sched *s, const struct tl_poll_source_kind *kind)
{
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        if (s->sources[i] != NULL && s->sources[i]->kind == kind) {
            return s->sources[i];
        }
    }
    return NULL;
}

// The same as in struct tl_poll_source_kind, for all sources of a thread.
void tl_poll_source_look(struct tl_sched *s);
bool tl_poll_source_is_busy(const struct tl_sched *s);
void tl_poll_source_check(struct tl_sched *s, int64_t now);
int64_t tl_poll_source_next_check(const struct tl_sched *s);
void tl_poll_source_set_ending(struct tl_sched *s, bool is_ending);
void tl_poll_source_thread_ends(struct tl_sched *s);
void tl_poll_source_fini(struct tl_sched *s);

#endif // TL_POLL_SOURCE_H
