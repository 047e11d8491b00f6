// ticks_settrace.c - ticks on 3.11, from a trace function that calls the program's own
// first.
//
// A line event is a tick. It also fires at each jump backwards, except in a loop
// without any line of its own (`while True: pass`). When no tick comes for a while, or
// when the thread is armed, every instruction of its innermost frame is traced, too.
#include "cpython/frames.h"
#include "cpython/ticks.h"

#if PY_VERSION_HEX < 0x030C0000

#include <opcode.h>

// Whether the frame's instruction is a jump to itself: a loop without a body, which
// makes no line events.
static bool
is_in_empty_loop(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    PyObject *bytes = PyCode_GetCode(code);
    Py_DECREF(code);
    if (bytes == NULL) {
        PyErr_Clear();
        return false;
    }
    // An instruction has two bytes; a jump's argument counts from the next instruction.
    const unsigned char *here =
        (unsigned char *)PyBytes_AS_STRING(bytes) + PyFrame_GetLasti(frame);
    bool result =
        PyFrame_GetLasti(frame) >= 0 && here[0] == JUMP_BACKWARD && here[1] == 1;
    Py_DECREF(bytes);
    return result;
}

// Stop tracing every instruction of the chosen frame. Does not call into Python.
static void
put_frame_aside(struct tl_ticks *events)
{
    PyObject *frame = events->frame;
    events->frame = NULL;
    events->probing = false;
    if (frame != NULL) {
        PyObject *exc = PyErr_GetRaisedException();
        if (tl_setattr(frame, "f_trace_opcodes", Py_False) < 0) {
            PyErr_Clear();
        }
        PyErr_SetRaisedException(exc);
        tl_ticks_put_aside(events, frame);
    }
}

// The same on the thread itself. May run Python code.
static void
leave_frame(struct tl_ticks *events)
{
    put_frame_aside(events);
    tl_ticks_drop_aside(events);
}

// Trace every instruction of the innermost frame, which may make no line events. Does
// not call into Python: the program may want the frame's flag itself, and then keeps
// it.
static void
choose_frame(struct tl_ticks *events)
{
    // This allocates a frame object, on the timekeeper's thread: it must not collect.
    int collects = PyGC_Disable();
    PyObject *frame = (PyObject *)PyThreadState_GetFrame(events->ts);
    if (collects) {
        PyGC_Enable();
    }
    if (frame == NULL || frame == events->frame) {
        PyErr_Clear();
        Py_XDECREF(frame); // not the last reference: the thread runs it
        return;
    }
    put_frame_aside(events);
    PyObject *wanted = tl_getattr(frame, "f_trace_opcodes");
    if (wanted == Py_False && tl_setattr(frame, "f_trace_opcodes", Py_True) == 0) {
        events->frame = Py_NewRef(frame);
    }
    PyErr_Clear();
    Py_XDECREF(wanted);
    Py_DECREF(frame);
}

// Call the program's trace function. While it runs, the chosen frame's flag is as the
// program left it; if it sets the flag, it gets all instructions, and the frame is not
// chosen again.
static int
call_chained(struct tl_ticks *events, PyObject *object, PyFrameObject *frame, int what,
             PyObject *arg, bool chosen)
{
    // An event may arrive after our function was removed, if it began before that.
    Py_tracefunc chained = tl_ticks_trace_func(events->ts);
    bool probing = events->probing;
    if (chosen) {
        leave_frame(events);
    }
    if (chained != NULL && chained(object, frame, what, arg) < 0) {
        return -1;
    }
    if (chosen && (events->hit || probing)) {
        choose_frame(events);
        events->probing = probing && events->frame != NULL;
    }
    return 0;
}

