// thread_sleep.c - how a thread gives up the GIL, sleeps and gets the GIL again.
#include "core/thread_sleep.h"
#include "core/os_thread.h"
#include "cpython/gil.h"
#include "cpython/gil_priority.h"

#include <unistd.h>

static uint64_t
cpus_of_scheds(struct tl_state *state, uint64_t cpus)
{
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        cpus |= TL_CONTAINER(i, struct tl_sched, all)->park.cpus;
        if ((cpus & (cpus - 1)) != 0) {
            break;
        }
    }
    return cpus;
}

static uint64_t
cpus_of_natives(struct tl_state *state, uint64_t cpus)
{
    for (struct tl_link *i = state->os_threads.next; i != &state->os_threads;
         i = i->next) {
        cpus |= TL_CONTAINER(i, struct tl_os_thread, all)->park.cpus;
        if ((cpus & (cpus - 1)) != 0) {
            break;
        }
    }
    return cpus;
}

void
tl_thread_sleep_look_for_cpus(struct tl_state *state, struct tl_park *park)
{
    uint64_t cpus = park->cpus;
    if ((cpus & (cpus - 1)) == 0) {
        cpus = cpus_of_natives(state, cpus_of_scheds(state, cpus));
    }
    park->many_cpus = (cpus & (cpus - 1)) != 0;
}

void
tl_thread_sleep(struct tl_park *park, int flags, int64_t limit_ns)
{
    bool in_main = flags & TL_SLEEP_IN_MAIN, poll = flags & TL_SLEEP_POLL;
    struct tl_sched *s = tl_sched_mine;
    struct tl_deferred_wakes *pending_wakes = tl_os_thread_pending_wakes();
    bool marked = s != NULL && s->guard.marked;
    if (marked) {
        tl_governor_pause(&s->guard);
    }
    tl_deferred_wakes_before_sleep(pending_wakes);
    tl_gil_priority_leave();
    PyThreadState *ts = PyEval_SaveThread();
    tl_gil_priority_left();
    bool slept = false;
    tl_deferred_wakes_flush(pending_wakes);
    // The spin and the sleep follow each other without the GIL in between: beside busy
    // threads it takes long to get. While one of these was preempted, no spin: it needs
    // the CPU.
    if (poll || tl_gil_priority_is_preempting() ||
        !tl_park_spin(park, tl_gil_is_free)) {
        slept = tl_park_sleep(park, limit_ns, poll);
    }
    while (!in_main && Py_IsFinalizing()) {
        // Taking the GIL would end this daemon thread, by unwinding a fiber's stack.
        pause();
    }
    tl_gil_priority_take(ts, slept, park->many_cpus);
    if (marked) {
        tl_governor_return(&s->guard);
    }
}

int
tl_thread_sleep_run_handlers(void)
{
    struct tl_sched *s = tl_sched_mine;
    if (s == NULL) {
        return PyErr_CheckSignals();
    }
    s->no_switch++;
    int result = PyErr_CheckSignals();
    s->no_switch--;
    return result;
}

// Call signal.set_wakeup_fd(fd); -1: none. Returns the descriptor set before; -1, with
// no exception set, if there was none or the call failed.
static int
set_wakeup_fd(struct tl_state *state, int fd)
{
    // There is no way to ask whether a program's own descriptor had
    // warn_on_full_buffer. asyncio's has not, and a warning that is not wanted does
    // more harm.
    PyObject *args = Py_BuildValue("(i)", fd);
    PyObject *kwargs = Py_BuildValue("{s:O}", "warn_on_full_buffer", Py_False);
    PyObject *result =
        args && kwargs ? PyObject_Call(state->set_wakeup_fd, args, kwargs) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    long before = result == NULL ? -1 : PyLong_AsLong(result);
    Py_XDECREF(result);
    PyErr_Clear();
    return (int)before;
}

int
tl_thread_sleep_in_main(struct tl_state *state, struct tl_park *park, int64_t limit_ns,
                        bool (*goes_on)(void *arg), void *arg)
{
    // A signal between the check for signals and the sleep must end the sleep, whatever
    // thread receives it: the C handler writes to the park's pipe. A program that has
    // set its own descriptor keeps it; then the sleep is limited, and the check
    // repeated.
    int fd = tl_park_signal_fd(park);
    int before = fd >= 0 ? set_wakeup_fd(state, fd) : -1;
    if (before >= 0) {
        set_wakeup_fd(state, before);
        limit_ns = limit_ns < 0 || limit_ns > TL_THREAD_SLEEP_RECHECK_NS
                       ? TL_THREAD_SLEEP_RECHECK_NS
                       : limit_ns;
    }
    int result = tl_thread_sleep_run_handlers();
    if (result == 0 && goes_on(arg)) {
        tl_thread_sleep(park, TL_SLEEP_IN_MAIN | TL_SLEEP_POLL, limit_ns);
    }
    if (fd >= 0 && before < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        set_wakeup_fd(state, -1);
        PyErr_SetRaisedException(exc);
    }
    struct tl_sched *s = tl_sched_mine;
    if (s != NULL && s->guard.marked) {
        // set_wakeup_fd() gave up the GIL to check the descriptor.
        tl_governor_return(&s->guard);
    }
    return result;
}
