#include "base/timekeeper.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/internal_threads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

// How often the moves of an owner are looked at while it makes some: so many times in
// the time that it may stay still, but not more often than every so many nanoseconds.
enum { LOOKS = 4, LOOK_LEAST = 200000 };

// The one process-wide watcher.
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool has_cond, started, stopping;
    pthread_t thread;
    const struct tl_timekeeper_host *host;
    struct tl_timekeeper list;    // head
    struct tl_timekeeper *firing; // between enter() and leave(), or about to be
    int64_t wakes_at;             // when the thread looks next; INT64_MIN: it looks now
} watcher = {.mutex = PTHREAD_MUTEX_INITIALIZER};

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
    TL_CHECK("I2", "tl_timekeeper", alarm, pthread_mutex_trylock(&watcher.mutex) != 0);
}
#else
TL_CHECKER(check, const struct tl_timekeeper *alarm);
#endif

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// When to look at the moves of an owner again that has made one by now.
static int64_t
look_again(const struct tl_timekeeper *alarm, int64_t now)
{
    int64_t pause = alarm->still / LOOKS;
    return now + (pause > LOOK_LEAST ? pause : earlier(alarm->still, LOOK_LEAST));
}

// When alarm wants to be looked at next; INT64_MIN: it goes off.
static int64_t
look(struct tl_timekeeper *alarm, int64_t now)
{
    if (alarm->deadline <= now) {
        return INT64_MIN;
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
            return INT64_MIN;
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
        alarm->prev = &watcher.list;
        alarm->next = watcher.list.next;
        alarm->next->prev = alarm;
        watcher.list.next = alarm;
    }
    check(alarm);
}

// The mutex is held, and given up meanwhile.
static void
go_off(struct tl_timekeeper *alarm)
{
    unlist(alarm);
    watcher.firing = alarm;
    pthread_mutex_unlock(&watcher.mutex);
    if (watcher.host->enter()) {
        pthread_mutex_lock(&watcher.mutex);
        alarm = watcher.firing; // NULL if it was set anew, or cancelled
        watcher.firing = NULL;
        pthread_mutex_unlock(&watcher.mutex);
        int64_t again = alarm != NULL ? alarm->fire(alarm, tl_clock_now()) : INT64_MAX;
        pthread_mutex_lock(&watcher.mutex);
        // Whoever could set it anew waits for leave().
        if (alarm != NULL && again != INT64_MAX && alarm->next == NULL) {
            alarm->deadline = again;
            alarm->still = 0;
            enlist(alarm);
        }
        pthread_mutex_unlock(&watcher.mutex);
        watcher.host->leave();
    }
    pthread_mutex_lock(&watcher.mutex);
    watcher.firing = NULL;
}

// Let one alarm go off whose time has come. Returns when to look again, or INT64_MIN if
// one went off: much may have changed.
static int64_t
look_at_all(void)
{
    int64_t now = tl_clock_now(), next = INT64_MAX;
    for (struct tl_timekeeper *a = watcher.list.next; a != &watcher.list; a = a->next) {
        int64_t when = look(a, now);
        if (when == INT64_MIN) {
            go_off(a);
            return INT64_MIN;
        }
        next = earlier(next, when);
    }
    return next;
}

static void *
watch(void *arg)
{
    tl_internal_threads_note();
    pthread_mutex_lock(&watcher.mutex);
    while (!watcher.stopping) {
        watcher.wakes_at = INT64_MIN;
        int64_t next = look_at_all();
        if (next == INT64_MIN) {
            continue;
        }
        watcher.wakes_at = next;
        if (next == INT64_MAX) {
            pthread_cond_wait(&watcher.changed, &watcher.mutex);
        } else {
            struct timespec until = {next / 1000000000, next % 1000000000};
            pthread_cond_timedwait(&watcher.changed, &watcher.mutex, &until);
        }
    }
    pthread_mutex_unlock(&watcher.mutex);
    watcher.host->end();
    return arg;
}

static int
start(const struct tl_timekeeper_host *host)
{
    if (watcher.started || watcher.stopping) {
        return watcher.stopping ? ESHUTDOWN : 0;
    }
    if (!watcher.has_cond) {
        pthread_condattr_t monotonic;
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&watcher.changed, &monotonic);
        pthread_condattr_destroy(&monotonic);
        watcher.has_cond = true;
    }
    watcher.list.prev = watcher.list.next = &watcher.list;
    watcher.host = host;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are for others
    int error = pthread_create(&watcher.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    watcher.started = error == 0;
    return error;
}

int
tl_timekeeper_start(const struct tl_timekeeper_host *host)
{
    pthread_mutex_lock(&watcher.mutex);
    int error = start(host);
    pthread_mutex_unlock(&watcher.mutex);
    return error;
}

int
tl_timekeeper_set(struct tl_timekeeper *alarm, const struct tl_timekeeper_host *host,
                  int64_t deadline, int64_t still, uint64_t moved)
{
    pthread_mutex_lock(&watcher.mutex);
    int error = start(host);
    if (error == 0) {
        if (watcher.firing == alarm) {
            watcher.firing = NULL;
        }
        alarm->deadline = deadline;
        alarm->still = still;
        alarm->seen = moved;
        alarm->still_end = alarm->still_until = INT64_MAX;
        if (still > 0) {
            int64_t now = tl_clock_now();
            alarm->still_end = now + still;
            alarm->still_until = look_again(alarm, now);
        }
        enlist(alarm);
        if (earlier(deadline, alarm->still_until) < watcher.wakes_at) {
            pthread_cond_signal(&watcher.changed);
        }
    }
    pthread_mutex_unlock(&watcher.mutex);
    return error;
}

bool
tl_timekeeper_is_due(struct tl_timekeeper *alarm)
{
    pthread_mutex_lock(&watcher.mutex);
    bool due = watcher.firing == alarm;
    pthread_mutex_unlock(&watcher.mutex);
    return due;
}

void
tl_timekeeper_cancel(struct tl_timekeeper *alarm)
{
    pthread_mutex_lock(&watcher.mutex);
    unlist(alarm);
    if (watcher.firing == alarm) {
        watcher.firing = NULL;
    }
    pthread_mutex_unlock(&watcher.mutex);
}

void
tl_timekeeper_stop(void)
{
    pthread_mutex_lock(&watcher.mutex);
    watcher.stopping = true;
    bool started = watcher.started;
    watcher.started = false;
    if (started) {
        pthread_cond_signal(&watcher.changed);
    }
    pthread_mutex_unlock(&watcher.mutex);
    if (started) {
        pthread_join(watcher.thread, NULL);
    }
}

void
tl_timekeeper_hold(void)
{
    pthread_mutex_lock(&watcher.mutex);
}

void
tl_timekeeper_release(bool in_child)
{
    if (in_child) {
        // The condition has a waiter that does not exist here: start() makes another.
        watcher.has_cond = watcher.started = watcher.stopping = false;
        watcher.firing = NULL;
        while (watcher.list.next != NULL && watcher.list.next != &watcher.list) {
            unlist(watcher.list.next);
        }
    }
    pthread_mutex_unlock(&watcher.mutex);
}
