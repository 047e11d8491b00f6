// local.h - tasklets.local: an object with different attributes in each tasklet.
//
// Each local object has an index (place) that no other living one has. Each tasklet,
// and each thread for its main tasklet and for code without tasklets, has an array of
// slots (struct tl_locals): the slot at an object's place has the attributes of that
// object.
#ifndef TL_LOCAL_H
#define TL_LOCAL_H

#include "core/sched.h"

// Which indices are used.
struct tl_places {
    long refs;
    Py_ssize_t capacity; // the length of taken
    Py_ssize_t lowest;   // every index below it is used
    bool *taken;
};

// Invariants
// I1: slots lists the slots of all tasklets and threads for this object: each is at
//     index place of its array.
typedef struct {
    PyObject_HEAD
    PyObject *args, *kwargs; // for __init__; kwargs may be NULL
    struct tl_link slots;
    struct tl_places *places; // counted; NULL: the object has no index
    Py_ssize_t place;
    PyObject *weakrefs;
} LocalObject;

// The indices for all objects of a module. NULL with MemoryError set.
struct tl_places *tl_local_places(void);

// Give local an index. Returns 0, or -1 with MemoryError set.
int tl_local_init(LocalObject *local, struct tl_places *places);

// Free local's index. It has no slots any more.
void tl_local_fini(LocalObject *local);

// The attributes of local in the current tasklet: borrowed from its slot, or NULL with
// an exception set. If there are none, makes them, and with init calls __init__(). May
// run Python code.
PyObject *tl_local_dict(LocalObject *local, bool init);

// Drop the attributes of local in all tasklets and threads. May run Python code.
void tl_local_clear(LocalObject *local);
int tl_local_traverse(LocalObject *local, visitproc visit, void *arg);

// Drop the attributes of all objects in one tasklet, whose field is *locals. May run
// Python code.
void tl_local_forget(struct tl_locals **locals);

#endif // TL_LOCAL_H
