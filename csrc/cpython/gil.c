// gil.c - reads and writes the interpreter's internal structs.
#define Py_BUILD_CORE_MODULE 1
#include "cpython/gil.h"
#include "cpython/governor.h"

#include <internal/pycore_ceval.h>
#include <internal/pycore_context.h>
#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_pystate.h>
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030D0000
#include <internal/pycore_gil.h>
#endif

#ifndef HEAD_LOCK // 3.11 defines it in pystate.c only
#define HEAD_LOCK(runtime) \
    PyThread_acquire_lock((runtime)->interpreters.mutex, WAIT_LOCK)
#define HEAD_UNLOCK(runtime) PyThread_release_lock((runtime)->interpreters.mutex)
#endif

static struct _gil_runtime_state *
gil_state(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyInterpreterState_Main()->ceval.gil;
#else
    return &_PyRuntime.ceval.gil;
#endif
}

static int
gil_locked(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return _Py_atomic_load_int_relaxed(&gil_state()->locked);
#else
    return _Py_atomic_load_relaxed(&gil_state()->locked);
#endif
}

PyThreadState *
tl_gil_holder(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return _Py_atomic_load_ptr_relaxed(&gil_state()->last_holder);
#else
    return (PyThreadState *)_Py_atomic_load_relaxed(&gil_state()->last_holder);
#endif
}

bool
tl_gil_is_free(void)
{
    return gil_locked() == 0;
}

// ---- the GIL's fields

bool
tl_gil_exists(void)
{
#ifdef Py_GIL_DISABLED
    // tl_gil_check() has found it on. It is never turned off again.
    return gil_state() != NULL && _Py_atomic_load_int_relaxed(&gil_state()->enabled);
#else
    return gil_state() != NULL;
#endif
}

pthread_mutex_t *
tl_gil_mutex(void)
{
    return &gil_state()->mutex;
}

pthread_cond_t *
tl_gil_cond(void)
{
    return &gil_state()->cond;
}

bool
tl_gil_is_locked(void)
{
    return gil_locked() == 1;
}

unsigned long
tl_gil_switches(void)
{
    return gil_state()->switch_number;
}

void
tl_gil_count_switch(void)
{
    ++gil_state()->switch_number;
}

unsigned long
tl_gil_interval(void)
{
    return gil_state()->interval;
}

void
tl_gil_set_interval(unsigned long interval)
{
    gil_state()->interval = interval;
}

static void
request(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030D0000
    _Py_set_eval_breaker_bit(ts, _PY_GIL_DROP_REQUEST_BIT);
#else
    struct _ceval_state *ceval = &ts->interp->ceval;
    _Py_atomic_store_relaxed(&ceval->gil_drop_request, 1);
    _Py_atomic_store_relaxed(&ceval->eval_breaker, 1);
#endif
}

void
tl_gil_request(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030D0000
    request(ts); // without the list's lock, as the interpreter's own waiters do
#else
    // ts may be gone: an interpreter that ends frees the states of its threads,
    // although last_holder still points at one of them.
    bool found = false;
    HEAD_LOCK(&_PyRuntime);
    PyInterpreterState *interp = PyInterpreterState_Head();
    for (; interp != NULL && !found; interp = PyInterpreterState_Next(interp)) {
        PyThreadState *other = interp->threads.head;
        while (other != NULL && other != ts) {
            other = other->next;
        }
        found = other != NULL;
    }
    if (found) {
        request(ts);
    }
    HEAD_UNLOCK(&_PyRuntime);
#endif
}

bool
tl_gil_is_requested(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030D0000
    return _Py_eval_breaker_bit_is_set(ts, _PY_GIL_DROP_REQUEST_BIT);
#else
    return _Py_atomic_load_relaxed(&ts->interp->ceval.gil_drop_request);
#endif
}

void
tl_gil_play_taker(void)
{
    struct _gil_runtime_state *gil = gil_state();
    pthread_mutex_lock(&gil->switch_mutex);
#if PY_VERSION_HEX >= 0x030D0000
    _Py_atomic_store_ptr_relaxed(&gil->last_holder, NULL);
#else
    _Py_atomic_store_relaxed(&gil->last_holder, (uintptr_t)NULL);
#endif
    ++gil->switch_number;
    pthread_cond_signal(&gil->switch_cond);
    pthread_mutex_unlock(&gil->switch_mutex);
}

unsigned long
tl_gil_main_ident(void)
{
    return _PyRuntime.main_thread;
}

bool
tl_gil_is_main_thread(void)
{
    return PyThread_get_thread_ident() == _PyRuntime.main_thread;
}

bool
tl_gil_is_collecting(void)
{
    return PyInterpreterState_Get()->gc.collecting != 0;
}

