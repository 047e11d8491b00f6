// group.c - TaskGroup: children, the limit of their number, and the end of the block.
//
// Errors of children and of the body are collected in three places, because they leave
// the block in different ways: errors in an exception group; base_error
// (KeyboardInterrupt, SystemExit) by itself; exits (kills and other interruptions of
// the parent) only if there is nothing else, or again at the parent's next wait.
#include "sync/group.h"
#include "core/errors.h"
#include "core/interrupt.h"

// How many times in a row the wait at the end may be refused before the group gives up.
// The first refusal kills the children, after which the wait may be possible, and the
// next may be a RuntimeError that a tasklet threw into the parent: one more attempt
// after these.
enum { MAX_REFUSALS = 3 };

static const struct tl_wait_kind end_wait = {.verb = "join the tasklets of"};
static const struct tl_wait_kind place_wait = {.verb = "spawn into"};

// ---- errors

static void
append_error(PyObject **list, PyObject *error, GroupObject *group)
{
    if (*list == NULL) {
        *list = PyList_New(0);
    }
    if (*list == NULL || PyList_Append(*list, error) < 0) {
        PyErr_Clear();
        if (group->base_error == NULL) {
            group->base_error = Py_NewRef(error); // no memory for a list: raised alone
        }
    }
}

static bool
has(PyObject *list, PyObject *error)
{
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        if (PyList_GET_ITEM(list, i) == error) {
            return true;
        }
    }
    return false;
}

static void
note_error(GroupObject *group, PyObject *error)
{
    if (PyErr_GivenExceptionMatches(error, PyExc_KeyboardInterrupt) ||
        PyErr_GivenExceptionMatches(error, PyExc_SystemExit)) {
        if (group->base_error == NULL) {
            group->base_error = Py_NewRef(error);
        }
    } else if (!has(group->errors, error)) {
        append_error(&group->errors, error, group);
    }
}

// Note an exception of the parent: an error, or an interruption.
static void
note_parents(GroupObject *group, PyObject *error)
{
    struct tl_state *state = group->home->state;
    if (PyErr_GivenExceptionMatches(error, state->tasklet_exit) ||
        PyErr_GivenExceptionMatches(error, PyExc_GeneratorExit)) {
        append_error(&group->exits, error, group);
    } else {
        note_error(group, error);
    }
}

#ifndef NDEBUG
static void
check_child(const GroupObject *group, const struct tl_link *link)
{
    const struct tl_member *member = TL_CONTAINER(link, struct tl_member, link);
    TL_CHECK("I1", "group", group, member->group == (const PyObject *)group);
    TL_CHECK("I1", "group", group, member->task->outcome->member == member);
}

void
tl_group_check(GroupObject *group)
{
    const struct tl_link *children = &group->children;
    TL_CHECK("I1", "group", group, tl_link_is_single(children) == (group->count == 0));
    if (group->count > 0) {
        check_child(group, children->prev);
    }
    TL_CHECK("I2", "group", group, group->taken >= 0 && group->taken <= group->limit);
    TL_CHECK("I2", "group", group,
             group->taken == group->limit ||
                 tl_wait_queue_first(&group->places) == NULL);
    bool is_unused = group->parent == NULL && group->count == 0;
    TL_CHECK("I3", "group", group, group->home != NULL || is_unused);
    if (tl_check_is_due(&group->changes, (size_t)group->count)) {
        Py_ssize_t count = 0;
        for (const struct tl_link *i = children->next; i != children; i = i->next) {
            check_child(group, i);
            count++;
        }
        TL_CHECK("I1", "group", group, group->count == count);
    }
}
#endif

// ---- the limit

int
tl_group_take_place(struct tl_sched *s, GroupObject *group)
{
    if (group->taken < group->limit) {
        group->taken++;
        tl_group_check(group);
        return 1;
    }
    if (tl_sched_is_held(s)) {
        tl_errors_no_switch(s);
        return -1;
    }
    struct tl_queued_wait how = {.kind = &place_wait,
                                 .on = (PyObject *)group,
                                 .queue = &group->places,
                                 .deadline = TL_DEADLINE_NEVER};
    int result = tl_wait_queue_wait(s->state, &how);
    bool has_place = how.given & TL_GIVEN_NOTIFICATION;
    if (result < 0 && has_place) {
        tl_group_give_place(group);
    }
    return result < 0 ? -1 : has_place;
}

