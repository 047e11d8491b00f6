// mod_survey.c - lists every tasklet of the process, and what each of them does.
//
// Nothing here switches or releases the GIL for long: a signal handler may call it, and
// so may one thread while others run.
#include "cpython/compat.h" // before the system's headers

#include "core/sched.h"
#include "core/thread.h"
#include "object/args.h"
#include "python/tasklet_methods.h"
#include "python/types.h"
#include "base/clock.h"
#include "base/stress.h"

// A list of references to tasklets. Not a Python object, so that building it neither
// calls into Python nor triggers the collector.
struct survey {
    TaskletObject **found; // counted
    Py_ssize_t count, capacity;
};

// Append t. Returns 0, or -1 with MemoryError set.
static int
add(struct survey *survey, TaskletObject *t)
{
    if (survey->count == survey->capacity) {
        Py_ssize_t capacity =
            survey->capacity ? 2 * survey->capacity : TL_STRESS_OR(64, 1);
        TaskletObject **grown =
            PyMem_Realloc(survey->found, (size_t)capacity * sizeof *grown);
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        survey->found = grown;
        survey->capacity = capacity;
    }
    survey->found[survey->count++] = (TaskletObject *)Py_NewRef(t);
    return 0;
}

static void
drop(struct survey *survey)
{
    while (survey->count > 0) {
        Py_DECREF(survey->found[--survey->count]);
    }
    PyMem_Free(survey->found);
}

// Add the tasklets of s: main, the started ones, and those in the run queue.
static int
add_all(struct survey *survey, struct tl_sched *s)
{
    int result = add(survey, s->main);
    struct tl_link *i = s->started.next;
    for (; result == 0 && i != &s->started; i = i->next) {
        result = add(survey, TL_CONTAINER(i, TaskletObject, started));
    }
    TaskletObject *t = s->head;
    for (Py_ssize_t left = s->runcount; result == 0 && left > 0; left--) {
        if (t->life == TL_NEW) {
            result = add(survey, t);
        }
        t = tl_task_next(t);
    }
    return result;
}

// Collect the tasklets of one thread, or of all if only is NULL. Returns 0, or -1 with
// MemoryError set.
static int
take(struct survey *survey, struct tl_state *state, struct tl_sched *only)
{
    *survey = (struct survey){NULL};
    int result = 0;
    struct tl_link *i = state->scheds.next;
    for (; result == 0 && i != &state->scheds; i = i->next) {
        struct tl_sched *s = TL_CONTAINER(i, struct tl_sched, all);
        if (!s->dead && (only == NULL || s == only)) {
            result = add_all(survey, s);
        }
    }
    if (result < 0) {
        drop(survey);
    }
    return result;
}

PyDoc_STRVAR(all_tasklets_doc,
"all_tasklets($module, /)\n"
"--\n"
"\n"
"Return a list of the tasklets of all threads that are runnable or have started.\n"
"\n"
"Main tasklets and paused ones are included. Tasklets that have ended or were never\n"
"made runnable are not, nor those removed from the run queue before they began. The\n"
"list keeps the tasklets alive.");

static PyObject *
fn_all_tasklets(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct survey survey;
    struct tl_state *state = tl_state_of_module(mod);
    if (tl_sched_get(state) == NULL || take(&survey, state, NULL) < 0) {
        return NULL;
    }
    PyObject *list = PyList_New(survey.count);
    for (Py_ssize_t i = 0; list != NULL && i < survey.count; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef(survey.found[i]));
    }
    drop(&survey);
    return list;
}

// ---- what one tasklet does

// Append (file, line, function) of a frame. Returns 0, or -1 with an exception set.
static int
add_frame(PyObject *list, PyObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode((PyFrameObject *)frame);
    PyObject *item =
        Py_BuildValue("OiO", code->co_filename,
                      PyFrame_GetLineNumber((PyFrameObject *)frame), code->co_name);
    int result = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    Py_DECREF(code);
    return result;
}

// A list of (file, line, function), the innermost frame first.
static PyObject *
stack_of(TaskletObject *t)
{
    PyObject *list = PyList_New(0), *frame = tl_tasklet_frame(t);
    int result = list == NULL || (frame == NULL && PyErr_Occurred()) ? -1 : 0;
    while (result == 0 && frame != NULL && frame != Py_None) {
        result = add_frame(list, frame);
        Py_SETREF(frame, (PyObject *)PyFrame_GetBack((PyFrameObject *)frame));
    }
    Py_XDECREF(frame);
    if (result < 0) {
        Py_CLEAR(list);
    }
    return list;
}

// (what t waits for, seconds since it began, seconds until it times out or None), or
// None.
static PyObject *
wait_of(TaskletObject *t)
{
    if (t->place != TL_WAITING) {
        Py_RETURN_NONE;
    }
    struct tl_sched *s = t->home;
    int64_t now = tl_clock_now(), since = now - t->since;
    PyObject *left = Py_NewRef(Py_None);
    if (tl_timer_is_set(&t->timer)) {
        int64_t end = t->timer.when - (s->fake_clock ? s->fake_now : now);
        Py_SETREF(left, PyFloat_FromDouble((double)end / 1e9));
    }
    PyObject *text =
        left == NULL ? NULL : tl_task_describe_wait(s->state, t->wait.kind, t->wait.on);
    if (text == NULL) {
        Py_XDECREF(left);
        return NULL;
    }
    return Py_BuildValue("NdN", text, (double)since / 1e9, left);
}

static PyObject *
describe(TaskletObject *t)
{
    const char *word = tl_task_state_word(t);
    if (t->place == TL_RUNNABLE && t->life == TL_NEW) {
        word = "runnable, not begun";
    }
    PyObject *name = tl_task_name(t);
    PyObject *wait = name ? wait_of(t) : NULL;
    PyObject *spawned_at = wait ? tl_tasklet_spawned_at(t) : NULL;
    PyObject *stack = spawned_at ? stack_of(t) : NULL;
    PyObject *result = NULL;
    if (stack != NULL) {
        result = Py_BuildValue("(kOsOOO)", t->home->ident, name, word, wait, spawned_at,
                               stack);
    }
    Py_XDECREF(stack);
    Py_XDECREF(spawned_at);
    Py_XDECREF(wait);
    Py_XDECREF(name);
    return result;
}

PyDoc_STRVAR(survey_doc,
"survey($module, all_threads, /)\n"
"--\n"
"\n"
"Return a list that describes each tasklet, of all threads or of this one.\n"
"\n"
"The items are (thread id, name, state, wait, spawned at, stack). wait is None, or\n"
"(what the tasklet waits for, seconds since it began, seconds until it times out or\n"
"None). stack is a list of (file, line, function), the innermost first. The result\n"
"keeps no tasklet alive.");

static PyObject *
fn_survey(PyObject *mod, PyObject *all_threads)
{
    struct survey survey;
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *mine = tl_sched_get(state);
    int all = PyObject_IsTrue(all_threads);
    if (mine == NULL || all < 0 || take(&survey, state, all ? NULL : mine) < 0) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < survey.count; i++) {
        TaskletObject *t = survey.found[i];
        if (t->home->dead || (t->life == TL_UNBOUND && !t->is_main)) {
            continue; // ended by Python code that the collector has called in between
        }
        PyObject *item = describe(t);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    drop(&survey);
    return list;
}

// clang-format off

PyMethodDef tl_survey_functions[] = {
    {"all_tasklets", fn_all_tasklets, METH_NOARGS, all_tasklets_doc},
    {"survey", fn_survey, METH_O, survey_doc},
    {NULL, NULL, 0, NULL},
};
