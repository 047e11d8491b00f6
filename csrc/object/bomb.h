// bomb.h - an exception on its way to a tasklet. The tasklet that receives a bomb in
// place of a value raises what it carries.
#ifndef TL_BOMB_H
#define TL_BOMB_H

#include "object/module_state.h"

// The strength of an exception that is raised in a tasklet from outside. Of two pending
// ones the higher rank is raised first; of the same rank, the earlier one.
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
    bool in_line;       // it is one of a tasklet's pending bombs
    bool swallowed;     // it was raised in a finalizer, from which no exception leaves
} BombObject;

// All of these return a new reference, or NULL with an exception set unless they say
// otherwise. They may run a collection, and so Python code.

// A bomb of type, value and traceback, each stolen, also on failure.
PyObject *tl_bomb_new(struct tl_state *state, PyObject *type, PyObject *value,
                      PyObject *traceback);

// A bomb of one exception object, stolen.
PyObject *tl_bomb_of(struct tl_state *state, PyObject *exc);

// A bomb of exc (stolen), which must reach a tasklet. Never NULL: without memory exc is
// reported as unraisable, and the bomb raises MemoryError instead.
PyObject *tl_bomb_of_error(struct tl_state *state, PyObject *exc);

// A bomb of TaskletExit. Never NULL.
PyObject *tl_bomb_of_exit(struct tl_state *state);

// A bomb of the arguments of throw(): class or instance, value, traceback (the last two
// may be NULL or None). TypeError if they do not fit together.
PyObject *tl_bomb_of_raise(struct tl_state *state, PyObject *exc, PyObject *value,
                           PyObject *traceback);

// A bomb of cls(*args), which is created where it is raised. TypeError if cls is not an
// exception class; its message contains caller, "class.method".
PyObject *tl_bomb_of_class(struct tl_state *state, const char *caller,
                           PyObject *const *args, Py_ssize_t nargs);

static inline bool
tl_bomb_check(struct tl_state *state, PyObject *object)
{
    return Py_TYPE(object) == state->bomb_type;
}

// Raise what bomb (stolen) carries. Always returns NULL. May run Python code.
PyObject *tl_bomb_raise(PyObject *bomb);

#endif // TL_BOMB_H
