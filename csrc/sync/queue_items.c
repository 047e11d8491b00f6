// queue_items.c - the items of a queue, and the methods of subclasses that store them.
#include "sync/queue_items.h"

#ifndef NDEBUG
void
tl_queue_check_items(const QueueObject *q)
{
    bool is_exact =
        q->items != NULL &&
        (q->order == TL_QUEUE_FIFO ? Py_IS_TYPE(q->items, q->state->queue.deque)
                                   : PyList_CheckExact(q->items));
    TL_CHECK("I2", "queue", q, q->is_exact == is_exact);
}
#endif

// ---- the containers

void
tl_queue_set_items(QueueObject *q, PyObject *items)
{
    PyObject *old = q->items;
    q->items = items;
    q->is_exact = items != NULL &&
                  (q->order == TL_QUEUE_FIFO ? Py_IS_TYPE(items, q->state->queue.deque)
                                             : PyList_CheckExact(items));
    tl_queue_check_items(q);
    Py_XDECREF(old);
}

int
tl_queue_items_init(QueueObject *q)
{
    PyObject *items = q->order == TL_QUEUE_FIFO
                          ? PyObject_CallNoArgs((PyObject *)q->state->queue.deque)
                          : PyList_New(0);
    if (items == NULL) {
        return -1;
    }
    tl_queue_set_items(q, items);
    return 0;
}

PyObject *
tl_queue_items(QueueObject *q)
{
    if (TL_UNLIKELY(q->items == NULL)) {
        PyErr_Format(PyExc_AttributeError, "'%.100s' object has no attribute 'queue'",
                     Py_TYPE(q)->tp_name);
    }
    return q->items;
}

Py_ssize_t
tl_queue_items_size(QueueObject *q)
{
    if (TL_LIKELY(q->is_exact)) {
        return PyObject_Size(q->items);
    }
    PyObject *items = Py_XNewRef(tl_queue_items(q));
    Py_ssize_t size = items == NULL ? -1 : PyObject_Size(items);
    Py_XDECREF(items);
    return size;
}

// Drop the result of a call (stolen, may be NULL).
static int
done(PyObject *result)
{
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

// For a container of unknown type: call its method, or if function is given, that.
static PyObject *
call_items(QueueObject *q, PyObject *function, const char *method, PyObject *item)
{
    PyObject *items = Py_XNewRef(tl_queue_items(q)), *result = NULL;
    if (items == NULL) {
        return NULL;
    }
    if (function != NULL) {
        PyObject *args[] = {items, item};
        result = PyObject_Vectorcall(function, args, item == NULL ? 1 : 2, NULL);
    } else {
        result = tl_call_method(items, method, item);
    }
    Py_DECREF(items);
    return result;
}

int
tl_queue_items_put(QueueObject *q, PyObject *item)
{
    const struct tl_queue_tools *tools = &q->state->queue;
    switch (q->order) {
    case TL_QUEUE_FIFO:
        if (TL_LIKELY(q->is_exact)) {
            // A deque with a maxlen drops an item, whose finalizer may replace
            // q->items.
            PyObject *items = Py_NewRef(q->items);
            int result = TL_LIKELY(tools->call_append != NULL)
                             ? done(tools->call_append(items, item))
                             : done(call_items(q, tools->append, NULL, item));
            Py_DECREF(items);
            return result;
        }
        return done(call_items(q, NULL, "append", item));
    case TL_QUEUE_LIFO:
        return q->is_exact ? PyList_Append(q->items, item)
                           : done(call_items(q, NULL, "append", item));
    default:
        return done(call_items(q, tools->heappush, NULL, item));
    }
}

static PyObject *
pop_from_list(PyObject *list)
{
    Py_ssize_t last = PyList_GET_SIZE(list) - 1;
    if (last < 0) {
        PyErr_SetString(PyExc_IndexError, "pop from empty list");
        return NULL;
    }
    PyObject *item = Py_NewRef(PyList_GET_ITEM(list, last));
    if (PyList_SetSlice(list, last, last + 1, NULL) < 0) {
        Py_CLEAR(item);
    }
    return item;
}

PyObject *
tl_queue_items_get(QueueObject *q)
{
    const struct tl_queue_tools *tools = &q->state->queue;
    switch (q->order) {
    case TL_QUEUE_FIFO:
        if (TL_LIKELY(q->is_exact)) {
            return TL_LIKELY(tools->call_popleft != NULL)
                       ? tools->call_popleft(q->items, NULL)
                       : call_items(q, tools->popleft, NULL, NULL);
        }
        return call_items(q, NULL, "popleft", NULL);
    case TL_QUEUE_LIFO:
        return q->is_exact ? pop_from_list(q->items) : call_items(q, NULL, "pop", NULL);
    default:
        return call_items(q, tools->heappop, NULL, NULL);
    }
}

// ---- methods that subclasses override

static PyObject *
call_hook(QueueObject *q, PyObject *name, PyObject *item)
{
    PyObject *args[] = {(PyObject *)q, item};
    return PyObject_VectorcallMethod(name, args, item == NULL ? 1 : 2, NULL);
}

Py_ssize_t
tl_queue_hook_size(QueueObject *q)
{
    PyObject *result = call_hook(q, q->state->queue.names[TL_QUEUE_SIZE], NULL);
    Py_ssize_t size = result == NULL ? -1 : PyNumber_AsSsize_t(result, NULL);
    Py_XDECREF(result);
    if (size < 0 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "_qsize() of a %.100s object returned %zd",
                     Py_TYPE(q)->tp_name, size);
    }
    return size;
}

int
tl_queue_hook_put(QueueObject *q, PyObject *item)
{
    return done(call_hook(q, q->state->queue.names[TL_QUEUE_PUT], item));
}

PyObject *
tl_queue_hook_get(QueueObject *q)
{
    return call_hook(q, q->state->queue.names[TL_QUEUE_GET], NULL);
}

// Whether the type's method of that name is not Queue's own.
static bool
is_overridden(QueueObject *q, enum tl_queue_name name)
{
    const struct tl_queue_tools *tools = &q->state->queue;
    PyObject *method = PyObject_GetAttr((PyObject *)Py_TYPE(q), tools->names[name]);
    bool ours =
        method != NULL && Py_IS_TYPE(method, &PyMethodDescr_Type) &&
        ((PyMethodDescrObject *)method)->d_method->ml_meth == tools->functions[name];
    if (method == NULL) {
        PyErr_Clear(); // the error comes when the method is called
    }
    Py_XDECREF(method);
    return !ours;
}

TL_COLD void
tl_queue_look_at_type(QueueObject *q)
{
    // The look-up may run Python code of a metaclass: keep an exception that is set.
    PyObject *exc = PyErr_GetRaisedException();
    q->is_hooked = q->is_routed = q->is_patched;
    for (int name = 0; name < TL_QUEUE_NAMES; name++) {
        if (is_overridden(q, name)) {
            *(name < TL_QUEUE_HOOKS ? &q->is_hooked : &q->is_routed) = true;
        }
    }
    q->type_version = Py_TYPE(q)->tp_version_tag;
    PyErr_SetRaisedException(exc);
}
