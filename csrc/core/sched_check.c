// sched_check.c - asserts the invariants of sched_state.h and run_frame.h in debug
// builds.
#include "core/sched.h"

#ifndef NDEBUG

#include "core/os_thread.h"
#include "core/run_frame.h"
#include "core/stacks.h"

static void
check_ring(struct tl_sched *s)
{
    const TaskletObject *head = s->head;
    TL_CHECK("I1", "tl_sched", s, (head == NULL) == (s->runcount == 0));
    if (head == NULL) {
        return;
    }
    TL_CHECK("I1", "tl_sched", s, head->home == s && head->place == TL_RUNNABLE);
    TL_CHECK("I1", "tl_sched", s, tl_link_is_single(&head->link) == (s->runcount == 1));
    if (!tl_check_is_due(&s->ring_changes, (size_t)s->runcount)) {
        return;
    }
    Py_ssize_t length = 0;
    const struct tl_link *i = &head->link;
    do {
        const TaskletObject *t = TL_CONTAINER(i, const TaskletObject, link);
        TL_CHECK("I1", "tl_sched", s, t->home == s && t->place == TL_RUNNABLE);
        length++;
        i = i->next;
    } while (i != &head->link && length <= s->runcount);
    TL_CHECK("I1", "tl_sched", s, s->runcount == length);
}

void
tl_sched_check(struct tl_sched *s)
{
    check_ring(s);
    TL_CHECK("I7", "tl_sched", s, s->worker_waits >= 0 && s->import_waits >= 0);
    TL_CHECK("I7", "tl_sched", s, s->worker_waits + s->import_waits <= s->awaited);
    TL_CHECK("I7", "tl_sched", s, s->maybe_external >= 0);
}

void
tl_sched_check_current(const struct tl_sched *s)
{
    const TaskletObject *me = s->current;
    TL_CHECK("I2", "tl_sched", s,
             s->no_switch > 0 || (me == s->head && me->place == TL_RUNNABLE));
    TL_CHECK("I1", "tl_guard", &s->guard, !s->guard.marked || me->atomic);
}

void
tl_sched_check_told(struct tl_sched *s)
{
    TL_CHECK("I4", "tl_sched", s,
             !s->waiting || s == tl_sched_mine || s->head == NULL ||
                 atomic_load_explicit(&s->wakers, memory_order_relaxed) > 0 ||
                 tl_deferred_wakes_is_coming(tl_os_thread_pending_wakes(), &s->park));
}

// ---- stacks

static void
check_parked(const struct tl_sched *s, const struct tl_stack *stack, int lane)
{
    TL_CHECK("I5", "tl_sched", s,
             stack->home == s && stack->lane == lane && stack->job == NULL);
}

static void
check_pools(struct tl_sched *s)
{
    bool has_none = s->pool[0] == NULL && s->pool[1] == NULL;
    TL_CHECK("I5", "tl_sched", s, has_none == (s->npool == 0));
    for (int lane = 0; lane < 2; lane++) {
        if (s->pool[lane] != NULL) {
            check_parked(s, s->pool[lane], lane);
        }
    }
    if (!tl_check_is_due(&s->pool_changes, (size_t)s->npool)) {
        return;
    }
    int count = 0;
    for (int lane = 0; lane < 2; lane++) {
        for (struct tl_stack *i = s->pool[lane]; i != NULL; i = i->next) {
            check_parked(s, i, lane);
            count++;
        }
    }
    TL_CHECK("I5", "tl_sched", s, s->npool == count);
}

void
tl_sched_check_stacks(struct tl_sched *s)
{
    check_pools(s);
    TL_CHECK("I6", "tl_sched", s, tl_link_is_single(&s->started) == (s->nstarted == 0));
    if (!tl_check_is_due(&s->started_changes, (size_t)s->nstarted)) {
        return;
    }
    Py_ssize_t count = 0;
    for (struct tl_link *i = s->started.next; i != &s->started; i = i->next) {
        const TaskletObject *t = TL_CONTAINER(i, TaskletObject, started);
        TL_CHECK("I6", "tl_sched", s,
                 t->home == s && t->life == TL_STARTED && !t->is_main);
        count++;
    }
    TL_CHECK("I6", "tl_sched", s, s->nstarted == count);
}

// ---- frames[]

static void
check_member(const struct tl_sched *s, const struct tl_run_frame *frame)
{
    TL_CHECK("I3", "tl_sched", s, frame->caller != NULL && frame->caller->home == s);
    TL_CHECK("I1", "tl_run_frame", frame, frame->listed);
}

void
tl_run_frame_check(struct tl_sched *s, const struct tl_run_frame *frame)
{
    int n = s->nframes;
    TL_CHECK("I3", "tl_sched", s, n >= 0 && n <= s->frames_capacity);
    TL_CHECK("I1", "tl_run_frame", frame,
             frame->listed ==
                 (n > 0 && s->frames[frame->limits != NULL ? 0 : n - 1] == frame));
    if (n > 0) {
        check_member(s, s->frames[n - 1]);
    }
    if (!tl_check_is_due(&s->frames_changes, (size_t)n)) {
        return;
    }
    int rounds = 0;
    for (int i = 0; i < n; i++) {
        check_member(s, s->frames[i]);
        TL_CHECK("I1", "tl_run_frame", frame,
                 s->frames[i] != frame || i == n - 1 || frame->limits != NULL);
        TL_CHECK("I2", "tl_run_frame", s->frames[i],
                 s->frames[i]->limits == NULL || i == 0);
        rounds += s->frames[i]->budget.rounds > 0;
    }
    TL_CHECK("I8", "tl_sched", s, s->nrounds == rounds);
}

#endif // NDEBUG
