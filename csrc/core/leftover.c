// leftover.c - warnings about tasklets that a thread's or the program's end cuts short.
#include "core/leftover.h"
#include "core/errors.h"
#include "core/fiber.h"

// The number of tasklets that the warning lists: the rest is usually there for the same
// reason.
enum { MAX_LISTED = 10 };

// ---- the warning

// Whether tasklets.debug is set.
static bool
is_debugging(void)
{
    PyObject *name = PyUnicode_FromString("tasklets");
    PyObject *mod = name ? PyImport_GetModule(name) : NULL;
    PyObject *flag = mod ? tl_getattr(mod, "debug") : NULL;
    bool result = flag != NULL && PyObject_IsTrue(flag) > 0;
    Py_XDECREF(flag);
    Py_XDECREF(mod);
    Py_XDECREF(name);
    PyErr_Clear();
    return result;
}

// Issue a warning about a tasklet, at the line that spawned it. Returns 0, or -1 with
// an exception set.
static int
warn_explicit(PyObject *text, PyObject *category, TaskletObject *about)
{
    const struct tl_outcome *outcome = about->outcome;
    PyObject *func = about->func, *file = NULL;
    int line = 1;
    if (outcome != NULL && outcome->code != NULL) {
        PyCodeObject *code = (PyCodeObject *)outcome->code;
        file = Py_NewRef(code->co_filename);
        line = PyCode_Addr2Line(code, outcome->lasti);
    } else if (func != NULL && PyFunction_Check(func)) {
        // Made by tasklet(), which does not note the place: where its function is.
        PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(func);
        file = Py_NewRef(code->co_filename);
        line = code->co_firstlineno;
    } else {
        file = PyUnicode_FromString("tasklets");
    }
    PyObject *mod = PyImport_ImportModule("warnings");
    PyObject *issue = mod ? tl_getattr(mod, "warn_explicit") : NULL;
    PyObject *args = file ? Py_BuildValue("OOOi", text, category, file, line) : NULL;
    // A source makes Python recommend tracemalloc, which adds nothing to that line.
    PyObject *source = category == PyExc_ResourceWarning ? (PyObject *)about : Py_None;
    PyObject *kwargs = Py_BuildValue("{sO}", "source", source);
    PyObject *result =
        issue && args && kwargs ? PyObject_Call(issue, args, kwargs) : NULL;
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(issue);
    Py_XDECREF(mod);
    Py_XDECREF(file);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

// Issue a warning. Print it too if tasklets.debug is set and it is a ResourceWarning,
// which is normally not shown. text is stolen, and may be NULL with an exception set.
static void
warn(PyObject *text, PyObject *category, TaskletObject *about)
{
    struct tl_sched *s = tl_sched_mine;
    if (s != NULL) {
        s->no_switch++;
    }
    if (text != NULL && category == PyExc_ResourceWarning && is_debugging()) {
        PySys_FormatStderr("tasklets: %U\n", text);
    }
    int result = text != NULL ? warn_explicit(text, category, about) : -1;
    if (s != NULL) {
        s->no_switch--;
    }
    if (result < 0) {
        tl_errors_unraisable(about->home->state, (PyObject *)about);
    }
    Py_XDECREF(text);
}

// ---- finding the tasklets

struct leftovers {
    TaskletObject *listed[MAX_LISTED]; // counted: describing them may run Python code
    Py_ssize_t count;
};

// Whether t has been killed and has not run since: by its finalizer (revived), for
// example.
static bool
is_being_killed(TaskletObject *t)
{
    return t->revived ||
           (t->tempval != NULL && tl_bomb_check(t->home->state, t->tempval) &&
            ((BombObject *)t->tempval)->rank >= TL_RANK_KILL);
}

static void
add(struct leftovers *found, TaskletObject *t)
{
    if (t->inherited || t->abandoned || is_being_killed(t)) {
        return;
    }
    if (found->count < MAX_LISTED) {
        found->listed[found->count] = (TaskletObject *)Py_NewRef(t);
    }
    found->count++;
}

// The tasklets that never ran.
static void
find_new(struct tl_sched *s, struct leftovers *found)
{
    found->count = 0;
    TaskletObject *t = s->head;
    for (Py_ssize_t left = s->runcount; left > 0; left--) {
        if (t->life == TL_NEW) {
            add(found, t);
        }
        t = tl_task_next(t);
    }
}

static void
find_started(struct tl_sched *s, struct leftovers *found)
{
    found->count = 0;
    for (struct tl_link *i = s->started.next; i != &s->started; i = i->next) {
        add(found, TL_CONTAINER(i, TaskletObject, started));
    }
}

// "'name' (spawned at file:line)": a new reference, or NULL with an exception set.
static PyObject *
name_and_place(TaskletObject *t)
{
    PyObject *name = tl_task_name(t);
    PyObject *text = name ? PyUnicode_FromFormat("'%U'", name) : NULL;
    Py_XDECREF(name);
    if (text != NULL && t->outcome != NULL && t->outcome->code != NULL) {
        PyCodeObject *code = (PyCodeObject *)t->outcome->code;
        PyUnicode_AppendAndDel(
            &text, PyUnicode_FromFormat(" (spawned at %U:%d)", code->co_filename,
                                        PyCode_Addr2Line(code, t->outcome->lasti)));
    }
    return text;
}

// A line about t, with what it does if it has started.
static PyObject *
describe(TaskletObject *t)
{
    PyObject *who = name_and_place(t), *what = NULL, *line = NULL;
    if (who == NULL) {
        return NULL;
    }
    if (t->life == TL_NEW) {
        line = PyUnicode_FromFormat("\n  %U", who);
    } else if (t->place == TL_WAITING) {
        what = tl_task_describe_wait(t->home->state, t->wait.kind, t->wait.on);
    } else {
        what = PyUnicode_FromString(t->place == TL_RUNNABLE ? "was runnable"
                                                            : "was paused");
    }
    if (what != NULL) {
        line = PyUnicode_FromFormat("\n  %U: %U", who, what);
    }
    Py_XDECREF(what);
    Py_DECREF(who);
    return line;
}

// The text of a warning that begins with title (stolen, may be NULL with an exception
// set) and ends with a remedy.
static PyObject *
describe_all(PyObject *title, const struct leftovers *found, const char *remedy)
{
    PyObject *text = title;
    for (Py_ssize_t i = 0; text != NULL && i < found->count && i < MAX_LISTED; i++) {
        PyUnicode_AppendAndDel(&text, describe(found->listed[i]));
    }
    if (text != NULL && found->count > MAX_LISTED) {
        PyUnicode_AppendAndDel(
            &text, PyUnicode_FromFormat("\n  and %zd more", found->count - MAX_LISTED));
    }
    if (text != NULL) {
        PyUnicode_AppendAndDel(&text, PyUnicode_FromFormat("\n  %s", remedy));
    }
    return text;
}

static void
drop(struct leftovers *found)
{
    for (Py_ssize_t i = 0; i < found->count && i < MAX_LISTED; i++) {
        Py_DECREF(found->listed[i]);
    }
}

// Whether an uncaught exception has ended the program: it says more than a warning of
// what did not run any more.
static bool
has_failed(void)
{
    return PySys_GetObject("last_value") != NULL;
}

static void
report_new(struct tl_sched *s, bool program)
{
    struct leftovers found;
    find_new(s, &found);
    if (found.count == 0) {
        return;
    }
    const char *noun = found.count == 1 ? "tasklet" : "tasklets";
    PyObject *title =
        program ? PyUnicode_FromFormat("%zd %s never ran before the program ended",
                                       found.count, noun)
                : PyUnicode_FromFormat("%zd %s never ran before thread %lu ended",
                                       found.count, noun, s->ident);
    warn(
        describe_all(title, &found,
                     "a tasklet runs only while its thread is in run(), join() or "
                     "another wait: call scheduler.run(wait=True), or use a TaskGroup"),
        program && has_failed() ? PyExc_ResourceWarning : PyExc_RuntimeWarning,
        found.listed[0]);
    drop(&found);
}

static void
report_started(struct tl_sched *s, bool program)
{
    struct leftovers found;
    find_started(s, &found);
    if (found.count == 0) {
        return;
    }
    const char *noun = found.count == 1 ? "tasklet" : "tasklets";
    PyObject *title =
        program ? PyUnicode_FromFormat("%zd %s had not ended when the program did",
                                       found.count, noun)
                : PyUnicode_FromFormat("%zd %s had not ended when thread %lu did",
                                       found.count, noun, s->ident);
    warn(describe_all(title, &found,
                      "let them end: scheduler.run(wait=True), join() or a TaskGroup; "
                      "or end them: kill()"),
         PyExc_ResourceWarning, found.listed[0]);
    drop(&found);
}

void
tl_leftover_report(struct tl_sched *s, bool program)
{
    report_new(s, program);
    report_started(s, program);
}

void
tl_leftover_dropped(TaskletObject *t)
{
    PyObject *who = name_and_place(t);
    PyObject *text =
        who ? PyUnicode_FromFormat("tasklet %U was stopped by a budget of run() and "
                                   "dropped: insert() lets it go on, kill() ends it",
                                   who)
            : NULL;
    Py_XDECREF(who);
    warn(text, PyExc_ResourceWarning, t);
}

// "file:line, in function()", where t has paused: a new reference, or NULL, with or
// without an exception set.
static PyObject *
place_of(TaskletObject *t)
{
    PyObject *frame = t->fiber != NULL ? tl_fiber_frame(t->fiber) : NULL, *text = NULL;
    if (frame != NULL && PyFrame_Check(frame)) {
        PyCodeObject *code = PyFrame_GetCode((PyFrameObject *)frame);
        text = PyUnicode_FromFormat("%U:%d, in %U()", code->co_filename,
                                    PyFrame_GetLineNumber((PyFrameObject *)frame),
                                    code->co_qualname);
        Py_DECREF(code);
    }
    Py_XDECREF(frame);
    return text;
}

void
tl_leftover_abandoned(TaskletObject *t)
{
    struct tl_sched *s = t->home;
    PyObject *who = name_and_place(t), *where = who ? place_of(t) : NULL;
    if (where != NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "tasklet %U was told to end with its thread and did not: it is "
                     "left for good at %U",
                     who, where);
    }
    Py_XDECREF(where);
    Py_XDECREF(who);
    s->no_switch++;
    tl_errors_unraisable(s->state, (PyObject *)t);
    s->no_switch--;
}

void
tl_leftover_more_abandoned(struct tl_state *state, Py_ssize_t count)
{
    PyErr_Format(PyExc_RuntimeError,
                 "%zd more tasklets were told to end with their thread and did not",
                 count);
    tl_errors_unraisable(state, NULL);
}

void
tl_leftover_inherit(struct tl_sched *s)
{
    struct tl_link *i = s->started.next;
    for (; i != &s->started; i = i->next) {
        TL_CONTAINER(i, TaskletObject, started)->inherited = true;
    }
    TaskletObject *t = s->head;
    for (Py_ssize_t left = s->runcount; left > 0; left--) {
        t->inherited = true;
        t = tl_task_next(t);
    }
}
