// local.c - tasklets.local: slots, and the threads' own.
#include "core/local.h"
#include "cpython/gil.h"
#include "object/live_counts.h"
#include "base/stress.h"

// The name of the capsule in a thread state's dict that owns the thread's slots.
#define CAPSULE_NAME "tasklets.local"

// The attributes of one object in one tasklet or thread.
struct slot {
    struct tl_link link; // in local->slots
    struct tl_locals *holder;
    LocalObject *local; // borrowed: it frees its slots when it goes
    PyObject *dict;
};

// The slots of one tasklet or thread.
struct tl_locals {
    Py_ssize_t capacity; // the length of slots
    struct slot **slots;
};

// The slots of the calling thread, which its main tasklet uses, too.
static TL_THREAD_LOCAL struct tl_locals *thread_locals;

// The id of the thread state that has dropped thread_locals because the interpreter is
// clearing it. No new ones must be made for it.
static TL_THREAD_LOCAL uint64_t ended_id;

// ---- indices

struct tl_places *
tl_local_places(void)
{
    struct tl_places *places = PyMem_Calloc(1, sizeof *places);
    if (places == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    places->refs = 1;
    return places;
}

int
tl_local_init(LocalObject *local, struct tl_places *places)
{
    Py_ssize_t i = places->lowest;
    tl_link_init(&local->slots);
    while (i < places->capacity && places->taken[i]) {
        i++;
    }
    if (i == places->capacity) {
        Py_ssize_t capacity =
            places->capacity ? 2 * places->capacity : TL_STRESS_OR(16, 1);
        bool *grown = PyMem_Realloc(places->taken, (size_t)capacity * sizeof *grown);
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        for (Py_ssize_t j = places->capacity; j < capacity; j++) {
            grown[j] = false;
        }
        places->taken = grown;
        places->capacity = capacity;
    }
    places->taken[i] = true;
    places->lowest = i + 1;
    places->refs++;
    local->places = places;
    local->place = i;
    return 0;
}

void
tl_local_fini(LocalObject *local)
{
    struct tl_places *places = local->places;
    if (places == NULL) {
        return;
    }
    assert(tl_link_is_single(&local->slots));
    places->taken[local->place] = false;
    if (local->place < places->lowest) {
        places->lowest = local->place;
    }
    local->places = NULL;
    if (--places->refs == 0) {
        PyMem_Free(places->taken);
        PyMem_Free(places);
    }
}

// ---- slots

#ifndef NDEBUG
// Locks: the GIL.
static void
check_slot(const struct slot *slot)
{
    const LocalObject *local = slot->local;
    TL_CHECK("I1", "local", local, tl_link_may_be_in(&slot->link, &local->slots));
    TL_CHECK("I1", "local", local,
             local->place < slot->holder->capacity &&
                 slot->holder->slots[local->place] == slot);
    TL_CHECK("I1", "local", local, local->places->taken[local->place]);
}
#else
TL_CHECKER(check_slot, const struct slot *slot);
#endif

// Free slot. Returns its attributes, owned.
static PyObject *
slot_free(struct slot *slot)
{
    PyObject *dict = slot->dict;
    check_slot(slot);
    tl_link_remove(&slot->link);
    slot->holder->slots[slot->local->place] = NULL;
    PyMem_Free(slot);
    return dict;
}

void
tl_local_clear(LocalObject *local)
{
    while (!tl_link_is_single(&local->slots)) {
        Py_DECREF(slot_free(TL_CONTAINER(local->slots.next, struct slot, link)));
    }
}

int
tl_local_traverse(LocalObject *local, visitproc visit, void *arg)
{
    struct tl_link *i = local->slots.next;
    for (; i != NULL && i != &local->slots; i = i->next) {
        Py_VISIT(TL_CONTAINER(i, struct slot, link)->dict);
    }
    return 0;
}

static void
locals_free(struct tl_locals *locals)
{
    // A finalizer of the attributes may free other slots.
    for (Py_ssize_t i = 0; i < locals->capacity; i++) {
        if (locals->slots[i] != NULL) {
            Py_DECREF(slot_free(locals->slots[i]));
        }
    }
    PyMem_Free(locals->slots);
    PyMem_Free(locals);
}

void
tl_local_forget(struct tl_locals **where)
{
    struct tl_locals *locals = *where;
    *where = NULL;
    if (locals != NULL) {
        locals_free(locals);
    }
}

// ---- threads

static void
thread_ended(PyObject *owner)
{
    struct tl_locals *locals = PyCapsule_GetPointer(owner, CAPSULE_NAME);
    PyObject *exc = PyErr_GetRaisedException();
    if (locals == thread_locals) {
        thread_locals = NULL;
        ended_id = PyThreadState_GetID(PyThreadState_Get());
    }
    locals_free(locals);
    PyErr_SetRaisedException(exc);
}

// Make the calling thread's state the owner of locals, so that they go with the thread.
// Returns 0, or -1 with an exception set.
static int
tie_to_thread(struct tl_locals *locals)
{
    PyThreadState *ts = PyThreadState_Get();
    if (ended_id == PyThreadState_GetID(ts) || tl_gil_is_clearing(ts)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the thread is ending, and its attributes of tasklets.local "
                        "objects are gone");
        return -1;
    }
    PyObject *dict = PyThreadState_GetDict();
    PyObject *owner = dict ? PyCapsule_New(locals, CAPSULE_NAME, NULL) : NULL;
    int result = owner ? PyDict_SetItemString(dict, CAPSULE_NAME, owner) : -1;
    if (result == 0) {
        (void)PyCapsule_SetDestructor(owner, thread_ended);
    } else if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    Py_XDECREF(owner);
    return result;
}

