#define Py_BUILD_CORE_MODULE 1
#include "frames.h"

#include <internal/pycore_frame.h>
#include <opcode.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_genobject.h>
#include <internal/pycore_interpframe.h>
#include <internal/pycore_stackref.h>
#endif

// The innermost frame that is not a struct on the C stack: that of a suspended fiber is
// elsewhere. (greenlet unlinks such frames further out.)
static _PyInterpreterFrame *
first_lasting(_PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030C0000
    while (frame != NULL && frame->owner != FRAME_OWNED_BY_THREAD &&
           frame->owner != FRAME_OWNED_BY_GENERATOR) {
        frame = frame->previous;
    }
#endif
    return frame;
}

static _PyInterpreterFrame *
running_frame(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030D0000
    return ts->current_frame;
#else
    return ts->cframe->current_frame;
#endif
}

void *
tl_frames_top(PyThreadState *ts)
{
    return first_lasting(running_frame(ts));
}

#if PY_VERSION_HEX >= 0x030E0000

#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030F0000
#define PyStackRef_RefcountOnObject(ref) (!PyStackRef_IsDeferred(ref))
#endif

static int
visit_ref(_PyStackRef ref, visitproc visit, void *arg)
{
    // Borrowed entries and small integers hold no count.
    if (PyStackRef_IsNullOrInt(ref) || !PyStackRef_RefcountOnObject(ref)) {
        return 0;
    }
    return visit(PyStackRef_AsPyObjectBorrow(ref), arg);
}

// The generator whose frame it is.
static PyObject *
generator_of(_PyInterpreterFrame *frame)
{
    return (PyObject *)_PyGen_GetGeneratorFromFrame(frame);
}

// running: a generator that this frame executes. It is not shown: the collector would try
// to close it.
static int
traverse_one(_PyInterpreterFrame *frame, PyObject *running, visitproc visit, void *arg)
{
    Py_VISIT(frame->frame_obj);
    Py_VISIT(frame->f_locals);
    int result = visit_ref(frame->f_funcobj, visit, arg);
    if (result == 0) {
        result = visit_ref(frame->f_executable, visit, arg);
    }
    // Locals and evaluation stack in one: a frame that waits in a call has stored its
    // stack pointer.
    for (_PyStackRef *ref = frame->localsplus;
         result == 0 && frame->stackpointer != NULL && ref < frame->stackpointer;
         ref++) {
        if (running == NULL || PyStackRef_IsNullOrInt(*ref) ||
            PyStackRef_AsPyObjectBorrow(*ref) != running) {
            result = visit_ref(*ref, visit, arg);
        }
    }
    return result;
}

#else

static PyObject *
generator_of(_PyInterpreterFrame *Py_UNUSED(frame))
{
    return NULL;
}

// Before 3.14 nobody knows how much of the evaluation stack is in use: only the locals
// can be shown.
static int
traverse_one(_PyInterpreterFrame *frame, PyObject *Py_UNUSED(running), visitproc visit,
             void *arg)
{
    Py_VISIT(frame->frame_obj);
    Py_VISIT(frame->f_locals);
#if PY_VERSION_HEX >= 0x030C0000
    Py_VISIT(frame->f_funcobj);
#if PY_VERSION_HEX >= 0x030D0000
    PyCodeObject *code = (PyCodeObject *)frame->f_executable;
#else
    PyCodeObject *code = frame->f_code;
#endif
    Py_VISIT(code);
    if (!PyCode_Check((PyObject *)code)) {
        return 0;
    }
#else
    Py_VISIT(frame->f_func);
    Py_VISIT(frame->f_code);
    PyCodeObject *code = frame->f_code;
#endif
    for (int i = 0; i < code->co_nlocalsplus; i++) {
        Py_VISIT(frame->localsplus[i]);
    }
    return 0;
}

#endif

