// section_lock.c - the lock, handed over in order of arrival.
#include "base/section_lock.h"
#include "base/list.h"

#include <pthread.h>

struct waiter {
    struct tl_link link;
    const void *owner;
};

// Invariants
// I1: while there are waiters, there is an owner.
static struct {
    pthread_mutex_t mutex;  // guards all below
    pthread_cond_t given;   // owner has changed
    const void *owner;      // NULL: the lock is free
    struct tl_link waiters; // list head, the oldest first
} section = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .given = PTHREAD_COND_INITIALIZER,
    .waiters = {&section.waiters, &section.waiters},
};

#ifndef NDEBUG
// Locks: the mutex.
static void
check(void)
{
    TL_CHECK("I1", "section", &section,
             section.owner != NULL || tl_link_is_single(&section.waiters));
}
#else
TL_CHECKER(check, void);
#endif

bool
tl_section_lock_try(const void *owner)
{
    pthread_mutex_lock(&section.mutex);
    if (section.owner == NULL) {
        section.owner = owner;
    }
    bool mine = section.owner == owner;
    check();
    pthread_mutex_unlock(&section.mutex);
    return mine;
}

void
tl_section_lock_take(const void *owner)
{
    struct waiter me = {.owner = owner};
    pthread_mutex_lock(&section.mutex);
    if (section.owner == NULL) {
        section.owner = owner;
    } else if (section.owner != owner) {
        tl_link_insert_before(&me.link, &section.waiters);
        while (section.owner != owner) {
            pthread_cond_wait(&section.given, &section.mutex);
        }
    }
    check();
    pthread_mutex_unlock(&section.mutex);
}

void
tl_section_lock_give(const void *owner)
{
    pthread_mutex_lock(&section.mutex);
    if (section.owner == owner) {
        section.owner = NULL;
        if (!tl_link_is_single(&section.waiters)) {
            struct waiter *next =
                TL_CONTAINER(section.waiters.next, struct waiter, link);
            tl_link_remove(&next->link);
            section.owner = next->owner;
            pthread_cond_broadcast(&section.given);
        }
    }
    check();
    pthread_mutex_unlock(&section.mutex);
}

void
tl_section_lock_hold(void)
{
    pthread_mutex_lock(&section.mutex);
}

void
tl_section_lock_release(bool in_child, const void *heir)
{
    if (in_child) {
        // The waiters are on the stacks of threads that do not exist here.
        pthread_cond_init(&section.given, NULL);
        tl_link_init(&section.waiters);
        section.owner = section.owner == heir ? heir : NULL;
    }
    pthread_mutex_unlock(&section.mutex);
}
