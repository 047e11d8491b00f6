// governor.c - the switch interval, the ticker, the trial at first use, and sections.
#include "cpython/governor.h"
#include "cpython/gil.h"
#include "base/clock.h"
#include "base/internal_threads.h"
#include "base/pthreads.h"
#include "base/section_lock.h"

// Switch interval while the governor is engaged: three years, and a number that no
// program sets, so that it is recognised.
#define NEVER_US 100000000000007UL

// Switch interval while an urgent thread waits and the governor is not engaged: short,
// for the case that another waiter is faster; odd, to be recognised.
#define SHORT_US 53UL

// MIN_TICK_US, MAX_TICK_US: the ticker's shortest and longest sleep. Shorter ones would
// cost a noticeable share of a CPU; longer ones would find a bypassing write too late.
// YIELD_US: how long the ticker gives a real waiter to take the GIL: enough to wake a
// thread. DISENGAGE_US: how long after the last section the governor disengages, so
// that programs with sections now and then do not pay for engaging each time.
enum { MIN_TICK_US = 50, MAX_TICK_US = 100000, YIELD_US = 50, DISENGAGE_US = 50000 };

// The one process-wide governor. Locks: gil->mutex, except where the GIL is named.
static struct {
    pthread_cond_t wake; // of the ticker
    pthread_t thread;
    struct tl_link guards;  // list head
    bool engaged;           // the interval is NEVER_US, and the ticker asks
    bool started;           // the ticker exists. Locks: the GIL
    bool stopping;          // the interpreter is ending
    bool checked;           // refusal has been decided. Locks: the GIL
    bool replaced;          // sys has our functions. Locks: the GIL
    bool owed;              // a thread waits for the GIL of a holder in a section
    unsigned long sections; // number of sections begun, for the ticker to compare
    unsigned long urgent;   // number of urgent threads that wait for the GIL
    unsigned long
        nominal; // the program's own interval, in microseconds; 0: not read yet
    unsigned long written; // what the governor put in its place; 0: nothing
    const char *refusal;   // see tl_governor_refusal(). Locks: the GIL
} governor = {.guards = {&governor.guards, &governor.guards}};

// ---- the interval, with the mutex held

// Read the interpreter's interval: a program that bypassed set_switch_interval() has
// changed its own one, which is kept, and the governor's is written again.
static void
keep_interval(void)
{
    unsigned long seen = tl_gil_interval();
    unsigned long due = governor.written != 0 ? governor.written : governor.nominal;
    if (TL_LIKELY(seen == due)) {
        return;
    }
    // A program that read one of our values past us may write it back: not its own.
    if (governor.nominal == 0 || (seen != NEVER_US && seen != SHORT_US)) {
        governor.nominal = seen;
    }
    due = governor.written != 0 ? governor.written : governor.nominal;
    if (seen != due) {
        tl_gil_set_interval(due);
        tl_gil_count_switch(); // waiters restart their timeout
    }
}

// Write the interval that the governor's state calls for.
static void
write_interval(void)
{
    governor.written = 0;
    if (governor.engaged) {
        governor.written = NEVER_US;
    } else if (governor.urgent > 0 && governor.nominal > SHORT_US) {
        governor.written = SHORT_US;
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
        pthread_cond_broadcast(tl_gil_cond()); // waiters restart their timeout
    }
}

unsigned long
tl_governor_interval(void)
{
    keep_interval();
    return governor.nominal;
}

// ---- the ticker, with the mutex held

// Wait with a timeout. Releases the mutex while it sleeps.
static void
wait_for(pthread_cond_t *cond, unsigned long microseconds)
{
    tl_pthread_wait_until(cond, tl_gil_mutex(),
                          tl_clock_now() + (int64_t)microseconds * 1000);
}

