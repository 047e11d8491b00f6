// idle_threads.c - the list of idle worker threads.
#include "core/idle_threads.h"
#include "core/idle.h"

void
tl_idle_threads_begin(struct tl_idle_threads *rest, struct tl_state *state)
{
    rest->ts = PyThreadState_Get();
    rest->sched = tl_sched_mine;
    tl_link_insert_before(&rest->link, &state->resting);
    state->nresting++;
    if (rest->sched != NULL) {
        // Idle threads may have counted on this thread's tasklets.
        rest->sched->resting = true;
        tl_idle_recheck(state);
    }
}

void
tl_idle_threads_end(struct tl_idle_threads *rest, struct tl_state *state)
{
    if (rest->sched != NULL) {
        rest->sched->resting = false;
    }
    tl_link_remove(&rest->link);
    state->nresting--;
}

bool
tl_idle_threads_has(struct tl_state *state, PyThreadState *ts)
{
    struct tl_link *i = state->resting.next;
    while (i != &state->resting &&
           TL_CONTAINER(i, struct tl_idle_threads, link)->ts != ts) {
        i = i->next;
    }
    return i != &state->resting;
}
