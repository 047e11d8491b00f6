// socket.c - operations on sockets and pipes, and their waits.
#include "io/socket.h"
#include "core/errors.h"
#include "core/poll_source.h"
#include "core/stress_points.h"
#include "core/timer.h"
#include "io/net_errors.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

// Maximum number of operations in one slice that do not wait. A client that sends
// without end would otherwise keep its handler running. With 16, ten other clients
// beside such a one got their answers in 0.08 ms at the median; with 64 they got 60 %
// of the throughput, and with 1 the handler lost half of its own.
enum { MAX_OPERATIONS = TL_STRESS_OR(16, 1) };

// Maximum number of batches of events that one look handles. Tasklets that these have
// made runnable run before more are collected.
enum { MAX_BATCHES = 4 };

// A place in the table of a set, which events name by its index and generation: a
// socket may have been closed, and its place be used again, after an event was found.
struct slot {
    struct tl_socket *socket; // borrowed; NULL: free
    uint32_t generation;
    uint32_t next_free; // index of the next free slot, while this one is; NO_SLOT: none
};

enum { NO_SLOT = UINT32_MAX };

// The sockets that one thread watches, made when it first waits for one.
//
// Invariants
// I1: slots[i].socket is NULL, or its set and slot are this and i.
// I2: waiting counts the tasklets in the queues of these sockets, and the sockets with
//     output that waits without a tasklet.
struct tl_socket_set {
    struct tl_poll_source source;
    struct tl_sched *sched;
    struct slot *slots;
    uint32_t room; // length of slots
    uint32_t free; // index of the first free slot, or NO_SLOT
    Py_ssize_t waiting;
    char *scratch;  // of tl_socket_scratch(), or NULL
    uint64_t slice; // the slice in which operations were counted,
    int operations; // and their number
    struct tl_edge_set edges;
};

static const struct tl_poll_source_kind source_kind;

// The set of s, or NULL.
static struct tl_socket_set *
set_of(const struct tl_sched *s)
{
    struct tl_poll_source *source = tl_poll_source_find(s, &source_kind);
    return source == NULL ? NULL : TL_CONTAINER(source, struct tl_socket_set, source);
}

#ifndef NDEBUG
void
tl_socket_check(const struct tl_socket *socket)
{
    const struct tl_socket_set *set = socket->set;
    TL_CHECK("S1", "tl_socket", socket,
             (socket->state == TL_SOCKET_WATCHED) == (set != NULL));
    TL_CHECK("S1", "tl_socket", socket,
             set == NULL || set->slots[socket->slot].socket == socket);
    TL_CHECK("S3", "tl_socket", socket,
             socket->state != TL_SOCKET_CLOSED ||
                 (socket->fd == -1 && tl_link_is_single(&socket->readers) &&
                  tl_link_is_single(&socket->writers)));
}
#endif

