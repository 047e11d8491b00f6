// rounds.c - counts turns, and keeps tasklets that have one at the front of the ring.
#include "core/rounds.h"
#include "core/timer.h"

static bool
has_turn(const struct tl_run_frame *watch, const TaskletObject *t)
{
    return t->turn <= watch->round_began;
}

void
tl_rounds_begin(struct tl_sched *s, struct tl_run_frame *watch)
{
    watch->round_began = s->switches;
    watch->round_look = s->switches + (uint64_t)s->runcount;
}

// Number of tasklets with a turn left, from next on.
static uint64_t
count_turns(struct tl_sched *s, const struct tl_run_frame *watch,
            const TaskletObject *next)
{
    uint64_t count = 0;
    const TaskletObject *t = next;
    while (count < (uint64_t)s->runcount && has_turn(watch, t)) {
        count++;
        t = TL_CONTAINER(t->link.next, const TaskletObject, link);
    }
    return count;
}

bool
tl_rounds_are_over(struct tl_sched *s, struct tl_run_frame *watch,
                   const TaskletObject *to)
{
    if (has_turn(watch, to)) {
        // Some switches entered tasklets without a turn. If half of them did, each
        // count finds half as many turns as the one before: all counts together cost no
        // more than those switches.
        watch->round_look = s->switches + count_turns(s, watch, to);
        return false;
    }
    if (watch->rounds_left == 1) {
        return true;
    }
    watch->rounds_left--;
    if (s->look_at != UINT64_MAX) {
        tl_timer_look(s); // tasklets that are due take part in the new round
    }
    tl_rounds_begin(s, watch);
    return false;
}

TL_COLD void
tl_rounds_lose_turn(struct tl_sched *s, const TaskletObject *t)
{
    for (int i = 0; i < s->nwatch; i++) {
        struct tl_run_frame *watch = s->watch[i];
        if (watch->rounds_left > 0 && has_turn(watch, t) &&
            watch->round_look > s->switches) {
            watch->round_look--;
            s->limit = watch->round_look < s->limit ? watch->round_look : s->limit;
        }
    }
}

TL_COLD void
tl_rounds_put_before(struct tl_sched *s, TaskletObject *t, TaskletObject *place)
{
    if (t == place) {
        return;
    }
    assert(t->place == TL_RUNNABLE && t != s->head);
    (void)s;
    tl_link_remove(&t->link);
    tl_link_insert_before(&t->link, &place->link);
}

TL_COLD Py_ssize_t
tl_rounds_places(struct tl_sched *s)
{
    // A tasklet without a turn in the round that began last has none in any other.
    uint64_t began = 0;
    for (int i = 0; i < s->nwatch; i++) {
        const struct tl_run_frame *watch = s->watch[i];
        if (watch->rounds_left > 0 && watch->round_began > began) {
            began = watch->round_began;
        }
    }
    Py_ssize_t places = 1;
    const struct tl_link *i = s->head->link.prev;
    while (i != &s->head->link &&
           TL_CONTAINER(i, const TaskletObject, link)->turn > began) {
        places++;
        i = i->prev;
    }
    return places;
}
