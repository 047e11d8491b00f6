// module.c - creates tasklets._core: its types, exceptions and interpreter hooks.
#include "core/fiber.h"
#include "core/life.h"
#include "core/local.h"
#include "core/stacks.h"
#include "core/stress_points.h"
#include "core/thread.h"
#include "cpython/gil.h"
#include "python/arrivals_type.h"
#include "python/fork.h"
#include "python/queue_common.h"
#include "python/types.h"
#include "sync/channel.h"
#include "base/frame_slab.h"

// ---- frame memory

// The previous allocator, which serves all other sizes. Set once: an allocator is never
// uninstalled.
static PyObjectArenaAllocator arena_before;

static void *
arena_alloc(void *Py_UNUSED(ctx), size_t size)
{
    void *block = size == TL_FRAME_SLAB_LARGE ? tl_frame_slab_alloc(size) : NULL;
    return block != NULL ? block : arena_before.alloc(arena_before.ctx, size);
}

static void
arena_free(void *Py_UNUSED(ctx), void *block, size_t size)
{
    bool may_be_ours = size == TL_FRAME_SLAB_LARGE || size == TL_FRAME_SLAB_SMALL;
    if (!may_be_ours || !tl_frame_slab_free(block)) {
        arena_before.free(arena_before.ctx, block, size);
    }
}

static void
install_arena(void)
{
    if (arena_before.alloc == NULL) {
        PyObject_GetArenaAllocator(&arena_before);
        PyObjectArenaAllocator ours = {NULL, arena_alloc, arena_free};
        PyObject_SetArenaAllocator(&ours);
    }
}

// ---- functions and exceptions

// Add the functions of a table to the module, with prefix before their names.
static int
add_functions(PyObject *mod, PyMethodDef *defs, const char *prefix)
{
    PyObject *modname = PyModule_GetNameObject(mod);
    int result = modname == NULL ? -1 : 0;
    for (; result == 0 && defs->ml_name != NULL; defs++) {
        char name[64];
        PyOS_snprintf(name, sizeof name, "%s%s", prefix, defs->ml_name);
        PyObject *func = PyCFunction_NewEx(defs, mod, modname);
        result = func == NULL ? -1 : PyModule_AddObjectRef(mod, name, func);
        Py_XDECREF(func);
    }
    Py_XDECREF(modname);
    return result;
}

static int
add_error(PyObject *mod, const char *name, const char *doc, PyObject *base,
          PyObject **slot)
{
    *slot = base == NULL ? NULL : PyErr_NewExceptionWithDoc(name, doc, base, NULL);
    return *slot == NULL ? -1
                         : PyModule_AddObjectRef(mod, strchr(name, '.') + 1, *slot);
}

static int
add_errors(PyObject *mod, struct tl_state *state)
{
    PyObject *futures = PyImport_ImportModule("concurrent.futures");
    PyObject *cancelled = futures ? tl_getattr(futures, "CancelledError") : NULL;
    PyObject *bases = cancelled ? PyTuple_Pack(2, cancelled, PyExc_RuntimeError) : NULL;
    int result = 0;
    if (add_error(mod, "tasklets.TaskletExit",
                  "Ends a tasklet without counting as an error; see tasklet.kill().",
                  PyExc_SystemExit, &state->tasklet_exit) < 0 ||
        add_error(mod, "tasklets.TimeoutExit",
                  "Interrupts a timeout() block that has expired, which then raises.",
                  state->tasklet_exit, &state->timeout_exit) < 0 ||
        add_error(mod, "tasklets.GroupExit",
                  "Interrupts the block of a TaskGroup that is being cancelled.",
                  state->tasklet_exit, &state->group_exit) < 0 ||
        add_error(mod, "tasklets.CancelledError",
                  "The tasklet whose result was requested has been killed.", bases,
                  &state->cancelled_error) < 0 ||
        add_error(mod, "tasklets.DeadlockError",
                  "No event could ever end this wait. Lists the waiting tasklets.",
                  PyExc_RuntimeError, &state->deadlock_error) < 0 ||
        add_error(mod, "tasklets.ChannelClosed",
                  "The operation would block, and the channel is closed.",
                  PyExc_ValueError, &state->channel_closed) < 0 ||
        add_error(mod, "tasklets.BlockTrapError",
                  "The operation would block, and the tasklet's block_trap is set.",
                  PyExc_RuntimeError, &state->block_trap_error) < 0 ||
        add_error(mod, "tasklets.SwitchTrapError",
                  "The operation would switch, and switch_trap() forbids that.",
                  PyExc_RuntimeError, &state->switch_trap_error) < 0) {
        result = -1;
    }
    Py_XDECREF(bases);
    Py_XDECREF(cancelled);
    Py_XDECREF(futures);
    return result;
}

// ---- hooks into the interpreter

