// mod_kill.c - kill_all().
#include "core/kill.h"
#include "core/thread.h"
#include "object/args.h"
#include "python/types.h"

PyDoc_STRVAR(kill_all_doc,
"kill_all($module, /, tasklets, pending=False)\n"
"--\n"
"\n"
"Raise TaskletExit in each of the tasklets (an iterable), like their kill().\n"
"\n"
"Those of this thread run at once, one after the other in that order: when the\n"
"call returns their finally blocks have run, unless these wait. Until then no\n"
"other tasklet runs, except through what the killed tasklets do; n tasklets\n"
"cost n switches. If the caller is among them it is killed last.\n"
"\n"
"pending: the tasklets are killed when their turn comes, and the call returns\n"
"at once. This always holds for tasklets of other threads and inside shield().\n"
"\n"
"If one of them ends with an exception, the exception is raised in main or in\n"
"the innermost run(), as for kill(); the rest are killed when their turn comes.\n"
"Raises TypeError for an item that is not a tasklet, RuntimeError in a callback\n"
"and SwitchTrapError under switch_trap(); none has been killed then.");

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
