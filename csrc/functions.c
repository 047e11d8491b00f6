// functions.c - the module's functions on tasklets: parse, one call down, convert.
#include "functions.h"
#include "args.h"
#include "clock.h"
#include "errors.h"
#include "gil.h"
#include "thread.h"
#include "types.h"
#include "watch.h"

// ---- the run queue

PyDoc_STRVAR(run_doc,
"run($module, /, timeout=0, threadblock=False, soft=False, ignore_nesting=False,\n"
"    totaltimeout=False)\n"
"--\n"
"\n"
"Run the other tasklets of this thread until none is runnable, or one takes too long.\n"
"\n"
"timeout: how many ticks one tasklet may run without giving way, or with totaltimeout\n"
"all together; 0: as many as they want. What a tick is, scheduler.run() says. The\n"
"tasklet that runs longer is stopped, removed from the run queue and returned: alive\n"
"and paused, insert() lets it go on. It is not stopped while it is atomic, in a\n"
"callback, under switch_trap(), in an import, or, unless it or this call has set\n"
"ignore_nesting, in a function that C code has called (a generator is none); then it is\n"
"as soon as that is over. soft: it is not stopped, but when it next gives way, this\n"
"call returns None. threadblock: while none is runnable, wait for other threads as long\n"
"as these can run. Otherwise returns None.\n"
"\n"
"Any tasklet may call it, also while another is inside run(): a timeout inside one with\n"
"a timeout has no effect. An uncaught exception of a tasklet is raised here, in the\n"
"innermost run(); the others stay as they are. As in Stackless Python, the options have\n"
"no effect without a timeout.");

// A budget beyond all counting is as good as the most that can be counted.
static int64_t
clip(int64_t value)
{
    return value < INT64_MAX / 4 ? value : INT64_MAX / 4;
}

static PyObject *
fn_run(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout",        "threadblock",  "soft",
                                        "ignore_nesting", "totaltimeout", NULL};
    static const struct tl_argspec spec = {.fname = "run", .names = names, .maxpos = 5};
    PyObject *argv[5];
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s != NULL && nargs == 0 && kwnames == NULL) {
        return tl_watch_run(s, NULL);
    }
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    long timeout = argv[0] == NULL ? 0 : PyLong_AsLong(argv[0]);
    if (timeout == -1 && PyErr_Occurred()) {
        return NULL;
    }
    int options[5];
    for (int i = 1; i < 5; i++) {
        options[i] = argv[i] == NULL ? 0 : PyObject_IsTrue(argv[i]);
        if (options[i] < 0) {
            return NULL;
        }
    }
    if (timeout <= 0 || tl_watch_owner(s) != NULL) {
        return tl_watch_run(s, NULL);
    }
    struct tl_budget budget = {.threadblock = options[1],
                               .soft = options[2],
                               .ignore_nesting = options[3],
                               .classic = true};
    *(options[4] ? &budget.ticks : &budget.slice_ticks) = clip(timeout);
    return tl_watch_run(s, &budget);
}

PyDoc_STRVAR(scheduler_run_doc,
"scheduler_run($module, /, ticks=0, *, seconds=None, switches=None, slice_ticks=0,\n"
"    slice_seconds=None, soft=False, threadblock=False, ignore_nesting=True,\n"
"    wait=False)\n"
"--\n"
"\n"
"Run the other tasklets of this thread until none is runnable or a budget is used up.\n"
"\n"
"ticks, seconds and switches bound the whole call, slice_ticks and slice_seconds what\n"
"one tasklet runs without giving way; 0 or None: no such bound. switches counts the\n"
"tasklets that are entered. A tick is an event of this thread's Python code: from\n"
"Python 3.12 a jump or the entry of a function, on 3.11 the start of a line or a jump\n"
"backwards. The same program is stopped at the same tick\n"
"each time. Seconds (float) cost nothing until they are over.\n"
"\n"
"A budget that ends inside a tasklet stops it, at that tick or soon after that time, and\n"
"returns it: alive, paused, not in the run queue; insert() lets it go on. One that ends\n"
"between two tasklets returns None and leaves the run queue as it is. A tasklet is not\n"
"stopped while it is atomic, in a callback, in a finalizer that the collector calls,\n"
"under switch_trap(), in an import, or with ignore_nesting=False in a function that C\n"
"code has called; it is as soon as that is over. soft: none is stopped, the budget's\n"
"end is waited for. last_run() tells which budget it was.\n"
"\n"
"wait: while none is runnable, wait as long as something is to come: a sleep or timeout,\n"
"a descriptor, a worker's result, a callback. Without it, what is due is taken up, and\n"
"nothing is waited for. Tasklets that are blocked on channels or locks only do not count.\n"
"threadblock: while none is runnable, wait as long as another thread could make one so.\n"
"An uncaught exception of a tasklet is raised here. Raises ValueError for a budget that\n"
"is negative, or of no switches or no time at all; RuntimeError if all tools of\n"
"sys.monitoring are in use.");

