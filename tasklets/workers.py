"""Run Python calls on other OS threads, while the tasklets of this thread go on."""

import itertools
import operator
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar, overload

from tasklets import _core
from tasklets._names import public_names
from tasklets._unpatched import original, threads_are_patched

__all__ = ["WorkerFuture", "WorkerPool", "call_in_scheduler", "call_on_worker"]


def __dir__() -> list[str]:
    return public_names(globals())


_P = ParamSpec("_P")
_T = TypeVar("_T")

_numbers = itertools.count(1)

# Values of a future's _state.
_CANCELLED = frozenset(("CANCELLED", "CANCELLED_AND_NOTIFIED"))
_DONE = _CANCELLED | {"FINISHED"}

_STAYED_BEHIND = "the worker with this call has stayed behind in the parent process"


class WorkerFuture(Future[_T]):
    """A `concurrent.futures.Future` that `WorkerPool.submit` returns.

    While its `result` or `exception` waits, other tasklets of the thread run.
    `concurrent.futures.wait` and `as_completed` accept it, but block the thread.
    """

    # These methods do not take the lock of the base class: a signal handler that raises
    # inside a method of the base class can leave the lock acquired, and the worker
    # would wait for it forever. The GIL is enough, because a call changes the state
    # last.
    #
    # No other Python code uses private attributes of the base class, and of the C code
    # only what tl_arrivals_ready() names. tests/workers/test_future_internals.py checks
    # that they mean the same in each version of Python.

    _job: _core.job

    def __init__(self) -> None:
        super().__init__()
        if threads_are_patched():  # a worker cannot use the lock of a greenlet
            lock = original("_thread", "RLock")()
            self._condition = threading.Condition(lock)

    def cancel(self) -> bool:
        """Cancel the call. Returns False if a worker has begun it."""
        if self._job.cancel():  # no worker will use this future
            self._invoke_callbacks()  # type: ignore[attr-defined]
            self.set_running_or_notify_cancel()
        return self.cancelled()

    def cancelled(self) -> bool:
        """Return whether the call was cancelled."""
        return self._state in _CANCELLED

    def running(self) -> bool:
        """Return whether a worker is running the call."""
        return self._state == "RUNNING"

    def done(self) -> bool:
        """Return whether the call is over or was cancelled."""
        return self._state in _DONE

    def add_done_callback(self, fn: Callable[[Future[_T]], object]) -> None:
        """Call fn(future) when the call is over, on the worker; at once if it is over.

        An Exception of fn is logged. Raises TypeError if fn is not callable.
        """
        if not callable(fn):
            kind = type(fn).__name__
            raise TypeError(f"the callback must be callable, not {kind}")
        if not _core.future_listen(self, fn):
            super().add_done_callback(fn)

    def result(self, timeout: float | None = None) -> _T:
        """Wait for the call, then return its result or raise its exception.

        Raises CancelledError if the call was cancelled, TimeoutError if it is not over
        after timeout seconds. If the waiter is killed or times out, the call goes on.
        """
        try:
            if not self.done():
                self._job.wait(timeout)
            if self._state != "FINISHED":
                return super().result(0)
            if self._exception is not None:
                raise self._exception
            return self._result
        finally:
            # Break the cycle: self, the exception, its traceback, this frame.
            del self

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call, then return the exception that it raised, or None.

        Raises like `result`.
        """
        if not self.done():
            self._job.wait(timeout)
        if self._state != "FINISHED":
            return super().exception(0)
        return self._exception

    def _fail(self, error: BaseException) -> None:
        """Set the exception, even if the base class runs out of memory."""
        if self._state == "FINISHED":
            return
        try:
            self.set_exception(error)
        finally:
            if self._state != "FINISHED":
                self._exception = error
                self._state = "FINISHED"

    def _fail_in_child(self, job: _core.job, error: BaseException) -> None:
        """Set the exception in the child of a fork, where no worker is left."""
        if self._state == "FINISHED":
            return
        callbacks = self._done_callbacks
        self.__init__()  # type: ignore[misc]  # its lock's owner may not be here
        self._job = job
        self._done_callbacks = callbacks
        self.set_running_or_notify_cancel()
        self.set_exception(error)


def _run(
    future: WorkerFuture[_T],
    func: Callable[..., _T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Run the call of a future, on a worker."""
    try:
        if not future.set_running_or_notify_cancel():
            return
        future.set_result(func(*args, **kwargs))
    except BaseException as error:
        future._fail(error)
        del future  # as above


