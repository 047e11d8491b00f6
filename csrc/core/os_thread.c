// os_thread.c - waits and locks of threads; threads that end, and forks.
#include "core/os_thread.h"
#include "core/thread_sleep.h"
#include "cpython/gil.h"
#include "base/clock.h"

#include <pthread.h>

// A thread-specific key whose destructor runs at a thread's end. One for the process;
// key and made are guarded by the GIL.
static struct {
    pthread_key_t key;
    bool made;
    _Atomic long gone; // threads that have ended and are still in state->os_threads
} ends;

// ---- threads come and go

// The key's destructor. The thread does not have the GIL, so another one calls
// free_native().
static void
thread_ends(void *arg)
{
    struct tl_os_thread *native = arg;
    tl_os_thread_mine = NULL;
    tl_deferred_wakes_flush(&native->pending_wakes);
    // Release: pairs with the acquire in sweep().
    atomic_store_explicit(&native->gone, true, memory_order_release);
    atomic_fetch_add_explicit(&ends.gone, 1, memory_order_relaxed);
}

void
tl_os_thread_disown_all(struct tl_holder *holder)
{
    while (!tl_link_is_single(&holder->held)) {
        tl_os_thread_disown(TL_CONTAINER(holder->held.next, struct tl_ownership, held));
    }
}

static void
free_native(struct tl_os_thread *native)
{
    tl_os_thread_disown_all(&native->holder);
    if (native->sched != NULL) {
        native->sched->native = NULL;
    }
    tl_link_remove(&native->all);
    tl_deferred_wakes_fini(&native->pending_wakes);
    tl_deferred_wakes_forget(&native->park);
    tl_park_fini(&native->park);
    PyMem_RawFree(native);
}

// Free what threads that have ended had.
static void
sweep(struct tl_state *state)
{
    struct tl_link *next;
    for (struct tl_link *i = state->os_threads.next; i != &state->os_threads;
         i = next) {
        struct tl_os_thread *native = TL_CONTAINER(i, struct tl_os_thread, all);
        next = i->next;
        // Acquire: pairs with the release in thread_ends().
        if (atomic_load_explicit(&native->gone, memory_order_acquire)) {
            free_native(native);
            atomic_fetch_sub_explicit(&ends.gone, 1, memory_order_relaxed);
        }
    }
}

TL_COLD struct tl_os_thread *
tl_os_thread_make(struct tl_state *state)
{
    if (!ends.made) {
        if (pthread_key_create(&ends.key, thread_ends) != 0) {
            PyErr_NoMemory();
            return NULL;
        }
        ends.made = true;
    }
    if (atomic_load_explicit(&ends.gone, memory_order_relaxed) > 0) {
        sweep(state);
    }
    struct tl_os_thread *native = PyMem_RawCalloc(1, sizeof *native);
    if (native == NULL || pthread_setspecific(ends.key, native) != 0) {
        PyMem_RawFree(native);
        PyErr_NoMemory();
        return NULL;
    }
    native->holder.native = true;
    tl_link_init(&native->holder.held);
    native->ident = PyThread_get_thread_ident();
    native->sched = tl_sched_mine;
    if (tl_sched_mine != NULL) {
        tl_sched_mine->native = native;
    }
    tl_park_init(&native->park);
    tl_deferred_wakes_init(&native->pending_wakes);
    tl_link_insert_before(&native->all, &state->os_threads);
    tl_os_thread_mine = native;
    return native;
}

TL_COLD struct tl_holder *
tl_os_thread_make_holder(PyTypeObject *type)
{
    PyObject *mod = PyType_GetModuleByDef(type, &tl_module_def);
    struct tl_os_thread *native = tl_os_thread_get(tl_state_of_module(mod));
    return native == NULL ? NULL : &native->holder;
}

struct tl_holder *
tl_os_thread_holder_of(struct tl_waiter *waiter)
{
    if (waiter->wait.native) {
        return tl_os_thread_sleeper_of(waiter)->holder;
    }
    TaskletObject *t = tl_task_of_waiter(waiter);
    return t->is_main ? &t->home->native->holder : &t->holder;
}

#ifndef NDEBUG
void
tl_ownership_check(const struct tl_ownership *ownership)
{
    bool is_single = tl_link_is_single(&ownership->held);
    TL_CHECK("I1", "tl_ownership", ownership, is_single == (ownership->owner == NULL));
    TL_CHECK("I1", "tl_ownership", ownership,
             is_single || tl_link_may_be_in(&ownership->held, &ownership->owner->held));
}

void
tl_os_thread_check(const struct tl_os_thread *native)
{
    for (const struct tl_sleeper *i = native->asleep; i != NULL; i = i->outer) {
        TL_CHECK("I1", "tl_sleeper", i, i->native == native && i->waiter.wait.native);
        TL_CHECK("I1", "tl_sleeper", i, i->outer != NULL || i == &native->first);
        tl_wait_check(&i->waiter.wait, &i->waiter.link);
    }
}
#endif

// ---- sleeping