// The count of something: 0 if it is not given. Returns -1 with an exception set.
static int64_t
count_of(PyObject *arg, const char *name, long long least)
{
    if (arg == NULL || arg == Py_None) {
        return 0;
    }
    long long value = PyLong_AsLongLong(arg);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (value < least) {
        PyErr_Format(PyExc_ValueError, "%s must be %s, not %lld", name,
                     least > 0 ? "positive" : "0 or positive", value);
        return -1;
    }
    return clip(value);
}

// A duration in nanoseconds: 0 if it is not given. Returns -1 with an exception set.
static int64_t
duration_of(PyObject *arg, const char *name)
{
    if (arg == NULL || arg == Py_None) {
        return 0;
    }
    double value = PyFloat_AsDouble(arg);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (!(value > 0)) {
        PyErr_Format(PyExc_ValueError, "%s must be positive, not %R", name, arg);
        return -1;
    }
    if (value >= 1e8) {
        return 0; // more than three years: nobody sees the end
    }
    return value < 1e-9 ? 1 : (int64_t)(value * 1e9);
}

static PyObject *
run_and_note(struct tl_sched *s, const struct tl_budget *budget)
{
    int64_t began = tl_clock_now();
    uint64_t before = s->switches;
    PyObject *result = tl_watch_run(s, budget);
    if (tl_sched_mine != s) {
        return result; // an error: the thread is over
    }
    s->last_end = s->end;
    s->last_time = tl_clock_now() - began;
    uint64_t switches_made = s->switches - before;
    s->last_switches = switches_made > 0 ? switches_made - 1 : 0; // one was back to us
    return result;
}

static PyObject *
fn_scheduler_run(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const char *const names[] = {
        "ticks", "seconds",     "switches",       "slice_ticks", "slice_seconds",
        "soft",  "threadblock", "ignore_nesting", "wait",        NULL};
    static const struct tl_argspec spec = {.fname = "run", .names = names, .maxpos = 1};
    PyObject *argv[9];
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    int flags[4];
    for (int i = 0; i < 4; i++) {
        flags[i] = argv[5 + i] == NULL ? i == 2 : PyObject_IsTrue(argv[5 + i]);
        if (flags[i] < 0) {
            return NULL;
        }
    }
    int64_t ticks, seconds, switches, slice_ticks, slice_seconds;
    if ((ticks = count_of(argv[0], "ticks", 0)) < 0 ||
        (seconds = duration_of(argv[1], "seconds")) < 0 ||
        (switches = count_of(argv[2], "switches", 1)) < 0 ||
        (slice_ticks = count_of(argv[3], "slice_ticks", 0)) < 0 ||
        (slice_seconds = duration_of(argv[4], "slice_seconds")) < 0) {
        return NULL;
    }
    struct tl_budget budget = {.ticks = ticks,
                               .slice_ticks = slice_ticks,
                               .time = seconds,
                               .slice_time = slice_seconds,
                               .switches = (uint64_t)switches,
                               .soft = flags[0],
                               .threadblock = flags[1],
                               .ignore_nesting = flags[2],
                               .wait = flags[3]};
    return run_and_note(s, &budget);
}

PyDoc_STRVAR(run_forever_doc,
"run_forever($module, /)\n"
"--\n"
"\n"
"Run the other tasklets of this thread until stop(), waiting while none is runnable.\n"
"\n"
"An uncaught exception of a tasklet is raised here, and so is what signal handlers\n"
"raise while it waits; the others stay as they are, and it can be called again.");

static PyObject *
fn_run_forever(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    struct tl_budget budget = {.ignore_nesting = true, .forever = true};
    return s == NULL ? NULL : run_and_note(s, &budget);
}

