#include "descriptor.h"
#include "errors.h"
#include "timer.h"

#include <errno.h>

// A descriptor that somebody waits for, or waited for once.
struct tl_descriptor {
    int fd;
    struct tl_link readers, writers; // tasklets
};

// Made when first needed.
//
// Invariants
// I1: table[fd] is NULL or has that fd.
struct tl_descriptors {
    struct tl_poller poller;
    struct tl_descriptor **table;
    int room;
    Py_ssize_t waiting; // tasklets
};

static void
joined(struct tl_wait *wait)
{
    struct tl_sched *s = tl_task_of_wait(wait)->home;
    s->awaited++;
    s->descriptors->waiting++;
    tl_timer_expect(s);
}

static void
left(struct tl_wait *wait)
{
    struct tl_sched *s = tl_task_of_wait(wait)->home;
    s->awaited--;
    s->descriptors->waiting--;
}

static const struct tl_wait_kind read_wait = {
    .verb = "waits for a descriptor to read from", .joined = joined, .left = left};
static const struct tl_wait_kind write_wait = {
    .verb = "waits for a descriptor to write to", .joined = joined, .left = left};

static int
raise(int error)
{
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static int
what_is_awaited(const struct tl_descriptor *d)
{
    return (tl_link_is_single(&d->readers) ? 0 : TL_POLLER_READ) |
           (tl_link_is_single(&d->writers) ? 0 : TL_POLLER_WRITE);
}

static struct tl_descriptors *
make_table(struct tl_sched *s)
{
    if (s->descriptors == NULL) {
        struct tl_descriptors *table = PyMem_Calloc(1, sizeof *table);
        if (table == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        int error = tl_poller_init(&table->poller);
        if (error != 0) {
            PyMem_Free(table);
            (void)raise(error);
            return NULL;
        }
        s->descriptors = table;
        s->park.extra_fds[TL_PARK_DESCRIPTORS] = table->poller.fd;
    }
    return s->descriptors;
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
        tl_link_init(&d->readers);
        tl_link_init(&d->writers);
        table->table[fd] = d;
    }
    return table->table[fd];
}

int
tl_descriptor_wait(struct tl_sched *s, int fd, int what, int64_t deadline)
{
    if (tl_errors_block_trap(s)) {
        return -1;
    }
    if (deadline < 0) {
        int ready = tl_poller_ask(fd, what);
        if (ready == 0) {
            PyErr_SetString(PyExc_TimeoutError, "timed out");
        }
        return ready < 0 ? raise(-ready) : ready - 1;
    }
    struct tl_descriptors *table = make_table(s);
    struct tl_descriptor *d = table == NULL ? NULL : find(table, fd);
    if (d == NULL) {
        return -1;
    }
    int error = tl_poller_watch(&table->poller, fd, what_is_awaited(d) | what);
    if (error == EPERM) {
        return 0; // a file: always ready
    }
    if (error != 0) {
        return raise(error);
    }
    bool reads = what == TL_POLLER_READ;
    struct tl_leave how = {.kind = reads ? &read_wait : &write_wait,
                           .queue = reads ? &d->readers : &d->writers,
                           .deadline = deadline,
                           .comes = true};
    PyObject *value = tl_sched_leave(s, &how);
    if (value == NULL && tl_sched_mine == s && what_is_awaited(d) == 0) {
        PyObject *exc = PyErr_GetRaisedException();
        (void)tl_poller_watch(&table->poller, fd, 0);
        PyErr_SetRaisedException(exc);
    }
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

static void
wake(struct tl_link *queue)
{
    while (!tl_link_is_single(queue)) {
        TaskletObject *t = tl_task_of(queue->next);
        tl_task_end_wait(t);
        tl_sched_ready(t);
    }
}

void
tl_descriptor_look(struct tl_sched *s)
{
    struct tl_descriptors *table = s->descriptors;
    struct tl_poller_event events[TL_POLLER_MOST];
    int n = table != NULL && table->waiting > 0 ? TL_POLLER_MOST : 0;
    while (n == TL_POLLER_MOST) {
        n = tl_poller_collect(&table->poller, events);
        for (int i = 0; i < n; i++) {
            int fd = events[i].fd;
            struct tl_descriptor *d = fd < table->room ? table->table[fd] : NULL;
            if (d == NULL) {
                continue;
            }
            if (events[i].what & TL_POLLER_READ) {
                wake(&d->readers);
            }
            if (events[i].what & TL_POLLER_WRITE) {
                wake(&d->writers);
            }
            if (what_is_awaited(d) != 0) {
                (void)tl_poller_watch(&table->poller, fd, what_is_awaited(d));
            }
        }
    }
}

bool
tl_descriptor_is_awaited(const struct tl_sched *s)
{
    return s->descriptors != NULL && s->descriptors->waiting > 0;
}

void
tl_descriptor_fini(struct tl_sched *s)
{
    struct tl_descriptors *table = s->descriptors;
    if (table == NULL) {
        return;
    }
    s->descriptors = NULL;
    s->park.extra_fds[TL_PARK_DESCRIPTORS] = -1;
    tl_poller_fini(&table->poller);
    for (int fd = 0; fd < table->room; fd++) {
        PyMem_Free(table->table[fd]);
    }
    PyMem_Free(table->table);
    PyMem_Free(table);
}

void
tl_descriptor_after_fork(struct tl_sched *s)
{
    struct tl_descriptors *table = s->descriptors;
    if (table == NULL) {
        return;
    }
    // The kernel's list is shared with the parent: have one of our own.
    tl_poller_fini(&table->poller);
    (void)tl_poller_init(&table->poller);
    s->park.extra_fds[TL_PARK_DESCRIPTORS] = table->poller.fd;
    for (int fd = 0; fd < table->room; fd++) {
        struct tl_descriptor *d = table->table[fd];
        if (d != NULL && what_is_awaited(d) != 0) {
            (void)tl_poller_watch(&table->poller, fd, what_is_awaited(d));
        }
    }
}