void
tl_group_give_place(GroupObject *group)
{
    if (group->limit == 0) {
        return;
    }
    group->taken--;
    struct tl_waiter *waiter;
    while (group->taken < group->limit &&
           (waiter = tl_wait_queue_first(&group->places)) != NULL) {
        group->taken++;
        tl_wait_queue_wake(waiter, TL_GIVEN_NOTIFICATION);
    }
    tl_group_check(group);
}

// Wake all waiters for a place without one: there will be none.
static void
dismiss(GroupObject *group)
{
    tl_wait_queue_wake_many(&group->places, PY_SSIZE_T_MAX, 0);
}

// ---- the children

// Remove and free member. Its reference to the tasklet passes to the caller.
static TaskletObject *
take_out(GroupObject *group, struct tl_member *member)
{
    TaskletObject *child = member->task;
    child->outcome->member = NULL;
    tl_link_remove(&member->link);
    PyMem_Free(member);
    group->count--;
    tl_group_check(group);
    return child;
}

// A child has ended, or its thread ends without it. Does not call into Python.
static void
child_ended(struct tl_member *member)
{
    GroupObject *group = (GroupObject *)member->group;
    TaskletObject *child = take_out(group, member);
    PyObject *error = child->outcome->cancelled ? NULL : child->outcome->exc;
    if (error != NULL) {
        note_error(group, error);
        tl_group_abort(group);
    }
    tl_group_give_place(group);
    if (group->count == 0 && !tl_link_is_single(&group->enders)) {
        TaskletObject *parent = tl_task_of(group->enders.next);
        tl_task_end_wait(parent);
        tl_sched_ready(parent);
    }
    tl_sched_drop_later(tl_sched_mine, (PyObject *)child);
}

struct tl_member *
tl_group_member(void)
{
    struct tl_member *member = PyMem_Calloc(1, sizeof *member);
    if (member == NULL) {
        PyErr_NoMemory();
    }
    return member;
}

void
tl_group_add(GroupObject *group, TaskletObject *child, struct tl_member *member)
{
    *member = (struct tl_member){.task = (TaskletObject *)Py_NewRef(child),
                                 .group = (PyObject *)group,
                                 .ended = child_ended};
    child->outcome->member = member;
    tl_link_insert_before(&member->link, &group->children);
    group->count++;
    tl_group_check(group);
}

void
tl_group_disband(GroupObject *group)
{
    while (!tl_link_is_single(&group->children)) {
        struct tl_link *first = group->children.next;
        Py_DECREF(take_out(group, TL_CONTAINER(first, struct tl_member, link)));
    }
}

static void
kill_children(GroupObject *group)
{
    struct tl_sched *s = tl_sched_mine;
    for (struct tl_link *i = group->children.next; i != &group->children; i = i->next) {
        TaskletObject *child = TL_CONTAINER(i, struct tl_member, link)->task;
        if (child == s->current || !tl_task_is_alive(child)) {
            continue;
        }
        PyObject *bomb = tl_interrupt_kill(s->state);
        tl_sched_drop_later(s, tl_interrupt_send(child, bomb));
    }
}

void
tl_group_abort(GroupObject *group)
{
    if (group->cancelled) {
        return;
    }
    group->cancelled = true;
    PyObject *exc = PyErr_GetRaisedException();
    kill_children(group);
    PyErr_SetRaisedException(exc);
    dismiss(group);
    if (group->in_body && group->home == tl_sched_mine &&
        group->scope.state == TL_SCOPE_ACTIVE) {
        tl_scope_request(&group->scope);
    }
}

// ---- the end

static bool
has_no_children(const struct tl_leave *how)
{
    return ((GroupObject *)how->on)->count == 0;
}

// Wait once for the last child. Returns 0, or -1 with an exception set.
static int
wait_for_last_child(struct tl_sched *s, GroupObject *group)
{
    if (tl_errors_block_trap(s)) {
        return -1;
    }
    struct tl_leave how = {.kind = &end_wait,
                           .on = (PyObject *)group,
                           .queue = &group->enders,
                           .deadline = TL_DEADLINE_NEVER,
                           .last_check = has_no_children};
    PyObject *value = tl_sched_leave(s, &how);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

static bool
has_type_of(PyObject *list, PyObject *error)
{
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        if (Py_TYPE(PyList_GET_ITEM(list, i)) == Py_TYPE(error)) {
            return true;
        }
    }
    return false;
}

