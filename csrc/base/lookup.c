// lookup.c - the queue of lookups, its threads, and what a fork does with them.
#include "base/lookup.h"
#include "base/clock.h"
#include "base/pthreads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

// How long a fork waits for the running lookups before it checks whether they wait for
// the network. The C library holds its locks for microseconds only.
static const int64_t FORK_WAIT_NS = 20000000;

// Maximum number of such waits, two seconds in all: without a free CPU a lookup may
// need that long.
enum { MAX_FORK_WAITS = 100 };

// Maximum number of threads, as in libuv's pool.
enum { MAX_THREADS = 1024 };

// The one process-wide queue. Locks: the mutex, for all fields.
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;   // a lookup was queued, or a fork is over
    pthread_cond_t calm;      // no lookup is running, and a fork waits for that
    bool has_conds;           // the two have been initialized
    int forks;                // number of threads that are about to fork
    struct tl_link queue;     // list head, the oldest first
    struct tl_link under_way; // list head: the running lookups
    int queued, running;      // lengths of these lists
    int threads, idle;        // numbers of threads, and of idle threads
    int limit;                // of threads, not counting one for each abandoned lookup
    int abandoned;            // number of running lookups that were cancelled
} lookups = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .queue = {&lookups.queue, &lookups.queue},
    .under_way = {&lookups.under_way, &lookups.under_way},
};

#ifndef NDEBUG
// Locks: the mutex.
static void
check(const struct tl_lookup *lookup)
{
    bool is_queued = lookup->state == TL_LOOKUP_QUEUED;
    bool is_under_way = lookup->state == TL_LOOKUP_RUNNING;
    const struct tl_link *list = is_queued ? &lookups.queue : &lookups.under_way;
    bool is_listed = !tl_link_is_single(&lookup->link);
    TL_CHECK("I1", "tl_lookup", lookup, is_listed == (is_queued || is_under_way));
    TL_CHECK("I1", "tl_lookup", lookup,
             !is_listed || tl_link_may_be_in(&lookup->link, list));
    TL_CHECK("I2", "tl_lookup", lookup,
             is_under_way ||
                 (lookup->answers != NULL) ==
                     (lookup->state == TL_LOOKUP_OVER && lookup->status == 0));
    TL_CHECK("I1", "tl_lookup", lookup,
             tl_link_is_single(&lookups.queue) == (lookups.queued == 0));
    TL_CHECK("I1", "tl_lookup", lookup,
             tl_link_is_single(&lookups.under_way) == (lookups.running == 0));
}
#else
TL_CHECKER(check, const struct tl_lookup *lookup);
#endif

// ---- lookups