int
tl_frames_traverse(void *top, visitproc visit, void *arg)
{
    PyObject *running = NULL;
    for (_PyInterpreterFrame *frame = top; frame != NULL; frame = frame->previous) {
        // A generator shows its frame itself; an entry frame lies on the C stack, of
        // which a suspended one is elsewhere, and greenlet unlinks those.
        if (frame->owner != FRAME_OWNED_BY_THREAD) {
            running =
                frame->owner == FRAME_OWNED_BY_GENERATOR ? generator_of(frame) : NULL;
            continue;
        }
        int result = traverse_one(frame, running, visit, arg);
        running = NULL;
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

// ---- code

static PyObject *
code_of(_PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    PyObject *func = PyStackRef_IsNull(frame->f_funcobj)
                         ? NULL
                         : PyStackRef_AsPyObjectBorrow(frame->f_funcobj);
    PyObject *code = PyStackRef_AsPyObjectBorrow(frame->f_executable);
#elif PY_VERSION_HEX >= 0x030D0000
    PyObject *func = frame->f_funcobj, *code = frame->f_executable;
#elif PY_VERSION_HEX >= 0x030C0000
    PyObject *func = frame->f_funcobj, *code = (PyObject *)frame->f_code;
#else
    PyObject *func = (PyObject *)frame->f_func, *code = (PyObject *)frame->f_code;
#endif
    // A trampoline of the interpreter has no function: its code is not to be touched.
    return func != NULL && PyFunction_Check(func) && PyCode_Check(code) ? code : NULL;
}

void
tl_frames_each_code(void *top, int (*visit)(PyObject *, void *), void *arg)
{
    for (_PyInterpreterFrame *frame = first_lasting(top); frame != NULL;
         frame = first_lasting(frame->previous)) {
        PyObject *code = code_of(frame);
        if (code != NULL && visit(code, arg) != 0) {
            return;
        }
    }
}

static int
keep_first(PyObject *code, void *found)
{
    *(PyObject **)found = code;
    return 1;
}

PyObject *
tl_frames_code(void *top)
{
    PyObject *found = NULL;
    tl_frames_each_code(top, keep_first, &found);
    return found;
}

// Whether the frame's instruction reads an attribute: then what it calls is a property's
// function, or the like.
static bool
reads_attribute(_PyInterpreterFrame *frame)
{
    PyObject *code = code_of(frame);
    PyObject *bytes = code != NULL ? PyCode_GetCode((PyCodeObject *)code) : NULL;
    if (bytes == NULL) {
        PyErr_Clear();
        return false;
    }
    int at = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
    bool result = at >= 0 && at < PyBytes_GET_SIZE(bytes) &&
                  (unsigned char)PyBytes_AS_STRING(bytes)[at] == LOAD_ATTR;
    Py_DECREF(bytes);
    return result;
}

// Whether C code has called callee, a function that caller's code leads to. Once it is
// warm, the interpreter makes some of these calls without C code in between; for the
// same program to stop at the same place each time, none of them counts.
static bool
is_nested(_PyInterpreterFrame *callee, _PyInterpreterFrame *caller)
{
    static const char *const names[] = {"__init__", "__getitem__", "__getattribute__"};
    PyObject *code = code_of(callee);
    caller = first_lasting(caller);
    if (code == NULL || caller == NULL) {
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (PyUnicode_CompareWithASCIIString(((PyCodeObject *)code)->co_name,
                                             names[i]) == 0) {
            return false;
        }
    }
    return !reads_attribute(caller);
}

int
tl_frames_nesting(PyThreadState *ts)
{
    int count = 0;
#if PY_VERSION_HEX >= 0x030C0000
    // Each call from C has a frame of its own on the C stack, outside of the callee's.
    _PyInterpreterFrame *callee = NULL;
    for (_PyInterpreterFrame *frame = running_frame(ts); frame != NULL;
         frame = frame->previous) {
        if (frame->owner == FRAME_OWNED_BY_THREAD) {
            callee = frame;
        } else if (frame->owner == FRAME_OWNED_BY_GENERATOR) {
            callee = NULL;
        } else {
            count += callee != NULL && is_nested(callee, frame->previous);
            callee = NULL;
        }
    }
#else
    for (_PyInterpreterFrame *frame = running_frame(ts); frame != NULL;
         frame = frame->previous) {
        count += frame->is_entry && frame->owner == FRAME_OWNED_BY_THREAD &&
                 is_nested(frame, frame->previous);
    }
#endif
    return count > 0 ? count - 1 : 0;
}

static int
find_import(PyObject *code, void *found)
{
    PyObject *file = ((PyCodeObject *)code)->co_filename;
    *(bool *)found =
        PyUnicode_Check(file) &&
        PyUnicode_CompareWithASCIIString(file, "<frozen importlib._bootstrap>") == 0;
    return *(bool *)found;
}

bool
tl_frames_are_importing(PyThreadState *ts)
{
    bool found = false;
    tl_frames_each_code(running_frame(ts), find_import, &found);
    return found;
}
