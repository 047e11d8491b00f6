// descriptor.c - waiting until a file descriptor is readable or writable.
#include "io/descriptor.h"
#include "core/errors.h"
#include "core/timer.h"
#include "base/clock.h"

#include <errno.h>

// The search for closed descriptors asks the kernel about each awaited one. CHECK_NS is
// the normal period, and so the delay until a waiter learns of a closing. With
// thousands of descriptors the pause is CHECK_SHARE times the CPU time of the last
// search, so that these use a thousandth of a CPU at most.
enum { CHECK_NS = 1000000000, CHECK_SHARE = 1000 };

// A descriptor number that has or had waiters.
struct tl_descriptor {
    int fd;
    unsigned closings;                // number of times that it was found closed
    struct tl_link readers, writers;  // tasklets
    struct tl_link on_read, on_write; // listeners
};

// The descriptors of one scheduler, made when first needed.
//
// Invariants
// I1: table[fd] is NULL or has that fd.
struct tl_descriptors {
    struct tl_poll_source source;
    struct tl_poller poller;
    struct tl_descriptor **table;
    int room;           // the length of table
    Py_ssize_t waiting; // number of waiting tasklets and listeners
    int64_t check_at;   // when to search for closed ones next, tl_clock_now()
};

static const struct tl_poll_source_kind source_kind;

// The table of s, or NULL.
static struct tl_descriptors *
table_of(const struct tl_sched *s)
{
    struct tl_poll_source *source = tl_poll_source_find(s, &source_kind);
    return source == NULL ? NULL : TL_CONTAINER(source, struct tl_descriptors, source);
}

#ifndef NDEBUG
// Locks: the GIL.
static void
check(const struct tl_descriptors *table, int fd)
{
    TL_CHECK("I1", "tl_descriptors", table,
             table->table[fd] == NULL || table->table[fd]->fd == fd);
}

static void
check_listener(const struct tl_descriptor_listener *listener)
{
    const struct tl_descriptor *d = listener->descriptor;
    bool is_listed = !tl_link_is_single(&listener->link);
    TL_CHECK("I1", "tl_descriptor_listener", listener,
             is_listed == (listener->sched != NULL));
    TL_CHECK("I1", "tl_descriptor_listener", listener,
             !is_listed || tl_link_may_be_in(&listener->link, &d->on_read) ||
                 tl_link_may_be_in(&listener->link, &d->on_write));
}
#else
TL_CHECKER(check, const struct tl_descriptors *table, int fd);
TL_CHECKER(check_listener, const struct tl_descriptor_listener *listener);
#endif

// A tasklet or listener begins (n = 1) or ends (n = -1) to wait.
static void
count(struct tl_sched *s, int n)
{
    s->awaited += n;
    table_of(s)->waiting += n;
}

static void
joined(struct tl_wait *wait)
{
    struct tl_sched *s = tl_task_of_wait(wait)->home;
    count(s, 1);
    tl_timer_expect(s);
}

static void
left(struct tl_wait *wait)
{
    count(tl_task_of_wait(wait)->home, -1);
}

static const struct tl_wait_kind read_wait = {
    .verb = "waits for a descriptor to read from", .joined = joined, .left = left};
static const struct tl_wait_kind write_wait = {
    .verb = "waits for a descriptor to write to", .joined = joined, .left = left};

// Raise OSError for fd. Returns -1.
static int
raise(int error, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    if (number != NULL) {
        errno = error;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, number);
        Py_DECREF(number);
    }
    return -1;
}

int
tl_descriptor_raise_closed(int fd)
{
    PyObject *error =
        PyObject_CallFunction(PyExc_OSError, "isi", EBADF,
                              "the descriptor was closed while it was waited for", fd);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return -1;
}

static int
what_is_awaited(const struct tl_descriptor *d)
{
    bool reads = !tl_link_is_single(&d->readers) || !tl_link_is_single(&d->on_read);
    bool writes = !tl_link_is_single(&d->writers) || !tl_link_is_single(&d->on_write);
    return (reads ? TL_POLLER_READ : 0) | (writes ? TL_POLLER_WRITE : 0);
}

