// no_memory.c - a module that lets chosen allocations fail, for scripts/no_memory.py.
//
// It wraps the interpreter's allocators, the one for arenas (frame memory) included.
// Preloaded, it also answers malloc() and its kin when tasklets._core or libuv calls
// them. Only threads that called watch() are counted.
//
// An allocation that greenlet itself asks for never fails: greenlet answers a lack of
// memory in the middle of a switch with std::terminate() or a fatal error.
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unwind.h>

static _Thread_local bool watched;
static _Thread_local bool busy; // looking at the stack may allocate
static atomic_bool armed;
static bool only_core;
static _Atomic long seen, failed, first, end, noted;
static PyObject *worst; // a SystemError that was reported, or NULL

// ---- whose allocation it is

enum { FRAMES = 40 };

enum asker { PYTHON, CORE, GREENLET };

struct walk {
    uintptr_t loop; // where the innermost interpreter loop is on the stack, or 0
    int count;
    enum asker asker;
    uintptr_t found[FRAMES];
};

// The stack of the last allocation that failed.
static struct walk last;

// What the innermost interpreter loop has on the C stack: its name does not tell, since
// compilers split that function. From Python 3.12 the loop's first frame is there.
static uintptr_t
find_loop(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyThreadState *ts = PyThreadState_GetUnchecked();
    pthread_attr_t attributes;
    void *low;
    size_t size;
    if (ts == NULL || pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return 0;
    }
    pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
    uintptr_t frame = (uintptr_t)ts->current_frame;
    while (frame != 0 && frame - (uintptr_t)low >= size) {
        frame = ((uintptr_t *)frame)[1]; // the one before
    }
    return frame;
#else
    PyThreadState *ts = _PyThreadState_UncheckedGet();
    return ts == NULL ? 0 : (uintptr_t)ts->cframe;
#endif
}

// The nearest frame of a library that tells whose work this is; beyond the
// interpreter's loop it was Python code that asked. Frames below the base of a greenlet
// are garbage, so the walk must not go further than it has to.
static _Unwind_Reason_Code
look_at_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *walk = arg;
    Dl_info info;
    uintptr_t place = _Unwind_GetIP(context);
    if (walk->count == FRAMES || dladdr((void *)place, &info) == 0) {
        return _URC_END_OF_STACK;
    }
    walk->found[walk->count++] = place;
    if (walk->loop != 0 && _Unwind_GetCFA(context) > walk->loop) {
        return _URC_END_OF_STACK;
    }
    if (strstr(info.dli_fname, "/_greenlet.") != NULL) {
        walk->asker = GREENLET;
        return _URC_END_OF_STACK;
    }
    if (strstr(info.dli_fname, "/_core.") != NULL ||
        strstr(info.dli_fname, "/libuv.") != NULL) {
        walk->asker = CORE;
        return _URC_END_OF_STACK;
    }
    return _URC_NO_REASON;
}

static bool
must_fail(void)
{
    if (!watched || busy || !atomic_load_explicit(&armed, memory_order_relaxed)) {
        return false;
    }
    busy = true;
    struct walk walk = {.loop = find_loop()};
    _Unwind_Backtrace(look_at_frame, &walk);
    busy = false;
    if (walk.asker == GREENLET || (only_core && walk.asker != CORE)) {
        return false;
    }
    long number = atomic_fetch_add(&seen, 1);
    if (number < first || number >= end) {
        return false;
    }
    last = walk;
    failed++;
    return true;
}

// ---- the interpreter's allocators

static PyMemAllocatorEx before[3];
static PyObjectArenaAllocator arenas;

static void *
hook_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *old = ctx;
    return must_fail() ? NULL : old->malloc(old->ctx, size);
}

static void *
hook_calloc(void *ctx, size_t count, size_t size)
{
    PyMemAllocatorEx *old = ctx;
    return must_fail() ? NULL : old->calloc(old->ctx, count, size);
}

static void *
hook_realloc(void *ctx, void *block, size_t size)
{
    PyMemAllocatorEx *old = ctx;
    return must_fail() ? NULL : old->realloc(old->ctx, block, size);
}

static void
hook_free(void *ctx, void *block)
{
    PyMemAllocatorEx *old = ctx;
    old->free(old->ctx, block);
}

static void *
hook_arena(void *Py_UNUSED(ctx), size_t size)
{
    return must_fail() ? NULL : arenas.alloc(arenas.ctx, size);
}

