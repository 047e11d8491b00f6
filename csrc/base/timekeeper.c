// timekeeper.c - the thread that waits for the alarms of all owners.
#include "base/timekeeper.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/internal_threads.h"
#include "base/pthreads.h"

#include <errno.h>
#include <stddef.h>

// LOOKS_PER_STILL: how many times the moves of an owner that moves are compared in the
// time that it may stay still: a stillness is noticed a quarter of that time late, at
// most.
// MIN_LOOK_NS: but not more often than this, because each look wakes the thread.
enum { LOOKS_PER_STILL = 4, MIN_LOOK_NS = 200000 };

// The one process-wide timekeeper. Locks: the mutex, for all fields.
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed; // an alarm was set for before wakes_at, or stopping was set
    bool has_cond;          // changed has been initialized
    bool started;
    bool stopping; // for good
    pthread_t thread;
    const struct tl_timekeeper_host *host;
    struct tl_timekeeper list;    // list head
    struct tl_timekeeper *firing; // due, until its fire() is called or it is cancelled
    tl_deadline wakes_at; // when the thread looks next; TL_DEADLINE_PAST: it looks now
} keeper = {.mutex = PTHREAD_MUTEX_INITIALIZER};

#ifndef NDEBUG
// Locks: the mutex.
static void
check(const struct tl_timekeeper *alarm)
{
    TL_CHECK("I1", "tl_timekeeper", alarm,
             (alarm->prev == NULL) == (alarm->next == NULL));
    TL_CHECK("I1", "tl_timekeeper", alarm,
             alarm->next == NULL ||
                 (alarm->next->prev == alarm && alarm->prev->next == alarm));
    TL_CHECK("I2", "tl_timekeeper", alarm, pthread_mutex_trylock(&keeper.mutex) != 0);
}
#else
TL_CHECKER(check, const struct tl_timekeeper *alarm);
#endif

static tl_deadline
earlier(tl_deadline a, tl_deadline b)
{
    return a < b ? a : b;
}

// When to compare the moves of an owner again that has just moved.
static tl_deadline
look_again(const struct tl_timekeeper *alarm, int64_t now)
{
    int64_t pause = alarm->still / LOOKS_PER_STILL;
    return now + (pause > MIN_LOOK_NS ? pause : earlier(alarm->still, MIN_LOOK_NS));
}

// When to look at the alarm next; TL_DEADLINE_PAST: it goes off now.
static tl_deadline
look(struct tl_timekeeper *alarm, int64_t now)
{
    if (alarm->deadline <= now) {
        return TL_DEADLINE_PAST;
    }
    if (alarm->still == 0) {
        return alarm->deadline;
    }
    if (now >= alarm->still_end || now >= alarm->still_until) {
        uint64_t moves = alarm->moves(alarm);
        if (moves != alarm->seen) {
            alarm->seen = moves;
            alarm->still_end = now + alarm->still;
            alarm->still_until = look_again(alarm, now);
        } else if (now >= alarm->still_end) {
            return TL_DEADLINE_PAST;
        } else {
            alarm->still_until = alarm->still_end;
        }
    }
    return earlier(alarm->deadline, alarm->still_until);
}

static void
unlist(struct tl_timekeeper *alarm)
{
    if (alarm->next != NULL) {
        alarm->prev->next = alarm->next;
        alarm->next->prev = alarm->prev;
        alarm->prev = alarm->next = NULL;
    }
    check(alarm);
}

static void
enlist(struct tl_timekeeper *alarm)
{
    if (alarm->next == NULL) {
        alarm->prev = &keeper.list;
        alarm->next = keeper.list.next;
        alarm->next->prev = alarm;
        keeper.list.next = alarm;
    }
    check(alarm);
}

// Call fire(). Called with the mutex held; releases it while it waits for the host and
// during the call.
static void
go_off(struct tl_timekeeper *alarm)
{
    unlist(alarm);
    keeper.firing = alarm;
    pthread_mutex_unlock(&keeper.mutex);
    if (keeper.host->enter()) {
        pthread_mutex_lock(&keeper.mutex);
        alarm = keeper.firing; // NULL if it was set anew, or cancelled, before enter()
        keeper.firing = NULL;
        pthread_mutex_unlock(&keeper.mutex);
        tl_deadline again = TL_DEADLINE_NEVER;
        if (alarm != NULL) {
            again = alarm->fire(alarm, tl_clock_now());
        }
        pthread_mutex_lock(&keeper.mutex);
        // Only fire() itself can have set it anew: other owners wait for leave().
        if (alarm != NULL && again != TL_DEADLINE_NEVER && alarm->next == NULL) {
            alarm->deadline = again;
            alarm->still = 0;
            enlist(alarm);
        }
        pthread_mutex_unlock(&keeper.mutex);
        keeper.host->leave();
    }
    pthread_mutex_lock(&keeper.mutex);
    keeper.firing = NULL;
}

