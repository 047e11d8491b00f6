// flush.h - output that a tasklet has written, and that is sent when the tasklet is
// left: several small writes become one system call.
#ifndef TL_FLUSH_H
#define TL_FLUSH_H

#include "core/sched_state.h"

// Part of an object with output.
struct tl_flush {
    struct tl_link link; // in sched->unflushed while output waits
    // Send what can be sent now. Called once, after the object was unlinked, by the
    // thread that wrote, before it runs another tasklet or sleeps. Must not call into
    // Python.
    void (*flush)(struct tl_flush *flush);
};

// Call flush->flush() before the next switch, unless that is planned.
static inline void
tl_flush_later(struct tl_sched *s, struct tl_flush *flush)
{
    if (tl_link_is_single(&flush->link)) {
        tl_link_insert_before(&flush->link, &s->unflushed);
        s->limit = 0; // the next switch looks
    }
}

// The object goes away, or has been flushed.
static inline void
tl_flush_forget(struct tl_flush *flush)
{
    tl_link_remove(&flush->link);
}

// The thread of s is gone: what has not been flushed waits for the next write.
static inline void
tl_flush_forget_all(struct tl_sched *s)
{
    while (!tl_link_is_single(&s->unflushed)) {
        tl_link_remove(s->unflushed.next);
    }
}

// Flush all.
static inline void
tl_flush_all(struct tl_sched *s)
{
    while (!tl_link_is_single(&s->unflushed)) {
        struct tl_flush *flush = TL_CONTAINER(s->unflushed.next, struct tl_flush, link);
        tl_link_remove(&flush->link);
        flush->flush(flush);
    }
}

#endif // TL_FLUSH_H
