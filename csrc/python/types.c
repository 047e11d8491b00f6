// types.c - creates the types of object/types.def.
#include "python/types.h"

struct type_row {
    PyType_Spec *spec;
    const char *name;
    size_t slot;     // offset in struct tl_state
    Py_ssize_t base; // the same of the base; -1: object
    const char *remedy;
    int (*finish)(PyTypeObject *type);
};

#define SLOT(noun) offsetof(struct tl_state, noun##_type)
#define TL_TYPE(noun, name, kind, step, remedy) \
    {&tl_##noun##_spec, name, SLOT(noun), -1, remedy, tl_##step##_ready},
#define TL_SUBTYPE(noun, name, base, step) \
    {&tl_##noun##_spec, name, SLOT(noun), SLOT(base), NULL, tl_##step##_ready},

static const struct type_row rows[] = {
#include "object/types.def"
};

#define NROWS ((int)Py_ARRAY_LENGTH(rows))

static PyTypeObject **
type_at(struct tl_state *state, size_t slot)
{
    return (PyTypeObject **)((char *)state + slot);
}

int
tl_plain_ready(PyTypeObject *Py_UNUSED(type))
{
    return 0;
}

// __reduce__() of all types with a remedy.
static PyObject *
refuse_to_pickle(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct tl_state *state = tl_state_of_object(self);
    const char *remedy = "";
    for (int i = 0; i < NROWS; i++) {
        if (rows[i].remedy != NULL &&
            PyObject_TypeCheck(self, *type_at(state, rows[i].slot))) {
            remedy = rows[i].remedy;
        }
    }
    PyErr_Format(PyExc_TypeError, "cannot pickle '%s' object: %s",
                 Py_TYPE(self)->tp_name, remedy);
    return NULL;
}

static PyMethodDef reduce_def = {"__reduce__", refuse_to_pickle, METH_NOARGS, NULL};

int
tl_types_add(PyObject *mod, struct tl_state *state)
{
    for (const struct type_row *row = rows; row < rows + NROWS; row++) {
        PyTypeObject *base = row->base < 0 ? NULL : *type_at(state, (size_t)row->base);
        PyTypeObject *type =
            (PyTypeObject *)PyType_FromModuleAndSpec(mod, row->spec, (PyObject *)base);
        *type_at(state, row->slot) = type;
        if (type == NULL || row->finish(type) < 0 ||
            (row->remedy != NULL && tl_add_method(type, &reduce_def) < 0) ||
            PyModule_AddObjectRef(mod, row->name, (PyObject *)type) < 0) {
            return -1;
        }
    }
    return 0;
}

int
tl_types_visit(struct tl_state *state, visitproc visit, void *arg)
{
    for (int i = 0; i < NROWS; i++) {
        Py_VISIT(*type_at(state, rows[i].slot));
    }
    return 0;
}