PyDoc_STRVAR(last_run_doc,
"last_run($module, /)\n"
"--\n"
"\n"
"Return (why, elapsed, switches) of this thread's last scheduler.run(); None before it.\n"
"\n"
"why is 'idle' (none was runnable), 'ticks', 'seconds', 'switches' (that budget was used\n"
"up, be it of the call or of a slice), 'stopped' (somebody inserted the caller) or\n"
"'error' (it raised). elapsed is in seconds.");

static PyObject *
fn_last_run(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    static const char *const words[] = {"",         "idle",    "ticks", "seconds",
                                        "switches", "stopped", "error"};
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL || s->last_end == TL_END_NONE) {
        return s == NULL ? NULL : Py_NewRef(Py_None);
    }
    return Py_BuildValue("sdK", words[s->last_end], (double)s->last_time / 1e9,
                         (unsigned long long)s->last_switches);
}

// The one optional argument of schedule() and schedule_remove(), or the current tasklet.
TL_COLD static PyObject *
parse_retval(struct tl_sched *s, const char *fname, PyObject *const *args,
             Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"retval", NULL};
    const struct tl_argspec spec = {.fname = fname, .names = names, .maxpos = 1};
    PyObject *argv[1];
    if (tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    return argv[0] != NULL ? argv[0] : (PyObject *)s->current;
}

PyDoc_STRVAR(schedule_doc,
"schedule($module, /, retval=...)\n"
"--\n"
"\n"
"Let the other runnable tasklets of this thread run, each in its turn.\n"
"\n"
"Returns retval, by default the current tasklet, unless somebody set tempval\n"
"meanwhile. Alone, it returns at once.");

static PyObject *
fn_schedule(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL) {
        return NULL;
    }
    PyObject *value = (PyObject *)s->current;
    if (nargs > 0 || kwnames != NULL) {
        value = parse_retval(s, "schedule", args, nargs, kwnames);
    }
    return value == NULL ? NULL : tl_sched_yield(s, value);
}

static PyObject *
schedule_remove(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames, bool classic)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL) {
        return NULL;
    }
    PyObject *value = parse_retval(s, "schedule_remove", args, nargs, kwnames);
    if (value == NULL) {
        return NULL;
    }
    struct tl_leave how = {.value = value, .classic = classic};
    return tl_sched_leave(s, &how);
}

PyDoc_STRVAR(schedule_remove_doc,
"schedule_remove($module, /, retval=...)\n"
"--\n"
"\n"
"Pause the current tasklet: the others run, and it does when somebody inserts it.\n"
"\n"
"Returns retval, by default the current tasklet, unless somebody set tempval meanwhile.\n"
"The last runnable tasklet wakes the innermost run(); if none is to be woken,\n"
"DeadlockError. While it is paused, retval is in its tempval: by default it holds\n"
"itself, and if it is forgotten only the cyclic collector ends it.\n"
"schedule_remove(None) leaves it to the last reference.");

static PyObject *
fn_schedule_remove(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    return schedule_remove(mod, args, nargs, kwnames, false);
}

static PyObject *
fn_classic_schedule_remove(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    return schedule_remove(mod, args, nargs, kwnames, true);
}

PyDoc_STRVAR(spawn_doc,
"spawn($module, func, /, *args, name=None, **kwargs)\n"
"--\n"
"\n"
"Have func(*args, **kwargs) run in a new tasklet, which is returned, runnable.\n"
"\n"
"It runs in a copy of the caller's contextvars Context, and keeps its result or\n"
"exception for result() and exception(). Raises TypeError if func is not callable or\n"
"name not a str.");

// Split what spawn() got by keyword into name (borrowed) and the rest (a new dict or
// NULL). Returns 0, or -1 with an exception set.
static int
split_keywords(PyObject *const *values, PyObject *kwnames, PyObject **name,
               PyObject **rest)
{
    *name = *rest = NULL;
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(key, "name") == 0) {
            *name = values[i] == Py_None ? NULL : values[i];
            continue;
        }
        if (*rest == NULL) {
            *rest = PyDict_New();
        }
        if (*rest == NULL || PyDict_SetItem(*rest, key, values[i]) < 0) {
            Py_CLEAR(*rest);
            return -1;
        }
    }
    if (*name != NULL && !PyUnicode_Check(*name)) {
        PyErr_SetString(PyExc_TypeError, "a tasklet's name must be a str");
        Py_CLEAR(*rest);
        return -1;
    }
    return 0;
}

