// queue_common.c - shared by the Python types of the queues.
#include "python/queue_common.h"
#include "object/args.h"

int
tl_queue_parse(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
               PyObject **item, struct tl_queue_options *options)
{
    static const char *const names[] = {"item", "block", "timeout", NULL};
    static const struct tl_argspec put = {
        .fname = "put", .names = names, .required = 1, .maxpos = 3};
    static const struct tl_argspec get = {
        .fname = "get", .names = names + 1, .maxpos = 2};
    PyObject *argv[3] = {NULL};
    if (tl_args_parse(item != NULL ? &put : &get, args, nargs, kwnames,
                      item != NULL ? argv : argv + 1) < 0) {
        return -1;
    }
    int block = argv[1] == NULL ? 1 : PyObject_IsTrue(argv[1]);
    if (item != NULL) {
        *item = argv[0];
    }
    options->block = block > 0;
    options->timeout = argv[2];
    return block < 0 ? -1 : 0;
}

int
tl_queue_parse_item(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                    PyObject **item)
{
    static const char *const names[] = {"item", NULL};
    static const struct tl_argspec spec = {
        .fname = "put_nowait", .names = names, .required = 1, .maxpos = 1};
    return tl_args_parse(&spec, args, nargs, kwnames, item);
}

// ---- tools of the queues

static PyObject *
import(const char *modname, const char *name)
{
    PyObject *mod = PyImport_ImportModule(modname);
    PyObject *found = mod ? tl_getattr(mod, name) : NULL;
    Py_XDECREF(mod);
    return found;
}

// The C function of a method with exactly these flags, or NULL: quicker than a call.
static PyCFunction
function_of(PyObject *method, int flags)
{
    if (method == NULL || !Py_IS_TYPE(method, &PyMethodDescr_Type)) {
        return NULL;
    }
    PyMethodDef *def = ((PyMethodDescrObject *)method)->d_method;
    return def->ml_flags == flags ? def->ml_meth : NULL;
}

static PyObject *
find_shut_down(void)
{
    PyObject *found = import("queue", "ShutDown");
    if (found == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        found = PyErr_NewExceptionWithDoc("tasklets.queues.ShutDown",
                                          "The queue has been shut down.", NULL, NULL);
    }
    return found;
}

// Look up the overridable methods of Queue, and their C functions.
static int
find_hooks(struct tl_state *state)
{
    static const char *const names[] = {
        [TL_QUEUE_SIZE] = "_qsize", [TL_QUEUE_PUT] = "_put",
        [TL_QUEUE_GET] = "_get",    [TL_QUEUE_INIT] = "_init",
        [TL_QUEUE_PUT_ANY] = "put", [TL_QUEUE_GET_ANY] = "get"};
    struct tl_queue_tools *tools = &state->queue;
    for (int i = 0; i < TL_QUEUE_NAMES; i++) {
        tools->names[i] = PyUnicode_InternFromString(names[i]);
        PyObject *method =
            tools->names[i]
                ? PyObject_GetAttr((PyObject *)state->queue_type, tools->names[i])
                : NULL;
        if (method == NULL) {
            return -1;
        }
        assert(Py_IS_TYPE(method, &PyMethodDescr_Type));
        tools->functions[i] = ((PyMethodDescrObject *)method)->d_method->ml_meth;
        Py_DECREF(method);
    }
    return 0;
}

int
tl_queue_ready(PyObject *mod, struct tl_state *state)
{
    struct tl_queue_tools *tools = &state->queue;
    PyObject *deque = import("collections", "deque");
    if (deque == NULL || find_hooks(state) < 0) {
        Py_XDECREF(deque);
        return -1;
    }
    tools->deque = (PyTypeObject *)deque;
    tools->append = tl_getattr(deque, "append");
    tools->popleft = tl_getattr(deque, "popleft");
    tools->call_append = function_of(tools->append, METH_O);
    tools->call_popleft = function_of(tools->popleft, METH_NOARGS);
    tools->heappush = import("heapq", "heappush");
    tools->heappop = import("heapq", "heappop");
    tools->empty = import("queue", "Empty");
    tools->full = import("queue", "Full");
    tools->shut_down = find_shut_down();
    tools->block = Py_BuildValue("(s)", "block");
    if (tools->append == NULL || tools->popleft == NULL || tools->heappush == NULL ||
        tools->heappop == NULL || tools->empty == NULL || tools->full == NULL ||
        tools->shut_down == NULL || tools->block == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(mod, "ShutDown", tools->shut_down);
}

int
tl_queue_visit_tools(struct tl_state *state, visitproc visit, void *arg)
{
    const struct tl_queue_tools *tools = &state->queue;
    Py_VISIT(tools->deque);
    Py_VISIT(tools->append);
    Py_VISIT(tools->popleft);
    Py_VISIT(tools->heappush);
    Py_VISIT(tools->heappop);
    Py_VISIT(tools->empty);
    Py_VISIT(tools->full);
    Py_VISIT(tools->shut_down);
    return 0;
}
