// local_type.c - tasklets.local: attributes that differ in each tasklet.
#include "core/local.h"
#include "object/live_counts.h"
#include "python/types.h"

static PyObject *
local_new(PyTypeObject *cls, PyObject *args, PyObject *kwargs)
{
    bool has_args =
        PyTuple_GET_SIZE(args) > 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0);
    if (has_args && cls->tp_init == PyBaseObject_Type.tp_init) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes no arguments: it has no __init__() for them",
                     cls->tp_name);
        return NULL;
    }
    LocalObject *self = (LocalObject *)cls->tp_alloc(cls, 0); // zeroed
    if (self == NULL) {
        return NULL;
    }
    tl_live_add(TL_LIVE_LOCAL, 1);
    self->args = Py_NewRef(args);
    self->kwargs = Py_XNewRef(kwargs);
    struct tl_state *state = tl_state_of_object((PyObject *)self);
    // Only the dict: the constructor calls __init__() next for this tasklet.
    if (tl_local_init(self, state->local_places) < 0 ||
        tl_local_dict(self, false) == NULL) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int
local_traverse(LocalObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->args);
    Py_VISIT(self->kwargs);
    return tl_local_traverse(self, visit, arg);
}

// Keeps the arguments: __init__() may still be called.
static int
local_clear(LocalObject *self)
{
    tl_local_clear(self);
    return 0;
}

static void
local_dealloc(LocalObject *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    if (self->places != NULL) {
        tl_local_clear(self);
        tl_local_fini(self);
    }
    Py_XDECREF(self->args);
    Py_XDECREF(self->kwargs);
    tl_object_free(self, TL_LIVE_LOCAL);
}

// ---- attributes

static bool
is_dict(PyObject *name)
{
    return PyUnicode_CompareWithASCIIString(name, "__dict__") == 0;
}

// Whether the class handles the attribute, rather than the tasklet's dict.
static bool
is_of_class(LocalObject *self, PyObject *name)
{
    if (!PyUnicode_Check(name)) {
        return true;
    }
    PyObject *descr = _PyType_Lookup(Py_TYPE(self), name);
    return descr != NULL && Py_TYPE(descr)->tp_descr_set != NULL;
}

static PyObject *
local_getattro(LocalObject *self, PyObject *name)
{
    PyObject *dict = tl_local_dict(self, true);
    if (dict == NULL) {
        return NULL;
    }
    Py_INCREF(dict);
    PyObject *value = NULL;
    if (TL_LIKELY(!is_of_class(self, name))) {
        value = Py_XNewRef(PyDict_GetItemWithError(dict, name));
    } else if (PyUnicode_Check(name) && is_dict(name)) {
        return dict;
    }
    Py_DECREF(dict);
    return value != NULL || PyErr_Occurred()
               ? value
               : PyObject_GenericGetAttr((PyObject *)self, name);
}

static int
local_setattro(LocalObject *self, PyObject *name, PyObject *value)
{
    PyObject *dict = tl_local_dict(self, true);
    if (dict == NULL) {
        return -1;
    }
    Py_INCREF(dict);
    if (is_of_class(self, name)) {
        Py_DECREF(dict);
        if (PyUnicode_Check(name) && is_dict(name)) {
            PyErr_Format(PyExc_AttributeError,
                         "'%.100s' object's __dict__ is read-only",
                         Py_TYPE(self)->tp_name);
            return -1;
        }
        return PyObject_GenericSetAttr((PyObject *)self, name, value);
    }
    int result =
        value != NULL ? PyDict_SetItem(dict, name, value) : PyDict_DelItem(dict, name);
    Py_DECREF(dict);
    if (result < 0 && value == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Format(PyExc_AttributeError, "'%.100s' object has no attribute '%U'",
                     Py_TYPE(self)->tp_name, name);
    }
    return result;
}

static PyObject *
get_dict(LocalObject *self, void *Py_UNUSED(closure))
{
    return Py_XNewRef(tl_local_dict(self, true));
}

// clang-format off

static PyMethodDef local_methods[] = {
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef local_getset[] = {
    {"__dict__", (getter)get_dict, NULL, "The running tasklet's attributes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef local_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(LocalObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(local_doc,
"local()\n"
"--\n"
"\n"
"An object that has its own attributes in each tasklet.\n"
"\n"
"As threading.local has in each thread. The attributes are dropped when the\n"
"tasklet ends or the object goes away. Those of a main tasklet are the thread's\n"
"own, whether or not it uses tasklets.\n"
"\n"
"If a subclass has an __init__(), each tasklet calls it at its first access,\n"
"with the constructor's arguments. If that raises, the access raises the same\n"
"exception, and the next access calls it again.");

static PyType_Slot local_slots[] = {
    {Py_tp_doc, (void *)local_doc},
    {Py_tp_new, local_new},
    {Py_tp_traverse, local_traverse},
    {Py_tp_clear, local_clear},
    {Py_tp_dealloc, local_dealloc},
    {Py_tp_getattro, local_getattro},
    {Py_tp_setattro, local_setattro},
    {Py_tp_methods, local_methods},
    {Py_tp_getset, local_getset},
    {Py_tp_members, local_members},
    {0, NULL},
};

PyType_Spec tl_local_spec = {
    .name = "tasklets.local",
    .basicsize = sizeof(LocalObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = local_slots,
};
