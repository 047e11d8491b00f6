// noop.c - a context manager that does nothing, the cheapest that C can make, and
// calls(), which enters and leaves any context manager from C.
#include <Python.h>

static PyObject *
noop_vectorcall(PyObject *cls, PyObject *const *Py_UNUSED(args),
                size_t Py_UNUSED(nargsf), PyObject *Py_UNUSED(kwnames))
{
    return ((PyTypeObject *)cls)->tp_alloc((PyTypeObject *)cls, 0);
}

static PyObject *
noop_enter(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_NONE;
}

static PyObject *
noop_exit(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args),
          Py_ssize_t Py_UNUSED(nargs))
{
    Py_RETURN_FALSE;
}

static PyMethodDef noop_methods[] = {
    {"__enter__", noop_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))noop_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot noop_slots[] = {
    {Py_tp_methods, noop_methods},
    {0, NULL},
};

static PyType_Spec noop_spec = {
    .name = "noop.noop",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = noop_slots,
};

// calls(enter, exit, n): call both n times.
static PyObject *
calls(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *enter, *leave, *none[] = {Py_None, Py_None, Py_None};
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "OOn", &enter, &leave, &n)) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *entered = PyObject_CallNoArgs(enter);
        PyObject *left = PyObject_Vectorcall(leave, none, 3, NULL);
        Py_XDECREF(entered);
        Py_XDECREF(left);
        if (entered == NULL || left == NULL) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static int
noop_exec(PyObject *module)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(&noop_spec);
    if (type == NULL) {
        return -1;
    }
    type->tp_vectorcall = noop_vectorcall;
    int result = PyModule_AddType(module, type);
    Py_DECREF(type);
    return result;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, noop_exec},
    {0, NULL},
};

static PyMethodDef module_methods[] = {
    {"calls", calls, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "noop",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit_noop(void)
{
    return PyModuleDef_Init(&module);
}
