// mod_scheduler.c - the module's functions that run, schedule and list tasklets.
#include "python/mod_scheduler.h"
#include "core/errors.h"
#include "core/outcome.h"
#include "core/run.h"
#include "core/run_frame.h"
#include "core/thread.h"
#include "core/timer.h"
#include "cpython/gil.h"
#include "object/args.h"
#include "python/types.h"
#include "base/clock.h"

// ---- the run queue

PyDoc_STRVAR(run_doc,
"run($module, /, timeout=0, threadblock=False, soft=False, ignore_nesting=False,\n"
"    totaltimeout=False, *, wait=False)\n"
"--\n"
"\n"
"Run the other tasklets of this thread until none is runnable.\n"
"\n"
"Returns None, or the tasklet that a timeout has stopped. Any tasklet may call it.\n"
"\n"
"timeout: the number of ticks (not seconds; see scheduler.run()) that one tasklet may\n"
"run without giving way; with totaltimeout, that all may run together. 0 or less: no\n"
"limit. The tasklet that exceeds it is stopped, removed from the run queue and\n"
"returned: alive and paused; insert() lets it go on. It is not stopped while it is\n"
"atomic, in a callback, under switch_trap(), in an import, or, unless it or this call\n"
"has set ignore_nesting, in a function called from C code (generators do not count);\n"
"it is stopped as soon as that is over. soft: stop no tasklet; return None when it\n"
"next gives way. threadblock: while none is runnable, wait as long as another thread\n"
"could make one runnable. wait: while none is runnable, wait as long as anything is\n"
"pending, like scheduler.run(); without it, tasklets that sleep or wait for\n"
"descriptors may be left waiting.\n"
"\n"
"As in Stackless Python, the options other than wait have no effect without a\n"
"timeout, and a timeout has none inside another run() with a timeout. An uncaught\n"
"exception of a tasklet is raised in the innermost run(); the others stay as they\n"
"are. Raises TypeError for a timeout that is not an int: see scheduler.run(seconds=).");

// Clip to a count that is never reached, and that can be added without overflow.
static int64_t
clip(int64_t value)
{
    return value < INT64_MAX / 4 ? value : INT64_MAX / 4;
}

// The value of an int of any size, clipped; 0 if it is negative. If arg is not an int,
// returns -1 with TypeError set, whose message ends with hint.
static int64_t
whole_number(PyObject *arg, const char *name, const char *hint)
{
    if (!PyIndex_Check(arg)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %R%s", name, arg, hint);
        return -1;
    }
    PyObject *number = PyNumber_Index(arg);
    if (number == NULL) {
        return -1;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    return overflow != 0 ? (overflow > 0 ? clip(INT64_MAX) : 0)
                         : (value > 0 ? clip(value) : 0);
}

static PyObject *
fn_run(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {
        "timeout",      "threadblock", "soft", "ignore_nesting",
        "totaltimeout", "wait",        NULL};
    static const struct tl_argspec spec = {.fname = "run", .names = names, .maxpos = 5};
    PyObject *argv[6];
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s != NULL && nargs == 0 && kwnames == NULL) {
        return tl_run(s, NULL);
    }
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    int64_t timeout = 0;
    if (argv[0] != NULL) {
        timeout = whole_number(argv[0], "timeout",
                               ": it counts ticks; use scheduler.run(seconds=...) for "
                               "a time");
    }
    if (timeout < 0) {
        return NULL;
    }
    int options[6];
    for (int i = 1; i < 6; i++) {
        options[i] = argv[i] == NULL ? 0 : PyObject_IsTrue(argv[i]);
        if (options[i] < 0) {
            return NULL;
        }
    }
    struct tl_budget budget = {.classic = true, .wait = options[5]};
    if (timeout == 0 || tl_run_owner(s) != NULL) {
        return tl_run(s, options[5] ? &budget : NULL);
    }
    budget.threadblock = options[1];
    budget.soft = options[2];
    budget.ignore_nesting = options[3];
    *(options[4] ? &budget.ticks : &budget.slice_ticks) = timeout;
    return tl_run(s, &budget);
}