def _work(pool: _core.worker_pool) -> None:
    """Run jobs as a worker of the pool, until it is closed."""
    process = os.getpid()
    pool.work()
    if os.getpid() != process:
        # A call has forked, and has returned in the child, too. This is the child's
        # main thread, which has nothing to return to. Idle workers must not keep it
        # alive.
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        os._exit(0)


class _BareThread:
    """A thread that `threading` does not know."""

    def __init__(self, pool: _core.worker_pool) -> None:
        self._runs = True
        original("_thread", "start_new_thread")(self._run, (pool,))

    def _run(self, pool: _core.worker_pool) -> None:
        try:
            _work(pool)
        finally:
            self._runs = False

    def is_alive(self) -> bool:
        """Return whether the thread has not ended yet."""
        return self._runs


_Threads = list[threading.Thread | _BareThread]


def _start(threads: _Threads, pool: _core.worker_pool) -> None:
    """Start a worker thread."""
    threads[:] = [thread for thread in threads if thread.is_alive()]
    if threads_are_patched():
        threads.append(_BareThread(pool))
        return
    name = f"tasklets-worker-{next(_numbers)}"
    thread = threading.Thread(target=_work, args=(pool,), name=name, daemon=True)
    thread.start()
    threads.append(thread)


def _join(threads: _Threads) -> None:
    """Wait for threads that have left pool.work() to end, for a second at most.

    Not by join(): that would create a permanent _DummyThread for the calling thread.
    """
    end = time.monotonic() + 1
    sleep = original("time", "sleep")
    while threads:
        if time.monotonic() < end and threads[-1].is_alive():
            sleep(1e-4)
        else:
            threads.pop()


def _positive(value: object, what: str) -> int:
    number = operator.index(value)  # type: ignore[arg-type]
    if number < 1:
        raise ValueError(f"{what} must be positive, not {number}")
    return min(number, 2**31 - 1)


def _default_size() -> int:
    """Return the default of max_workers."""
    text = os.environ.get("TASKLETS_WORKERS", "")
    if text:
        try:
            return _positive(int(text), "TASKLETS_WORKERS")
        except ValueError:
            pass
        raise ValueError(f"TASKLETS_WORKERS must be a positive int, not {text!r}")
    if hasattr(os, "process_cpu_count"):  # from Python 3.13
        cpus = os.process_cpu_count() or 1
    else:
        cpus = len(os.sched_getaffinity(0))
    return min(32, cpus + 4)


