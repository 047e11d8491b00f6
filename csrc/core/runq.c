// runq.c - the run queue, the drop list, and wake-ups of other threads' schedulers.
#include "core/os_thread.h"
#include "core/rounds.h"
#include "core/stacks.h"

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
    Py_ssize_t places = s->nrounds > 0 ? tl_rounds_places(s) : s->runcount;
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
        tl_rounds_lose_turn(s, t);
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

// ---- the drop list

TL_COLD void
tl_sched_drop_object(struct tl_sched *s, PyObject *object)
{
    int room = 2 * s->drop_room;
    PyObject **grown = PyMem_Realloc(s->drop, 2 * (size_t)room * sizeof *grown);
    if (grown != NULL) {
        s->drop = grown;
        s->drop_room = room;
    } else if (s->ndrop == room) {
        return; // the reserve is used up: leak it, since a decref may run Python code
    }
    s->drop[s->ndrop++] = object;
}

void
tl_sched_drop_now(struct tl_sched *s)
{
    // Not in a callback or signal handler: the list may have the last reference to the
    // current tasklet, on whose stack that runs.
    while (s->ndrop > 0 && s->no_switch == 0) {
        PyObject *object = s->drop[--s->ndrop];
        Py_DECREF(object);
    }
    if (TL_UNLIKELY(s->trim_due)) {
        tl_stacks_trim(s);
    }
    if (TL_UNLIKELY(s->has_lost) && s->no_switch == 0) {
        s->has_lost = false;
        PyObject *exc = PyErr_GetRaisedException();
        PyErr_SetString(PyExc_MemoryError,
                        "an interruption, or a value of a channel, was lost for want "
                        "of memory");
        PyErr_WriteUnraisable(NULL);
        PyErr_SetRaisedException(exc);
    }
}

void
tl_sched_report_lost(struct tl_sched *s)
{
    s->has_lost = true;
    tl_sched_drop_later(s, Py_NewRef(Py_None)); // an arrival looks if ndrop > 0
}

// ---- waking other threads

void
tl_sched_notify(struct tl_sched *s)
{
    if (s != tl_sched_mine && s->waiting) {
        tl_deferred_wakes_wake(tl_os_thread_nudge(), &s->park);
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