// Call modname.funcname(arg), or funcname(name=arg) if name is not NULL.
static int
call_with(const char *modname, const char *funcname, const char *name, PyObject *arg)
{
    PyObject *mod = PyImport_ImportModule(modname);
    PyObject *func = mod ? tl_getattr(mod, funcname) : NULL;
    PyObject *args = name ? PyTuple_New(0) : PyTuple_Pack(1, arg);
    PyObject *kwargs = name ? Py_BuildValue("{sO}", name, arg) : NULL;
    PyObject *result = NULL;
    if (func != NULL && args != NULL && (name == NULL || kwargs != NULL)) {
        result = PyObject_Call(func, args, kwargs);
    }
    Py_XDECREF(result);
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(func);
    Py_XDECREF(mod);
    return result == NULL ? -1 : 0;
}

static int
hook(PyObject *mod, const char *function, const char *modname, const char *funcname,
     const char *name)
{
    PyObject *func = tl_getattr(mod, function);
    int result = func ? call_with(modname, funcname, name, func) : -1;
    Py_XDECREF(func);
    return result;
}

static int
add_hooks(PyObject *mod)
{
    if (hook(mod, "_at_exit", "atexit", "register", NULL) < 0 ||
        hook(mod, "_after_fork", "os", "register_at_fork", "after_in_child") < 0) {
        return -1;
    }
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *callbacks = gc ? tl_getattr(gc, "callbacks") : NULL;
    PyObject *func = tl_getattr(mod, "_collector");
    int added = callbacks && func ? PyList_Append(callbacks, func) : -1;
    Py_XDECREF(func);
    Py_XDECREF(callbacks);
    Py_XDECREF(gc);
    if (added < 0) {
        return -1;
    }
    // Called before the interpreter waits for its threads. A private function: without
    // it, and if the interpreter waits already, threads in a deadlock stay blocked.
    if (hook(mod, "_main_has_ended", "threading", "_register_atexit", NULL) < 0) {
        PyErr_Clear();
    }
    return 0;
}

static int
refuse_sub_interpreter(void)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "tasklets can only be used in the main interpreter: greenlet, "
                        "which it stands on, keeps process-wide state");
        return -1;
    }
    return 0;
}

// Two copies of the module would not see each other's tasklets in a thread.
static int
refuse_second_import(void)
{
    static bool imported;
    if (imported) {
        PyErr_SetString(PyExc_ImportError,
                        "tasklets._core can be imported only once: keep it in "
                        "sys.modules");
        return -1;
    }
    imported = true;
    return 0;
}

static PyObject *
bomb_of_class(struct tl_state *state, PyObject *cls)
{
    return tl_bomb_new(state, Py_NewRef(cls), NULL, NULL);
}

static int
add_bombs(struct tl_state *state)
{
    PyObject *text = PyUnicode_FromString("timed out");
    state->timed_out =
        text ? tl_bomb_new(state, Py_NewRef(PyExc_TimeoutError), text, NULL) : NULL;
    state->interrupted = bomb_of_class(state, state->timeout_exit);
    if (state->interrupted != NULL) {
        ((BombObject *)state->interrupted)->rank = TL_RANK_SCOPE;
    }
    state->spare_error = bomb_of_class(state, PyExc_MemoryError);
    state->spare_exit = bomb_of_class(state, state->tasklet_exit);
    return state->timed_out == NULL || state->interrupted == NULL ||
                   state->spare_error == NULL || state->spare_exit == NULL
               ? -1
               : 0;
}

