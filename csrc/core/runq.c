// runq.c - the run queue, and wake-ups of other threads' schedulers.
#include "core/runq.h"
#include "core/os_thread.h"
#include "core/run_frame.h"
#include "core/thread.h"

// ---- rounds: see rounds.h

// t leaves the ring. If it had a turn left, the round may be over earlier.
TL_COLD static void
lose_turn(struct tl_sched *s, const TaskletObject *t)
{
    for (int i = 0; i < s->nframes; i++) {
        struct tl_run_frame *frame = s->frames[i];
        if (frame->rounds_left > 0 && tl_rounds_has_turn(frame, t) &&
            frame->round_look > s->switches) {
            frame->round_look--;
            s->limit = frame->round_look < s->limit ? frame->round_look : s->limit;
        }
    }
}

// Number of places at the end of the ring that a tasklet without a turn may take: at
// least one.
TL_COLD static Py_ssize_t
count_places(struct tl_sched *s)
{
    // A tasklet without a turn in the round that began last has none in any other.
    uint64_t began = 0;
    for (int i = 0; i < s->nframes; i++) {
        const struct tl_run_frame *frame = s->frames[i];
        if (frame->rounds_left > 0 && frame->round_began > began) {
            began = frame->round_began;
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

// ---- the ring

// Pick an insertion point behind the head, uniformly at random: the next tasklet goes
// before the one returned, where the head stands for the end of the ring.
TL_COLD static TaskletObject *
random_place(struct tl_sched *s)
{
    uint64_t x = s->order_seed; // xorshift64
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    s->order_seed = x;
    TaskletObject *place = s->head;
    Py_ssize_t places = s->nrounds > 0 ? count_places(s) : s->runcount;
    for (uint64_t left = (x >> 11) % (uint64_t)places; left > 0; left--) {
        place = tl_task_of(place->link.prev);
    }
    return place;
}

static inline void
insert(struct tl_sched *s, TaskletObject *t, TaskletObject *before)
{
    TL_CHECK("I1", "tasklet", t,
             t->place == TL_FLOATING && tl_link_is_single(&t->link));
    if (before == NULL) {
        s->head = t;
    } else {
        tl_link_insert_before(&t->link, &before->link);
    }
    t->place = TL_RUNNABLE;
    t->turn = s->switches;
    s->runcount++;
    tl_sched_check(s);
    tl_task_check(t);
}

void
tl_ring_append(struct tl_sched *s, TaskletObject *t)
{
    bool random = TL_UNLIKELY(s->order_seed != 0) && s->head != NULL;
    insert(s, t, random ? random_place(s) : s->head);
}

void
tl_ring_front(struct tl_sched *s, TaskletObject *t)
{
    insert(s, t, s->head);
    s->head = t;
    t->turn = 0;
}

void
tl_ring_remove(struct tl_sched *s, TaskletObject *t)
{
    TL_CHECK("I1", "tasklet", t, t->place == TL_RUNNABLE);
    if (TL_UNLIKELY(s->nrounds > 0)) {
        lose_turn(s, t);
    }
    if (s->head == t) {
        s->head = tl_link_is_single(&t->link) ? NULL : tl_task_next(t);
    }
    tl_link_remove(&t->link);
    t->place = TL_FLOATING;
    s->runcount--;
    tl_sched_check(s);
    tl_task_check(t);
}

void
tl_ring_behind_head(struct tl_sched *s, TaskletObject *t)
{
    TL_CHECK("I1", "tasklet", t, t->place == TL_FLOATING && s->head != NULL);
    tl_link_insert_before(&t->link, s->head->link.next);
    t->place = TL_RUNNABLE;
    t->turn = 0;
    s->runcount++;
    tl_sched_check(s);
    tl_task_check(t);
}

TL_COLD void
tl_ring_put_before(struct tl_sched *s, TaskletObject *t, TaskletObject *place)
{
    if (t == place) {
        return;
    }
    assert(t->place == TL_RUNNABLE && t != s->head);
    (void)s;
    tl_link_remove(&t->link);
    tl_link_insert_before(&t->link, &place->link);
}

// ---- waking other threads

void
tl_sched_notify(struct tl_sched *s)
{
    if (s != tl_sched_mine && s->waiting) {
        tl_deferred_wakes_wake(tl_os_thread_pending_wakes(), &s->park);
    }
}

void
tl_sched_ready(TaskletObject *t)
{
    struct tl_sched *s = t->home;
    if (s->dead) {
        Py_DECREF(t);
        return;
    }
    tl_ring_append(s, t);
    tl_sched_notify(s);
    tl_sched_check_told(s);
}

struct tl_sched *
tl_sched_ready_asleep(TaskletObject *t)
{
    struct tl_sched *s = t->home;
    if (s->dead) {
        Py_DECREF(t);
        return NULL;
    }
    tl_ring_append(s, t);
    if (s == tl_sched_mine || !s->waiting) {
        return NULL;
    }
    // Relaxed: both this and the load in tl_sched_unref() are made with the GIL.
    atomic_fetch_add_explicit(&s->wakers, 1, memory_order_relaxed);
    tl_sched_check_told(s);
    return s;
}

void
tl_sched_wake(struct tl_sched *s)
{
    tl_park_wake(&s->park);
    // Release: pairs with the acquire in tl_sched_unref(), after which s is freed.
    int wakers = atomic_fetch_sub_explicit(&s->wakers, 1, memory_order_release);
    TL_CHECK("I4", "tl_sched", s, wakers > 0);
    (void)wakers;
}
