// idle_threads.c - the list of idle worker threads.
#include "core/idle_threads.h"
#include "core/idle.h"

void
tl_idle_threads_begin(struct tl_idle_threads *rest, struct tl_state *state)
{
    rest->ts = PyThreadState_Get();
    rest->sched = tl_sched_mine;
    tl_link_insert_before(&rest->link, &state->idle_workers);
    state->nidle_workers++;
    if (rest->sched != NULL) {
        // Idle threads may have counted on this thread's tasklets.
        rest->sched->is_idle_worker = true;
        tl_idle_recheck(state);
    }
}

void
tl_idle_threads_end(struct tl_idle_threads *rest, struct tl_state *state)
{
    if (rest->sched != NULL) {
        rest->sched->is_idle_worker = false;
    }
    tl_link_remove(&rest->link);
    state->nidle_workers--;
}

bool
tl_idle_threads_has(struct tl_state *state, PyThreadState *ts)
{
    struct tl_link *i = state->idle_workers.next;
    while (i != &state->idle_workers &&
           TL_CONTAINER(i, struct tl_idle_threads, link)->ts != ts) {
        i = i->next;
    }
    return i != &state->idle_workers;
}