// The parent's wait at the end was interrupted or refused by error.
static void
interrupted(GroupObject *group, PyObject *error, int refusals)
{
    if (refusals < 2 || !has_type_of(group->errors, error)) {
        note_parents(group, error);
    }
    // A second KeyboardInterrupt kills children again that have swallowed the first
    // kill.
    if (group->cancelled && error != group->base_error &&
        PyErr_GivenExceptionMatches(error, PyExc_KeyboardInterrupt)) {
        kill_children(group);
    }
    tl_group_abort(group);
}

static void
wait_for_children(struct tl_sched *s, GroupObject *group)
{
    int refusals = 0;
    while (group->count > 0 && refusals < MAX_REFUSALS) {
        if (wait_for_last_child(s, group) == 0) {
            refusals = 0;
            continue;
        }
        PyObject *error = PyErr_GetRaisedException();
        bool refused = PyErr_GivenExceptionMatches(error, PyExc_RuntimeError);
        refusals = refused ? refusals + 1 : 0;
        interrupted(group, error, refusals);
        Py_DECREF(error);
    }
    tl_group_disband(group);
}

// The strongest interruption of the parent, or the last of equally strong ones:
// borrowed. NULL if there is none.
static PyObject *
strongest_exit(GroupObject *group)
{
    PyObject *found = NULL;
    int most = 0;
    for (Py_ssize_t i = 0; group->exits != NULL && i < PyList_GET_SIZE(group->exits);
         i++) {
        PyObject *exit = PyList_GET_ITEM(group->exits, i);
        int strength = tl_interrupt_strength(group->parent, exit);
        if (found == NULL || strength >= most) {
            found = exit;
            most = strength;
        }
    }
    return found;
}

// Interruptions of the parent that do not leave the block now are raised again later.
static void
keep_other_exits(GroupObject *group, PyObject *leaving)
{
    for (Py_ssize_t i = 0; group->exits != NULL && i < PyList_GET_SIZE(group->exits);
         i++) {
        PyObject *exit = PyList_GET_ITEM(group->exits, i);
        if (exit != leaving && tl_interrupt_strength(group->parent, exit) > 0) {
            tl_interrupt_again(group->parent, Py_NewRef(exit));
        }
    }
}

// The exception that leaves the block: a new reference, or NULL.
static PyObject *
find_result(GroupObject *group)
{
    if (group->base_error != NULL) {
        return Py_NewRef(group->base_error);
    }
    if (group->errors != NULL) {
        PyObject *leaving = PyObject_CallFunction(
            PyExc_BaseExceptionGroup, "sO", "errors in a TaskGroup", group->errors);
        return leaving != NULL ? leaving : PyErr_GetRaisedException();
    }
    return Py_XNewRef(strongest_exit(group));
}

// The exception group leaving replaces exc, which the body raised, so exc becomes its
// context. But an interruption that will be raised again is not replaced: then exc's
// own context is used, which would be lost when the same instance is raised once more.
static void
set_context(GroupObject *group, PyObject *leaving, PyObject *exc)
{
    PyObject *context = has(group->exits, exc) ? PyException_GetContext(exc)
                                               : PyErr_GetHandledException();
    PyException_SetContext(leaving, context);
    PyException_SetCause(leaving, NULL); // as "raise ... from None"
}

PyObject *
tl_group_end(struct tl_sched *s, GroupObject *group, PyObject *exc)
{
    bool own = false;
    PyObject *replaced = NULL;
    group->in_body = false;
    if (group->scope.who != NULL) {
        replaced = tl_scope_leave(s, &group->scope, exc, &own);
    }
    if (own) {
        exc = replaced;
    }
    if (exc != NULL) {
        note_parents(group, exc);
        tl_group_abort(group);
    }
    wait_for_children(s, group);
    group->over = true;
    dismiss(group);
    PyObject *leaving = find_result(group);
    keep_other_exits(group, leaving);
    if (leaving != NULL && group->errors != NULL && group->base_error == NULL) {
        set_context(group, leaving, exc);
    }
    Py_XDECREF(replaced);
    // Destructors may run Python code: the group is consistent by now.
    Py_CLEAR(group->exits);
    Py_CLEAR(group->errors);
    Py_CLEAR(group->base_error);
    Py_CLEAR(group->parent);
    tl_group_check(group);
    return leaving;
}
