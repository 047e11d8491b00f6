#include "base/section_lock.h"
#include "base/list.h"

#include <pthread.h>

struct waiter {
    struct tl_link link;
    const void *owner;
};

// Invariants
// I1: waiters is not empty only if there is an owner.
static struct {
    pthread_mutex_t mutex; // guards all below
    pthread_cond_t given;
    const void *owner;
    struct tl_link waiters; // list head, the oldest first
} turn = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .given = PTHREAD_COND_INITIALIZER,
    .waiters = {&turn.waiters, &turn.waiters},
};

#ifndef NDEBUG
// Locks: the mutex.
static void
check(void)
{
    TL_CHECK("I1", "turn", &turn,
             turn.owner != NULL || tl_link_is_single(&turn.waiters));
}
#else
TL_CHECKER(check, void);
#endif

bool
tl_section_lock_try(const void *owner)
{
    pthread_mutex_lock(&turn.mutex);
    if (turn.owner == NULL) {
        turn.owner = owner;
    }
    bool mine = turn.owner == owner;
    check();
    pthread_mutex_unlock(&turn.mutex);
    return mine;
}

void
tl_section_lock_take(const void *owner)
{
    struct waiter me = {.owner = owner};
    pthread_mutex_lock(&turn.mutex);
    if (turn.owner == NULL) {
        turn.owner = owner;
    } else if (turn.owner != owner) {
        tl_link_insert_before(&me.link, &turn.waiters);
        while (turn.owner != owner) {
            pthread_cond_wait(&turn.given, &turn.mutex);
        }
    }
    check();
    pthread_mutex_unlock(&turn.mutex);
}

void
tl_section_lock_give(const void *owner)
{
    pthread_mutex_lock(&turn.mutex);
    if (turn.owner == owner) {
        turn.owner = NULL;
        if (!tl_link_is_single(&turn.waiters)) {
            struct waiter *next = TL_CONTAINER(turn.waiters.next, struct waiter, link);
            tl_link_remove(&next->link);
            turn.owner = next->owner;
            pthread_cond_broadcast(&turn.given);
        }
    }
    check();
    pthread_mutex_unlock(&turn.mutex);
}

void
tl_section_lock_hold(void)
{
    pthread_mutex_lock(&turn.mutex);
}

void
tl_section_lock_release(bool in_child, const void *heir)
{
    if (in_child) {
        // The waiters are on the stacks of threads that do not exist here.
        pthread_cond_init(&turn.given, NULL);
        tl_link_init(&turn.waiters);
        turn.owner = turn.owner == heir ? heir : NULL;
    }
    pthread_mutex_unlock(&turn.mutex);
}
