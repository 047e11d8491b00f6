// mod_kill.c - kill_all(): parse, one call down, convert.
#include "core/kill.h"
#include "object/args.h"
#include "python/types.h"

PyDoc_STRVAR(kill_all_doc,
"kill_all($module, /, tasklets, pending=False)\n"
"--\n"
"\n"
"Raise TaskletExit in each of the tasklets (an iterable), as their kill() would.\n"
"\n"
"Those of this thread run at once, one after the other in that order, so that their\n"
"finally blocks have run when the call returns, unless these wait. No other tasklet has\n"
"a turn meanwhile but by what they do there, and n tasklets cost n switches. With pending\n"
"they end in their turn, and the call returns at once; so do in any case tasklets of\n"
"other threads and those inside shield(). If the caller is among them it is killed last.\n"
"\n"
"An exception that one of them ends with is raised where it is for kill(), in main or the\n"
"innermost run(); the rest, which have been told, end in their turn. Raises TypeError for\n"
"what is no tasklet, RuntimeError in a callback and SwitchTrapError under switch_trap():\n"
"none has been killed then.");

static PyObject *
list_of(struct tl_state *state, PyObject *iterable)
{
    if (PyObject_TypeCheck(iterable, state->tasklet_type)) {
        PyErr_SetString(PyExc_TypeError,
                        "kill_all() needs an iterable of tasklets, not "
                        "a tasklet: use its kill()");
        return NULL;
    }
    PyObject *list = PySequence_List(iterable);
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        if (!PyObject_TypeCheck(item, state->tasklet_type)) {
            PyErr_Format(PyExc_TypeError,
                         "kill_all() needs an iterable of tasklets: item %zd is %.200s",
                         i, Py_TYPE(item)->tp_name);
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
fn_kill_all(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"tasklets", "pending", NULL};
    static const struct tl_argspec spec = {
        .fname = "kill_all", .names = names, .required = 1, .maxpos = 2};
    PyObject *argv[2];
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_get(state);
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    int pending = argv[1] == NULL ? 0 : PyObject_IsTrue(argv[1]);
    PyObject *list = pending < 0 ? NULL : list_of(state, argv[0]);
    if (list == NULL) {
        return NULL;
    }
    int result = tl_kill_all(s, list, pending);
    Py_DECREF(list);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

// clang-format off

PyMethodDef tl_kill_functions[] = {
    {"kill_all", TL_FAST(fn_kill_all), METH_FASTCALL | METH_KEYWORDS, kill_all_doc},
    {NULL, NULL, 0, NULL},
};
