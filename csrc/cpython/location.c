// location.c - notes the innermost frame's place, and looks for frames by name.
#define Py_BUILD_CORE_MODULE 1
#include "cpython/location.h"
#include "cpython/frames.h"

#include <internal/pycore_frame.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe.h>
#include <internal/pycore_stackref.h>
#endif

static PyCodeObject *
code_of(_PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    PyObject *code = PyStackRef_AsPyObjectBorrow(frame->f_executable);
#elif PY_VERSION_HEX >= 0x030D0000
    PyObject *code = frame->f_executable;
#else
    PyObject *code = (PyObject *)frame->f_code;
#endif
    return code != NULL && PyCode_Check(code) ? (PyCodeObject *)code : NULL;
}

static void *
instr_of(_PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030D0000
    return frame->instr_ptr;
#else
    return frame->prev_instr;
#endif
}

// Whether it is a frame of Python code, and not an entry frame on the C stack.
static bool
is_lasting(_PyInterpreterFrame *frame)
{
    return frame->owner == FRAME_OWNED_BY_THREAD ||
           frame->owner == FRAME_OWNED_BY_GENERATOR;
}

// The innermost frame of Python code from this one outwards, or NULL.
static _PyInterpreterFrame *
first_lasting(_PyInterpreterFrame *frame)
{
    while (frame != NULL && !is_lasting(frame)) {
        frame = frame->previous;
    }
    return frame;
}

// Whether contextlib runs the generator for a with statement. Such a generator is
// suspended while the body of that statement runs, so a block that it entered is still
// active then.
static bool
is_context_manager(_PyInterpreterFrame *generator)
{
    static const char *const names[] = {"_GeneratorContextManager.__enter__",
                                        "_AsyncGeneratorContextManager.__aenter__"};
    _PyInterpreterFrame *caller = first_lasting(generator->previous);
    PyCodeObject *code = caller != NULL ? code_of(caller) : NULL;
    for (size_t i = 0; code != NULL && i < sizeof names / sizeof *names; i++) {
        if (PyUnicode_CompareWithASCIIString(code->co_qualname, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

void
tl_location_note(PyThreadState *ts, struct tl_location *where)
{
    _PyInterpreterFrame *frame = tl_frames_top(ts);
    PyCodeObject *code = frame != NULL ? code_of(frame) : NULL;
    if (TL_UNLIKELY(code == NULL)) {
        *where = (struct tl_location){NULL};
        return;
    }
    where->code = Py_NewRef(code);
    where->instr = instr_of(frame);
    where->generator = NULL;
    if (TL_UNLIKELY(frame->owner == FRAME_OWNED_BY_GENERATOR) &&
        !is_context_manager(frame)) {
        where->generator = frame;
    }
}

PyObject *
tl_location_text(const struct tl_location *where)
{
    PyCodeObject *code = (PyCodeObject *)where->code;
    if (code == NULL) {
        return PyUnicode_FromString("an unknown place");
    }
    Py_ssize_t offset = (char *)where->instr - (char *)_PyCode_CODE(code);
    int line = PyCode_Addr2Line(code, (int)offset);
    return PyUnicode_FromFormat("%U:%d in %U", code->co_filename, line, code->co_name);
}

bool
tl_location_is_suspended(const struct tl_location *where, PyThreadState *ts)
{
    if (where->generator == NULL) {
        return false;
    }
    for (_PyInterpreterFrame *frame = tl_frames_top(ts); frame != NULL;
         frame = frame->previous) {
        if (frame == where->generator) {
            return false;
        }
    }
    return true;
}

struct search {
    PyObject *name;
    bool found;
};

static int
find_name(PyObject *code, void *arg)
{
    struct search *search = arg;
    search->found = ((PyCodeObject *)code)->co_name == search->name;
    return search->found;
}

bool
tl_location_in_finalizer(void *top, PyObject *name)
{
    struct search search = {.name = name};
    tl_frames_each_code(top, find_name, &search);
    return search.found;
}
