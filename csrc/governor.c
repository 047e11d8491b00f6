#include "governor.h"
#include "clock.h"
#include "gil.h"
#include "ours.h"
#include "turn.h"

#include <pthread.h>
#include <signal.h>

// So long the waiters' timeout is while the governor is engaged, in microseconds: beyond
// the life of a process, and not a number that a program sets.
#define NEVER 100000000000007UL

// And so long while a woken thread waits and the governor is not engaged.
#define SHORT 53UL

// The ticker's shortest and longest sleep, how long it gives a real waiter to take the
// GIL, and how long after the last section it goes to rest. In microseconds.
enum { TICK_LEAST = 50, TICK_MOST = 100000, GRACE = 50, REST = 50000 };

// The one process-wide governor. All is guarded by the GIL's own mutex, but started and
// checked, which are guarded by the GIL.
static struct {
    pthread_cond_t wake; // of the ticker
    pthread_t thread;
    struct tl_link guards; // list head
    bool engaged, started, stopping, checked, replaced;
    bool owed;              // somebody waits for the GIL of a holder in a section
    unsigned long sections; // counts all, to see whether there are new ones
    unsigned long hurried;  // how many woken threads wait for the GIL
    unsigned long nominal;  // the program's own interval
    unsigned long written;  // ours in its place; 0: the program's is in force
    const char *refusal;
} governor = {.guards = {&governor.guards, &governor.guards}};

// ---- the interval

// The mutex is held, as in all that follow. A write that went past us has set the
// program's own interval.
static void
keep_interval(void)
{
    unsigned long seen = tl_gil_interval();
    unsigned long due = governor.written != 0 ? governor.written : governor.nominal;
    if (TL_LIKELY(seen == due)) {
        return;
    }
    // One that is like ours was read past us before.
    if (governor.nominal == 0 || (seen != NEVER && seen != SHORT)) {
        governor.nominal = seen;
    }
    due = governor.written != 0 ? governor.written : governor.nominal;
    if (seen != due) {
        tl_gil_set_interval(due);
        tl_gil_count_switch(); // whoever is timing already times anew
    }
}

// Have the interval in force that is right now, after nominal is.
static void
write_interval(void)
{
    governor.written = 0;
    if (governor.engaged) {
        governor.written = NEVER;
    } else if (governor.hurried > 0 && governor.nominal > SHORT) {
        governor.written = SHORT;
    }
    tl_gil_set_interval(governor.written ? governor.written : governor.nominal);
}

static void
disengage(void)
{
    if (governor.engaged) {
        keep_interval();
        governor.engaged = governor.owed = false;
        write_interval();
        pthread_cond_broadcast(tl_gil_cond()); // the waiters time anew
    }
}

unsigned long
tl_governor_interval(void)
{
    keep_interval();
    return governor.nominal;
}

// ---- the ticker

// The mutex is held, and given up meanwhile.
static void
wait_for(pthread_cond_t *cond, unsigned long microseconds)
{
    int64_t end = tl_clock_now() + (int64_t)microseconds * 1000;
    struct timespec until = {end / 1000000000, end % 1000000000};
    pthread_cond_timedwait(cond, tl_gil_mutex(), &until);
}

// Whether ts, which has had the GIL for so many microseconds, must not be asked for it.
static bool
may_keep(PyThreadState *ts, unsigned long held)
{
    struct tl_link *i = governor.guards.next;
    for (; i != &governor.guards; i = i->next) {
        const struct tl_guard *guard = TL_CONTAINER(i, struct tl_guard, all);
        if (guard->ts == ts) {
            return guard->marked && (guard->patience == 0 || held < guard->patience);
        }
    }
    return false;
}

static bool
any_marked(void)
{
    struct tl_link *i = governor.guards.next;
    for (; i != &governor.guards; i = i->next) {
        if (TL_CONTAINER(i, struct tl_guard, all)->marked) {
            return true;
        }
    }
    return false;
}

// Ask the holder, there is one, to drop the GIL, or note that it is to be asked. held: for
// how many microseconds at least it has had it.
static void
ask(unsigned long held)
{
    PyThreadState *holder = tl_gil_holder();
    if (may_keep(holder, held)) {
        governor.owed = true;
    } else {
        tl_gil_request(holder);
    }
}

static unsigned long
microseconds_since(int64_t then)
{
    return (unsigned long)((tl_clock_now() - then) / 1000);
}

