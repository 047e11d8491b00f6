#define Py_BUILD_CORE_MODULE 1
#include "frames.h"

#include <internal/pycore_frame.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_genobject.h>
#include <internal/pycore_interpframe_structs.h>
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

void *
tl_frames_top(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030D0000
    return first_lasting(ts->current_frame);
#else
    return first_lasting(ts->cframe->current_frame);
#endif
}

#if PY_VERSION_HEX >= 0x030E0000

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
