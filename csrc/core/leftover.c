// leftover.c - warnings about tasklets that a thread's or the program's end cuts short.
#include "core/leftover.h"
#include "core/errors.h"

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

// Issue the ResourceWarning text about a tasklet, at the line that spawned it. Returns
// 0, or -1 with an exception set.
static int
warn_explicit(PyObject *text, TaskletObject *about)
{
    const struct tl_outcome *outcome = about->outcome;
    PyObject *file = NULL;
    int line = 1;
    if (outcome != NULL && outcome->code != NULL) {
        PyCodeObject *code = (PyCodeObject *)outcome->code;
        file = Py_NewRef(code->co_filename);
        line = PyCode_Addr2Line(code, outcome->lasti);
    } else {
        // Made by tasklet(), which does not note the place.
        file = PyUnicode_FromString("tasklets");
    }
    PyObject *mod = PyImport_ImportModule("warnings");
    PyObject *func = mod ? tl_getattr(mod, "warn_explicit") : NULL;
    PyObject *args =
        file ? Py_BuildValue("OOOi", text, PyExc_ResourceWarning, file, line) : NULL;
    PyObject *kwargs = Py_BuildValue("{sO}", "source", about);
    PyObject *result =
        func && args && kwargs ? PyObject_Call(func, args, kwargs) : NULL;
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(func);
    Py_XDECREF(mod);
    Py_XDECREF(file);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

// Issue the warning, and print it if tasklets.debug is set. text is stolen, and may be
// NULL with an exception set.
static void
warn(PyObject *text, TaskletObject *about)
{
    struct tl_sched *s = tl_sched_mine;
    if (s != NULL) {
        s->no_switch++;
    }
    if (text != NULL && is_debugging()) {
        PySys_FormatStderr("tasklets: %U\n", text);
    }
    int result = text != NULL ? warn_explicit(text, about) : -1;
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
    if (t->inherited || is_being_killed(t)) {
        return;
    }
    if (found->count < MAX_LISTED) {
        found->listed[found->count] = (TaskletObject *)Py_NewRef(t);
    }
    found->count++;
}

static void
find(struct tl_sched *s, struct leftovers *found)
{
    found->count = 0;
    TaskletObject *t = s->head;
    for (Py_ssize_t left = s->runcount; left > 0; left--) {
        if (t->life == TL_NEW) {
            add(found, t);
        }
        t = tl_task_next(t);
    }
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

static PyObject *
describe(TaskletObject *t)
{
    PyObject *who = name_and_place(t), *what = NULL, *line = NULL;
    if (t->place == TL_WAITING) {
        what = tl_task_describe_wait(t->home->state, t->wait.kind, t->wait.on);
    } else {
        what = PyUnicode_FromString(t->life == TL_NEW         ? "never ran"
                                    : t->place == TL_RUNNABLE ? "was runnable"
                                                              : "was paused");
    }
    if (who != NULL && what != NULL) {
        line = PyUnicode_FromFormat("\n  %U: %U", who, what);
    }
    Py_XDECREF(what);
    Py_XDECREF(who);
    return line;
}

static PyObject *
describe_all(struct tl_sched *s, const struct leftovers *found, bool program)
{
    const char *noun = found->count == 1 ? "tasklet" : "tasklets";
    PyObject *text =
        program ? PyUnicode_FromFormat("%zd %s had not ended when the program did",
                                       found->count, noun)
                : PyUnicode_FromFormat("%zd %s had not ended when thread %lu did",
                                       found->count, noun, s->ident);
    for (Py_ssize_t i = 0; text != NULL && i < found->count && i < MAX_LISTED; i++) {
        PyUnicode_AppendAndDel(&text, describe(found->listed[i]));
    }
    if (text != NULL && found->count > MAX_LISTED) {
        PyUnicode_AppendAndDel(
            &text, PyUnicode_FromFormat("\n  and %zd more", found->count - MAX_LISTED));
    }
    if (text != NULL) {
        PyUnicode_AppendAndDel(
            &text, PyUnicode_FromString("\n  let them end: scheduler.run(wait=True), "
                                        "join() or a TaskGroup; or end them: kill()"));
    }
    return text;
}

void
tl_leftover_report(struct tl_sched *s, bool program)
{
    struct leftovers found;
    find(s, &found);
    if (found.count == 0) {
        return;
    }
    warn(describe_all(s, &found, program), found.listed[0]);
    for (Py_ssize_t i = 0; i < found.count && i < MAX_LISTED; i++) {
        Py_DECREF(found.listed[i]);
    }
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
    warn(text, t);
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