PyDoc_STRVAR(scheduler_run_doc,
"run($module, /, ticks=None, *, seconds=None, switches=None, rounds=None,\n"
"    slice_ticks=None, slice_seconds=None, soft=False, threadblock=False,\n"
"    ignore_nesting=True, wait=False)\n"
"--\n"
"\n"
"Run the other tasklets of this thread until none is runnable or a budget ends.\n"
"\n"
"Budgets: ticks, seconds, switches and rounds are for the whole call, slice_ticks and\n"
"slice_seconds for what one tasklet runs without giving way. None: no limit. With 0\n"
"or less nothing runs, and the call returns at once.\n"
"\n"
"rounds: in a round, each tasklet that is runnable when it begins is entered once, in\n"
"the order of the run queue; a tasklet that becomes runnable during it is entered in\n"
"the next. run(rounds=1) suits a frame of a game. switches: the number of tasklets\n"
"entered. ticks: events of this thread's Python code; from Python 3.12 on a jump or\n"
"the entry of a function, on 3.11 the start of a line or a jump backwards. The same\n"
"program is stopped at the same tick each time. seconds: a float; costs nothing until\n"
"the time is over.\n"
"\n"
"A budget that ends inside a tasklet stops it, at that tick or soon after that time,\n"
"and returns it: alive, paused, not in the run queue; insert() lets it go on. A\n"
"budget that ends between two tasklets returns None and leaves the run queue as it\n"
"is. A tasklet is not stopped while it is atomic, in a callback, in a finalizer\n"
"called by the collector, under switch_trap(), in an import, or with\n"
"ignore_nesting=False in a function called from C code; it is stopped as soon as that\n"
"is over. soft: stop no tasklet; return None when it next gives way. last_run() tells\n"
"which budget ended.\n"
"\n"
"wait: while none is runnable, wait as long as anything is pending: a sleep or\n"
"timeout, a descriptor, a worker's result, a callback. Without it, only what is due\n"
"already is taken up. Tasklets blocked on channels or locks do not count.\n"
"threadblock: while none is runnable, wait as long as another thread could make one\n"
"runnable.\n"
"\n"
"An uncaught exception of a tasklet is raised here. Raises TypeError for a count that\n"
"is not an int or a time that is not a number, ValueError for a time that is NaN, and\n"
"RuntimeError if all tools of sys.monitoring are in use; nothing has run then.");

// Note that a budget allows nothing at all. The first of several is reported.
static void
note_spent(struct tl_budget *budget, enum tl_end end)
{
    if (budget->spent == TL_END_NONE) {
        budget->spent = end;
    }
}

// Parse a count into *value: 0 if it is not given, or if it allows nothing, which is
// noted as end. Returns 0, or -1 with an exception set.
static int
parse_count(PyObject *arg, const char *name, struct tl_budget *budget, enum tl_end end,
            int64_t *value)
{
    *value = 0;
    if (arg == NULL || arg == Py_None) {
        return 0;
    }
    *value = whole_number(arg, name, "");
    if (*value == 0) {
        note_spent(budget, end);
    }
    return *value < 0 ? -1 : 0;
}

// The same for a duration in seconds, into *value in nanoseconds.
static int
parse_duration(PyObject *arg, const char *name, struct tl_budget *budget,
               enum tl_end end, int64_t *value)
{
    *value = 0;
    if (arg == NULL || arg == Py_None) {
        return 0;
    }
    int64_t ns;
    if (tl_timer_read_ns(arg, name, &ns) < 0) {
        return -1;
    }
    if (ns <= 0) {
        note_spent(budget, end);
    } else if (ns < TL_TIMER_MAX_NS) {
        *value = ns;
    }
    return 0;
}

static PyObject *
run_and_note(struct tl_sched *s, const struct tl_budget *budget)
{
    int64_t began = tl_clock_now();
    uint64_t before = s->switches;
    PyObject *result = tl_run(s, budget);
    if (tl_sched_mine != s) {
        return result; // an error: the thread's scheduler has ended
    }
    s->last_end = s->end;
    s->last_time = tl_clock_now() - began;
    uint64_t switches_made = s->switches - before;
    s->last_switches = switches_made > 0 ? switches_made - 1 : 0; // without our return
    return result;
}

