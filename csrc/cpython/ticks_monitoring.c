// ticks_monitoring.c - ticks from 3.12 on, from callbacks of sys.monitoring.
//
// While ticks are counted, the events JUMP and PY_START are set globally for one tool,
// and the callback counts down the thread's ticks. Arming a thread sets the INSTRUCTION
// event on the code object of its innermost frame only: changes of the global events
// are limited in number, local ones are not.
#include "cpython/ticks.h"

#include "cpython/frames.h"
#include "cpython/gil.h"
#include "cpython/governor.h"
#include "base/clock.h"
#include "base/timekeeper.h"

#if PY_VERSION_HEX >= 0x030C0000

// An exception that the callback of a jump could not raise: it is raised at the next
// instruction of the frame that jumped.
struct tl_late {
    struct tl_late *next;
    void *frame;    // only compared
    PyObject *code; // counted: the frame's
    PyObject *exc;  // counted
};

// How long after their last use the events are turned off. Turning them on again costs
// microseconds, and more for each function that runs then; leaving them on slows down
// all code of the interpreter.
#define IDLE_NS INT64_C(300000000)

// After this many changes of the global events they stay on. The interpreter allows
// 2^24 in the life of a process, for all tools together; this leaves three quarters to
// others.
#define MAX_CHANGES (INT64_C(1) << 22)

// What all threads share: the tool of sys.monitoring. Locks: the GIL.
static struct {
    struct tl_link all;                   // head of the list of all threads' ticks
    PyObject *tool;                       // counted: its number; NULL: none taken yet
    PyObject *set_events;                 // counted: functions of sys.monitoring
    PyObject *set_local_events;           // counted
    PyObject *none, *ticks, *instruction; // counted: sets of events, as int objects
    long counting;                        // sum of the threads' counting
    bool on;                              // the global events are set
    bool used;       // ticks were counted since the timekeeper last looked
    unsigned epoch;  // how often the events have been turned on
    int64_t changes; // of the global events
    struct tl_timekeeper off_timer;
} shared;

// Locks: the GIL. Neither calls into Python.
static int
set_events(PyObject *events)
{
    PyObject *args[] = {shared.tool, events};
    PyObject *result = PyObject_Vectorcall(shared.set_events, args, 2, NULL);
    Py_XDECREF(result);
    shared.changes++;
    return result == NULL ? -1 : 0;
}