const int *
tl_gil_collecting(void)
{
    return &PyInterpreterState_Get()->gc.collecting;
}

void
tl_gil_unfinalize(PyObject *object)
{
#if PY_VERSION_HEX >= 0x030D0000
    _PyGC_CLEAR_FINALIZED(object);
#else
    PyGC_Head *head = _Py_AS_GC(object);
    head->_gc_prev &= ~(uintptr_t)_PyGC_PREV_MASK_FINALIZED;
#endif
    assert(!PyObject_GC_IsFinalized(object));
}

// ---- the thread state of the timekeeper's thread

static PyThreadState *alarm_ts; // NULL: not created yet

#if PY_VERSION_HEX < 0x030D0000
// Guards alarm_ts, the state of the timekeeper's thread, while it is created: a fork in
// the middle would leave the interpreter's list of threads half changed. From 3.13 on
// the interpreter itself holds the lock of that list during a fork, so a thread that
// waits for it must not hold a mutex that a fork takes. Lock order: this one, then the
// list's, or this one, then the GIL's mutex.
static pthread_mutex_t alarm_mutex = PTHREAD_MUTEX_INITIALIZER;

static void
lock_alarm(void)
{
    pthread_mutex_lock(&alarm_mutex);
}

static void
unlock_alarm(void)
{
    pthread_mutex_unlock(&alarm_mutex);
}
#else
static void
lock_alarm(void)
{
}

static void
unlock_alarm(void)
{
}
#endif

PyThreadState *
tl_gil_timekeeper_state(void)
{
    if (Py_IsFinalizing()) {
        return NULL;
    }
    lock_alarm();
    if (alarm_ts == NULL) {
        alarm_ts = PyThreadState_New(PyInterpreterState_Main());
    }
    unlock_alarm();
    return alarm_ts;
}

void
tl_gil_timekeeper_ends(void)
{
    if (alarm_ts != NULL && !Py_IsFinalizing()) {
        PyEval_RestoreThread(alarm_ts);
        PyThreadState_Clear(alarm_ts);
        PyThreadState_DeleteCurrent();
        alarm_ts = NULL;
    }
}

// ---- fork

static bool is_held;

bool
tl_gil_is_held(void)
{
    return is_held;
}

bool
tl_gil_hold(void)
{
    lock_alarm();
    // The interpreter destroys the GIL's mutex when it ends.
    bool exists = Py_IsInitialized() && !Py_IsFinalizing() && gil_state() != NULL;
    if (exists) {
        pthread_mutex_lock(tl_gil_mutex());
    }
    is_held = exists;
    // Under the mutex, this is true for the holder only.
    return exists && gil_locked() == 1 &&
           tl_gil_holder() == PyGILState_GetThisThreadState();
}

void
tl_gil_release(bool in_child)
{
    if (in_child) {
        alarm_ts = NULL; // the interpreter frees the states of other threads
    }
    if (is_held) {
        is_held = false;
        pthread_mutex_unlock(tl_gil_mutex());
    }
    unlock_alarm();
}

bool
tl_gil_is_instrumented(PyObject *code)
{
#if PY_VERSION_HEX >= 0x030D0000
    return ((PyCodeObject *)code)->_co_instrumentation_version ==
           PyInterpreterState_Get()->ceval.instrumentation_version;
#elif PY_VERSION_HEX >= 0x030C0000
    return ((PyCodeObject *)code)->_co_instrumentation_version ==
           PyInterpreterState_Get()->monitoring_version;
#else
    (void)code;
    return true;
#endif
}

void
tl_gil_each_thread(int (*visit)(unsigned long, PyThreadState *, void *), void *arg)
{
    PyInterpreterState *interp = PyInterpreterState_Get();
#if PY_VERSION_HEX >= 0x030D0000
    // Each step locks the list for itself. A thread state is removed by a thread with
    // the GIL, so none goes away here.
    for (PyThreadState *ts = PyInterpreterState_ThreadHead(interp);
         ts != NULL && (ts == alarm_ts || visit(ts->thread_id, ts, arg) == 0);
         ts = PyThreadState_Next(ts)) {
    }
#else
    HEAD_LOCK(&_PyRuntime);
    for (PyThreadState *ts = interp->threads.head;
         ts != NULL && (ts == alarm_ts || visit(ts->thread_id, ts, arg) == 0);
         ts = ts->next) {
    }
    HEAD_UNLOCK(&_PyRuntime);
#endif
}

bool
tl_gil_is_clearing(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030D0000
    (void)ts; // finalizers that could call us run before the dict is cleared
    return false;
#elif PY_VERSION_HEX >= 0x030C0000
    return ts->_status.finalizing;
#else
    return ts->gilstate_counter == 0;
#endif
}

