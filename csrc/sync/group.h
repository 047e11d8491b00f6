// group.h - a block of code that does not end before the tasklets it spawned.
#ifndef TL_GROUP_H
#define TL_GROUP_H

#include "core/scope.h"
#include "sync/wait_queue.h"

// Invariants
// I1: children links the members, count of them; each owns one reference to its tasklet,
//     whose outcome points to it.
// I2: taken counts the places in use, or handed to a waiter; waiters whose thread exists
//     are in places only while taken == limit.
// I3: home is NULL until the block is entered; parent only while it runs or ends.
typedef struct GroupObject {
    PyObject_HEAD
    struct tl_scope scope; // of the body
    struct tl_sched *home; // counted: of the thread that entered it
    TaskletObject *parent; // counted: the tasklet in the block
    Py_ssize_t limit;      // of tasklets at a time; 0: none
    Py_ssize_t taken;      // places of the limit
    struct tl_link places; // tasklets that wait for a place
    struct tl_link enders; // the parent, while it waits for the others
    struct tl_link children;
    Py_ssize_t count;
    PyObject *errors;     // list, or NULL
    PyObject *base_error; // KeyboardInterrupt or SystemExit, or NULL
    PyObject *exits;      // list of what interrupted the parent, or NULL
    PyObject *weakrefs;
    bool in_body, cancelled, over;
#ifndef NDEBUG
    size_t changes; // since the children were last walked over
#endif
} GroupObject;

// Locks: the GIL.
TL_CHECKER(tl_group_check, GroupObject *group);

// Room for one more tasklet. spawn() fills it; all that can fail has been done then.
struct tl_member *tl_group_member(void);
void tl_group_add(GroupObject *group, TaskletObject *child, struct tl_member *member);

// Wait for a place of the limit. Returns 1 if the caller has it, 0 if there will be none
// because the group is being cancelled, -1 with an exception set.
// Switch: may.
int tl_group_take_place(struct tl_sched *s, GroupObject *group);
void tl_group_give_place(GroupObject *group);

// Kill all children but the current tasklet and interrupt the body, once.
void tl_group_abort(GroupObject *group);

// The body has ended with exc (NULL: without): wait for the children. Returns what is to
// leave the block, a new reference, or NULL.
// Switch: may.
PyObject *tl_group_end(struct tl_sched *s, GroupObject *group, PyObject *exc);

// Part with all children, whose ends no longer matter.
void tl_group_disband(GroupObject *group);

#endif // TL_GROUP_H