// One switch interval has passed without a switch, the last of which was seen at since:
// wait for the GIL as a thread would that has timed out. A holder that was asked goes on
// only when another has taken it.
static void
be_waiter(unsigned long number, int64_t since, unsigned long tick)
{
    while (tl_gil_is_locked() && tl_gil_switches() == number && governor.engaged) {
        ask(microseconds_since(since));
        wait_for(tl_gil_cond(), tick);
    }
    governor.owed = false;
    if (tl_gil_switches() == number && !tl_gil_is_locked()) {
        // We may have got a signal that was for a real waiter: if there is one, it takes
        // the GIL now.
        pthread_cond_signal(tl_gil_cond());
        wait_for(&governor.wake, GRACE);
        if (tl_gil_switches() == number && !tl_gil_is_locked()) {
            tl_gil_play_taker();
            pthread_cond_signal(tl_gil_cond());
        }
    }
}

static unsigned long
between(unsigned long least, unsigned long value, unsigned long most)
{
    return value < least ? least : value > most ? most : value;
}

static void *
tick(void *arg)
{
    tl_ours_note();
    unsigned long sections = 0, number = 0;
    int64_t busy = 0, since = 0; // when there was a section last, and a switch
    pthread_mutex_lock(tl_gil_mutex());
    while (!governor.stopping) {
        if (!governor.engaged) {
            pthread_cond_wait(&governor.wake, tl_gil_mutex());
            busy = since = tl_clock_now();
            continue;
        }
        keep_interval();
        if (governor.sections != sections || any_marked()) {
            sections = governor.sections;
            busy = tl_clock_now();
        } else if (microseconds_since(busy) > REST) {
            disengage();
            continue;
        }
        if (tl_gil_switches() != number) {
            number = tl_gil_switches();
            since = tl_clock_now();
        }
        unsigned long own = governor.hurried > 0 ? TICK_LEAST : governor.nominal;
        unsigned long pause = between(TICK_LEAST, own, NEVER);
        unsigned long past = microseconds_since(since);
        if (past < pause) {
            // Two looks in an interval: a switch is seen at most half of one late.
            unsigned long left = pause - past < pause / 2 ? pause - past : pause / 2;
            wait_for(&governor.wake, between(TICK_LEAST / 2, left, TICK_MOST));
        } else {
            be_waiter(number, since, between(TICK_LEAST, pause, TICK_MOST));
        }
    }
    disengage();
    pthread_mutex_unlock(tl_gil_mutex());
    return arg;
}

