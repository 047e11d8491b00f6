// mod_time.c - the module's functions on time, descriptors and the clock.
#include "core/errors.h"
#include "core/run_frame.h"
#include "core/sleep.h"
#include "core/thread.h"
#include "core/timer.h"
#include "io/descriptor.h"
#include "object/args.h"
#include "python/types.h"
#include "base/clock.h"

PyDoc_STRVAR(sleep_doc,
"sleep($module, seconds=0, /)\n"
"--\n"
"\n"
"Let other tasklets run for at least that many seconds; 0: like schedule().\n"
"\n"
"While none is runnable the thread waits without the GIL. Raises ValueError if\n"
"seconds is negative or NaN, BlockTrapError if the tasklet must not block.");

static PyObject *
fn_sleep(PyObject *mod, PyObject *const *args, Py_ssize_t nargs)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    int64_t time = 0;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError,
                     "sleep() takes at most 1 positional argument (%zd given)", nargs);
        return NULL;
    }
    if (s == NULL || (nargs == 1 && tl_timer_read_ns(args[0], "seconds", &time) < 0)) {
        return NULL;
    }
    if (time < 0) {
        PyErr_Format(PyExc_ValueError, "seconds must be 0 or positive, not %R",
                     args[0]);
        return NULL;
    }
    if (time == 0) {
        PyObject *value = tl_sched_yield(s, Py_None);
        Py_XDECREF(value);
        return value == NULL ? NULL : Py_NewRef(Py_None);
    }
    if (tl_errors_block_trap(s)) {
        return NULL;
    }
    return tl_sleep(s, tl_timer_now(s) + time);
}

PyDoc_STRVAR(pending_doc,
"pending($module, /)\n"
"--\n"
"\n"
"Return the number of pending operations that complete by themselves.\n"
"\n"
"They are this thread's sleeps, timeouts, call_later() calls, and waits for\n"
"descriptors, files, addresses, workers and futures. run(wait=True) goes on while\n"
"there are any.");

static PyObject *
fn_pending(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    return s == NULL ? NULL
                     : PyLong_FromSsize_t((Py_ssize_t)s->timers.count + s->awaited +
                                          s->maybe_external);
}

PyDoc_STRVAR(next_deadline_doc,
"next_deadline($module, /)\n"
"--\n"
"\n"
"Return when run() has something to do next, on time.monotonic()'s clock.\n"
"\n"
"That is now if another tasklet is runnable; None if no timer is pending.");

static PyObject *
fn_next_deadline(PyObject *mod, PyObject *Py_UNUSED(ignored))
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    if (s == NULL) {
        return NULL;
    }
    tl_deadline when = tl_timer_heap_next(&s->timers);
    if (!tl_link_is_single(&s->current->link)) {
        when = tl_timer_now(s);
    }
    return when == TL_DEADLINE_NEVER ? Py_NewRef(Py_None)
                                     : PyFloat_FromDouble((double)when / 1e9);
}

PyDoc_STRVAR(shift_clock_doc,
"shift_clock($module, seconds, /)\n"
"--\n"
"\n"
"Postpone all pending timers of this thread by seconds; negative: advance them.\n"
"\n"
"For a host that was suspended, and whose tasklets should not notice.");

static PyObject *
fn_shift_clock(PyObject *mod, PyObject *arg)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    int64_t by;
    if (s == NULL || tl_timer_read_ns(arg, "seconds", &by) < 0) {
        return NULL;
    }
    tl_timer_heap_shift(&s->timers, by);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(now_doc,
"now($module, /)\n"
"--\n"
"\n"
"Return the time that this thread's sleeps and timeouts follow, in seconds.\n"
"\n"
"That is time.monotonic(), or what a fake clock shows.");

static PyObject *
fn_now(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(ignored))
{
    // Reading the time must not create a scheduler.
    struct tl_sched *s = tl_sched_mine;
    int64_t now = s == NULL ? tl_clock_now() : tl_timer_now(s);
    return PyFloat_FromDouble((double)now / 1e9);
}

