// frames.c - the interpreter's frames on 3.11 to 3.15.
#define Py_BUILD_CORE_MODULE 1
#include "cpython/frames.h"

#include <internal/pycore_frame.h>
#include <opcode.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_genobject.h>
#include <internal/pycore_interpframe.h>
#include <internal/pycore_stackref.h>
#endif

// The innermost frame that is not an entry frame, a struct on the C stack: the C stack
// of a suspended fiber has been copied away. (greenlet itself unlinks the entry frames
// further out.)
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

// ---- what suspended frames own
//
// An instruction may run Python code, and so switch, after it has given away its
// operands: it stores them, moves them into the callee's frame, or drops them one by
// one. The evaluation stack still shows these operands. If the collector saw a
// reference that is not counted, it would take a living object for garbage. So the
// stack is visited only where the frame is known to own it.

#if PY_VERSION_HEX >= 0x030E0000

#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030F0000
#define PyStackRef_RefcountOnObject(ref) (!PyStackRef_IsDeferred(ref)) // not imported
#endif

// What is known of the operands on a frame's evaluation stack.
enum operands {
    HIDDEN,  // nothing: neither they nor what lies below them is visited
    CALLING, // they belong to a call of a C function, and may be on their way out
    OWNED,   // the frame owns them
};

// What the collector sees of a frame.
struct view {
    _PyInterpreterFrame *frame;
    PyObject *running; // the generator that the frame executes, or NULL
    enum operands operands;
    _PyStackRef *call; // CALLING: where the callable lies
    _PyStackRef *end;  // end of the part of the stack that is visited
    visitproc visit;
    void *arg;
};

static PyObject *
generator_of(_PyInterpreterFrame *frame)
{
    return (PyObject *)_PyGen_GetGeneratorFromFrame(frame);
}

// Whether the interpreter called, or resumed, callee from caller without C code in
// between. Then caller's instruction is done with its operands, and only its result is
// missing. In a suspended fiber greenlet has linked each frame to the next one of
// Python code; it keeps the original link in the frame object.
static bool
is_direct(_PyInterpreterFrame *callee, _PyInterpreterFrame *caller)
{
    _PyInterpreterFrame *original = NULL;
    if (callee != NULL && callee->frame_obj != NULL) {
        memcpy(&original, callee->frame_obj->_f_frame_data, sizeof original);
    }
    return original == caller;
}

// The opcode that the frame executes, as compiled, whatever it is specialized to or
// instrumented with now; -1 if it is not known. *oparg: its argument, or -1 if that is
// longer than a byte.
static int
instruction_of(_PyInterpreterFrame *frame, int *oparg)
{
#ifdef Py_GIL_DISABLED
    return -1; // another thread may hold the lock that this needs
#else
    PyObject *bytes = PyCode_GetCode(_PyFrame_GetCode(frame));
    if (bytes == NULL) {
        PyErr_Clear();
        return -1;
    }
    int at = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT), found = -1;
    const unsigned char *code = (unsigned char *)PyBytes_AS_STRING(bytes);
    if (at >= 2 && at + 1 < PyBytes_GET_SIZE(bytes)) {
        found = code[at];
        *oparg = code[at - 2] == EXTENDED_ARG ? -1 : code[at + 1];
    }
    Py_DECREF(bytes);
    return found;
#endif
}

// Whether a call of callable never moves the operands into a frame.
static bool
is_c_function(_PyStackRef callable)
{
    if (PyStackRef_IsNullOrInt(callable)) {
        return false;
    }
    PyObject *object = PyStackRef_AsPyObjectBorrow(callable);
    return PyCFunction_Check(object) || Py_IS_TYPE(object, &PyMethodDescr_Type) ||
           Py_IS_TYPE(object, &PyWrapperDescr_Type);
}

static bool
is_tuple(_PyStackRef ref)
{
    return !PyStackRef_IsNullOrInt(ref) &&
           PyTuple_CheckExact(PyStackRef_AsPyObjectBorrow(ref));
}

// The frame's instruction runs C code: find out which operands can be visited.
static void
look_at_instruction(struct view *view)
{
    int oparg = -1, opcode = instruction_of(view->frame, &oparg);
    if (opcode == RESUME || opcode == JUMP_BACKWARD || opcode == FOR_ITER) {
        view->operands = OWNED; // these take nothing off the stack
        return;
    }
    _PyStackRef *top = view->end;
    if (oparg < 0) {
        return;
    }
    switch (opcode) {
    case CALL:
        view->call = top - oparg - 2;
        break;
    case CALL_KW:
        view->call = top - oparg - 3;
        view->end = top - 1; // the names of the keyword arguments are dropped first
        break;
    case CALL_FUNCTION_EX:
        // A call of a Python function takes the arguments off the stack at once.
        if (top - 4 < _PyFrame_Stackbase(view->frame) || !is_tuple(top[-2])) {
            return;
        }
        view->call = top - 4;
        break;
    default:
        return;
    }
    if (view->call >= _PyFrame_Stackbase(view->frame) && is_c_function(*view->call)) {
        view->operands = CALLING;
    }
}