class WorkerPool(Executor):
    """A `concurrent.futures.Executor` for tasklets: threads that run Python calls.

    max_workers: the maximum number of threads; None: the environment variable
    TASKLETS_WORKERS, or the number of CPUs plus 4, at most 32. Threads are started as
    needed and stay until `shutdown`, or until the pool is unreachable and its calls are
    over; the end of the program does not wait for them.

    max_queued: the number of stored calls that no thread has begun; `submit` waits
    while there are that many. None: no limit.

    on_abandoned: called with the future of a finished call if the last tasklet that
    waited for it was killed or timed out; normally on the worker. None: the outcome is
    dropped. An exception of on_abandoned is reported as unraisable.

    Raises TypeError or ValueError for arguments that do not fit. All methods may be
    called from any thread.
    """

    _helpers = 0  # maximum number of extra threads while calls only wait

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        max_queued: int | None = None,
        on_abandoned: Callable[[WorkerFuture[Any]], object] | None = None,
    ) -> None:
        size = (
            _default_size()
            if max_workers is None
            else _positive(max_workers, "max_workers")
        )
        capacity = 0 if max_queued is None else _positive(max_queued, "max_queued")
        if on_abandoned is not None and not callable(on_abandoned):
            kind = type(on_abandoned).__name__
            raise TypeError(f"on_abandoned must be callable or None, not {kind}")
        self._on_abandoned = on_abandoned
        self._threads: _Threads = []
        start = partial(_start, self._threads)
        max_threads = size + self._helpers
        self._pool = _core.worker_pool(start, size, capacity, on_abandoned, max_threads)
        self._closer = self._pool.closer()  # closes it when self is deallocated

    @property
    def max_workers(self) -> int:
        """The maximum number of threads."""
        return self._pool.max_workers

    @property
    def max_queued(self) -> int | None:
        """The number of calls stored before `submit` waits; None: no limit."""
        return self._pool.max_queued

    @overload
    def call(
        self,
        func: Callable[..., _T],
        /,
        *args: Any,
        timeout: float | None,
        **kwargs: Any,
    ) -> _T: ...

    @overload
    def call(
        self, func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T: ...

    def call(  # type: ignore[misc]  # timeout is ours, whatever func takes
        self,
        func: Callable[..., _T],
        /,
        *args: Any,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> _T:
        """Do what `call_on_worker` does, on a thread of this pool."""
        if self._on_abandoned is None:
            return self._pool.call(func, args, kwargs, timeout)
        return self._submit(func, args, kwargs, at_once=True).result(timeout)

    def _submit(
        self,
        func: Callable[..., _T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        at_once: bool,
    ) -> WorkerFuture[_T]:
        _core.check_function("submit", func, 3)
        future: WorkerFuture[_T] = WorkerFuture()
        call = (future, func, args, kwargs)
        future._job = self._pool.submit(_run, call, None, future, at_once)
        return future

    def submit(
        self, func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> WorkerFuture[_T]:
        """Run func(*args, **kwargs) on a worker, and return its future.

        The call runs in a copy of the caller's contextvars Context. While max_queued
        calls are stored already, the calling tasklet waits; if it is killed there, the
        call was not submitted. Raises RuntimeError after `shutdown`.
        """
        return self._submit(func, args, kwargs, at_once=False)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with wait, return when all calls are over.

        Other tasklets run during the wait. cancel_futures: cancel the calls that no
        worker has begun; `call` raises CancelledError in their waiters. Raises
        RuntimeError if a worker waits for its own pool. May be called again.
        """
        self._pool.close()
        for job in self._pool.pending() if cancel_futures else ():
            if job.owner is None:
                job.cancel()
            else:
                job.owner._job = job  # its submitter may still be waiting
                job.owner.cancel()
        if wait:
            self._pool.join()
            _core.call_undisturbed(_join, self._threads)

    def __reduce__(self) -> NoReturn:
        """Refuse: threads cannot be copied."""
        raise TypeError("cannot pickle a WorkerPool: make one where it is needed")

    def __repr__(self) -> str:
        pool = self._pool
        return (
            f"<{type(self).__module__}.{type(self).__qualname__}"
            f"{' shut down' if pool.closed else ''} "
            f"workers={pool.workers} of {pool.max_workers} idle={pool.idle} "
            f"queued={pool.queued} at {id(self):#x}>"
        )


class _SharedPool(WorkerPool):
    """The pool that call_on_worker() uses."""

    _helpers = 128

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is None and os.environ.get("TASKLETS_WORKERS"):
            self._helpers = 0  # the number is fixed
        super().__init__(max_workers)


_shared: dict[None, WorkerPool] = {}


@overload
def call_on_worker(
    func: Callable[..., _T], /, *args: Any, timeout: float | None, **kwargs: Any
) -> _T: ...
@overload
def call_on_worker(
    func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
) -> _T: ...
def call_on_worker(  # type: ignore[misc]  # as in WorkerPool.call
    func: Callable[..., _T],
    /,
    *args: Any,
    timeout: float | None = None,
    **kwargs: Any,
) -> _T:
    """Run func(*args, **kwargs) on a worker thread, and return its result.

    While the calling tasklet waits, the others of its thread run. An exception of the
    call is raised here, with its traceback. The call runs in a copy of the caller's
    contextvars Context. All calls share one pool of threads. The environment variable
    TASKLETS_WORKERS, read at the first call, is the number of threads; without it,
    there are as many as CPUs plus 4, at most 32, and up to 128 more while calls only
    wait. Further calls wait for their turn.

    Raises TimeoutError if the call is not over after timeout seconds. In that case, and
    when the waiting tasklet is killed, the call still runs, and its outcome is dropped.
    Raises BlockTrapError or SwitchTrapError where the tasklet must not wait, TypeError
    if func is not callable or is async; nothing is called then.

    timeout belongs to the waiter: if func has a parameter of that name, like
    subprocess.run(), pass it as functools.partial(func, timeout=...).
    """
    pool = _shared.get(None) or _shared.setdefault(None, _SharedPool())
    return pool._pool.call(func, args, kwargs, timeout)


class _Answer(Generic[_T]):
    """The outcome of a call in another thread's scheduler.

    Not a Future, whose lock would cost more than the switches to the other tasklet.
    """

    value: _T
    error: BaseException | None = None
    returned = False

    def find(self, func: Callable[..., _T], args: Any, kwargs: Any) -> None:
        try:
            self.value = func(*args, **kwargs)
            self.returned = True
        except _core.TaskletExit:
            raise
        except BaseException as error:
            self.error = error
            if not isinstance(error, Exception):
                raise


def _ident_of(thread: "int | threading.Thread") -> int:
    if thread is threading.main_thread() and threads_are_patched():
        return _core.getthreads()[0]  # thread.ident is that of a greenlet
    if isinstance(thread, (threading.Thread, original("threading", "Thread"))):
        if thread.ident is None:
            raise ValueError(f"{thread!r} has not been started")
        return thread.ident
    if isinstance(thread, bool) or not isinstance(thread, int):
        kind = type(thread).__name__
        raise TypeError(f"thread must be a Thread or a thread's ident, not {kind}")
    if thread <= 0:
        raise ValueError(f"{thread} is not the ident of a thread")
    return thread


@overload
def call_in_scheduler(
    thread: "int | threading.Thread",
    func: Callable[..., _T],
    /,
    *args: Any,
    timeout: float | None,
    **kwargs: Any,
) -> _T: ...
@overload
def call_in_scheduler(
    thread: "int | threading.Thread",
    func: Callable[_P, _T],
    /,
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _T: ...
def call_in_scheduler(  # type: ignore[misc]  # as in WorkerPool.call
    thread: "int | threading.Thread",
    func: Callable[..., _T],
    /,
    *args: Any,
    timeout: float | None = None,
    **kwargs: Any,
) -> _T:
    """Run func(*args, **kwargs) in a new tasklet of another thread; return its result.

    thread: an ident or a `threading.Thread`. While the calling tasklet waits, the
    others of its thread run. The new tasklet runs when its turn comes in that thread,
    in a copy of the caller's contextvars Context. Its exception is raised here, with
    its traceback.

    Raises ValueError for a thread that does not exist or has not used tasklets yet,
    CancelledError if the new tasklet is killed or its thread ends, DeadlockError if
    nothing could ever end this wait, TypeError if func is not callable or is async.
    Raises TimeoutError if the call is not over after timeout seconds; in that case, and
    when the waiting tasklet is killed, the call goes on, and its outcome is dropped.
    timeout belongs to the waiter, as in `call_on_worker`.
    """
    _core.check_function("call_in_scheduler", func, 2)
    ident = _ident_of(thread)
    answer: _Answer[_T] = _Answer()
    there: _core.tasklet = copy_context().run(
        _core.tasklet, answer.find, (func, args, kwargs)
    )
    try:
        there.bind_thread(ident)
    except (OverflowError, ValueError):
        raise ValueError(f"thread {thread!r} does not use tasklets") from None
    there.name = getattr(func, "__qualname__", type(func).__name__)
    there.insert()
    try:
        if not there.join(timeout):
            raise TimeoutError(f"the call in thread {ident} is not over in time")
        if answer.error is not None:
            raise answer.error
        if not answer.returned:
            raise _core.CancelledError(f"{there!r} was killed")
        return answer.value
    finally:
        del answer, there  # a traceback of the error would keep them alive


def _after_fork() -> None:
    """Renew all pools in the child of a fork, and fail their calls."""
    for pool in _core.worker_pools():
        for job in pool.after_fork():
            if isinstance(job.owner, WorkerFuture):
                job.owner._fail_in_child(job, RuntimeError(_STAYED_BEHIND))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