static int
on_trace(PyObject *object, PyFrameObject *frame, int what, PyObject *arg)
{
    struct tl_ticks *events = tl_ticks_mine;
    if (events == NULL) {
        return 0;
    }
    bool chosen = (PyObject *)frame == events->frame;
    bool ours = chosen && what == PyTrace_OPCODE;
    if (!ours && call_chained(events, object, frame, what, arg, chosen) < 0) {
        return -1;
    }
    if (what == PyTrace_LINE) {
        events->left -= events->counting > 0;
    } else if (what != PyTrace_OPCODE) {
        return 0;
    }
    if (ours && events->probing) {
        // All turns of an empty loop are alike: where it stops makes no difference.
        events->left = events->left > 0 && is_in_empty_loop(frame) ? 0 : events->left;
        leave_frame(events);
    }
    return events->left > 0 && !events->hit ? 0 : tl_ticks_decide(events);
}

static void
update_tracing(PyThreadState *ts)
{
    if (ts->tracing == 0) {
        bool traced = ts->c_tracefunc != NULL || ts->c_profilefunc != NULL;
        ts->cframe->use_tracing = traced ? 255 : 0;
    }
}

// Put our trace function over the program's. The function's object stays, so that
// sys.gettrace() returns the program's.
static void
install(struct tl_ticks *events)
{
    PyThreadState *ts = events->ts;
    if (ts->c_tracefunc != on_trace) {
        events->chained = (void *)ts->c_tracefunc;
        ts->c_tracefunc = on_trace;
        update_tracing(ts);
    }
}

static void
uninstall_unless_wanted(struct tl_ticks *events)
{
    PyThreadState *ts = events->ts;
    if (ts != NULL && events->counting == 0 && !events->hit &&
        ts->c_tracefunc == on_trace) {
        ts->c_tracefunc = (Py_tracefunc)events->chained;
        events->chained = NULL;
        update_tracing(ts);
    }
}

void
tl_ticks_init(struct tl_ticks *events, PyThreadState *ts)
{
    *events = (struct tl_ticks){.left = INT64_MAX, .limit = INT64_MAX, .ts = ts};
    tl_link_init(&events->all);
}

int
tl_ticks_ready(void)
{
    return 0;
}

int
tl_ticks_start(struct tl_ticks *events)
{
    events->counting++;
    install(events);
    return 0;
}

void
tl_ticks_stop(struct tl_ticks *events)
{
    events->counting--;
    uninstall_unless_wanted(events);
}

void
tl_ticks_after_fork(void)
{
}

unsigned
tl_ticks_epoch(void)
{
    return 0;
}

void
tl_ticks_repair(void *Py_UNUSED(top))
{
    // A trace function belongs to the thread, not to the code.
}

void
tl_ticks_repair_frames(PyObject *Py_UNUSED(frame))
{
}

bool
tl_ticks_are_costly(void)
{
    return false;
}

Py_tracefunc
tl_ticks_trace_func(PyThreadState *ts)
{
    if (ts->c_tracefunc != on_trace) {
        return ts->c_tracefunc;
    }
    return tl_ticks_mine != NULL ? (Py_tracefunc)tl_ticks_mine->chained : NULL;
}

void
tl_ticks_check(struct tl_ticks *events)
{
    if (events->counting > 0 || events->hit) {
        install(events);
    }
}

bool
tl_ticks_arm(struct tl_ticks *events)
{
    if (tl_frames_top(events->ts) == NULL) {
        return false;
    }
    events->hit = true;
    choose_frame(events);
    events->probing = false;
    install(events);
    return true;
}

void
tl_ticks_probe(struct tl_ticks *events)
{
    if (events->counting > 0 && !events->hit) {
        install(events); // the program may have set another function
        choose_frame(events);
        events->probing = events->frame != NULL;
    }
}

void
tl_ticks_disarm(struct tl_ticks *events)
{
    events->hit = false;
    leave_frame(events);
    uninstall_unless_wanted(events);
}

void
tl_ticks_fini(struct tl_ticks *events)
{
    events->counting = 0;
    tl_ticks_disarm(events);
}

#endif
