// rounds.c - counts turns, and keeps tasklets that have one at the front of the ring.
#include "core/rounds.h"
#include "core/timer.h"

void
tl_rounds_begin(struct tl_sched *s, struct tl_run_frame *frame)
{
    frame->round_began = s->switches;
    frame->round_look = s->switches + (uint64_t)s->runcount;
}

// Number of tasklets with a turn left, from next on.
static uint64_t
count_turns(struct tl_sched *s, const struct tl_run_frame *frame,
            const TaskletObject *next)
{
    uint64_t count = 0;
    const TaskletObject *t = next;
    while (count < (uint64_t)s->runcount && tl_rounds_has_turn(frame, t)) {
        count++;
        t = TL_CONTAINER(t->link.next, const TaskletObject, link);
    }
    return count;
}

bool
tl_rounds_are_over(struct tl_sched *s, struct tl_run_frame *frame,
                   const TaskletObject *to)
{
    if (tl_rounds_has_turn(frame, to)) {
        // Some switches entered tasklets without a turn. If half of them did, each
        // count finds half as many turns as the one before: all counts together cost no
        // more than those switches.
        frame->round_look = s->switches + count_turns(s, frame, to);
        return false;
    }
    if (frame->rounds_left == 1) {
        return true;
    }
    frame->rounds_left--;
    if (s->look_at != UINT64_MAX) {
        tl_timer_poll(s); // tasklets that are due take part in the new round
    }
    tl_rounds_begin(s, frame);
    return false;
}