static struct tl_socket_set *
make_set(struct tl_sched *s)
{
    struct tl_socket_set *set = set_of(s);
    if (set != NULL) {
        return set;
    }
    set = PyMem_Calloc(1, sizeof *set);
    if (set == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    int error = tl_edge_set_init(&set->edges);
    if (error != 0) {
        PyMem_Free(set);
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    set->sched = s;
    set->free = NO_SLOT;
    set->source = (struct tl_poll_source){&source_kind, set->edges.fd};
    tl_poll_source_add(s, &set->source);
    tl_park_use_edges(&s->park, &set->edges);
    return set;
}

char *
tl_socket_scratch(struct tl_sched *s)
{
    struct tl_socket_set *set = make_set(s);
    if (set != NULL && set->scratch == NULL) {
        set->scratch = PyMem_Malloc(TL_SOCKET_SCRATCH);
        if (set->scratch == NULL) {
            PyErr_NoMemory();
        }
    }
    return set == NULL ? NULL : set->scratch;
}

// ---- slots

// Returns false if there is no memory.
static bool
grow(struct tl_socket_set *set)
{
    uint32_t room = set->room == 0 ? 16 : 2 * set->room;
    struct slot *grown = PyMem_Realloc(set->slots, room * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    for (uint32_t i = set->room; i < room; i++) {
        grown[i] = (struct slot){.next_free = i + 1 < room ? i + 1 : set->free};
    }
    set->slots = grown;
    set->free = set->room;
    set->room = room;
    return true;
}

static uint64_t
key_of(uint32_t slot, uint32_t generation)
{
    return ((uint64_t)generation << 32) | (slot + (uint64_t)TL_PARK_FIRST_KEY);
}

// The socket of an event, or NULL if it is not watched any more.
static struct tl_socket *
socket_of(struct tl_socket_set *set, uint64_t key)
{
    uint64_t low = key & UINT32_MAX;
    if (low < TL_PARK_FIRST_KEY) {
        return NULL; // one of the descriptors that wake the thread
    }
    const struct slot *slot = &set->slots[low - TL_PARK_FIRST_KEY];
    return slot->generation == (uint32_t)(key >> 32) ? slot->socket : NULL;
}

int
tl_socket_watch(struct tl_sched *s, struct tl_socket *socket)
{
    if (socket->state == TL_SOCKET_WATCHED) {
        return 0;
    }
    struct tl_socket_set *set = make_set(s);
    if (set == NULL || (set->free == NO_SLOT && !grow(set))) {
        PyErr_Clear();
        return ENOMEM;
    }
    uint32_t place = set->free;
    struct slot *slot = &set->slots[place];
    int error =
        tl_edge_set_add(&set->edges, socket->fd, key_of(place, slot->generation));
    if (error != 0) {
        return error;
    }
    set->free = slot->next_free;
    slot->socket = socket;
    socket->set = set;
    socket->slot = place;
    socket->state = TL_SOCKET_WATCHED;
    tl_socket_check(socket);
    return 0;
}

// The socket is watched no longer, and nobody waits for it.
static void
release_slot(struct tl_socket *socket)
{
    struct tl_socket_set *set = socket->set;
    struct slot *slot = &set->slots[socket->slot];
    slot->socket = NULL;
    slot->generation++;
    slot->next_free = set->free;
    set->free = socket->slot;
    socket->set = NULL;
}

// ---- waits

// A waiter (n = 1), or output without one, begins or ends (-1) to wait for socket.
static void
count(struct tl_socket *socket, struct tl_sched *waiter, int n)
{
    struct tl_sched *home = socket->set->sched;
    waiter->awaited += n;
    socket->set->waiting += n;
    if (n > 0) {
        tl_timer_expect(home);
        if (home != tl_sched_mine) {
            tl_sched_notify(home); // it may be asleep without looking at the set
        }
    }
}

static void
reader_joined(struct tl_wait *wait)
{
    count(TL_CONTAINER(wait->queue, struct tl_socket, readers),
          tl_task_of_wait(wait)->home, 1);
}

static void
reader_left(struct tl_wait *wait)
{
    count(TL_CONTAINER(wait->queue, struct tl_socket, readers),
          tl_task_of_wait(wait)->home, -1);
}

static void
writer_joined(struct tl_wait *wait)
{
    count(TL_CONTAINER(wait->queue, struct tl_socket, writers),
          tl_task_of_wait(wait)->home, 1);
}

static void
writer_left(struct tl_wait *wait)
{
    count(TL_CONTAINER(wait->queue, struct tl_socket, writers),
          tl_task_of_wait(wait)->home, -1);
}

static const struct tl_wait_kind read_wait = {
    .verb = "read from", .joined = reader_joined, .left = reader_left};
static const struct tl_wait_kind write_wait = {
    .verb = "write to", .joined = writer_joined, .left = writer_left};

struct tl_sched *
tl_socket_home(const struct tl_socket *socket)
{
    return socket->set->sched;
}

void
tl_socket_expect(struct tl_socket *socket, bool output_waits)
{
    if (socket->output_waits != output_waits) {
        socket->output_waits = output_waits;
        count(socket, socket->set->sched, output_waits ? 1 : -1);
    }
}

// A struct tl_leave for a socket.
struct socket_leave {
    struct tl_leave leave;
    const struct tl_socket *socket;
    int what;
};

static bool
has_come(const struct tl_leave *leave)
{
    const struct socket_leave *how = TL_CONTAINER(leave, struct socket_leave, leave);
    // Python code may have run since the operation was tried: a look may have found it
    // ready, or its thread may have ended.
    return how->socket->state != TL_SOCKET_WATCHED ||
           (how->socket->ready & how->what) != 0;
}

int
tl_socket_wait(struct tl_sched *s, struct tl_socket *socket, int what,
               tl_deadline deadline)
{
    if (tl_errors_block_trap(s)) {
        return -1;
    }
    int error = tl_socket_watch(s, socket);
    if (error != 0) {
        return tl_socket_raise(socket, error);
    }
    bool reads = what == TL_EDGE_READ;
    const struct tl_wait_kind *kind = reads ? &read_wait : &write_wait;
    struct tl_link *queue = reads ? &socket->readers : &socket->writers;
    PyObject *value;
    if (TL_LIKELY(deadline == TL_DEADLINE_NEVER && tl_sched_is_plain(s)) &&
        !tl_takes_detour()) {
        value = tl_sched_wait(s, kind, socket->owner, queue, NULL);
    } else {
        struct socket_leave how = {.leave = {.kind = kind,
                                             .on = socket->owner,
                                             .queue = queue,
                                             .deadline = deadline,
                                             .comes = true,
                                             .last_check = has_come},
                                   .socket = socket,
                                   .what = what};
        value = tl_sched_leave(s, &how.leave);
    }
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

static void
wake(struct tl_link *queue)
{
    // All of them: the first may use up only a part of what is there.
    while (!tl_link_is_single(queue)) {
        TaskletObject *t = tl_task_of(queue->next);
        tl_task_end_wait(t);
        tl_sched_ready(t);
    }
}

void
tl_socket_wake(struct tl_socket *socket)
{
    wake(&socket->readers);
    wake(&socket->writers);
}

// ---- events

static void
handle(struct tl_socket *socket, int what)
{
    socket->ready |= what & (TL_EDGE_READ | TL_EDGE_WRITE);
    socket->careful |= (what & TL_EDGE_CAREFUL) != 0;
    if (what & TL_EDGE_READ) {
        wake(&socket->readers);
    }
    if (what & TL_EDGE_WRITE) {
        if (socket->writable != NULL) {
            socket->writable(socket);
        }
        wake(&socket->writers);
    }
}

// From here to the last event of a batch nothing runs that could close a socket.
static int
handle_found(struct tl_socket_set *set)
{
    int n = set->edges.nfound;
    set->edges.nfound = 0;
    for (int i = 0; i < n; i++) {
        struct tl_socket *socket = socket_of(set, set->edges.found[i].key);
        if (socket != NULL) {
            handle(socket, set->edges.found[i].what);
        }
    }
    return n;
}

static void
look(struct tl_sched *s, struct tl_poll_source *source)
{
    struct tl_socket_set *set = TL_CONTAINER(source, struct tl_socket_set, source);
    int n = handle_found(set); // what the last sleep has found
    if (n == 0 && (set->waiting == 0 || s->sleep_follows)) {
        return;
    }
    int batches = n > 0;
    while ((n == 0 && batches == 0) ||
           (n == TL_EDGE_SET_MAX_EVENTS && batches < MAX_BATCHES)) {
        tl_edge_set_wait(&set->edges, 0);
        n = handle_found(set);
        batches++;
    }
}

static bool
is_busy(const struct tl_poll_source *source)
{
    return TL_CONTAINER(source, struct tl_socket_set, source)->waiting > 0;
}

// The set is going away: its sockets must be added to another. The waiters of threads
// that exist try again.
static void
release_all(struct tl_socket_set *set)
{
    for (uint32_t i = 0; i < set->room; i++) {
        struct tl_socket *socket = set->slots[i].socket;
        if (socket != NULL && socket->closing) {
            socket->close_now(socket);
        } else if (socket != NULL) {
            socket->ready = TL_EDGE_READ | TL_EDGE_WRITE;
            tl_socket_expect(socket, false);
            tl_socket_wake(socket);
            release_slot(socket);
            socket->state = TL_SOCKET_FRESH;
            tl_socket_check(socket);
        }
    }
}

static void
thread_ends(struct tl_sched *Py_UNUSED(s), struct tl_poll_source *source)
{
    release_all(TL_CONTAINER(source, struct tl_socket_set, source));
}

static void
fini(struct tl_sched *s, struct tl_poll_source *source)
{
    struct tl_socket_set *set = TL_CONTAINER(source, struct tl_socket_set, source);
    release_all(set);
    tl_park_use_edges(&s->park, NULL);
    tl_poll_source_remove(s, source);
    tl_edge_set_fini(&set->edges);
    PyMem_Free(set->scratch);
    PyMem_Free(set->slots);
    PyMem_Free(set);
}

static const struct tl_poll_source_kind source_kind = {
    .look = look, .is_busy = is_busy, .thread_ends = thread_ends, .fini = fini};

void
tl_socket_after_fork(struct tl_sched *mine)
{
    struct tl_socket_set *set = set_of(mine);
    if (set == NULL) {
        return;
    }
    release_all(set);
    // The kernel's set is shared with the parent: make a new one.
    tl_edge_set_fini(&set->edges);
    (void)tl_edge_set_init(&set->edges);
    tl_poll_source_set_fd(mine, &set->source, set->edges.fd);
    tl_park_use_edges(&mine->park, &set->edges);
}

// ---- fairness

int
tl_socket_give_way(struct tl_sched *s)
{
    struct tl_socket_set *set = set_of(s);
    if (set == NULL) {
        return 0; // it has never waited
    }
    uint64_t slice = s->switches + s->yields;
    if (set->slice != slice) {
        set->slice = slice;
        set->operations = 0;
    }
    if (TL_LIKELY(++set->operations <= MAX_OPERATIONS)) {
        return 0;
    }
    set->operations = 0;
    if (s->trap != 0 || tl_sched_is_held(s) || s->current->atomic ||
        s->current->block_trap) {
        return 0;
    }
    tl_timer_poll(s);
    PyObject *value = tl_sched_yield(s, Py_None);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

// ---- life

void
tl_socket_init(struct tl_socket *socket, PyObject *owner, int fd)
{
    memset(socket, 0, sizeof *socket);
    socket->fd = fd;
    socket->owner = owner;
    socket->ready = TL_EDGE_READ | TL_EDGE_WRITE; // not known: try
    tl_link_init(&socket->readers);
    tl_link_init(&socket->writers);
}

void
tl_socket_note_peer(struct tl_socket *socket, const struct sockaddr *address,
                    socklen_t length)
{
    union tl_address own;
    if (address == NULL) {
        length = sizeof own;
        address = &own.any;
        if (getpeername(socket->fd, &own.any, &length) < 0) {
            length = 0;
        }
    }
    if (length > 0 && length <= sizeof socket->peer) {
        memcpy(socket->peer, address, length);
        socket->peer_length = (unsigned char)length;
    }
}

int
tl_socket_detach(struct tl_socket *socket)
{
    int fd = socket->fd;
    if (socket->state == TL_SOCKET_CLOSED) {
        return -1;
    }
    if (socket->state == TL_SOCKET_WATCHED) {
        tl_socket_expect(socket, false);
        tl_socket_wake(socket);
        tl_edge_set_remove(&socket->set->edges, fd);
        release_slot(socket);
    }
    socket->state = TL_SOCKET_CLOSED;
    socket->fd = -1;
    tl_socket_check(socket);
    return fd;
}

int
tl_socket_close(struct tl_socket *socket)
{
    int fd = tl_socket_detach(socket);
    // After EINTR the descriptor is closed all the same.
    return fd >= 0 && close(fd) < 0 && errno != EINTR ? errno : 0;
}

// ---- errors

int
tl_socket_raise_closed(struct tl_socket *socket)
{
    return tl_net_errors_closed(socket->owner);
}

int
tl_socket_raise(struct tl_socket *socket, int error)
{
    PyObject *text = socket->peer_length == 0
                         ? NULL
                         : tl_address_text((const struct sockaddr *)socket->peer,
                                           socket->peer_length);
    if (text == NULL && PyErr_Occurred()) {
        return -1;
    }
    socket->last_error = errno = error;
    PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, text);
    Py_XDECREF(text);
    return -1;
}

// ---- reading and writing

// tl_socket_try_read(), inline.
static inline ssize_t
try_read(struct tl_socket *socket, void *buffer, size_t size)
{
    while (socket->ready & TL_EDGE_READ) {
        ssize_t n = socket->is_socket ? recv(socket->fd, buffer, size, 0)
                                      : read(socket->fd, buffer, size);
        if (n >= 0) {
            if (n > 0 && (size_t)n < size && socket->is_tcp && !socket->careful) {
                socket->ready &= ~TL_EDGE_READ;
            }
            return n;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            socket->ready &= ~TL_EDGE_READ;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    errno = EAGAIN;
    return -1;
}

ssize_t
tl_socket_try_read(struct tl_socket *socket, void *buffer, size_t size)
{
    return try_read(socket, buffer, size);
}

ssize_t
tl_socket_read(struct tl_sched *s, struct tl_socket *socket, void *buffer, size_t size,
               tl_deadline deadline)
{
    for (;;) {
        if (socket->state == TL_SOCKET_CLOSED || socket->closing) {
            return tl_socket_raise_closed(socket);
        }
        ssize_t n = try_read(socket, buffer, size);
        if (n >= 0) {
            return n;
        }
        if (errno != EAGAIN) {
            return tl_socket_raise(socket, errno);
        }
        if (tl_socket_wait(s, socket, TL_EDGE_READ, deadline) < 0) {
            return -1;
        }
    }
}

ssize_t
tl_socket_try_write(struct tl_socket *socket, const struct iovec *pieces, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)pieces,
                             .msg_iovlen = (size_t)count};
    for (;;) {
        ssize_t n = socket->is_socket ? sendmsg(socket->fd, &message, MSG_NOSIGNAL)
                                      : writev(socket->fd, pieces, count);
        if (n >= 0) {
            return n; // perhaps less than all: only EAGAIN promises a report
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            errno = EAGAIN;
            socket->ready &= ~TL_EDGE_WRITE;
        }
        if (errno != EINTR) {
            return -1;
        }
    }
}

int
tl_socket_write(struct tl_sched *s, struct tl_socket *socket, const void *data,
                size_t size, tl_deadline deadline, size_t *written)
{
    *written = 0;
    while (*written < size) {
        if (socket->state == TL_SOCKET_CLOSED || socket->closing) {
            return tl_socket_raise_closed(socket);
        }
        if (socket->ready & TL_EDGE_WRITE) {
            struct iovec piece = {(char *)data + *written, size - *written};
            ssize_t n = tl_socket_try_write(socket, &piece, 1);
            if (n >= 0) {
                *written += (size_t)n;
                continue;
            }
            if (errno != EAGAIN) {
                return tl_socket_raise(socket, errno);
            }
        }
        if (tl_socket_wait(s, socket, TL_EDGE_WRITE, deadline) < 0) {
            return -1;
        }
    }
    return 0;
}