static struct tl_descriptors *
make_table(struct tl_sched *s)
{
    struct tl_descriptors *table = table_of(s);
    if (table == NULL) {
        table = PyMem_Calloc(1, sizeof *table);
        if (table == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        int error = tl_poller_init(&table->poller);
        if (error != 0) {
            PyMem_Free(table);
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
            return NULL;
        }
        table->source = (struct tl_poll_source){&source_kind, table->poller.fd};
        tl_poll_source_add(s, &table->source);
    }
    return table;
}

static struct tl_descriptor *
find(struct tl_descriptors *table, int fd)
{
    if (fd >= table->room) {
        int room = fd < 56 ? 64 : fd + fd / 8 + 1;
        struct tl_descriptor **grown =
            PyMem_Realloc(table->table, (size_t)room * sizeof *grown);
        if (grown == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        for (int i = table->room; i < room; i++) {
            grown[i] = NULL;
        }
        table->table = grown;
        table->room = room;
    }
    if (table->table[fd] == NULL) {
        struct tl_descriptor *d = PyMem_Malloc(sizeof *d);
        if (d == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        d->fd = fd;
        d->closings = 0;
        tl_link_init(&d->readers);
        tl_link_init(&d->writers);
        tl_link_init(&d->on_read);
        tl_link_init(&d->on_write);
        table->table[fd] = d;
    }
    check(table, fd);
    return table->table[fd];
}

static void
unlist(struct tl_descriptor_listener *listener)
{
    tl_link_remove(&listener->link);
    count(listener->sched, -1);
    listener->sched = NULL;
    check_listener(listener);
}

static struct tl_descriptor_listener *
first_of(struct tl_link *list)
{
    return TL_CONTAINER(list->next, struct tl_descriptor_listener, link);
}

static void
wake(struct tl_link *queue, struct tl_link *listeners)
{
    while (!tl_link_is_single(queue)) {
        TaskletObject *t = tl_task_of(queue->next);
        tl_task_end_wait(t);
        tl_sched_ready(t);
    }
    while (!tl_link_is_single(listeners)) {
        struct tl_descriptor_listener *listener = first_of(listeners);
        unlist(listener);
        listener->ready(listener);
    }
}

// d was found closed: end the waits of all its waiters, who see the new count of
// closings.
static void
fail(struct tl_descriptor *d)
{
    d->closings++;
    wake(&d->readers, &d->on_read);
    wake(&d->writers, &d->on_write);
}

// Watch d, which is awaited already, for what. Returns 0 or an errno. If d is closed,
// or its number belongs to another file by now, fails its waiters and returns 0 without
// watching.
static int
watch_again(struct tl_poller *poller, struct tl_descriptor *d, int what)
{
    int error = tl_poller_watch_again(poller, d->fd, what);
    if (error == EBADF || error == ENOENT) {
        fail(d);
        error = 0;
    }
    return error;
}

// Watch fd for what, in addition to what is awaited already. Returns its descriptor; or
// NULL with an exception set, or without one if fd is always ready, as files are.
static struct tl_descriptor *
watch(struct tl_sched *s, int fd, int what)
{
    struct tl_descriptors *table = make_table(s);
    struct tl_descriptor *d = table == NULL ? NULL : find(table, fd);
    if (d == NULL) {
        return NULL;
    }
    int error = 0, awaited = what_is_awaited(d);
    if (awaited != 0) {
        error = watch_again(&table->poller, d, awaited | what);
    }
    if (what_is_awaited(d) == 0) {
        error = tl_poller_watch(&table->poller, fd, what);
    }
    if (error != 0 && error != EPERM) {
        (void)raise(error, fd);
    }
    return error == 0 ? d : NULL;
}

// A waiter of d has left before d was ready: stop watching if it was the last.
static void
stop_watching(struct tl_sched *s, const struct tl_descriptor *d)
{
    if (what_is_awaited(d) == 0) {
        (void)tl_poller_watch(&table_of(s)->poller, d->fd, 0);
    }
}

int
tl_descriptor_is_ready(int fd, int what)
{
    int ready = tl_poller_ask(fd, what);
    return ready < 0 ? raise(-ready, fd) : ready;
}

// A struct tl_leave for a descriptor.
struct descriptor_leave {
    struct tl_leave leave;
    const struct tl_descriptor *descriptor;
    unsigned seen; // the descriptor's closings when the wait began
};

static bool
has_closed(const struct tl_leave *leave)
{
    const struct descriptor_leave *how =
        TL_CONTAINER(leave, struct descriptor_leave, leave);
    return how->descriptor->closings != how->seen;
}

int
tl_descriptor_wait(struct tl_sched *s, int fd, int what, tl_deadline deadline)
{
    if (tl_errors_block_trap(s)) {
        return -1;
    }
    if (deadline == TL_DEADLINE_PAST) {
        int ready = tl_descriptor_is_ready(fd, what);
        if (ready == 0) {
            PyErr_SetString(PyExc_TimeoutError, "timed out");
        }
        return ready > 0 ? 0 : -1;
    }
    struct tl_descriptor *d = watch(s, fd, what);
    if (d == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    bool reads = what == TL_POLLER_READ;
    struct descriptor_leave how = {.leave = {.kind = reads ? &read_wait : &write_wait,
                                             .queue = reads ? &d->readers : &d->writers,
                                             .deadline = deadline,
                                             .comes = true,
                                             .last_check = has_closed},
                                   .descriptor = d,
                                   .seen = d->closings};
    PyObject *value = tl_sched_leave(s, &how.leave);
    if (tl_sched_mine != s || value == NULL) {
        if (tl_sched_mine == s) {
            stop_watching(s, d);
        }
        Py_XDECREF(value);
        return value == NULL ? -1 : 0;
    }
    Py_DECREF(value);
    return has_closed(&how.leave) ? tl_descriptor_raise_closed(fd) : 0;
}

int
tl_descriptor_note(struct tl_sched *s, struct tl_descriptor_listener *listener, int fd)
{
    struct tl_descriptors *table = make_table(s);
    struct tl_descriptor *d = table == NULL ? NULL : find(table, fd);
    if (d == NULL) {
        return -1;
    }
    if (what_is_awaited(d) != 0) {
        // If the number had an earlier file, its closing is counted now, and not later.
        (void)watch_again(&table->poller, d, what_is_awaited(d));
    }
    listener->descriptor = d;
    listener->seen = d->closings;
    return 0;
}

int
tl_descriptor_listen(struct tl_sched *s, struct tl_descriptor_listener *listener,
                     int fd, int what)
{
    struct tl_descriptor *d = watch(s, fd, what);
    if (d == NULL) {
        return PyErr_Occurred() ? -1 : 1;
    }
    if (tl_descriptor_has_closed(listener)) {
        stop_watching(s, d);
        return tl_descriptor_raise_closed(fd);
    }
    tl_link_insert_before(&listener->link,
                          what == TL_POLLER_READ ? &d->on_read : &d->on_write);
    listener->sched = s;
    check_listener(listener);
    count(s, 1);
    tl_timer_expect(s);
    return 0;
}

void
tl_descriptor_forget(struct tl_descriptor_listener *listener)
{
    struct tl_sched *s = listener->sched;
    if (s != NULL) {
        unlist(listener);
        stop_watching(s, listener->descriptor);
    }
}

static void
look(struct tl_sched *Py_UNUSED(s), struct tl_poll_source *source)
{
    struct tl_descriptors *table = TL_CONTAINER(source, struct tl_descriptors, source);
    struct tl_poller_event events[TL_POLLER_MAX_EVENTS];
    int n = table->waiting > 0 ? TL_POLLER_MAX_EVENTS : 0;
    while (n == TL_POLLER_MAX_EVENTS) {
        n = tl_poller_collect(&table->poller, events);
        for (int i = 0; i < n; i++) {
            int fd = events[i].fd;
            struct tl_descriptor *d = fd < table->room ? table->table[fd] : NULL;
            if (d == NULL) {
                continue;
            }
            if (events[i].what & TL_POLLER_READ) {
                wake(&d->readers, &d->on_read);
            }
            if (events[i].what & TL_POLLER_WRITE) {
                wake(&d->writers, &d->on_write);
            }
            if (what_is_awaited(d) != 0) {
                (void)watch_again(&table->poller, d, what_is_awaited(d));
            }
        }
    }
}

static bool
is_busy(const struct tl_poll_source *source)
{
    return TL_CONTAINER(source, struct tl_descriptors, source)->waiting > 0;
}

static void
check_closed(struct tl_poll_source *source, int64_t now)
{
    struct tl_descriptors *table = TL_CONTAINER(source, struct tl_descriptors, source);
    if (table->waiting == 0 || now < table->check_at) {
        return;
    }
    // CPU time: the thread may have to wait for a CPU during the search.
    int64_t began = tl_clock_read(CLOCK_THREAD_CPUTIME_ID);
    for (int fd = 0; fd < table->room; fd++) {
        struct tl_descriptor *d = table->table[fd];
        if (d != NULL && what_is_awaited(d) != 0) {
            (void)watch_again(&table->poller, d, what_is_awaited(d));
        }
    }
    int64_t used = tl_clock_read(CLOCK_THREAD_CPUTIME_ID) - began;
    int64_t pause = used * CHECK_SHARE;
    table->check_at = now + (pause > CHECK_NS ? pause : CHECK_NS);
}

static tl_deadline
next_check(const struct tl_poll_source *source)
{
    return is_busy(source)
               ? TL_CONTAINER(source, struct tl_descriptors, source)->check_at
               : TL_DEADLINE_NEVER;
}

bool
tl_descriptor_has_closed(const struct tl_descriptor_listener *listener)
{
    const struct tl_descriptor *d = listener->descriptor;
    return d != NULL && d->closings != listener->seen;
}

void
tl_descriptor_notify_closing(struct tl_state *state, int fd)
{
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        struct tl_descriptors *table = s->dead ? NULL : table_of(s);
        struct tl_descriptor *d =
            table != NULL && fd < table->room ? table->table[fd] : NULL;
        if (d != NULL) {
            // A duplicate of the descriptor would keep it watched.
            (void)tl_poller_watch(&table->poller, fd, 0);
            fail(d);
        }
    }
}

// d (may be NULL) goes away: unlink its listeners without calling them.
static void
forget_all(struct tl_descriptor *d)
{
    while (d != NULL && !tl_link_is_single(&d->on_read)) {
        unlist(first_of(&d->on_read));
    }
    while (d != NULL && !tl_link_is_single(&d->on_write)) {
        unlist(first_of(&d->on_write));
    }
}

static void
fini(struct tl_sched *s, struct tl_poll_source *source)
{
    struct tl_descriptors *table = TL_CONTAINER(source, struct tl_descriptors, source);
    for (int fd = 0; fd < table->room; fd++) {
        forget_all(table->table[fd]);
        PyMem_Free(table->table[fd]);
    }
    tl_poll_source_remove(s, source);
    tl_poller_fini(&table->poller);
    PyMem_Free(table->table);
    PyMem_Free(table);
}

static const struct tl_poll_source_kind source_kind = {.look = look,
                                                       .is_busy = is_busy,
                                                       .check = check_closed,
                                                       .next_check = next_check,
                                                       .fini = fini};

void
tl_descriptor_after_fork(struct tl_sched *s)
{
    struct tl_descriptors *table = table_of(s);
    if (table == NULL) {
        return;
    }
    // The kernel's list is shared with the parent: make a new one.
    tl_poller_fini(&table->poller);
    (void)tl_poller_init(&table->poller);
    tl_poll_source_set_fd(s, &table->source, table->poller.fd);
    for (int fd = 0; fd < table->room; fd++) {
        struct tl_descriptor *d = table->table[fd];
        if (d != NULL && what_is_awaited(d) != 0) {
            (void)tl_poller_watch(&table->poller, fd, what_is_awaited(d));
        }
    }
}
