// group.h - a block of code that does not end before the tasklets it spawned.
#ifndef TL_GROUP_H
#define TL_GROUP_H

#include "core/scope.h"
#include "sync/wait_queue.h"

// Invariants
// I1: children links the members, count of them; each owns one reference to its
//     tasklet, whose outcome points to the member.
// I2: taken counts the places that are in use or were handed to a waiter; waiters whose
//     thread exists are in places only while taken == limit.
// I3: home is NULL until the block is entered; parent is set while the block runs or
//     ends.
typedef struct GroupObject {
    PyObject_HEAD
    struct tl_scope scope; // of the body
    struct tl_sched *home; // counted: of the thread that entered the block
    TaskletObject *parent; // counted: the tasklet in the block
    Py_ssize_t limit;      // maximum number of tasklets at a time; 0: none
    Py_ssize_t taken;
    struct tl_link places; // tasklets that wait for a place
    struct tl_link enders; // the parent, while it waits for its children
    struct tl_link children;
    Py_ssize_t count;
    PyObject *errors;     // list, or NULL
    PyObject *base_error; // KeyboardInterrupt or SystemExit, or NULL
    PyObject *exits;      // list of the interruptions of the parent, or NULL
    PyObject *weakrefs;
    bool in_body;   // the body of the block runs
    bool cancelled; // the children were killed: the group ends, and no new one starts
    bool over;      // the block has been left
#ifndef NDEBUG
    size_t changes; // since the children were last walked over
#endif
} GroupObject;

// Locks: the GIL.
TL_CHECKER(tl_group_check, GroupObject *group);

// A member for one more tasklet, or NULL with MemoryError set. spawn() allocates it
// first, so that tl_group_add() cannot fail.
struct tl_member *tl_group_member(void);
void tl_group_add(GroupObject *group, TaskletObject *child, struct tl_member *member);

// Take a place of the limit, waiting for it. Returns 1 if the caller has it, 0 if there
// will be none because the group was cancelled, or -1 with an exception set.
// Switch: may.
int tl_group_take_place(struct tl_sched *s, GroupObject *group);

// Give a place back: the first waiter gets it.
void tl_group_give_place(GroupObject *group);

// Cancel the group, unless that was done before: request the kill of all children but
// the current tasklet, and interrupt the body.
void tl_group_abort(GroupObject *group);

// The body has ended with exc (NULL: without an exception): wait for the children.
// Returns the exception that leaves the block, a new reference, or NULL.
// Switch: may.
PyObject *tl_group_end(struct tl_sched *s, GroupObject *group, PyObject *exc);

// Drop all members: the group takes no more notice of their tasklets. May run Python
// code.
void tl_group_disband(GroupObject *group);

#endif // TL_GROUP_H