static int
visit_ref(const struct view *view, _PyStackRef ref)
{
    if (PyStackRef_IsNullOrInt(ref)) {
        return 0;
    }
    PyObject *object = PyStackRef_AsPyObjectBorrow(ref);
    if (object == view->running) {
        return 0; // the collector would try to close a running generator
    }
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030F0000
    // A deferred reference holds no count, and still keeps its object alive: the
    // collector has a pass for these.
    return _PyGC_VisitStackRef(&ref, view->visit, view->arg);
#else
    // A borrowed entry holds no count.
    return PyStackRef_RefcountOnObject(ref) ? view->visit(object, view->arg) : 0;
#endif
}

// Visit an operand of a call. After the call it is still on the stack while its
// finalizer runs, and must not be seen then.
static int
visit_operand(const struct view *view, _PyStackRef ref)
{
    if (!PyStackRef_IsNullOrInt(ref)) {
        PyObject *object = PyStackRef_AsPyObjectBorrow(ref);
        if (Py_REFCNT(object) == 0 || PyObject_GC_IsFinalized(object)) {
            return 0;
        }
    }
    return visit_ref(view, ref);
}

static int
visit_stack(const struct view *view)
{
    _PyStackRef *ref = _PyFrame_Stackbase(view->frame);
    _PyStackRef *owned_end = view->operands == OWNED ? view->end : view->call;
    int result = 0;
    for (; result == 0 && ref < owned_end; ref++) {
        result = visit_ref(view, *ref);
    }
    for (; result == 0 && ref < view->end; ref++) {
        result = visit_operand(view, *ref);
    }
    return result;
}

static int
traverse_one(_PyInterpreterFrame *frame, _PyInterpreterFrame *callee, visitproc visit,
             void *arg)
{
    if (PyStackRef_IsNull(frame->f_funcobj)) {
        return 0; // a trampoline of the interpreter
    }
    struct view view = {
        .frame = frame, .end = frame->stackpointer, .visit = visit, .arg = arg};
    if (callee != NULL && callee->owner == FRAME_OWNED_BY_GENERATOR) {
        view.running = generator_of(callee);
    }
    Py_VISIT(frame->frame_obj);
    Py_VISIT(frame->f_locals);
    int result = visit_ref(&view, frame->f_funcobj);
    if (result == 0) {
        result = visit_ref(&view, frame->f_executable);
    }
    _PyStackRef *end = _PyFrame_Stackbase(frame);
    for (_PyStackRef *ref = frame->localsplus; result == 0 && ref < end; ref++) {
        result = visit_ref(&view, *ref);
    }
    if (result != 0 || view.end == NULL) {
        return result;
    }
    if (is_direct(callee, frame)) {
        view.operands = OWNED;
    } else {
        look_at_instruction(&view);
    }
    return view.operands == HIDDEN ? 0 : visit_stack(&view);
}

#else

// Before 3.14 a frame does not record how much of its evaluation stack is in use: only
// the locals are visited.
static int
traverse_one(_PyInterpreterFrame *frame, _PyInterpreterFrame *Py_UNUSED(callee),
             visitproc visit, void *arg)
{
#if PY_VERSION_HEX >= 0x030C0000
    if (frame->f_funcobj == NULL) {
        return 0; // a trampoline of the interpreter
    }
    Py_VISIT(frame->f_funcobj);
#if PY_VERSION_HEX >= 0x030D0000
    PyCodeObject *code = (PyCodeObject *)frame->f_executable;
#else
    PyCodeObject *code = frame->f_code;
#endif
#else
    Py_VISIT(frame->f_func);
    PyCodeObject *code = frame->f_code;
#endif
    Py_VISIT(frame->frame_obj);
    Py_VISIT(frame->f_locals);
    Py_VISIT(code);
    if (!PyCode_Check((PyObject *)code)) {
        return 0;
    }
    for (int i = 0; i < code->co_nlocalsplus; i++) {
        Py_VISIT(frame->localsplus[i]);
    }
    return 0;
}

#endif

int
tl_frames_traverse(void *top, visitproc visit, void *arg)
{
    _PyInterpreterFrame *callee = NULL;
    for (_PyInterpreterFrame *frame = top; frame != NULL; frame = frame->previous) {
        // Generators visit their own frames. Entry frames lie on the C stack, and
        // greenlet unlinks those of a suspended one.
        if (frame->owner == FRAME_OWNED_BY_THREAD) {
            int result = traverse_one(frame, callee, visit, arg);
            if (result != 0) {
                return result;
            }
        }
        callee = frame;
    }
    return 0;
}

// ---- code

// The code of the function that the frame runs, or NULL.
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
    // A trampoline of the interpreter has no function, and its code is no code object.
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

// Whether the frame's instruction reads an attribute: what it calls is the function of
// a property or of another descriptor.
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

// Whether C code has called callee, the next function in from caller. The interpreter
// makes some of these calls without C code once the call site is specialized. So that a
// program stops at the same place each time, calls of those kinds never count.
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
    // Each call from C pushes an entry frame on the C stack, just outside of the
    // callee's.
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