static int
set_local_events(PyObject *code, PyObject *events)
{
    PyObject *args[] = {shared.tool, code, events};
    PyObject *result = PyObject_Vectorcall(shared.set_local_events, args, 3, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

// ---- the callbacks

static PyObject *
on_tick(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args),
        Py_ssize_t Py_UNUSED(nargs))
{
    struct tl_ticks *events = tl_ticks_mine;
    if (TL_UNLIKELY(events != NULL && --events->left <= 0) &&
        tl_ticks_decide(events) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

#if PY_VERSION_HEX < 0x030E0000

// On 3.12 and 3.13 an exception that leaves the callback of a jump skips the handlers
// of the frame that jumped: raise it at the next instruction instead.
TL_COLD static int
raise_late(struct tl_ticks *events, PyObject *code)
{
    struct tl_late *late = PyMem_Malloc(sizeof *late);
    PyObject *exc = PyErr_GetRaisedException();
    if (late == NULL || set_local_events(code, shared.instruction) < 0) {
        PyErr_Clear();
        PyMem_Free(late);
        PyErr_SetRaisedException(exc);
        return -1;
    }
    *late = (struct tl_late){
        .next = events->late,
        .frame = tl_frames_top(events->ts),
        .code = Py_NewRef(code),
        .exc = exc,
    };
    events->late = late;
    return 0;
}

static PyObject *
on_jump(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    struct tl_ticks *events = tl_ticks_mine;
    if (TL_UNLIKELY(events != NULL && --events->left <= 0) &&
        tl_ticks_decide(events) < 0 &&
        (tl_ticks_mine != events || raise_late(events, args[0]) < 0)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

#else
#define on_jump on_tick
#endif

static bool
waits_at(const struct tl_ticks *events, PyObject *code)
{
    bool found = events->armed == code;
    for (const struct tl_late *late = events->late; late != NULL; late = late->next) {
        found |= late->code == code;
    }
    return found;
}

// Remove the INSTRUCTION event from code, unless a thread still needs it there.
static void
clear_code(PyObject *code)
{
    for (struct tl_link *i = shared.all.next; i != &shared.all; i = i->next) {
        if (waits_at(TL_CONTAINER(i, struct tl_ticks, all), code)) {
            return;
        }
    }
    PyObject *exc = PyErr_GetRaisedException();
    if (set_local_events(code, shared.none) < 0) {
        PyErr_Clear(); // it goes on slowly
    }
    PyErr_SetRaisedException(exc);
}

// Raise the exception that the jump before could not raise. Returns whether there was
// one.
static bool
raise_now(struct tl_ticks *events)
{
    void *frame = tl_frames_top(events->ts);
    struct tl_late **link = &events->late;
    while (*link != NULL && (*link)->frame != frame) {
        link = &(*link)->next;
    }
    struct tl_late *late = *link;
    if (late == NULL) {
        return false;
    }
    *link = late->next;
    PyErr_SetRaisedException(late->exc);
    clear_code(late->code);
    Py_DECREF(late->code);
    PyMem_Free(late);
    return true;
}

static PyObject *
on_instruction(PyObject *Py_UNUSED(self), PyObject *const *args,
               Py_ssize_t Py_UNUSED(nargs))
{
    struct tl_ticks *events = tl_ticks_mine;
    if (events != NULL && events->late != NULL && raise_now(events)) {
        return NULL;
    }
    if (events != NULL && events->armed == args[0]) {
        if (tl_ticks_decide(events) < 0) {
            return NULL;
        }
    } else {
        clear_code(args[0]);
    }
    Py_RETURN_NONE;
}

// ---- getting ready

void
tl_ticks_init(struct tl_ticks *events, PyThreadState *ts)
{
    *events = (struct tl_ticks){.left = INT64_MAX, .limit = INT64_MAX, .ts = ts};
    if (shared.all.next == NULL) {
        tl_link_init(&shared.all);
    }
    tl_link_insert_before(&events->all, &shared.all);
}

static PyMethodDef callbacks[] = {
    {"on_tick", TL_FAST(on_tick), METH_FASTCALL, NULL},
    {"on_jump", TL_FAST(on_jump), METH_FASTCALL, NULL},
    {"on_instruction", TL_FAST(on_instruction), METH_FASTCALL, NULL},
};

static int
take_tool(PyObject *monitoring)
{
    // Numbers without a conventional user first (0: debugger, 1: coverage, 2: profiler,
    // 5: optimizer).
    static const int order[] = {3, 4, 5, 2, 1, 0};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        PyObject *result =
            PyObject_CallMethod(monitoring, "use_tool_id", "is", order[i], "tasklets");
        if (result != NULL) {
            Py_DECREF(result);
            shared.tool = PyLong_FromLong(order[i]);
            return shared.tool == NULL ? -1 : 0;
        }
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return -1;
        }
        PyErr_Clear();
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "a budget in ticks or seconds needs one of the six tools of "
                    "sys.monitoring, and all are in use: free one with "
                    "sys.monitoring.free_tool_id()");
    return -1;
}

// Register callback for the event with this name, and add the event to *set.
static int
listen(PyObject *monitoring, const char *name, PyMethodDef *callback, long *set)
{
    PyObject *events = tl_getattr(monitoring, "events");
    PyObject *event = events ? tl_getattr(events, name) : NULL;
    long value = event ? PyLong_AsLong(event) : -1;
    PyObject *func = value == -1 ? NULL : PyCFunction_New(callback, NULL);
    PyObject *result = func ? PyObject_CallMethod(monitoring, "register_callback",
                                                  "OOO", shared.tool, event, func)
                            : NULL;
    *set |= value;
    Py_XDECREF(events);
    Py_XDECREF(event);
    Py_XDECREF(func);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
listen_to(PyObject *monitoring)
{
    long ticks = 0, instruction = 0;
    if ((shared.tool == NULL && take_tool(monitoring) < 0) ||
        listen(monitoring, "PY_START", &callbacks[0], &ticks) < 0 ||
        listen(monitoring, "JUMP", &callbacks[1], &ticks) < 0 ||
        listen(monitoring, "INSTRUCTION", &callbacks[2], &instruction) < 0) {
        return -1;
    }
    Py_XSETREF(shared.set_events, tl_getattr(monitoring, "set_events"));
    Py_XSETREF(shared.set_local_events, tl_getattr(monitoring, "set_local_events"));
    Py_XSETREF(shared.none, PyLong_FromLong(0));
    Py_XSETREF(shared.ticks, PyLong_FromLong(ticks));
    if (shared.set_events != NULL && shared.set_local_events != NULL &&
        shared.none != NULL && shared.ticks != NULL) {
        shared.instruction = PyLong_FromLong(instruction);
    }
    return shared.instruction == NULL ? -1 : 0;
}

int
tl_ticks_ready(void)
{
    if (TL_LIKELY(shared.instruction != NULL)) {
        return 0;
    }
    // Not PySys_GetObject(), which hides a MemoryError.
    PyObject *sys = PyImport_ImportModule("sys");
    PyObject *monitoring = sys ? tl_getattr(sys, "monitoring") : NULL;
    Py_XDECREF(sys);
    int result = monitoring == NULL ? -1 : listen_to(monitoring);
    Py_XDECREF(monitoring);
    return result;
}

// ---- counting

static int64_t
turn_off_if_unused(struct tl_timekeeper *Py_UNUSED(timer), int64_t now)
{
    if (!shared.on || shared.counting > 0) {
        return INT64_MAX; // the last tl_ticks_stop() sets the timer again
    }
    if (shared.used) {
        shared.used = false;
        return now + IDLE_NS;
    }
    shared.on = false;
    if (set_events(shared.none) < 0) {
        PyErr_Clear();
    }
    return INT64_MAX;
}

int
tl_ticks_start(struct tl_ticks *events)
{
    if (tl_ticks_ready() < 0) {
        return -1;
    }
    if (!shared.on) {
        if (set_events(shared.ticks) < 0) {
            return -1;
        }
        shared.on = true;
        shared.epoch++;
    }
    events->counting++;
    shared.counting++;
    return 0;
}

void
tl_ticks_stop(struct tl_ticks *events)
{
    events->counting--;
    shared.used = true;
    if (--shared.counting == 0 && shared.off_timer.next == NULL &&
        shared.changes < MAX_CHANGES) {
        shared.off_timer.fire = turn_off_if_unused;
        tl_timekeeper_set(&shared.off_timer, &tl_governor_timekeeper_host,
                          tl_clock_now() + IDLE_NS, 0, 0);
    }
}

void
tl_ticks_after_fork(void)
{
    if (shared.on) {
        shared.off_timer.fire = turn_off_if_unused;
        tl_timekeeper_set(&shared.off_timer, &tl_governor_timekeeper_host,
                          tl_clock_now() + IDLE_NS, 0, 0);
    }
}

unsigned
tl_ticks_epoch(void)
{
    return shared.epoch;
}

static int
repair_code(PyObject *code, void *Py_UNUSED(arg))
{
    // Any change of local events makes the interpreter instrument the code anew.
    if (!tl_gil_is_instrumented(code) && (set_local_events(code, shared.ticks) < 0 ||
                                          set_local_events(code, shared.none) < 0)) {
        PyErr_Clear(); // it is not counted
    }
    return 0;
}

void
tl_ticks_repair(void *top)
{
    tl_frames_each_code(top, repair_code, NULL);
}

void
tl_ticks_repair_frames(PyObject *frame)
{
    PyFrameObject *at = (PyFrameObject *)Py_NewRef(frame);
    while (at != NULL) {
        PyObject *code = (PyObject *)PyFrame_GetCode(at);
        (void)repair_code(code, NULL);
        Py_DECREF(code);
        Py_SETREF(at, PyFrame_GetBack(at));
    }
}

void
tl_ticks_check(struct tl_ticks *Py_UNUSED(events))
{
    // Trace functions and monitoring do not displace each other.
}

bool
tl_ticks_are_costly(void)
{
    return true;
}

Py_tracefunc
tl_ticks_trace_func(PyThreadState *ts)
{
    return ts->c_tracefunc;
}

// ---- arming

// Returns the code that was armed, owned, or NULL.
static PyObject *
disarm(struct tl_ticks *events)
{
    PyObject *code = events->armed;
    if (code != NULL) {
        events->armed = NULL;
        clear_code(code);
    }
    return code;
}

bool
tl_ticks_arm(struct tl_ticks *events)
{
    PyObject *code = tl_frames_code(tl_frames_top(events->ts));
    if (code == NULL) {
        return false;
    }
    if (events->armed != code) {
        PyObject *before = disarm(events);
        if (before != NULL) {
            tl_ticks_put_aside(events, before);
        }
        events->armed = Py_NewRef(code);
    }
    if (set_local_events(code, shared.instruction) < 0) {
        PyErr_Clear();
        return false;
    }
    tl_ticks_check_state(events);
    return true;
}

void
tl_ticks_probe(struct tl_ticks *events)
{
    // The code may have been suspended in a greenlet that is no tasklet's.
    tl_ticks_repair(tl_frames_top(events->ts));
}

void
tl_ticks_disarm(struct tl_ticks *events)
{
    Py_XDECREF(disarm(events));
    tl_ticks_drop_aside(events);
}

static void
drop_late(struct tl_ticks *events)
{
    while (events->late != NULL) {
        struct tl_late *late = events->late;
        events->late = late->next;
        Py_DECREF(late->code);
        Py_DECREF(late->exc);
        PyMem_Free(late);
    }
}

void
tl_ticks_fini(struct tl_ticks *events)
{
    tl_ticks_disarm(events);
    drop_late(events);
    tl_link_remove(&events->all);
    while (events->counting > 0) {
        tl_ticks_stop(events);
    }
}

#endif