// Whether ts, which has had the GIL for held_us microseconds, must not be asked for it.
static bool
may_keep(PyThreadState *ts, unsigned long held_us)
{
    struct tl_link *i = governor.guards.next;
    for (; i != &governor.guards; i = i->next) {
        const struct tl_guard *guard = TL_CONTAINER(i, struct tl_guard, all);
        if (guard->ts == ts) {
            return guard->marked &&
                   (guard->max_hold_us == 0 || held_us < guard->max_hold_us);
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

// Ask the current holder to drop the GIL; one in a section will be asked when it
// leaves. held_us: how many microseconds it has had the GIL, at least.
static void
ask(unsigned long held_us)
{
    PyThreadState *holder = tl_gil_holder();
    if (may_keep(holder, held_us)) {
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

// One switch interval has passed since the last switch, number, which was seen at
// since: do what a waiter does that has timed out. A holder that was asked waits until
// another thread has taken the GIL, which may be the ticker itself. Releases the mutex
// while it waits.
static void
be_waiter(unsigned long number, int64_t since, unsigned long tick)
{
    while (tl_gil_is_locked() && tl_gil_switches() == number && governor.engaged) {
        ask(microseconds_since(since));
        wait_for(tl_gil_cond(), tick);
    }
    governor.owed = false;
    if (tl_gil_switches() == number && !tl_gil_is_locked()) {
        // The signal that ended the wait may have been meant for a real waiter: pass it
        // on, and give that waiter time to take the GIL.
        pthread_cond_signal(tl_gil_cond());
        wait_for(&governor.wake, YIELD_US);
        if (tl_gil_switches() == number && !tl_gil_is_locked()) {
            tl_gil_play_taker();
            pthread_cond_signal(tl_gil_cond());
        }
    }
}

static unsigned long
between(unsigned long min, unsigned long value, unsigned long max)
{
    return value < min ? min : value > max ? max : value;
}

static void *
tick(void *arg)
{
    tl_internal_threads_note();
    unsigned long sections = 0, number = 0;
    int64_t busy = 0;  // time of the last section
    int64_t since = 0; // time of the last switch
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
        } else if (microseconds_since(busy) > DISENGAGE_US) {
            disengage();
            continue;
        }
        if (tl_gil_switches() != number) {
            number = tl_gil_switches();
            since = tl_clock_now();
        }
        unsigned long own = governor.urgent > 0 ? MIN_TICK_US : governor.nominal;
        unsigned long pause = between(MIN_TICK_US, own, NEVER_US);
        unsigned long past = microseconds_since(since);
        if (past < pause) {
            // Two looks per interval: a switch is seen at most half an interval late.
            unsigned long left = pause - past < pause / 2 ? pause - past : pause / 2;
            wait_for(&governor.wake, between(MIN_TICK_US / 2, left, MAX_TICK_US));
        } else {
            be_waiter(number, since, between(MIN_TICK_US, pause, MAX_TICK_US));
        }
    }
    disengage();
    pthread_mutex_unlock(tl_gil_mutex());
    return arg;
}

// Start the ticker. Locks: the GIL. Returns 0 or an errno.
static int
start(void)
{
    tl_pthread_cond_init(&governor.wake);
    int error = tl_pthread_start(&governor.thread, NULL, tick);
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
     "Of tasklets: returns the interval that the program has set, although another one\n"
     "may be active for atomic sections."},
    {"setswitchinterval", set_switch_interval, METH_O,
     "setswitchinterval($module, interval, /)\n--\n\n"
     "Set the ideal thread switching delay, in seconds.\n\n"
     "Of tasklets: atomic sections are not affected. Raises ValueError unless positive."},
};

// Replace the two functions of sys: the interpreter's own would return and overwrite
// the governor's interval. Only once: the program may then put its own in their place.
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

// ---- whether it works here: with the GIL held

// The body of a thread that waits for the GIL and takes it once.
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

// Watch one hand-over of the GIL to a waiting thread. Returns NULL, or what is wrong.
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
    // The thread asks for the GIL while this one keeps it in a busy loop.
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
        governor.refusal = "it is being tried"; // the trial releases the GIL
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
    tl_section_lock_give(guard);
}

// Locks: the mutex is held.
static void
engage(void)
{
    keep_interval();
    governor.engaged = true;
    write_interval();
    tl_gil_count_switch(); // waiters restart their timeout
    pthread_cond_signal(&governor.wake);
}

// Start the ticker, and replace the functions of sys. Returns whether there is a
// ticker.
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

// The calling thread is marked: engage, and serve a drop request that came before the
// mark now, before the section's first bytecode. Called with the mutex held; releases
// it.
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
        // Another thread may have changed the interval while this one had no GIL.
        pthread_mutex_lock(tl_gil_mutex());
    }
}

// Where the GIL cannot be governed: wait for the section lock.
TL_COLD static void
take_section_lock(struct tl_guard *guard)
{
    if (!tl_section_lock_try(guard)) {
        Py_BEGIN_ALLOW_THREADS;
        tl_section_lock_take(guard);
        Py_END_ALLOW_THREADS;
    }
}

// The ticker does not run: start it. Returns whether the governor works; if it does
// not, the section has begun.
TL_COLD static bool
enter_first(struct tl_guard *guard)
{
    if (governor.stopping) {
        return false;
    }
    if (tl_governor_refusal() != NULL) {
        guard->marked = true;
        take_section_lock(guard);
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
    // Without the mutex: a ticker that still sees the mark asks one tick later.
    guard->marked = false;
    if (TL_UNLIKELY(governor.refusal != NULL)) {
        tl_section_lock_give(guard);
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
        tl_section_lock_give(guard);
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
tl_governor_limit_sections(struct tl_guard *guard, unsigned long max_hold_us)
{
    pthread_mutex_lock(tl_gil_mutex());
    guard->max_hold_us = max_hold_us;
    pthread_mutex_unlock(tl_gil_mutex());
}

void
tl_governor_pause(struct tl_guard *guard)
{
    if (governor.refusal != NULL) {
        tl_section_lock_give(guard);
    }
}

void
tl_governor_return(struct tl_guard *guard)
{
    if (governor.refusal != NULL) {
        take_section_lock(guard);
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
tl_governor_add_urgent(void)
{
    if (governor.urgent++ == 0) {
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
tl_governor_remove_urgent(void)
{
    governor.owed = false; // the GIL has changed hands
    if (--governor.urgent == 0) {
        keep_interval();
        write_interval();
        tl_gil_count_switch(); // waiters restart their timeout
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
    // The interpreter creates the GIL anew in the child, but keeps the interval.
    keep_interval();
    governor.engaged = governor.started = governor.owed = false;
    governor.urgent = 0;
    write_interval();
}

void
tl_governor_after_fork(struct tl_guard *guard)
{
    if (guard != NULL && guard->marked) {
        tl_governor_enter(guard);
    }
}

// ---- the timekeeper's thread

static bool
enter_interpreter(void)
{
    PyThreadState *ts = tl_gil_timekeeper_state();
    if (ts == NULL) {
        return false;
    }
    tl_governor_request();
    PyEval_RestoreThread(ts);
    return true;
}

static void
leave_interpreter(void)
{
    (void)PyEval_SaveThread();
}

const struct tl_timekeeper_host tl_governor_timekeeper_host = {
    enter_interpreter, leave_interpreter, tl_gil_timekeeper_ends};