// ---- the current tasklet

// Where the slots of the current tasklet or thread are.
static struct tl_locals **
mine(void)
{
    struct tl_sched *s = tl_sched_mine;
    TaskletObject *t = s != NULL ? s->current : NULL;
    return t == NULL || t->is_main ? &thread_locals : &t->locals;
}

static struct slot **
place_of(const LocalObject *local)
{
    struct tl_locals *locals = *mine();
    return locals != NULL && local->place < locals->capacity
               ? &locals->slots[local->place]
               : NULL;
}

// Make the array of the current tasklet or thread if it has none. Returns 0, or -1 with
// an exception set. May run Python code.
static int
make_locals(void)
{
    struct tl_locals **where = mine();
    if (*where != NULL) {
        return 0;
    }
    struct tl_locals *locals = PyMem_Calloc(1, sizeof *locals);
    if (locals == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    // Before the next step, in which a finalizer may access a local object, too.
    *where = locals;
    if (where == &thread_locals && tie_to_thread(locals) < 0) {
        tl_local_forget(where);
        return -1;
    }
    return 0;
}

static int
reserve_slot(const LocalObject *local)
{
    struct tl_locals *locals = *mine();
    Py_ssize_t capacity = local->place + 4;
    if (local->place < locals->capacity) {
        return 0;
    }
    struct slot **grown =
        PyMem_Realloc(locals->slots, (size_t)capacity * sizeof *locals->slots);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = locals->capacity; i < capacity; i++) {
        grown[i] = NULL;
    }
    locals->slots = grown;
    locals->capacity = capacity;
    return 0;
}

// A new slot of the current tasklet or thread for local, or NULL with an exception set.
static struct slot *
make_slot(LocalObject *local)
{
    PyObject *dict = PyDict_New();
    struct slot *slot = dict ? PyMem_Malloc(sizeof *slot) : NULL;
    if (slot == NULL) {
        Py_XDECREF(dict);
        PyErr_NoMemory();
        return NULL;
    }
    if (make_locals() < 0 || reserve_slot(local) < 0) {
        PyMem_Free(slot);
        Py_DECREF(dict);
        return NULL;
    }
    struct slot **place = place_of(local);
    if (*place != NULL) {
        // A finalizer that the collector has run has made the slot.
        PyMem_Free(slot);
        Py_DECREF(dict);
        return *place;
    }
    *slot = (struct slot){.holder = *mine(), .local = local, .dict = dict};
    tl_link_insert_before(&slot->link, &local->slots);
    *place = slot;
    check_slot(slot);
    return slot;
}

TL_COLD static PyObject *
make_dict(LocalObject *local, bool init)
{
    struct slot *slot = make_slot(local);
    if (slot == NULL) {
        return NULL;
    }
    initproc set_up = Py_TYPE(local)->tp_init;
    if (!init || set_up == PyBaseObject_Type.tp_init) {
        return slot->dict;
    }
    int result = set_up((PyObject *)local, local->args, local->kwargs);
    struct slot **place = place_of(local);
    if (place == NULL || *place == NULL) {
        return result < 0 ? NULL : tl_local_dict(local, false); // it was cleared
    }
    if (result < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        Py_DECREF(slot_free(*place)); // the next access tries again
        PyErr_SetRaisedException(exc);
        return NULL;
    }
    return (*place)->dict;
}

PyObject *
tl_local_dict(LocalObject *local, bool init)
{
    struct slot **place = place_of(local);
    return TL_LIKELY(place != NULL && *place != NULL) ? (*place)->dict
                                                      : make_dict(local, init);
}