static void
hook_free_arena(void *Py_UNUSED(ctx), void *block, size_t size)
{
    arenas.free(arenas.ctx, block, size);
}

// ---- the C library's, where this file is preloaded

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

// Whether tasklets._core or libuv called, and must be refused.
static bool
c_must_fail(const void *caller)
{
    if (!watched || busy || !atomic_load_explicit(&armed, memory_order_relaxed)) {
        return false;
    }
    Dl_info info;
    busy = true;
    bool ours = dladdr(caller, &info) != 0 && (strstr(info.dli_fname, "/_core.") ||
                                               strstr(info.dli_fname, "/libuv."));
    busy = false;
    return ours && must_fail();
}

#ifndef __SANITIZE_ADDRESS__
void *
malloc(size_t size)
{
    if (c_must_fail(__builtin_return_address(0))) {
        return NULL;
    }
    return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    if (c_must_fail(__builtin_return_address(0))) {
        return NULL;
    }
    return __libc_calloc(count, size);
}

void *
realloc(void *block, size_t size)
{
    if (c_must_fail(__builtin_return_address(0))) {
        return NULL;
    }
    return __libc_realloc(block, size);
}
#endif

// ---- the module

static PyObject *
install(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(ignored))
{
    static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM,
                                                   PYMEM_DOMAIN_OBJ};
    for (int i = 0; i < 3; i++) {
        PyMem_GetAllocator(domains[i], &before[i]);
        PyMemAllocatorEx hook = {&before[i], hook_malloc, hook_calloc, hook_realloc,
                                 hook_free};
        PyMem_SetAllocator(domains[i], &hook);
    }
    PyObject_GetArenaAllocator(&arenas);
    PyObjectArenaAllocator hook = {NULL, hook_arena, hook_free_arena};
    PyObject_SetArenaAllocator(&hook);
    Py_RETURN_NONE;
}

static PyObject *
watch(PyObject *Py_UNUSED(mod), PyObject *flag)
{
    watched = flag == Py_True;
    Py_RETURN_NONE;
}

static PyObject *
arm(PyObject *Py_UNUSED(mod), PyObject *args)
{
    long n, count;
    int core;
    if (!PyArg_ParseTuple(args, "llp", &n, &count, &core)) {
        return NULL;
    }
    seen = failed = noted = last.count = 0;
    only_core = core;
    Py_CLEAR(worst);
    first = n;
    end = n + count;
    armed = true;
    Py_RETURN_NONE;
}

static PyObject *
disarm(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(ignored))
{
    armed = false;
    PyObject *kept = worst ? worst : Py_NewRef(Py_None);
    worst = NULL;
    return Py_BuildValue("(lllN)", (long)seen, (long)failed, (long)noted, kept);
}

static PyObject *
where(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < last.count; i++) {
        Dl_info info;
        PyObject *line = NULL;
        if (dladdr((void *)last.found[i], &info) != 0) {
            line = PyUnicode_FromFormat(
                "%s(%s) %p", info.dli_fname, info.dli_sname ? info.dli_sname : "",
                (void *)(last.found[i] - (uintptr_t)info.dli_fbase));
        }
        if (line == NULL || PyList_Append(list, line) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(line);
    }
    return list;
}

// As sys.unraisablehook: count, and keep what is never right.
static PyObject *
note(PyObject *Py_UNUSED(mod), PyObject *info)
{
    noted++;
    if (PyStructSequence_GET_ITEM(info, 0) == PyExc_SystemError) {
        Py_XSETREF(worst, Py_NewRef(PyStructSequence_GET_ITEM(info, 1)));
    }
    Py_RETURN_NONE;
}

// clang-format off

static PyMethodDef methods[] = {
    {"install", install, METH_NOARGS, "Wrap the interpreter's allocators, once."},
    {"watch", watch, METH_O, "Whether to count what the calling thread allocates."},
    {"arm", arm, METH_VARARGS, "Let the allocations n to n + count - 1 fail."},
    {"disarm", disarm, METH_NOARGS, "Return (seen, failed, noted, worst)."},
    {"where", where, METH_NOARGS, "Return the stack of the last allocation that failed."},
    {"note", note, METH_O, "Count an unraisable error."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_no_memory", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC
PyInit__no_memory(void)
{
    return PyModule_Create(&definition);
}