static int
note_spawn(TaskletObject *t, PyObject *name)
{
    struct tl_outcome *outcome = tl_outcome_of(t);
    if (outcome == NULL) {
        return -1;
    }
    outcome->keep = true;
    outcome->name = Py_XNewRef(name);
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    if (frame == NULL) {
        PyErr_Clear(); // no memory for a frame object: the place stays unknown
        return 0;
    }
    outcome->code = (PyObject *)PyFrame_GetCode(frame);
    outcome->lasti = PyFrame_GetLasti(frame);
    Py_DECREF(frame);
    return 0;
}

PyObject *
tl_function_spawn(struct tl_sched *s, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    if (nargs == 0 || !PyCallable_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "spawn() needs a callable to run");
        return NULL;
    }
    PyObject *name, *rest;
    if (split_keywords(args + nargs, kwnames, &name, &rest) < 0) {
        return NULL;
    }
    TaskletObject *t = tl_task_new(s->state->tasklet_type, s);
    if (t == NULL || note_spawn(t, name) < 0) {
        goto fail;
    }
    if (tl_task_set_call(t, args, nargs) < 0) {
        goto fail;
    }
    t->kwargs = rest;
    tl_ring_append(s, (TaskletObject *)Py_NewRef(t));
    return (PyObject *)t;

fail:
    Py_XDECREF(rest);
    Py_XDECREF(t);
    return NULL;
}

static PyObject *
fn_spawn(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    return s == NULL ? NULL : tl_function_spawn(s, args, nargs, kwnames);
}

// ---- asking

PyDoc_STRVAR(getcurrent_doc,
"getcurrent($module, /)\n"
"--\n"
"\n"
"Return the running tasklet of this thread; in a schedule callback, the one before.");

static PyObject *
fn_getcurrent(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    return s == NULL ? NULL : Py_NewRef(s->current);
}

PyDoc_STRVAR(getmain_doc,
"getmain($module, /)\n"
"--\n"
"\n"
"Return the main tasklet of this thread: the code that began it.");

static PyObject *
fn_getmain(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    return s == NULL ? NULL : Py_NewRef(s->main);
}

PyDoc_STRVAR(getcurrentid_doc,
"getcurrentid($module, /)\n"
"--\n"
"\n"
"Return a number that identifies the current tasklet: the thread's id for a main one.");

static PyObject *
fn_getcurrentid(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_mine;
    if (s == NULL || s->current->is_main) {
        return PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    }
    uintptr_t address = (uintptr_t)s->current;
    return PyLong_FromSize_t((address >> 4) ^ (address << (8 * sizeof address - 4)));
}

PyDoc_STRVAR(getruncount_doc,
"getruncount($module, /)\n"
"--\n"
"\n"
"Return how many tasklets of this thread are runnable, the running one included.");

static PyObject *
fn_getruncount(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    return s == NULL ? NULL : PyLong_FromSsize_t(s->runcount);
}

PyDoc_STRVAR(getthreads_doc,
"getthreads($module, /)\n"
"--\n"
"\n"
"Return the ids of all Python threads, the oldest first. Workers that have nothing to\n"
"do are left out.");

static PyObject *
fn_getthreads(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    return tl_thread_list(tl_state_of_module(mod));
}

PyDoc_STRVAR(get_thread_info_doc,
"get_thread_info($module, thread_id=-1, flags=0, /)\n"
"--\n"
"\n"
"Return (main tasklet, current tasklet, run count) of a thread, -1 being this one.\n"
"\n"
"(None, None, 0) for a thread that has not used tasklets yet. With bit 31 of flags set,\n"
"a fourth item lists the callers of run(): None in the place of the one whose timeout\n"
"is in force, then the callers from the outermost; None before the first run(). Raises\n"
"RuntimeError if there is no such thread.");