static PyObject *
fn_scheduler_run(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    enum { TICKS, SECONDS, SWITCHES, ROUNDS, SLICE_TICKS, SLICE_SECONDS, FLAGS };
    static const char *const names[] = {"ticks",  "seconds",     "switches",
                                        "rounds", "slice_ticks", "slice_seconds",
                                        "soft",   "threadblock", "ignore_nesting",
                                        "wait",   NULL};
    static const struct tl_argspec spec = {.fname = "run", .names = names, .maxpos = 1};
    PyObject *argv[FLAGS + 4];
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    int flags[4];
    for (int i = 0; i < 4; i++) {
        PyObject *flag = argv[FLAGS + i];
        flags[i] = flag == NULL ? i == 2 : PyObject_IsTrue(flag);
        if (flags[i] < 0) {
            return NULL;
        }
    }
    struct tl_budget budget = {.soft = flags[0],
                               .threadblock = flags[1],
                               .ignore_nesting = flags[2],
                               .wait = flags[3]};
    int64_t switches, rounds;
    if (parse_count(argv[TICKS], "ticks", &budget, TL_END_TICKS, &budget.ticks) < 0 ||
        parse_duration(argv[SECONDS], "seconds", &budget, TL_END_SECONDS,
                       &budget.time) < 0 ||
        parse_count(argv[SWITCHES], "switches", &budget, TL_END_SWITCHES, &switches) <
            0 ||
        parse_count(argv[ROUNDS], "rounds", &budget, TL_END_ROUNDS, &rounds) < 0 ||
        parse_count(argv[SLICE_TICKS], "slice_ticks", &budget, TL_END_SLICE_TICKS,
                    &budget.slice_ticks) < 0 ||
        parse_duration(argv[SLICE_SECONDS], "slice_seconds", &budget,
                       TL_END_SLICE_SECONDS, &budget.slice_time) < 0) {
        return NULL;
    }
    budget.switches = (uint64_t)switches;
    budget.rounds = (uint64_t)rounds;
    return run_and_note(s, &budget);
}

PyDoc_STRVAR(run_forever_doc,
"run_forever($module, /)\n"
"--\n"
"\n"
"Run the other tasklets of this thread until stop(); wait while none is runnable.\n"
"\n"
"Uncaught exceptions of tasklets, and those of signal handlers while it waits, are\n"
"raised here; the other tasklets stay as they are, and it can be called again.");

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
"Return (why, elapsed, switches) of this thread's last scheduler.run(), or None.\n"
"\n"
"why: 'idle' (none was runnable); 'ticks', 'seconds', 'switches', 'rounds',\n"
"'slice_ticks' or 'slice_seconds' (that budget ended); 'stopped' (by stop(), or\n"
"by an insert() of the caller); 'error' (it raised). elapsed is in seconds.");

static PyObject *
fn_last_run(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    static const char *const words[] = {
        [TL_END_IDLE] = "idle",
        [TL_END_TICKS] = "ticks",
        [TL_END_SLICE_TICKS] = "slice_ticks",
        [TL_END_SECONDS] = "seconds",
        [TL_END_SLICE_SECONDS] = "slice_seconds",
        [TL_END_SWITCHES] = "switches",
        [TL_END_ROUNDS] = "rounds",
        [TL_END_STOPPED] = "stopped",
        [TL_END_ERROR] = "error",
    };
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL || s->last_end == TL_END_NONE) {
        return s == NULL ? NULL : Py_NewRef(Py_None);
    }
    return Py_BuildValue("sdK", words[s->last_end], (double)s->last_time / 1e9,
                         (unsigned long long)s->last_switches);
}

// Parse the optional argument of schedule() and schedule_remove(). Default: the caller.
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
"Let every other runnable tasklet of this thread run once, then return.\n"
"\n"
"Returns retval, by default the current tasklet, unless the caller's tempval\n"
"was set in between. Returns at once if no other tasklet is runnable.");

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
    struct tl_leave how = {
        .value = value, .deadline = TL_DEADLINE_NEVER, .classic = classic};
    return tl_sched_leave(s, &how);
}

