// local.h - attributes of an object of which each tasklet has its own.
#ifndef TL_LOCAL_H
#define TL_LOCAL_H

#include "core/sched.h"

// Which places in the arrays of struct tl_locals are taken.
struct tl_places {
    long refs;
    Py_ssize_t room;
    Py_ssize_t lowest; // every place below it is taken
    bool *taken;
};

// Invariants
// I1: slots lists what each tasklet and each thread has in this object: all of that is
//     at place in their arrays.
typedef struct {
    PyObject_HEAD
    PyObject *args, *kwargs; // for __init__; kwargs may be NULL
    struct tl_link slots;
    struct tl_places *places; // counted; NULL: there is no place yet
    Py_ssize_t place;
    PyObject *weakrefs;
} LocalObject;

// Places for all objects of a module. NULL with MemoryError set.
struct tl_places *tl_local_places(void);

// Have a place. Returns 0, or -1 with MemoryError set.
int tl_local_init(LocalObject *local, struct tl_places *places);

// Give it back. Nobody has a slot any more.
void tl_local_fini(LocalObject *local);

// The attributes of the running tasklet: borrowed from its slot, or NULL with an
// exception set. Made if there are none, and with init set up by __init__().
PyObject *tl_local_dict(LocalObject *local, bool init);

// The attributes of all tasklets go.
void tl_local_clear(LocalObject *local);
int tl_local_traverse(LocalObject *local, visitproc visit, void *arg);

// The attributes of one tasklet in all objects go. locals is its own field.
void tl_local_forget(struct tl_locals **locals);

#endif // TL_LOCAL_H