// Let the first alarm that is due go off. Returns when to look again: at once if one
// went off, since the list may have changed.
static tl_deadline
look_at_all(void)
{
    int64_t now = tl_clock_now();
    tl_deadline next = TL_DEADLINE_NEVER;
    for (struct tl_timekeeper *a = keeper.list.next; a != &keeper.list; a = a->next) {
        tl_deadline when = look(a, now);
        if (when == TL_DEADLINE_PAST) {
            go_off(a);
            return TL_DEADLINE_PAST;
        }
        next = earlier(next, when);
    }
    return next;
}

static void *
watch(void *arg)
{
    tl_internal_threads_note();
    pthread_mutex_lock(&keeper.mutex);
    while (!keeper.stopping) {
        keeper.wakes_at = TL_DEADLINE_PAST;
        tl_deadline next = look_at_all();
        if (next == TL_DEADLINE_PAST) {
            continue;
        }
        keeper.wakes_at = next;
        if (next == TL_DEADLINE_NEVER) {
            pthread_cond_wait(&keeper.changed, &keeper.mutex);
        } else {
            tl_pthread_wait_until(&keeper.changed, &keeper.mutex, next);
        }
    }
    pthread_mutex_unlock(&keeper.mutex);
    keeper.host->end();
    return arg;
}

static int
start(const struct tl_timekeeper_host *host)
{
    if (keeper.started || keeper.stopping) {
        return keeper.stopping ? ESHUTDOWN : 0;
    }
    if (!keeper.has_cond) {
        tl_pthread_cond_init(&keeper.changed);
        keeper.has_cond = true;
    }
    keeper.list.prev = keeper.list.next = &keeper.list;
    keeper.host = host;
    int error = tl_pthread_start(&keeper.thread, NULL, watch);
    keeper.started = error == 0;
    return error;
}

int
tl_timekeeper_start(const struct tl_timekeeper_host *host)
{
    pthread_mutex_lock(&keeper.mutex);
    int error = start(host);
    pthread_mutex_unlock(&keeper.mutex);
    return error;
}

int
tl_timekeeper_set(struct tl_timekeeper *alarm, const struct tl_timekeeper_host *host,
                  tl_deadline deadline, int64_t still, uint64_t moved)
{
    pthread_mutex_lock(&keeper.mutex);
    int error = start(host);
    if (error == 0) {
        if (keeper.firing == alarm) {
            keeper.firing = NULL;
        }
        alarm->deadline = deadline;
        alarm->still = still;
        alarm->seen = moved;
        alarm->still_end = alarm->still_until = TL_DEADLINE_NEVER;
        if (still > 0) {
            int64_t now = tl_clock_now();
            alarm->still_end = now + still;
            alarm->still_until = look_again(alarm, now);
        }
        enlist(alarm);
        if (earlier(deadline, alarm->still_until) < keeper.wakes_at) {
            pthread_cond_signal(&keeper.changed);
        }
    }
    pthread_mutex_unlock(&keeper.mutex);
    return error;
}

bool
tl_timekeeper_is_due(struct tl_timekeeper *alarm)
{
    pthread_mutex_lock(&keeper.mutex);
    bool due = keeper.firing == alarm;
    pthread_mutex_unlock(&keeper.mutex);
    return due;
}

void
tl_timekeeper_cancel(struct tl_timekeeper *alarm)
{
    pthread_mutex_lock(&keeper.mutex);
    unlist(alarm);
    if (keeper.firing == alarm) {
        keeper.firing = NULL;
    }
    pthread_mutex_unlock(&keeper.mutex);
}

void
tl_timekeeper_stop(void)
{
    pthread_mutex_lock(&keeper.mutex);
    keeper.stopping = true;
    bool started = keeper.started;
    keeper.started = false;
    if (started) {
        pthread_cond_signal(&keeper.changed);
    }
    pthread_mutex_unlock(&keeper.mutex);
    if (started) {
        pthread_join(keeper.thread, NULL);
    }
}

void
tl_timekeeper_hold(void)
{
    pthread_mutex_lock(&keeper.mutex);
}

void
tl_timekeeper_release(bool in_child)
{
    if (in_child) {
        // The condition has a waiter that does not exist here: start() initializes it.
        keeper.has_cond = keeper.started = keeper.stopping = false;
        keeper.firing = NULL;
        while (keeper.list.next != NULL && keeper.list.next != &keeper.list) {
            unlist(keeper.list.next);
        }
    }
    pthread_mutex_unlock(&keeper.mutex);
}