PyDoc_STRVAR(schedule_remove_doc,
"schedule_remove($module, /, retval=...)\n"
"--\n"
"\n"
"Pause the current tasklet until another one inserts it; the others run.\n"
"\n"
"Returns retval, by default the current tasklet, unless its tempval was set in\n"
"between. If no other tasklet is runnable the innermost run() goes on, or if it\n"
"cannot, DeadlockError is raised here. While the caller is paused, retval is in its\n"
"tempval: by default it refers to itself, and if all other references are dropped\n"
"only the cyclic collector ends it. After schedule_remove(None) dropping the last\n"
"reference does.");

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
"Run func(*args, **kwargs) in a new tasklet, and return the tasklet.\n"
"\n"
"It is runnable, runs in a copy of the caller's contextvars Context, and keeps its\n"
"result or exception for result() and exception(). name: a str, the tasklet's name; a\n"
"func that has a parameter of that name gets it by position, or as\n"
"functools.partial(func, name=...). Raises TypeError if func is not callable or is\n"
"async, or name is not a str. Warns of a generator function: none of its body runs.");

// Split spawn()'s keyword arguments into name (borrowed) and the rest (a new dict or
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
        PyErr_Format(
            PyExc_TypeError,
            "a tasklet's name must be a str, not %s: if name is an argument of "
            "the function, pass functools.partial(f, name=...)",
            Py_TYPE(*name)->tp_name);
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
        PyErr_Clear(); // no memory for a frame object: spawned_at stays unknown
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
    if (nargs == 0) {
        PyErr_SetString(PyExc_TypeError, "spawn() needs a callable: spawn(f, x)");
        return NULL;
    }
    if (tl_args_function("spawn", args[0], 1) < 0) {
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

// ---- queries

PyDoc_STRVAR(getcurrent_doc,
"getcurrent($module, /)\n"
"--\n"
"\n"
"Return the running tasklet; in a schedule callback, the one being left.");

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
"Return this thread's main tasklet, the code that the thread began with.");

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
"Return an int that identifies the current tasklet; for main, the thread's id.");

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
"Return the number of this thread's runnable tasklets, the running included.");

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
"Return the ids of all Python threads but idle workers, the oldest first.");

static PyObject *
fn_getthreads(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    return tl_thread_list(tl_state_of_module(mod));
}

PyDoc_STRVAR(get_thread_info_doc,
"get_thread_info($module, thread_id=-1, flags=0, /)\n"
"--\n"
"\n"
"Return (main tasklet, current tasklet, run count) of a thread.\n"
"\n"
"thread_id: -1 for this thread. Returns (None, None, 0) for a thread that has not\n"
"used tasklets yet. With bit 31 of flags set there is a fourth item: None before the\n"
"first run(), otherwise a list of the caller of run() whose timeout is active, or\n"
"None, and of all callers of run() from the outermost. Raises RuntimeError if there\n"
"is no such thread.");

static PyObject *
list_watches(struct tl_sched *s)
{
    if (s->frames == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *list = PyList_New(s->nframes + 1);
    if (list != NULL) {
        TaskletObject *owner = tl_run_owner(s);
        PyList_SET_ITEM(list, 0, Py_NewRef(owner ? (PyObject *)owner : Py_None));
        for (int i = 0; i < s->nframes; i++) {
            PyList_SET_ITEM(list, i + 1, Py_NewRef(s->frames[i]->caller));
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
"Return a list of the tasklets of all threads that have started and not ended.\n"
"\n"
"Main tasklets are left out. Unreachable ones that the collector cannot free are\n"
"included.");

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

PyMethodDef tl_scheduler_functions[] = {
    {"run", TL_FAST(fn_scheduler_run), METH_FASTCALL | METH_KEYWORDS,
     scheduler_run_doc},
    {NULL, NULL, 0, NULL},
};

PyMethodDef tl_classic_functions[] = {
    {"schedule_remove", TL_FAST(fn_classic_schedule_remove),
     METH_FASTCALL | METH_KEYWORDS, schedule_remove_doc},
    {NULL, NULL, 0, NULL},
};