struct tl_sleeper *
tl_os_thread_begin(struct tl_state *state, struct tl_holder *holder)
{
    struct tl_os_thread *native = tl_os_thread_get(state);
    if (native == NULL) {
        return NULL;
    }
    struct tl_sleeper *sleeper = &native->first;
    if (native->asleep != NULL) {
        sleeper = PyMem_Malloc(sizeof *sleeper);
        if (sleeper == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
    }
    *sleeper = (struct tl_sleeper){.native = native,
                                   .holder = holder != NULL ? holder : &native->holder,
                                   .outer = native->asleep};
    tl_link_init(&sleeper->waiter.link);
    sleeper->waiter.wait.native = true;
    native->asleep = sleeper;
    tl_os_thread_check(native);
    return sleeper;
}

void
tl_os_thread_end(struct tl_sleeper *sleeper)
{
    struct tl_os_thread *native = sleeper->native;
    assert(native->asleep == sleeper && !tl_wait_is_armed(&sleeper->waiter.wait));
    native->asleep = sleeper->outer;
    if (sleeper != &native->first) {
        PyMem_Free(sleeper);
    }
    tl_os_thread_check(native);
}

static bool
is_armed(void *arg)
{
    return tl_wait_is_armed(&((struct tl_sleeper *)arg)->waiter.wait);
}

// How long sleeper may sleep, in nanoseconds; < 0: no limit.
static int64_t
time_left(const struct tl_sleeper *sleeper)
{
    if (sleeper->deadline == TL_DEADLINE_NEVER ||
        sleeper->waiter.wait.queue != sleeper->queue) {
        return -1;
    }
    int64_t left = sleeper->deadline - tl_clock_now();
    return left > 0 ? left : 0;
}

int
tl_os_thread_sleep(struct tl_state *state, struct tl_sleeper *sleeper,
                   tl_deadline deadline)
{
    struct tl_os_thread *native = sleeper->native;
    struct tl_wait *wait = &sleeper->waiter.wait;
    bool in_main = tl_gil_is_main_thread(), poll = false;
    int result = 0;
    sleeper->deadline = deadline;
    sleeper->queue = wait->queue;
    for (;;) {
        if (!poll) {
            tl_park_reset(&native->park);
        }
        if (in_main && (result = tl_thread_sleep_run_handlers()) < 0) {
            break;
        }
        if (!tl_wait_is_armed(wait)) {
            break;
        }
        int64_t left = time_left(sleeper);
        if (left == 0) {
            wait->given |= TL_GIVEN_TIMED_OUT;
            break;
        }
        if (!poll) {
            tl_thread_sleep_look_for_cpus(state, &native->park);
            bool nap = in_main && (left < 0 || left > TL_THREAD_SLEEP_SHORT_NS);
            tl_thread_sleep(&native->park, in_main ? TL_SLEEP_IN_MAIN : 0,
                            nap ? TL_THREAD_SLEEP_SHORT_NS : left);
            poll = in_main;
        } else {
            result =
                tl_thread_sleep_in_main(state, &native->park, left, is_armed, sleeper);
            poll = false;
            if (result < 0) {
                break;
            }
        }
    }
    if (tl_wait_is_armed(wait)) {
        tl_wait_end(wait, &sleeper->waiter.link);
    }
    return result;
}

void
tl_os_thread_wake(struct tl_os_thread *native)
{
    tl_deferred_wakes_wake(tl_os_thread_pending_wakes(), &native->park);
}

// ---- threads about to end

// LEAVERS_WAIT_NS limits how long a fork waits for threads that end. These need
// microseconds; a thread of C code that has left Python may never end. LEAVERS_LOOK:
// the pause between two looks.
static const int64_t LEAVERS_WAIT_NS = 5000000;
static const struct timespec LEAVERS_LOOK = {.tv_nsec = 50000};

static struct {
    pthread_key_t key;
    bool made;           // guarded by the GIL
    _Atomic int threads; // that are ending
} leavers;

static TL_THREAD_LOCAL bool leaves; // the calling thread counts in leavers.threads

// The key's destructor: those of C++ thread-locals, greenlet's among them, have run
// before.
static void
has_left(void *Py_UNUSED(arg))
{
    leaves = false;
    atomic_fetch_sub(&leavers.threads, 1);
}

void
tl_os_thread_leaves(bool flag)
{
    if (flag == leaves) {
        return;
    }
    leavers.made = leavers.made || pthread_key_create(&leavers.key, has_left) == 0;
    void *value = flag ? &leavers : NULL;
    if (leavers.made && pthread_setspecific(leavers.key, value) == 0) {
        leaves = flag;
        atomic_fetch_add(&leavers.threads, flag ? 1 : -1);
    }
}

void
tl_os_thread_wait_for_leavers(void)
{
    int64_t end = tl_clock_now() + LEAVERS_WAIT_NS;
    while (atomic_load(&leavers.threads) > leaves && tl_clock_now() < end) {
        nanosleep(&LEAVERS_LOOK, NULL);
    }
}

void
tl_os_thread_forget_leavers(void)
{
    atomic_store(&leavers.threads, leaves);
}

// ---- fork

// native's thread does not exist in this process: end its waits.
static void
end_waits(struct tl_os_thread *native)
{
    while (native->asleep != NULL) {
        struct tl_sleeper *sleeper = native->asleep;
        if (tl_wait_is_armed(&sleeper->waiter.wait)) {
            tl_wait_end(&sleeper->waiter.wait, &sleeper->waiter.link);
        }
        tl_os_thread_end(sleeper);
    }
}

void
tl_os_thread_after_fork(struct tl_state *state)
{
    struct tl_os_thread *mine = tl_os_thread_mine;
    struct tl_link *next;
    for (struct tl_link *i = state->os_threads.next; i != &state->os_threads;
         i = next) {
        struct tl_os_thread *native = TL_CONTAINER(i, struct tl_os_thread, all);
        next = i->next;
        if (native == mine) {
            tl_park_fini(&native->park);
            tl_park_init(&native->park);
        } else {
            end_waits(native);
            native->sched = NULL; // dead, too
            free_native(native);
        }
    }
    atomic_store_explicit(&ends.gone, 0, memory_order_relaxed);
}