PyDoc_STRVAR(wait_readable_doc,
"wait_readable($module, fd, /, timeout=None)\n"
"--\n"
"\n"
"Wait until a descriptor can be read from, was closed by its peer, or is in error.\n"
"\n"
"fd: an int, or an object with fileno(); its flags are left alone. Regular files are\n"
"always ready. Call notify_closing() before closing a descriptor that tasklets wait\n"
"for.\n"
"\n"
"timeout: in seconds; 0 or less: do not wait. Raises TimeoutError when it is over,\n"
"OSError if the descriptor cannot be waited for or is closed during the wait, and\n"
"BlockTrapError if the tasklet must not block.");

static PyObject *
wait_for(PyObject *mod, const char *fname, int what, PyObject *const *args,
         Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"fd", "timeout", NULL};
    const struct tl_argspec spec = {
        .fname = fname, .names = names, .required = 1, .posonly = 1, .maxpos = 2};
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    PyObject *argv[2];
    tl_deadline deadline;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0 ||
        tl_timer_deadline(argv[1], &deadline) < 0) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(argv[0]);
    if (fd < 0 || tl_descriptor_wait(s, fd, what, deadline) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
fn_wait_readable(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    return wait_for(mod, "wait_readable", TL_POLLER_READ, args, nargs, kwnames);
}

PyDoc_STRVAR(wait_writable_doc,
"wait_writable($module, fd, /, timeout=None)\n"
"--\n"
"\n"
"Wait until a descriptor can be written to; otherwise like wait_readable().");

static PyObject *
fn_wait_writable(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    return wait_for(mod, "wait_writable", TL_POLLER_WRITE, args, nargs, kwnames);
}

PyDoc_STRVAR(notify_closing_doc,
"notify_closing($module, fd, /)\n"
"--\n"
"\n"
"Wake all waiters of a descriptor, in every thread, before it is closed.\n"
"\n"
"fd: an int, or an object with fileno(). Their wait_readable(), wait_writable() or\n"
"select() raises OSError, with errno EBADF and the number as its filename. Has no\n"
"effect without waiters. Close the descriptor next, before another tasklet runs: a\n"
"wait that begins in between notices the close only after about a second. Any thread\n"
"may call it, and a signal handler may. Raises TypeError, ValueError or OverflowError\n"
"if fd is not a descriptor.");

static PyObject *
fn_notify_closing(PyObject *mod, PyObject *arg)
{
    struct tl_state *state = tl_state_of_module(mod);
    struct tl_sched *s = tl_sched_get(state); // holds references until the drop below
    int fd = s == NULL ? -1 : PyObject_AsFileDescriptor(arg);
    if (fd < 0) {
        return NULL;
    }
    tl_descriptor_notify_closing(state, fd);
    tl_sched_drop_now(s);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(stop_doc,
"stop($module, /, thread=None)\n"
"--\n"
"\n"
"End the innermost run() of a thread, or the next one if there is none.\n"
"\n"
"It returns when the running tasklet gives way. thread: an ident or a\n"
"threading.Thread; None: the calling thread. Raises RuntimeError if no such thread\n"
"uses tasklets.");

static PyObject *
fn_stop(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"thread", NULL};
    static const struct tl_argspec spec = {
        .fname = "stop", .names = names, .maxpos = 1};
    struct tl_state *state = tl_state_of_module(mod);
    PyObject *thread;
    if (tl_args_parse(&spec, args, nargs, kwnames, &thread) < 0) {
        return NULL;
    }
    struct tl_sched *s = tl_thread_sched_of(state, thread);
    if (s == NULL) {
        return NULL;
    }
    tl_run_frame_stop(s);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fake_clock_doc,
"fake_clock($module, seconds, /, *, carry=False)\n"
"--\n"
"\n"
"Make this thread's sleeps and timeouts follow a fake clock that shows seconds.\n"
"\n"
"The fake clock moves only when it is set, or when nothing is runnable: then to the\n"
"next deadline. None: return to the real clock. carry: pending timers keep the time\n"
"they have left. Returns what the fake clock showed, or None if the clock was the\n"
"real one.\n"
"\n"
"Raises RuntimeError if, without carry, it would change between the real and a fake\n"
"clock while timers are pending.");

static PyObject *
fn_fake_clock(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"seconds", "carry", NULL};
    static const struct tl_argspec spec = {.fname = "fake_clock",
                                           .names = names,
                                           .posonly = 1,
                                           .required = 1,
                                           .maxpos = 1};
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    PyObject *argv[2];
    int64_t now = 0;
    if (s == NULL || tl_args_parse(&spec, args, nargs, kwnames, argv) < 0) {
        return NULL;
    }
    PyObject *arg = argv[0];
    int carry = argv[1] == NULL ? 0 : PyObject_IsTrue(argv[1]);
    if (carry < 0 || (arg != Py_None && tl_timer_read_ns(arg, "seconds", &now) < 0)) {
        return NULL;
    }
    if (now < 0) {
        PyErr_Format(PyExc_ValueError, "seconds must be 0 or positive, not %R", arg);
        return NULL;
    }
    if (!carry && s->fake_clock != (arg != Py_None) && s->timers.count > 0) {
        PyErr_Format(PyExc_RuntimeError,
                     "the clock cannot be changed while %zu timers are pending",
                     s->timers.count);
        return NULL;
    }
    PyObject *before = s->fake_clock ? PyFloat_FromDouble((double)s->fake_now / 1e9)
                                     : Py_NewRef(Py_None);
    if (before == NULL) {
        return NULL;
    }
    int64_t old_now = tl_timer_now(s);
    s->fake_clock = arg != Py_None;
    s->fake_now = now;
    if (carry) {
        tl_timer_heap_shift(&s->timers, tl_timer_now(s) - old_now);
    }
    return before;
}

