// bomb.h - an exception on its way to another tasklet.
#ifndef TL_BOMB_H
#define TL_BOMB_H

#include "object/module_state.h"

// The strength of a bomb's exception, if it is raised in a tasklet from outside. Of
// two that meet, the higher rank is raised first; of one rank, the earlier.
enum tl_rank {
    TL_RANK_VALUE, // sent through a channel, or the outcome of an operation
    TL_RANK_SCOPE, // the interruption of a block
    TL_RANK_THROW, // an exception of throw(), or another tasklet's error
    TL_RANK_KILL,  // TaskletExit
    TL_RANK_EXIT   // KeyboardInterrupt, SystemExit
};

typedef struct {
    PyObject_HEAD
    PyObject *type, *value, *traceback; // as PyErr_Restore() takes them; may be NULL
    PyObject *next;     // counted: the next of a tasklet's pending bombs, or NULL
    unsigned char rank; // enum tl_rank
    bool in_line;       // it is among a tasklet's pending ones
    bool swallowed;     // it has been raised, in a finalizer
} BombObject;

// A bomb of the three parts, each stolen.
PyObject *tl_bomb_new(struct tl_state *state, PyObject *type, PyObject *value,
                      PyObject *traceback);

// A bomb of one exception object, stolen.
PyObject *tl_bomb_of(struct tl_state *state, PyObject *exc);

// A bomb of exc (stolen), which must reach a tasklet. Never NULL: without memory exc is
// reported as unraisable, and the bomb raises MemoryError in its place.
PyObject *tl_bomb_of_error(struct tl_state *state, PyObject *exc);

// A bomb of TaskletExit. Never NULL.
PyObject *tl_bomb_of_exit(struct tl_state *state);

// A bomb of the arguments of throw(): class or instance, value, traceback. NULL with a
// TypeError if they do not fit each other.
PyObject *tl_bomb_of_raise(struct tl_state *state, PyObject *exc, PyObject *value,
                           PyObject *traceback);

// A bomb that makes cls(*args) where it goes off. NULL with a TypeError whose text
// names caller if cls is not an exception class.
PyObject *tl_bomb_of_class(struct tl_state *state, const char *caller,
                           PyObject *const *args, Py_ssize_t nargs);

static inline bool
tl_bomb_check(struct tl_state *state, PyObject *object)
{
    return Py_TYPE(object) == state->bomb_type;
}

// Raise what bomb (stolen) carries. Always returns NULL.
PyObject *tl_bomb_raise(PyObject *bomb);

#endif // TL_BOMB_H
