// lock_cycle.c - deadlocks of locks whose owners wait for each other.
//
// Each tasklet or thread waits for one lock at a time, and each lock has one owner: the
// chain lock -> owner -> lock that it waits for -> ... has no branches. It closes a
// cycle if it leads back to the caller.
#include "sync/lock_cycle.h"

// The length up to which a chain of owners is followed. It bounds the time of an
// acquire(); a longer cycle is not found.
enum { MAX_LINKS = 1000 };

// The number of links of a cycle that its message lists.
enum { MAX_LISTED = 20 };

// One link of a cycle.
struct found {
    LockObject *lock;     // counted
    TaskletObject *owner; // counted; NULL: a thread
    unsigned long ident;
};

// The lock that t waits for without any limit, or NULL. A deadline or a timeout() block
// would end the wait, and so the cycle.
static LockObject *
awaited_by_tasklet(TaskletObject *t)
{
    if (t->place != TL_WAITING || !t->wait.kind->is_lock ||
        tl_timer_is_set(&t->timer) || t->home->dead) {
        return NULL;
    }
    LockObject *lock = (LockObject *)t->wait.on;
    return t->scopes == NULL || lock->is_strict ? lock : NULL;
}

// The same for any owner of locks.
static LockObject *
awaited_by(struct tl_holder *holder)
{
    if (!holder->native) {
        return awaited_by_tasklet(TL_CONTAINER(holder, TaskletObject, holder));
    }
    struct tl_os_thread *native = TL_CONTAINER(holder, struct tl_os_thread, holder);
    struct tl_sleeper *sleeper = native->asleep;
    if (sleeper != NULL) {
        struct tl_wait *wait = &sleeper->waiter.wait;
        bool waits =
            tl_wait_is_armed(wait) && wait->kind->is_lock &&
            (sleeper->deadline == TL_DEADLINE_NEVER || wait->queue != sleeper->queue) &&
            sleeper->holder == holder;
        return waits ? (LockObject *)wait->on : NULL;
    }
    return native->sched != NULL && native->sched->main != NULL
               ? awaited_by_tasklet(native->sched->main)
               : NULL;
}

// The owner of lock, or NULL if there is none or another may release the lock.
static struct tl_holder *
owner_of(LockObject *lock)
{
    return lock->released_by_other ? NULL : lock->ownership.owner;
}

// The number of locks in the cycle that a wait of me for lock would close, or 0.
static int
find_cycle(LockObject *lock, struct tl_holder *me)
{
    int length = 0;
    while (lock != NULL && length < MAX_LINKS) {
        struct tl_holder *owner = owner_of(lock);
        length++;
        if (owner == NULL) {
            return 0;
        }
        if (owner == me) {
            return length > 1 ? length : 0; // another thread may release me's own lock
        }
        lock = awaited_by(owner);
    }
    return 0;
}

// ---- the message

// Note up to MAX_LISTED links of the cycle, before Python code can change them. Returns
// how many.
static int
note_cycle(LockObject *lock, int length, struct found *found)
{
    int count = length < MAX_LISTED ? length : MAX_LISTED;
    for (int i = 0; i < count; i++) {
        struct tl_holder *holder = lock->ownership.owner;
        found[i] = (struct found){.lock = (LockObject *)Py_NewRef(lock)};
        if (holder->native) {
            found[i].ident = TL_CONTAINER(holder, struct tl_os_thread, holder)->ident;
        } else {
            found[i].owner =
                (TaskletObject *)Py_NewRef(TL_CONTAINER(holder, TaskletObject, holder));
        }
        lock = awaited_by(holder);
    }
    return count;
}

// Does not call methods in Python: the exception of a signal handler in there would be
// cleared with the others.
static PyObject *
name_thread(unsigned long ident)
{
    PyObject *key = PyLong_FromUnsignedLong(ident);
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *active = threading ? tl_getattr(threading, "_active") : NULL;
    PyObject *thread = key && active ? PyObject_GetItem(active, key) : NULL;
    PyObject *name = thread ? tl_getattr(thread, "_name") : NULL;
    PyErr_Clear(); // threading does not know the thread
    PyObject *text = name ? PyUnicode_FromFormat("thread %R", name)
                          : PyUnicode_FromFormat("thread %lu", ident);
    Py_XDECREF(name);
    Py_XDECREF(thread);
    Py_XDECREF(active);
    Py_XDECREF(threading);
    Py_XDECREF(key);
    return text;
}

static PyObject *
name_owner(const struct found *found)
{
    if (found->owner == NULL) {
        return name_thread(found->ident);
    }
    PyObject *name = tl_task_name(found->owner);
    PyObject *text = name ? PyUnicode_FromFormat("tasklet '%U'", name) : NULL;
    Py_XDECREF(name);
    return text;
}

static PyObject *
describe_cycle(const struct found *found, int count, int length)
{
    PyObject *text = PyUnicode_FromString("the owners of locks wait for each other:");
    for (int i = 0; text != NULL && i < count; i++) {
        PyObject *owner = name_owner(&found[i]);
        PyObject *line =
            owner
                ? PyUnicode_FromFormat("\n  %R is held by %U, %s", found[i].lock, owner,
                                       i + 1 == length ? "which waits for the first"
                                                       : "which waits for")
                : NULL;
        Py_XDECREF(owner);
        PyUnicode_AppendAndDel(&text, line);
    }
    if (text != NULL && count < length) {
        PyUnicode_AppendAndDel(&text,
                               PyUnicode_FromFormat("\n  %d others", length - count));
    }
    return text;
}

TL_COLD static int
report(struct tl_state *state, LockObject *lock, int length)
{
    struct found found[MAX_LISTED];
    int count = note_cycle(lock, length, found), result = -1;
    PyObject *text = describe_cycle(found, count, length);
    if (text != NULL && state->reports_cycles) {
        result = PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "%U", text);
    } else if (text != NULL) {
        PyErr_SetObject(state->deadlock_error, text);
    }
    Py_XDECREF(text);
    while (count > 0) {
        count--;
        Py_DECREF(found[count].lock);
        Py_XDECREF(found[count].owner);
    }
    return result;
}

int
tl_lock_cycle_check(struct tl_state *state, LockObject *lock, struct tl_holder *me)
{
    struct tl_sched *s = tl_sched_mine;
    bool ends = s != NULL && s->current->scopes != NULL && !lock->is_strict;
    if (owner_of(lock) == NULL || ends) {
        return 0;
    }
    int length = find_cycle(lock, me);
    return TL_LIKELY(length == 0) ? 0 : report(state, lock, length);
}