// The GIL is held. Returns 0 or an errno.
static int
start(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&governor.wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are for others
    int error = pthread_create(&governor.thread, NULL, tick, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    governor.started = error == 0;
    return error;
}

// ---- the program's switch interval

static PyObject *
get_switch_interval(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    pthread_mutex_lock(tl_gil_mutex());
    unsigned long interval = tl_governor_interval();
    pthread_mutex_unlock(tl_gil_mutex());
    return PyFloat_FromDouble(1e-6 * (double)interval);
}

static PyObject *
set_switch_interval(PyObject *Py_UNUSED(self), PyObject *arg)
{
    double seconds = PyFloat_AsDouble(arg);
    if (seconds == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!(seconds > 0)) {
        PyErr_SetString(PyExc_ValueError, "switch interval must be strictly positive");
        return NULL;
    }
    // The interpreter, too, takes 0 for 1.
    pthread_mutex_lock(tl_gil_mutex());
    governor.nominal = seconds < 1000 ? (unsigned long)(1e6 * seconds) : 1000000000UL;
    write_interval();
    if (governor.engaged) {
        pthread_cond_signal(&governor.wake);
    }
    pthread_mutex_unlock(tl_gil_mutex());
    Py_RETURN_NONE;
}

static PyMethodDef interval_functions[] = {
    {"getswitchinterval", get_switch_interval, METH_NOARGS,
     "getswitchinterval($module, /)\n--\n\n"
     "Return the current thread switch interval; see sys.setswitchinterval().\n\n"
     "Of tasklets: shows the program's own, whatever is in force for atomic sections."},
    {"setswitchinterval", set_switch_interval, METH_O,
     "setswitchinterval($module, interval, /)\n--\n\n"
     "Set the ideal thread switching delay, in seconds.\n\n"
     "Of tasklets: atomic sections are not affected. Raises ValueError unless positive."},
};

// The interpreter's own functions would show and overwrite what is none of the program's
// business. Once only: the program may have its own in their place.
static int
replace_functions(void)
{
    if (governor.replaced) {
        return 0;
    }
    governor.replaced = true;
    PyObject *name = PyUnicode_FromString("sys");
    int result = name == NULL ? -1 : 0;
    for (size_t i = 0; result == 0 && i < 2; i++) {
        PyObject *func = PyCFunction_NewEx(&interval_functions[i], NULL, name);
        result = func ? PySys_SetObject(interval_functions[i].ml_name, func) : -1;
        Py_XDECREF(func);
    }
    Py_XDECREF(name);
    return result;
}

// ---- whether it works here

// A thread that takes the GIL once, having waited for it.
static void *
take_once(void *arg)
{
    PyThreadState *ts = PyThreadState_New(arg);
    if (ts != NULL) {
        PyEval_RestoreThread(ts);
        PyThreadState_Clear(ts);
        PyThreadState_DeleteCurrent();
    }
    return NULL;
}

// Look at the hand-over of the GIL to a thread that waits for it.
static const char *
check_hand_over(void)
{
    PyThreadState *ts = PyThreadState_Get();
    unsigned long before = tl_gil_interval(), number = tl_gil_switches();
    pthread_t thread;
    if (pthread_create(&thread, NULL, take_once, PyInterpreterState_Get()) != 0) {
        return "no thread could be started to try it";
    }
    tl_gil_set_interval(100);
    // It asks for the GIL while we hold it, and do nothing.
    int64_t end = tl_clock_now() + INT64_C(2000000000);
    bool asked = false;
    while (!asked && tl_clock_now() < end) {
        asked = tl_gil_is_requested(ts);
    }
    tl_gil_set_interval(before);
    Py_BEGIN_ALLOW_THREADS;
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS;
    if (!asked) {
        return "the request to drop the GIL is not where it was expected";
    }
    return tl_gil_switches() > number ? NULL : "the GIL's hand-overs are not counted";
}

static const char *
check(void)
{
    if (!tl_gil_exists()) {
        return "this interpreter has no GIL";
    }
    unsigned long before = tl_gil_interval();
    double told = -1;
    PyObject *get = PySys_GetObject("getswitchinterval");
    PyObject *seen = get ? PyObject_CallNoArgs(get) : NULL;
    if (seen != NULL) {
        told = PyFloat_AsDouble(seen);
        Py_DECREF(seen);
    }
    PyErr_Clear();
    if (told < 0 || before != (unsigned long)(told * 1e6 + 0.5)) {
        return "the GIL's switch interval is not where it was expected";
    }
    if (!tl_gil_is_locked() || tl_gil_holder() != PyThreadState_Get()) {
        return "the GIL's holder is not where it was expected";
    }
    return check_hand_over();
}

const char *
tl_governor_refusal(void)
{
    if (!governor.checked) {
        governor.checked = true;
        governor.refusal = "it is being tried";
        const char *refusal = check();
        governor.refusal = refusal;
    }
    return governor.refusal;
}

bool
tl_governor_is_ready(void)
{
    bool ready = !governor.stopping && tl_governor_refusal() == NULL;
    if (ready && replace_functions() < 0) {
        PyErr_Clear();
        ready = false;
    }
    return ready;
}

// ---- sections

void
tl_guard_init(struct tl_guard *guard, PyThreadState *ts)
{
    *guard = (struct tl_guard){.ts = ts};
    pthread_mutex_lock(tl_gil_mutex());
    tl_link_insert_before(&guard->all, &governor.guards);
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_guard_fini(struct tl_guard *guard)
{
    pthread_mutex_lock(tl_gil_mutex());
    guard->marked = false;
    tl_link_remove(&guard->all);
    pthread_mutex_unlock(tl_gil_mutex());
    tl_turn_give(guard);
}

// The mutex is held.
static void
engage(void)
{
    keep_interval();
    governor.engaged = true;
    write_interval();
    tl_gil_count_switch(); // whoever is timing already times anew
    pthread_cond_signal(&governor.wake);
}

// Have a ticker. Returns whether there is one.
TL_COLD static bool
begin(void)
{
    PyObject *exc = PyErr_GetRaisedException();
    if (replace_functions() < 0) {
        PyErr_Clear();
    }
    PyErr_SetRaisedException(exc);
    return start() == 0;
}

// The calling thread is marked. What somebody asked for before that is done now, lest it
// be done inside the section. The mutex is held, and given up.
static void
begin_section(struct tl_guard *guard)
{
    for (;;) {
        if (TL_UNLIKELY(!governor.engaged) && !governor.stopping) {
            engage();
        } else if (governor.engaged) {
            keep_interval();
        }
        bool requested = tl_gil_is_requested(guard->ts);
        pthread_mutex_unlock(tl_gil_mutex());
        if (TL_LIKELY(!requested)) {
            return;
        }
        Py_BEGIN_ALLOW_THREADS;
        Py_END_ALLOW_THREADS;
        // Whoever ran meanwhile may have set the interval.
        pthread_mutex_lock(tl_gil_mutex());
    }
}

// Where nothing can be governed.
TL_COLD static void
take_turn(struct tl_guard *guard)
{
    if (!tl_turn_try(guard)) {
        Py_BEGIN_ALLOW_THREADS;
        tl_turn_take(guard);
        Py_END_ALLOW_THREADS;
    }
}

// Returns whether the governor is at work.
TL_COLD static bool
enter_first(struct tl_guard *guard)
{
    if (governor.stopping) {
        return false;
    }
    if (tl_governor_refusal() != NULL) {
        guard->marked = true;
        take_turn(guard);
        return false;
    }
    return begin();
}

void
tl_governor_enter(struct tl_guard *guard)
{
    if (TL_UNLIKELY(!governor.started) && !enter_first(guard)) {
        return;
    }
    pthread_mutex_lock(tl_gil_mutex());
    guard->marked = true;
    governor.sections++;
    begin_section(guard);
}

void
tl_governor_leave(struct tl_guard *guard)
{
    // Without the mutex: a tick that sees the mark too long asks one tick later.
    guard->marked = false;
    if (TL_UNLIKELY(governor.refusal != NULL)) {
        tl_turn_give(guard);
    } else if (TL_UNLIKELY(__atomic_load_n(&governor.owed, __ATOMIC_RELAXED))) {
        pthread_mutex_lock(tl_gil_mutex());
        if (governor.owed) {
            tl_gil_request(guard->ts);
        }
        pthread_mutex_unlock(tl_gil_mutex());
    }
}

void
tl_governor_mark(struct tl_guard *guard, bool marked)
{
    bool refused = tl_governor_refusal() != NULL;
    bool works = !refused && (governor.started || begin());
    if (refused && !marked) {
        tl_turn_give(guard);
    }
    pthread_mutex_lock(tl_gil_mutex());
    guard->marked = marked && (works || refused);
    governor.sections++;
    if (works && marked && !governor.engaged && !governor.stopping) {
        engage();
    }
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_governor_limit(struct tl_guard *guard, unsigned long patience)
{
    pthread_mutex_lock(tl_gil_mutex());
    guard->patience = patience;
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_governor_pause(struct tl_guard *guard)
{
    if (governor.refusal != NULL) {
        tl_turn_give(guard);
    }
}

void
tl_governor_return(struct tl_guard *guard)
{
    if (governor.refusal != NULL) {
        take_turn(guard);
        return;
    }
    pthread_mutex_lock(tl_gil_mutex());
    begin_section(guard);
}

void
tl_governor_request(void)
{
    pthread_mutex_lock(tl_gil_mutex());
    if (tl_gil_is_locked()) {
        ask(0);
    }
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_governor_hurry(void)
{
    if (governor.hurried++ == 0) {
        keep_interval();
        write_interval();
        if (governor.engaged) {
            pthread_cond_signal(&governor.wake);
        }
    }
    if (tl_gil_is_locked()) {
        ask(0);
    }
}

void
tl_governor_hurried(void)
{
    governor.owed = false; // it has changed hands
    if (--governor.hurried == 0) {
        keep_interval();
        write_interval();
        tl_gil_count_switch(); // whoever is timing already times anew
    }
}

// ---- the process

void
tl_governor_stop(void)
{
    pthread_mutex_lock(tl_gil_mutex());
    governor.stopping = true;
    bool started = governor.started;
    if (started) {
        pthread_cond_signal(&governor.wake);
    }
    pthread_mutex_unlock(tl_gil_mutex());
    if (started) {
        pthread_join(governor.thread, NULL);
    }
}

void
tl_governor_forget_threads(void)
{
    // The interpreter makes the GIL anew, but for the interval.
    keep_interval();
    governor.engaged = governor.started = governor.owed = false;
    governor.hurried = 0;
    write_interval();
}

void
tl_governor_after_fork(struct tl_guard *guard)
{
    if (guard != NULL && guard->marked) {
        tl_governor_enter(guard);
    }
}