static char *
copy(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

int
tl_lookup_init(struct tl_lookup *lookup, const char *host, const char *port,
               const struct addrinfo *hints)
{
    tl_link_init(&lookup->link);
    lookup->state = TL_LOOKUP_NEW;
    lookup->host = copy(host);
    lookup->port = copy(port);
    lookup->hints = *hints;
    bool copied = (host == NULL || lookup->host != NULL) &&
                  (port == NULL || lookup->port != NULL);
    return copied ? 0 : ENOMEM;
}

void
tl_lookup_fini(struct tl_lookup *lookup)
{
    if (lookup->answers != NULL) {
        freeaddrinfo(lookup->answers);
    }
    free(lookup->host);
    free(lookup->port);
}

static void
finish(struct tl_lookup *lookup, int status)
{
    lookup->status = status;
    lookup->state = TL_LOOKUP_OVER;
    check(lookup);
    lookup->over(lookup); // from now on it may be freed
}

static void
unqueue(struct tl_lookup *lookup, enum tl_lookup_state state)
{
    tl_link_remove(&lookup->link);
    lookups.queued--;
    lookup->state = state;
}

// ---- what a thread does

#ifdef __linux__
static int
own_id(void)
{
    return (int)syscall(SYS_gettid);
}

// Whether a thread runs, or waits for a CPU or a disk, as opposed to the network or a
// lock. False if that cannot be found out.
static bool
is_busy(int thread)
{
    char path[64], text[256];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = 0;
    // The state follows the name, which may have parentheses of its own.
    const char *name_end = strrchr(text, ')');
    return name_end != NULL &&
           (strncmp(name_end, ") R", 3) == 0 || strncmp(name_end, ") D", 3) == 0);
}
#else
static int
own_id(void)
{
    return 0;
}

static bool
is_busy(int thread)
{
    (void)thread;
    return false;
}
#endif

static bool
is_any_busy(void)
{
    struct tl_link *i = lookups.under_way.next;
    for (; i != &lookups.under_way; i = i->next) {
        if (is_busy(TL_CONTAINER(i, struct tl_lookup, link)->thread)) {
            return true;
        }
    }
    return false;
}

// ---- running them

// Run the first lookup of the queue. Called with the mutex held; releases it during the
// call of getaddrinfo().
static void
do_first(void)
{
    struct tl_lookup *lookup = TL_CONTAINER(lookups.queue.next, struct tl_lookup, link);
    unqueue(lookup, TL_LOOKUP_RUNNING);
    tl_link_insert_before(&lookup->link, &lookups.under_way);
    lookup->thread = own_id();
    lookups.running++;
    check(lookup);
    pthread_mutex_unlock(&lookups.mutex);
    int status =
        getaddrinfo(lookup->host, lookup->port, &lookup->hints, &lookup->answers);
    lookup->error = status == EAI_SYSTEM ? errno : 0;
    pthread_mutex_lock(&lookups.mutex);
    tl_link_remove(&lookup->link);
    lookups.running--;
    lookups.abandoned -= lookup->is_abandoned;
    if (lookups.forks > 0 && lookups.running == 0) {
        pthread_cond_broadcast(&lookups.calm);
    }
    finish(lookup, status);
}

// ---- threads

static void *
work(void *arg)
{
    pthread_mutex_lock(&lookups.mutex);
    while (lookups.threads <= lookups.limit + lookups.abandoned) {
        if (lookups.forks > 0 || tl_link_is_single(&lookups.queue)) {
            lookups.idle++;
            pthread_cond_wait(&lookups.changed, &lookups.mutex);
            lookups.idle--;
        } else {
            do_first();
        }
    }
    lookups.threads--;
    pthread_mutex_unlock(&lookups.mutex);
    return arg;
}

static void
init_conditions(void)
{
    pthread_cond_init(&lookups.changed, NULL);
    tl_pthread_cond_init(&lookups.calm);
    lookups.has_conds = true;
}

// Returns 0 or an errno.
static int
start_thread(void)
{
    pthread_t thread;
    int error = tl_pthread_start(&thread, NULL, work);
    if (error == 0) {
        pthread_detach(thread);
        lookups.threads++;
    }
    return error;
}

// Whether another thread may be started. An abandoned lookup, which may keep its thread
// forever, does not count against the limit.
static bool
may_grow(void)
{
    return lookups.threads < lookups.limit + lookups.abandoned &&
           lookups.threads < MAX_THREADS;
}

int
tl_lookup_submit(struct tl_lookup *lookup, int threads)
{
    int error = 0;
    pthread_mutex_lock(&lookups.mutex);
    if (!lookups.has_conds) {
        init_conditions();
    }
    lookups.limit = threads;
    if (lookups.queued >= lookups.idle && may_grow()) {
        error = start_thread();
    }
    if (lookups.threads > 0) {
        error = 0; // an existing thread will run it
        lookup->state = TL_LOOKUP_QUEUED;
        tl_link_insert_before(&lookup->link, &lookups.queue);
        lookups.queued++;
        check(lookup);
        pthread_cond_signal(&lookups.changed);
    }
    pthread_mutex_unlock(&lookups.mutex);
    return error;
}

void
tl_lookup_cancel(struct tl_lookup *lookup)
{
    pthread_mutex_lock(&lookups.mutex);
    if (lookup->state == TL_LOOKUP_QUEUED) {
        unqueue(lookup, TL_LOOKUP_OVER);
        finish(lookup, EAI_AGAIN);
    } else if (lookup->state == TL_LOOKUP_RUNNING && !lookup->is_abandoned) {
        lookup->is_abandoned = true;
        lookups.abandoned++;
        if (lookups.queued > lookups.idle && may_grow()) {
            (void)start_thread(); // if that fails, an existing thread will run it
        }
    }
    pthread_mutex_unlock(&lookups.mutex);
}

void
tl_lookup_settle(void)
{
    pthread_mutex_lock(&lookups.mutex);
    pthread_mutex_unlock(&lookups.mutex);
}

// ---- fork

void
tl_lookup_hold(void)
{
    pthread_mutex_lock(&lookups.mutex);
    lookups.forks++;
    for (int i = 0; i < MAX_FORK_WAITS && lookups.running > 0; i++) {
        int64_t end = tl_clock_now() + FORK_WAIT_NS;
        int error = 0;
        while (lookups.running > 0 && error == 0) {
            error = tl_pthread_wait_until(&lookups.calm, &lookups.mutex, end);
        }
        if (!is_any_busy()) {
            break;
        }
    }
}

void
tl_lookup_release(bool in_child)
{
    lookups.forks = in_child ? 0 : lookups.forks - 1;
    if (in_child) {
        lookups.has_conds = false; // the old ones have waiters that do not exist here
        lookups.threads = lookups.idle = lookups.running = lookups.abandoned = 0;
        tl_link_init(&lookups.under_way);
        while (!tl_link_is_single(&lookups.queue)) {
            struct tl_lookup *lookup =
                TL_CONTAINER(lookups.queue.next, struct tl_lookup, link);
            unqueue(lookup, TL_LOOKUP_NEW);
        }
    } else if (lookups.has_conds) {
        pthread_cond_broadcast(&lookups.changed);
    }
    pthread_mutex_unlock(&lookups.mutex);
}