PyDoc_STRVAR(advance_fake_clock_doc,
"advance_fake_clock($module, nanoseconds, /)\n"
"--\n"
"\n"
"Advance the fake clock by nanoseconds, but not beyond the next deadline.\n"
"\n"
"Returns the nanoseconds left. Raises RuntimeError if this thread has no fake clock.");

static PyObject *
fn_advance_fake_clock(PyObject *mod, PyObject *arg)
{
    struct tl_sched *s = tl_sched_get(tl_state_of_module(mod));
    long long left = s == NULL ? -1 : PyLong_AsLongLong(arg);
    if (left == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!s->fake_clock) {
        PyErr_SetString(PyExc_RuntimeError, "this thread has no fake clock");
        return NULL;
    }
    if (left < 0 || left > INT64_MAX / 2 - s->fake_now) {
        PyErr_Format(PyExc_ValueError, "the clock cannot be advanced by %R ns", arg);
        return NULL;
    }
    tl_deadline next = tl_timer_heap_next(&s->timers);
    int64_t step = next <= s->fake_now ? 0 : next - s->fake_now;
    step = step < left ? step : left;
    s->fake_now += step;
    return PyLong_FromLongLong(left - step);
}

// clang-format off

PyMethodDef tl_timer_functions[] = {
    {"sleep", TL_FAST(fn_sleep), METH_FASTCALL, sleep_doc},
    {"pending", fn_pending, METH_NOARGS, pending_doc},
    {"next_deadline", fn_next_deadline, METH_NOARGS, next_deadline_doc},
    {"now", fn_now, METH_NOARGS, now_doc},
    {"shift_clock", fn_shift_clock, METH_O, shift_clock_doc},
    {"wait_readable", TL_FAST(fn_wait_readable), METH_FASTCALL | METH_KEYWORDS,
     wait_readable_doc},
    {"wait_writable", TL_FAST(fn_wait_writable), METH_FASTCALL | METH_KEYWORDS,
     wait_writable_doc},
    {"notify_closing", fn_notify_closing, METH_O, notify_closing_doc},
    {"stop", TL_FAST(fn_stop), METH_FASTCALL | METH_KEYWORDS, stop_doc},
    {"fake_clock", TL_FAST(fn_fake_clock), METH_FASTCALL | METH_KEYWORDS, fake_clock_doc},
    {"advance_fake_clock", fn_advance_fake_clock, METH_O, advance_fake_clock_doc},
    {NULL, NULL, 0, NULL},
};
