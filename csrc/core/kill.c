// kill.c - killing many tasklets at once.
#include "core/kill.h"
#include "core/errors.h"
#include "core/interrupt.h"

static TaskletObject *
item(PyObject *list, Py_ssize_t i)
{
    return (TaskletObject *)PyList_GET_ITEM(list, i);
}

// Whether a switch is needed: list has a live tasklet of this thread besides the
// current one.
static bool
needs_switch(struct tl_sched *s, PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        TaskletObject *t = item(list, i);
        if (t->home == s && t != s->current && tl_task_is_alive(t)) {
            return true;
        }
    }
    return false;
}

// Request the kill of all tasklets except the current one. ready[i] is the tasklet if
// it can run now; NULL if an interruption is held off there, or it belongs to another
// thread.
static void
request(struct tl_sched *s, PyObject *list, TaskletObject **ready)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        TaskletObject *t = item(list, i);
        ready[i] = NULL;
        if (t == s->current) {
            continue;
        }
        PyObject *bomb = tl_interrupt_kill(s->state); // may run Python code
        if (!tl_task_is_alive(t)) {
            Py_DECREF(bomb);
            continue;
        }
        if (t->home == s && !tl_interrupt_is_held_off(t, bomb)) {
            ready[i] = t;
        }
        tl_sched_drop_later(s, tl_interrupt_send(t, bomb));
    }
}

// Move the ready tasklets to the places before the current one, which is next after
// them. Returns the first, or NULL.
static TaskletObject *
line_up(struct tl_sched *s, TaskletObject **ready, Py_ssize_t count)
{
    TaskletObject *me = s->current, *first = NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        TaskletObject *t = ready[i];
        if (t == NULL || t->home != s || t == me || t->place != TL_RUNNABLE) {
            continue;
        }
        tl_link_remove(&t->link);
        tl_link_insert_before(&t->link, &me->link);
        t->turn = 0;
        first = first != NULL ? first : t;
    }
    return first;
}

// Switch to the first of the ready tasklets, and return when the current one is next.
// Returns 0, or -1 with an exception set.
static int
enter(struct tl_sched *s, TaskletObject **ready, Py_ssize_t count)
{
    TaskletObject *me = s->current, *first;
    int found;
    do {
        first = line_up(s, ready, count);
        found = first == NULL ? 0 : tl_sched_prepare(s, first);
    } while (found > 0);
    if (found < 0 || first == NULL) {
        return found;
    }
    me->turn = 0;
    if (tl_sched_go(s, me, first) < 0) {
        return -1;
    }
    PyObject *value = tl_sched_arrive(s);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

int
tl_kill_all(struct tl_sched *s, PyObject *list, bool pending)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    bool now = !pending && needs_switch(s, list), me_too = false;
    if (now && tl_sched_check_thrown(s) < 0) {
        return -1;
    }
    if (now && (s->trap != 0 || tl_sched_is_held(s))) {
        tl_errors_no_switch(s);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        me_too |= item(list, i) == s->current;
    }
    TaskletObject **ready = PyMem_New(TaskletObject *, count > 0 ? count : 1);
    if (ready == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    request(s, list, ready);
    int result = now ? enter(s, ready, count) : 0;
    PyMem_Free(ready);
    if (result == 0) {
        tl_sched_drop_now(s); // the displaced values, if there was no switch
    }
    if (result == 0 && me_too) {
        (void)tl_bomb_raise(tl_interrupt_kill(s->state));
        result = -1;
    }
    return result;
}