void
tl_gil_reset_recursion(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030C0000
    ts->py_recursion_remaining = ts->py_recursion_limit;
#if PY_VERSION_HEX >= 0x030D0000 && PY_VERSION_HEX < 0x030E0000
    ts->c_recursion_remaining = Py_C_RECURSION_LIMIT;
#elif PY_VERSION_HEX < 0x030D0000
    ts->c_recursion_remaining = C_RECURSION_LIMIT;
#endif
#else
    ts->recursion_remaining = ts->recursion_limit;
#endif
}

int
tl_gil_recursion_depth(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030C0000
    return ts->py_recursion_limit - ts->py_recursion_remaining;
#else
    return ts->recursion_limit - ts->recursion_remaining;
#endif
}

bool
tl_gil_give_chunk(PyThreadState *ts, void *memory, size_t size)
{
    if (ts->datastack_chunk != NULL) {
        return false;
    }
    _PyStackChunk *chunk = memory;
    chunk->previous = NULL;
    chunk->size = size;
    chunk->top = 0;
    ts->datastack_chunk = chunk;
    ts->datastack_limit = (PyObject **)((char *)chunk + size);
    // The first word of a root chunk stays unused, as in push_chunk() of the
    // interpreter: a chunk is popped with the frame at its start, and this one never
    // is.
    ts->datastack_top = &chunk->data[1];
    return true;
}

void *
tl_gil_take_chunk(PyThreadState *ts, void *chunk)
{
    if (ts->datastack_chunk != chunk) {
        return NULL;
    }
    ts->datastack_chunk = NULL;
    ts->datastack_limit = NULL;
    ts->datastack_top = NULL;
    return chunk;
}

void *
tl_gil_root_chunk(PyThreadState *ts)
{
    _PyStackChunk *chunk = ts->datastack_chunk;
    while (chunk != NULL && chunk->previous != NULL) {
        chunk = chunk->previous;
    }
    return chunk;
}

bool
tl_gil_has_chunk(PyThreadState *ts, void *chunk)
{
    return ts->datastack_chunk == chunk && chunk != NULL;
}

PyObject *
tl_gil_swap_context(PyThreadState *ts, PyObject *context)
{
    PyObject *old = ts->context;
    ts->context = context;
    ts->context_ver++;
    return old;
}

PyObject *
tl_gil_context(PyThreadState *ts)
{
    if (ts->context == NULL) {
        PyObject *context = PyContext_New();
        if (context == NULL) {
            return NULL;
        }
        Py_XDECREF(tl_gil_swap_context(ts, context));
    }
    return ts->context;
}

PyObject *
tl_gil_current_context(PyThreadState *ts)
{
    return ts->context;
}

bool
tl_gil_context_is_entered(PyObject *context)
{
    return ((PyContext *)context)->ctx_entered != 0;
}

static int
count_self(unsigned long ident, PyThreadState *ts, void *found)
{
    *(bool *)found |= ts == PyThreadState_Get() && ident == PyThread_get_thread_ident();
    return *(bool *)found;
}

static int
refuse(const char *what)
{
    PyErr_Format(PyExc_ImportError,
                 "tasklets was built for another layout of this interpreter (%s): "
                 "build it again for Python %s",
                 what, Py_GetVersion());
    return -1;
}

int
tl_gil_check_build(void)
{
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030F0000
    PyErr_Format(
        PyExc_ImportError,
        "tasklets does not run on the free-threaded build of Python %d.%d, also "
        "with the GIL turned on: its garbage collector frees what suspended "
        "tasklets use; use the usual build, or the free-threaded one of 3.15",
        PY_MAJOR_VERSION, PY_MINOR_VERSION);
    return -1;
#else
    return 0;
#endif
}

int
tl_gil_check(void)
{
    PyThreadState *ts = PyThreadState_Get();
#ifdef Py_GIL_DISABLED
    if (!_Py_atomic_load_int_relaxed(&gil_state()->enabled)) {
        PyErr_SetString(PyExc_ImportError,
                        "tasklets needs the GIL: leave out PYTHON_GIL=0 and -X gil=0");
        return -1;
    }
#endif
    if (gil_locked() != 1 || tl_gil_holder() != ts) {
        return refuse("the GIL's fields");
    }
    bool found = false;
    tl_gil_each_thread(count_self, &found);
    if (!found) {
        return refuse("the list of threads");
    }
    if (tl_gil_recursion_depth(ts) < 0 ||
        tl_gil_recursion_depth(ts) > Py_GetRecursionLimit()) {
        return refuse("the recursion counters");
    }
    return 0;
}