static int
module_exec(PyObject *mod)
{
    struct tl_state *state = tl_state_of_module(mod);
    tl_link_init(&state->scheds);
    tl_link_init(&state->idle_workers);
    tl_link_init(&state->os_threads);
    tl_link_init(&state->pools);
    if (refuse_sub_interpreter() < 0 || tl_gil_check() < 0 || tl_fiber_import() < 0 ||
        add_errors(mod, state) < 0 || tl_types_add(mod, state) < 0 ||
        tl_queue_ready(mod, state) < 0 || add_functions(mod, tl_settings, "") < 0 ||
        add_functions(mod, tl_timer_functions, "") < 0 ||
        add_functions(mod, tl_timeout_functions, "") < 0 ||
        add_functions(mod, tl_scheduled_call_functions, "") < 0 ||
        add_functions(mod, tl_select_functions, "") < 0 ||
        add_functions(mod, tl_waiting_functions, "") < 0 ||
        add_functions(mod, tl_worker_functions, "") < 0 ||
        add_functions(mod, tl_kill_functions, "") < 0 ||
        add_functions(mod, tl_setting_functions, "") < 0 ||
        add_functions(mod, tl_file_functions, "fs_") < 0 ||
        add_functions(mod, tl_watch_functions, "fs_") < 0 ||
        add_functions(mod, tl_resolve_functions, "net_") < 0 ||
        add_functions(mod, tl_net_functions, "net_") < 0 ||
        add_functions(mod, tl_socket_functions, "net_") < 0 ||
        add_functions(mod, tl_statistics_functions, "") < 0 ||
        add_functions(mod, tl_scheduler_functions, "scheduler_") < 0 ||
        add_functions(mod, tl_survey_functions, "") < 0 ||
        add_functions(mod, tl_classic_functions, "stackless_") < 0 ||
        add_functions(mod, tl_classic_settings, "stackless_") < 0) {
        return -1;
    }
    tl_stress_yields = getenv("TASKLETS_NO_YIELDS") == NULL;
    if (PyModule_AddObjectRef(mod, "stress", TL_STRESSED ? Py_True : Py_False) < 0) {
        return -1;
    }
    state->del_name = PyUnicode_InternFromString("__del__");
    state->newline = PyBytes_FromString("\n");
    state->take_back = tl_channel_take_back;
    state->thread_is_there = tl_thread_is_there;
    state->run_stack = PyCFunction_New(&tl_stacks_run_def, mod);
    state->run_base_fiber = PyCFunction_New(&tl_stacks_base_def, mod);
    PyObject *signal = PyImport_ImportModule("_signal");
    state->set_wakeup_fd = signal ? tl_getattr(signal, "set_wakeup_fd") : NULL;
    Py_XDECREF(signal);
    PyObject *threading = PyImport_ImportModule("threading");
    state->broken_barrier_error =
        threading ? tl_getattr(threading, "BrokenBarrierError") : NULL;
    Py_XDECREF(threading);
    PyObject *os = PyImport_ImportModule("os");
    state->stat_result = os ? tl_getattr(os, "stat_result") : NULL;
    Py_XDECREF(os);
    if (state->del_name == NULL || state->newline == NULL ||
        state->broken_barrier_error == NULL || tl_arrivals_ready(state) < 0 ||
        state->stat_result == NULL || state->run_stack == NULL ||
        state->run_base_fiber == NULL || state->set_wakeup_fd == NULL ||
        add_bombs(state) < 0) {
        return -1;
    }
    state->local_places = tl_local_places();
    if (state->local_places == NULL || refuse_second_import() < 0) {
        return -1;
    }
    install_arena();
    return tl_fork_install(state) < 0 ? -1 : add_hooks(mod);
}

static int
module_traverse(PyObject *mod, visitproc visit, void *arg)
{
    struct tl_state *state = tl_state_of_module(mod);
    Py_VISIT(state->broken_barrier_error);
    Py_VISIT(state->tasklet_exit);
    Py_VISIT(state->cancelled_error);
    Py_VISIT(state->deadlock_error);
    Py_VISIT(state->channel_closed);
    Py_VISIT(state->block_trap_error);
    Py_VISIT(state->switch_trap_error);
    Py_VISIT(state->channel_callback);
    Py_VISIT(state->schedule_callback);
    Py_VISIT(state->error_handler);
    Py_VISIT(state->timeout_exit);
    Py_VISIT(state->group_exit);
    Py_VISIT(state->timed_out);
    Py_VISIT(state->interrupted);
    Py_VISIT(state->spare_error);
    Py_VISIT(state->spare_exit);
    Py_VISIT(state->run_stack);
    Py_VISIT(state->run_base_fiber);
    Py_VISIT(state->set_wakeup_fd);
    Py_VISIT(state->stat_result);
    Py_VISIT(state->readable_type);
    Py_VISIT(state->writable_type);
    Py_VISIT(state->future.type);
    Py_VISIT(state->tls.context_type);
    Py_VISIT(state->tls.memory_bio);
    Py_VISIT(state->tls.error);
    Py_VISIT(state->tls.want_read);
    Py_VISIT(state->tls.zero_return);
    Py_VISIT(state->tls.eof_error);
    int result = tl_types_visit(state, visit, arg);
    return result != 0 ? result : tl_queue_visit_tools(state, visit, arg);
}

// Keeps the types and errors: schedulers and tasklets outlive the module and use them
// until the process ends.
static int
module_clear(PyObject *mod)
{
    struct tl_state *state = tl_state_of_module(mod);
    Py_CLEAR(state->channel_callback);
    Py_CLEAR(state->schedule_callback);
    Py_CLEAR(state->error_handler);
    return 0;
}

// clang-format off

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    TL_MOD_SLOT_INTERP
    TL_MOD_SLOT_GIL
    {0, NULL},
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    if (tl_gil_check_build() < 0) {
        return NULL; // before the GIL is turned on for the module
    }
    tl_module_def.m_methods = tl_functions;
    tl_module_def.m_slots = module_slots;
    tl_module_def.m_traverse = module_traverse;
    tl_module_def.m_clear = module_clear;
    return PyModuleDef_Init(&tl_module_def);
}