static PyObject *
list_watches(struct tl_sched *s)
{
    if (s->watch == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *list = PyList_New(s->nwatch + 1);
    if (list != NULL) {
        TaskletObject *owner = tl_watch_owner(s);
        PyList_SET_ITEM(list, 0, Py_NewRef(owner ? (PyObject *)owner : Py_None));
        for (int i = 0; i < s->nwatch; i++) {
            PyList_SET_ITEM(list, i + 1, Py_NewRef(s->watch[i]->who));
        }
    }
    return list;
}

static PyObject *
thread_info(struct tl_sched *s, unsigned long flags)
{
    PyObject *main = s ? (PyObject *)s->main : Py_None;
    PyObject *current = s ? (PyObject *)s->current : Py_None;
    Py_ssize_t count = s ? s->runcount : 0;
    if (flags & 1UL << 31) {
        PyObject *watches = s ? list_watches(s) : Py_NewRef(Py_None);
        return Py_BuildValue("OOnN", main, current, count, watches);
    }
    return Py_BuildValue("OOn", main, current, count);
}

static PyObject *
fn_get_thread_info(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_state *state = tl_state_of_module(mod);
    if (nargs > 2) {
        PyErr_SetString(PyExc_TypeError, "get_thread_info() takes at most 2 arguments");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        if (!PyLong_Check(args[i])) {
            PyErr_Format(PyExc_TypeError, "get_thread_info() needs an int, not %s",
                         Py_TYPE(args[i])->tp_name);
            return NULL;
        }
    }
    unsigned long flags = nargs > 1 ? PyLong_AsUnsignedLongMask(args[1]) : 0;
    int overflow = 0;
    long asked = nargs > 0 ? PyLong_AsLongAndOverflow(args[0], &overflow) : -1;
    if (asked == -1 && overflow == 0) {
        struct tl_sched *mine = tl_sched_get(state);
        return mine == NULL ? NULL : thread_info(mine, flags);
    }
    unsigned long ident = PyLong_AsUnsignedLongMask(args[0]);
    if (overflow < 0 || !tl_thread_exists(ident)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_RuntimeError, "Thread id not found");
        return NULL;
    }
    return thread_info(tl_thread_sched(state, ident), flags);
}

PyDoc_STRVAR(getuncollectables_doc,
"getuncollectables($module, /)\n"
"--\n"
"\n"
"Return the tasklets of all threads that have started and not ended, main ones left\n"
"out. Those that nobody can reach and the collector does not find are among them.");

static PyObject *
fn_getuncollectables(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_state *state = tl_state_of_module(mod);
    PyObject *list = PyList_New(0);
    if (list == NULL) {
        return NULL;
    }
    for (struct tl_link *i = state->scheds.next; i != &state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        for (struct tl_link *j = s->started.next; j != &s->started; j = j->next) {
            TaskletObject *t = TL_CONTAINER(j, TaskletObject, started);
            if (PyList_Append(list, (PyObject *)t) < 0) {
                Py_DECREF(list);
                return NULL;
            }
        }
    }
    return list;
}

// clang-format off

PyMethodDef tl_functions[] = {
    {"run", TL_FAST(fn_run), METH_FASTCALL | METH_KEYWORDS, run_doc},
    {"scheduler_run", TL_FAST(fn_scheduler_run), METH_FASTCALL | METH_KEYWORDS,
     scheduler_run_doc},
    {"run_forever", fn_run_forever, METH_NOARGS, run_forever_doc},
    {"last_run", fn_last_run, METH_NOARGS, last_run_doc},
    {"schedule", TL_FAST(fn_schedule), METH_FASTCALL | METH_KEYWORDS, schedule_doc},
    {"schedule_remove", TL_FAST(fn_schedule_remove), METH_FASTCALL | METH_KEYWORDS,
     schedule_remove_doc},
    {"spawn", TL_FAST(fn_spawn), METH_FASTCALL | METH_KEYWORDS, spawn_doc},
    {"getcurrent", fn_getcurrent, METH_NOARGS, getcurrent_doc},
    {"getmain", fn_getmain, METH_NOARGS, getmain_doc},
    {"getcurrentid", fn_getcurrentid, METH_NOARGS, getcurrentid_doc},
    {"getruncount", fn_getruncount, METH_NOARGS, getruncount_doc},
    {"getthreads", fn_getthreads, METH_NOARGS, getthreads_doc},
    {"get_thread_info", TL_FAST(fn_get_thread_info), METH_FASTCALL, get_thread_info_doc},
    {"getuncollectables", fn_getuncollectables, METH_NOARGS, getuncollectables_doc},
    {NULL, NULL, 0, NULL},
};

PyMethodDef tl_classic_functions[] = {
    {"schedule_remove", TL_FAST(fn_classic_schedule_remove),
     METH_FASTCALL | METH_KEYWORDS, schedule_remove_doc},
    {NULL, NULL, 0, NULL},
};
