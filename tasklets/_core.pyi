from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError as _FutureCancelledError
from concurrent.futures import Future
from contextvars import Context
from os import PathLike, stat_result
from socket import socket
from ssl import SSLContext, SSLObject, SSLSession
from threading import Thread
from types import FrameType, GenericAlias, TracebackType
from typing import (
    Any,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypedDict,
    TypeVarTuple,
    final,
    overload,
    type_check_only,
)

from typing_extensions import Buffer, TypeVar, disjoint_base

from tasklets._select import readable, writable

_P = ParamSpec("_P")
_D = TypeVar("_D")
_T = TypeVar("_T")
_R = TypeVar("_R")
_T1 = TypeVar("_T1")
_T2 = TypeVar("_T2")
_T3 = TypeVar("_T3")
_T4 = TypeVar("_T4")
_Ts = TypeVarTuple("_Ts")

# The type of a channel's values and of a tasklet's result; Any by default.
_Item = TypeVar("_Item", default=Any)
_Result_co = TypeVar("_Result_co", covariant=True, default=Any)
_Value_co = TypeVar("_Value_co", covariant=True, default=Any)

# The arguments of wait() and as_completed(); those of select().
_Waitable: TypeAlias = tasklet | Future[Any] | Event
_W = TypeVar("_W", bound=_Waitable)
_Selectable: TypeAlias = _Waitable | readable | writable
_S = TypeVar("_S", bound=_Selectable)

_Path: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes]

# Aliases, since some classes have attributes named type and channel.
_ExceptionClass: TypeAlias = type[BaseException]
_AnyChannel: TypeAlias = channel
_ChannelCallback: TypeAlias = Callable[[channel, tasklet, int, int], object]
_ScheduleCallback: TypeAlias = Callable[[tasklet | None, tasklet], object]
_ErrorHandler: TypeAlias = Callable[
    [_ExceptionClass, BaseException, TracebackType | None], object
]
# An item of survey(): thread, name, state, wait, spawned_at, stack.
_Record: TypeAlias = tuple[
    int,
    str,
    str,
    tuple[str, float, float | None] | None,
    tuple[str, int] | None,
    list[tuple[str, int, str]],
]

@type_check_only
class _HasFileno(Protocol):
    def fileno(self) -> int: ...

# A function such as spawn(), which calls its first argument with the other ones. Type
# checkers do not match a generic function with overloads against Callable[[*_Ts], ...].
@type_check_only
class _Caller(Protocol):
    def __call__(
        self, func: Callable[_P, Any], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> object: ...

@type_check_only
class _AnyLock(Protocol):
    def acquire(self) -> Any: ...
    def release(self) -> Any: ...

@type_check_only
class _Statistics(TypedDict):
    runnable: int
    started: int
    blocked: dict[str, int]
    switches: int
    spawned: int
    finished: int
    pooled_stacks: int
    sleeps: int
    spins: int
    woken: int
    slept: float
    run_time: float
    timers: int
    timers_fired: int
    latency_mean: float
    latency_max: float
    tasklets: int
    channels: int
    threads: int
    slabs: int
    worker_pools: int
    workers: int
    workers_idle: int
    calls_queued: int
    calls_finished: int

# Errors.

class TaskletExit(SystemExit):
    """Ends a tasklet without counting as an error; see tasklet.kill()."""

class TimeoutExit(TaskletExit):
    """Interrupts a timeout() block that has expired, which then raises."""

class GroupExit(TaskletExit):
    """Interrupts the block of a TaskGroup that is being cancelled."""

class CancelledError(_FutureCancelledError, RuntimeError):
    """The tasklet whose result was requested has been killed."""

class DeadlockError(RuntimeError):
    """No event could ever end this wait. Lists the waiting tasklets."""

class ChannelClosed(ValueError):
    """The operation would block, and the channel is closed."""

class BlockTrapError(RuntimeError):
    """The operation would block, and the tasklet's block_trap is set."""

class SwitchTrapError(RuntimeError):
    """The operation would switch, and switch_trap() forbids that."""

# Types.

@disjoint_base
class tasklet(Generic[_Result_co]):
    """A function that runs on a stack of its own, in turns with others of its thread.

    tasklet(func)(*args) makes it runnable. If args or kwargs are given here it is set
    up, but paused until insert(). As in Stackless Python; see also spawn().
    """
    @overload
    def __init__(
        self,
        func: None = None,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        func: Callable[..., _Result_co],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Self: ...
    def bind(
        self,
        func: Callable[..., _Result_co] | None = None,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Bind the tasklet to a function. Returns the tasklet.

        With args or kwargs it is also set up, and paused. Without arguments it is unbound.
        From now on it shares the caller's contextvars Context. Raises RuntimeError for a
        tasklet that is current, scheduled, blocked or started, and TypeError for arguments
        of the wrong type; the tasklet is unchanged then.
        """
    def setup(self, /, *args: Any, **kwargs: Any) -> Self:
        """Give the bound function its arguments and make the tasklet runnable.

        Returns the tasklet. Raises RuntimeError if it is alive or not bound.
        """
    def insert(self) -> Self:
        """Append a paused tasklet to its thread's run queue, and wake that thread.

        Has no effect on a runnable tasklet. Returns the tasklet. Raises RuntimeError if it
        is blocked or not alive, or if its thread has ended.
        """
    def remove(self) -> Self:
        """Take the tasklet out of the run queue: it is paused. Returns the tasklet.

        Raises RuntimeError if it is blocked, or is the current tasklet of its thread.
        """
    def run(self) -> Any:
        """Run the tasklet now; the caller stays in the run queue, at its end.

        A tasklet of another thread becomes the next one of that thread instead. Raises
        RuntimeError if it is blocked or not alive.
        """
    def switch(self) -> Any:
        """Run the tasklet now; the caller is paused.

        Raises RuntimeError if the tasklet is blocked, not alive, or of another thread.
        """
    def kill(self, pending: bool = False) -> None:
        """Raise TaskletExit in the tasklet: now, or with pending when it next runs.

        Its finally blocks run; it may catch TaskletExit and live on. Has no effect on a
        tasklet that is not alive. A tasklet of another thread is killed when that thread
        next switches.
        """
    def throw(
        self,
        exc: _ExceptionClass | BaseException,
        val: object = None,
        tb: TracebackType | None = None,
        pending: bool = False,
    ) -> Any:
        """Raise an exception in the tasklet: now, or with pending when it next runs.

        exc: an exception class or instance; val and tb as in a three-part raise. In the
        current tasklet it is raised at once. Raises RuntimeError if the tasklet is not
        alive, and TypeError for arguments that do not fit.
        """
    def raise_exception(self, cls: _ExceptionClass, /, *args: Any) -> Any:
        """Raise cls(*args) in the tasklet now. The instance is created there."""
    def set_atomic(self, flag: bool | int, /) -> bool:
        """Set the atomic flag and return its old value.

        While it is set, no budget of run() stops the tasklet; a budget that ends in the
        meantime stops it when the flag is reset.
        """
    def set_ignore_nesting(self, flag: bool | int, /) -> bool:
        """Set the flag that lets run() stop the tasklet inside calls from C code.

        Returns its old value.
        """
    def bind_thread(self, thread_id: int = -1, /) -> None:
        """Move the tasklet to another thread: the caller's, or the one with that id.

        Raises RuntimeError if it is runnable or has started, ValueError for a thread that
        does not exist or has not used tasklets yet.
        """
    def set_context(self, context: Context, /) -> Self:
        """Set the contextvars Context in which the tasklet runs. Returns the tasklet.

        Raises RuntimeError for a tasklet that is current or runnable on another thread, or
        that is inside Context.run().
        """
    def context_run(
        self, func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call func(*args, **kwargs) here, in the tasklet's contextvars Context."""
    def join(self, timeout: float | None = None) -> bool:
        """Wait until the tasklet has ended: True, or False after timeout seconds.

        It may belong to any thread. Its exception is not raised here. Raises RuntimeError
        if called by the tasklet itself, DeadlockError if it can never end, BlockTrapError
        if the caller must not block.
        """
    def result(self, timeout: float | None = None) -> _Result_co:
        """Wait for the end, then return the function's result or raise its exception.

        Only for tasklets made by spawn(), otherwise RuntimeError. Raises CancelledError if
        the tasklet was killed or its thread ended first, TimeoutError after timeout
        seconds, and what join() raises.
        """
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end, then return the exception that ended the tasklet, or None.

        Raises like result().
        """
    def done(self) -> bool:
        """Return whether the tasklet has ended, in whatever way."""
    def cancelled(self) -> bool:
        """Return whether the tasklet was killed, or its thread ended before it."""
    def add_done_callback(self, func: Callable[[Self], object], /) -> None:
        """Call func(tasklet) once the tasklet has ended; at once if it has.

        func runs on the tasklet's stack. An exception of func is reported as unraisable; in
        the main thread, KeyboardInterrupt and SystemExit are raised in the main tasklet, or
        here if func is called here. Raises TypeError if func is not callable.
        """
    def remove_done_callback(self, func: Callable[[Self], object], /) -> int:
        """Remove a callback as many times as it was added, and return that number."""
    @property
    def alive(self) -> bool:
        """Whether it has something to run, on a thread that has not ended."""
    @property
    def scheduled(self) -> bool:
        """Whether it is runnable or blocked."""
    @property
    def blocked(self) -> bool:
        """Whether it waits on a channel or for another tasklet."""
    @property
    def paused(self) -> bool:
        """Whether it is alive, but neither runnable nor blocked."""
    @property
    def restorable(self) -> bool:
        """Whether it could be pickled completely: it has not started."""
    @property
    def is_current(self) -> bool:
        """Whether it is its thread's current."""
    @property
    def is_main(self) -> bool:
        """Whether it is its thread's main tasklet."""
    @property
    def thread_id(self) -> int:
        """The id of its thread; -1 if that has ended."""
    @property
    def trace_function(self) -> Callable[..., object] | None:
        """The trace function of this tasklet alone, as set by sys.settrace(), or None.

        Unless set, or when deleted, the thread's applies, and is shown only while the
        tasklet runs. Raises RuntimeError if the tasklet runs on another thread.
        """
    @trace_function.setter
    def trace_function(self, value: Callable[..., object] | None, /) -> None: ...
    @trace_function.deleter
    def trace_function(self) -> None: ...
    @property
    def profile_function(self) -> Callable[..., object] | None:
        """Like trace_function, for sys.setprofile()."""
    @profile_function.setter
    def profile_function(self, value: Callable[..., object] | None, /) -> None: ...
    @profile_function.deleter
    def profile_function(self) -> None: ...
    @property
    def next(self) -> tasklet | None:
        """The next tasklet in its run queue or channel's queue, or None.

        None is the end of a channel's queue. The run queue is a ring.
        """
    @property
    def prev(self) -> tasklet | None:
        """Like next, in the other direction."""
    tempval: Any
    @property
    def frame(self) -> FrameType | None:
        """Its innermost frame, or None."""
    @property
    def atomic(self) -> bool:
        """The flag that set_atomic() sets."""
    @property
    def ignore_nesting(self) -> bool:
        """The flag that set_ignore_nesting() sets."""
    @property
    def block_trap(self) -> bool:
        """Whether an operation that would block raises BlockTrapError."""
    @block_trap.setter
    def block_trap(self, value: bool | int) -> None: ...
    @property
    def recursion_depth(self) -> int:
        """The depth of its Python calls; 0 if it is not running."""
    @property
    def nesting_level(self) -> int:
        """0 before the start and after the end, otherwise at least 1."""
    @property
    def context_id(self) -> int:
        """The id() of its contextvars Context."""
    @property
    def _channel(self) -> channel | None: ...
    name: str
    @property
    def spawned_at(self) -> tuple[str, int] | None:
        """(file, line) of the spawn() call, or None."""

@disjoint_base
class channel(Generic[_Item]):
    """A meeting place where a sender hands a value to a receiver.

    Neither goes on before the other has come. Works between threads.

    name: a str that repr() and error messages show. Raises TypeError for any
    other argument.
    """

    name: str | None
    def __init__(self, *, name: str | None = None) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _Item: ...
    def send(self, value: _Item | bomb, /, *, timeout: float | None = None) -> Any:
        """Give value to the first waiting receiver, or block until there is one.

        Returns the receiver's tempval, normally None. preference and schedule_all
        decide which of the two tasklets runs next; if they belong to different
        threads, the sender goes on. Works between threads. As in Stackless Python.

        timeout: in seconds; 0 or less: do not block. Raises TimeoutError when it is
        over, ChannelClosed if the call would block on a closed channel,
        BlockTrapError if the tasklet must not block, and DeadlockError if no tasklet
        could ever receive. After any of these, or a kill, value was not delivered.
        """
    def receive(self, *, timeout: float | None = None) -> _Item:
        """Take the value of the first waiting sender, or block until there is one.

        Raises the exception that the sender passed to send_exception() or
        send_throw(). As in Stackless Python.

        timeout: in seconds; 0 or less: do not block. Raises TimeoutError when it is
        over; ChannelClosed if the call would block on a closed channel, or if
        close(wake=True) is called while it waits; BlockTrapError if the tasklet must
        not block; DeadlockError if no tasklet could ever send. After any of these,
        no value was taken.
        """
    def try_send(self, value: _Item | bomb, /) -> bool:
        """Send value if that does not block, and return whether it was delivered.

        Raises ChannelClosed if no receiver waits and the channel is closed.
        """
    @overload
    def try_receive(self, default: None = None, /) -> _Item | None:
        """Return the value of the first waiting sender, or default if there is none.

        Never blocks. Raises the sender's exception if it sent one, and ChannelClosed
        if no sender waits and the channel is closed.
        """
    @overload
    def try_receive(self, default: _D, /) -> _Item | _D: ...
    def send_exception(self, cls: _ExceptionClass, /, *args: Any) -> None:
        """Send an exception: receive() raises cls(*args), created by the receiver.

        Blocks and fails like send().
        """
    def send_throw(
        self,
        exc: _ExceptionClass | BaseException,
        val: object = None,
        tb: TracebackType | None = None,
    ) -> None:
        """Send an exception as a raise statement would raise it, with its traceback.

        exc: an exception class or instance; val and tb as in a three-part raise.
        Blocks and fails like send().
        """
    def send_sequence(self, iterable: Iterable[_Item | bomb], /) -> int:
        """Send each item of iterable in turn, and return the number of items sent.

        Blocks and fails like send(); the items before the failure were delivered.
        """
    def close(self, *, wake: bool = False) -> None:
        """Forbid blocking on this channel; operations that find a partner still work.

        wake: also raise ChannelClosed in each waiting receiver, and end each waiting
        iteration. Waiting senders stay and can still be received from. Closing a
        closed channel does no harm.
        """
    def open(self) -> None:
        """Undo close(): blocking is allowed again."""
    @property
    def balance(self) -> int:
        """The number of waiting senders, or minus the number of waiting receivers."""
    @property
    def queue(self) -> tasklet | None:
        """The longest-waiting tasklet, or None."""
    @property
    def closing(self) -> bool:
        """True between close() and open()."""
    @property
    def closed(self) -> bool:
        """True if closing and no tasklet waits."""
    preference: int
    schedule_all: int

class QueueChannel(channel[_Item]):
    """A channel that stores up to maxsize values: send() blocks only while it is full.

    maxsize: 0 or less for no limit. len() is the number of stored values. Values
    stored when the channel is closed can still be received; sending into a closed
    one raises ChannelClosed. name: as for a channel. Raises TypeError if maxsize
    is not an int.
    """
    def __init__(self, maxsize: int = 0, *, name: str | None = None) -> None: ...
    def __len__(self) -> int: ...
    @property
    def maxsize(self) -> int:
        """How many values are stored before send() blocks; <= 0: no limit."""

@final
class bomb:
    """An exception on its way to a tasklet.

    A tasklet whose tempval is a bomb raises the exception when it is next resumed. A
    tuple as the only argument is unpacked.
    """
    def __new__(
        cls,
        type: _ExceptionClass | tuple[Any, ...] | None = None,
        value: object = None,
        traceback: TracebackType | None = None,
    ) -> Self: ...
    type: Any
    value: Any
    traceback: Any

@final
class atomic:
    """A context manager that sets the atomic flag of the current tasklet.

    The end of the block restores the previous value, on the tasklet that is
    current then. Reusable and re-entrant.

    Inside the block, no budget of run() stops the tasklet, and no other OS thread
    gets the GIL unless the tasklet gives it up: by waiting, or in a call that
    releases the GIL. When that call returns, other threads are held off again.
    Signal handlers, finalizers and callbacks still run.

    supported: True if other threads are held off on this interpreter.
    why_not: None if supported; otherwise a str that says what this interpreter
    lacks. Sections still exclude each other there.
    """

    supported: bool
    why_not: str | None
    def __new__(cls) -> Self: ...
    def __reduce__(self) -> Any: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> bool: ...

@disjoint_base
class local:
    """An object that has its own attributes in each tasklet.

    As threading.local has in each thread. The attributes are dropped when the
    tasklet ends or the object goes away. Those of a main tasklet are the thread's
    own, whether or not it uses tasklets.

    If a subclass has an __init__(), each tasklet calls it at its first access,
    with the constructor's arguments. If that raises, the access raises the same
    exception, and the next access calls it again.
    """
    def __init__(self) -> None: ...
    def __reduce__(self) -> Any: ...
    def __getattribute__(self, name: str, /) -> Any: ...
    def __setattr__(self, name: str, value: Any, /) -> None: ...
    def __delattr__(self, name: str, /) -> None: ...

@final
class job:
    """A call for a worker."""
    def wait(self, timeout: float | None = None, /) -> None:
        """Wait until the call is over, or will never run; the other tasklets run.

        Raises TimeoutError after timeout seconds.
        """
    def cancel(self) -> bool:
        """Remove the job from the queue. Returns False if a worker has begun it.

        If the owner is a Future, its state becomes CANCELLED at the same moment; its own
        cancel() must still call its callbacks.
        """
    def __reduce__(self) -> Any: ...
    @property
    def owner(self) -> Any:
        """The owner passed to submit()."""

@final
class worker_pool:
    """A queue of calls, and the threads that run them. start(pool) starts a thread.

    most: the maximum number of threads while calls only wait; idle threads beyond
    max_workers end after linger seconds.
    """
    def __new__(
        cls,
        start: Callable[[worker_pool], object],
        max_workers: int,
        max_queued: int = 0,
        on_abandoned: Callable[[Any], object] | None = None,
        most: int = 0,
        linger: float = 10,
    ) -> Self: ...
    def call(
        self,
        func: Callable[..., _T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
        /,
    ) -> _T:
        """Run func(*args, **kwargs) on a worker, wait, and return its result.

        Raises the exception of func, and TimeoutError after timeout seconds.
        """
    def submit(
        self,
        func: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        owner: object = None,
        at_once: bool = False,
        /,
    ) -> job:
        """Run func(*args, **kwargs) on a worker, and return its job at once.

        Waits while the queue is full, unless at_once is true. on_abandoned(owner) is called
        if all waiters of the job give up.
        """
    def work(self) -> None:
        """Run jobs as a worker, until the pool is closed and its queue is empty."""
    def close(self) -> None:
        """Take no more jobs; the workers end when the queue is empty."""
    def join(self) -> None:
        """Wait until all workers of a closed pool have ended; other tasklets run."""
    def pending(self) -> list[job]:
        """Return a list of the jobs that no worker has begun, the oldest first."""
    def running(self) -> list[job]:
        """Return a list of the jobs that workers are running."""
    def after_fork(self) -> list[job]:
        """In the child of a fork: forget the workers and their jobs.

        Returns a list of the lost jobs. Does nothing elsewhere.
        """
    def closer(self) -> pool_closer:
        """Return an object that closes the pool when it is deallocated.

        A __del__() would be Python code, in which a signal handler's exception is lost.
        """
    def __reduce__(self) -> Any: ...
    @property
    def max_workers(self) -> int:
        """The normal maximum number of threads."""
    @property
    def workers(self) -> int:
        """The number of threads."""
    @property
    def idle(self) -> int:
        """The number of idle threads."""
    @property
    def max_queued(self) -> int | None:
        """The number of jobs stored before submit() waits; None: no limit."""
    @property
    def queued(self) -> int:
        """The number of jobs not begun."""
    @property
    def finished(self) -> int:
        """The number of finished calls."""
    @property
    def closed(self) -> bool:
        """Whether the pool takes no more jobs."""

@final
class timeout:
    """A context manager that raises TimeoutError when the block takes too long.

    seconds: how long the block may take; None: no limit. exc: an exception or its
    class, to be raised in place of TimeoutError.

    When the time is over, the tasklet's wait is interrupted; if it is running, its next
    wait is, or nothing if there is none. A value that has arrived is not lost. Inside
    the block the interruption is a TimeoutExit, which `except Exception` does not
    catch; of nested blocks each ends only by its own time. Raises ValueError if seconds
    is NaN.
    """
    def __new__(
        cls, seconds: float | None, exc: _ExceptionClass | BaseException | None = None
    ) -> Self: ...
    def __reduce__(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> bool: ...
    def reschedule(self, seconds: float | None, /) -> None:
        """Make the block expire that many seconds from now; None: never.

        Raises RuntimeError if it has expired.
        """
    @property
    def expired(self) -> bool:
        """Whether the block was interrupted because its time was over."""
    @property
    def when(self) -> float | None:
        """When it expires, on time.monotonic()'s clock; None: never or not entered."""

@final
class shield:
    """A context manager that holds interruptions off for at most that many seconds.

    For clean-up that must be allowed to finish. Kills, throws, and the interruptions of
    enclosing timeout() and TaskGroup blocks are held off until the block ends, and are
    raised at the next operation that may block. When the time is over, the block can be
    interrupted like other code. seconds: None for no limit.

    Blocks inside it end as usual, and so does a kill() that the tasklet calls on
    itself. KeyboardInterrupt, and exceptions of other tasklets that reach the main
    tasklet, are not held off. Raises ValueError if seconds is NaN.
    """
    def __new__(cls, seconds: float | None) -> Self: ...
    def __reduce__(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> bool: ...
    @property
    def expired(self) -> bool:
        """Whether the time limit was over before the block ended."""

@disjoint_base
class TaskGroup:
    """A context manager whose block does not end before the tasklets it spawned.

    limit: the number of them that may run at a time; None: any number.

    An error in one of them or in the block cancels the group: the other tasklets
    are killed, and the block is interrupted by a GroupExit at its current or next
    wait. When all tasklets have ended, the block raises an ExceptionGroup with all
    the errors, even if there is only one. KeyboardInterrupt and SystemExit are
    raised bare. A killed tasklet counts as no error.

    A kill of the tasklet in the block, or an expired timeout() around the block,
    also cancels the group, and is raised when all have ended. If there are errors,
    these are raised, and the kill or timeout at the next operation that may block.
    A group can be used once, by one thread.
    """
    def __init__(self, limit: int | None = None) -> None: ...
    def __reduce__(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> bool: ...
    @overload
    def spawn(
        self, func: Callable[..., _T], /, *args: Any, name: str | None, **kwargs: Any
    ) -> tasklet[_T]:
        """Run func(*args, **kwargs) in a new tasklet of the group; return the tasklet.

        It is runnable. name is as in tasklets.spawn(). While the group has as many
        tasklets as its limit, the call waits. Tasklets of the group may call it too.

        Raises RuntimeError before and after the block, on another thread, and while
        the group is being cancelled; TypeError like tasklets.spawn(). After an error
        nothing was spawned.
        """
    @overload
    def spawn(
        self, func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> tasklet[_T]: ...
    def map(
        self,
        func: Callable[[_T], _R],
        items: Iterable[_T],
        /,
        *,
        limit: int | None = None,
    ) -> list[_R]:
        """Call func(item) for each item in a tasklet of the group; return the results.

        The results are in the order of the items. limit: the maximum number of these calls
        that run at a time; None: only the group's own limit applies. The next item is taken
        from `items` when its call may start.

        As with spawn(), an error in one call cancels the group, and the caller is
        interrupted or gets that error. Raises CancelledError if only one call is killed,
        and what `items` raises; calls that have started then go on in the group.
        Raises TypeError or ValueError for arguments that do not fit, and RuntimeError like
        spawn(); nothing has been spawned then.
        """
    def cancel(self) -> None:
        """Kill the tasklets of the group, and interrupt its block at its next wait.

        The block still ends only when all tasklets have ended, and without an error
        if they had none. A tasklet of the group that calls this is killed at once.
        Has no effect if the group is being cancelled or is over.

        Raises RuntimeError before the block and on another thread.
        """

@final
class Handle:
    """A scheduled call, which call_soon() and call_later() return."""
    def __reduce__(self) -> Any: ...
    def cancel(self) -> None:
        """Cancel the call, unless it has begun."""
    def cancelled(self) -> bool:
        """Return whether the call was cancelled before it began."""
    def when(self) -> float | None:
        """Return the call's time on time.monotonic()'s clock; None for call_soon()."""

@final
class Case(Generic[_Value_co]):
    """One of the operations that select() may do, as recv() and send() return it.

    Two cases are equal if they do the same: receive from the same channel, or send
    equal values to it.
    """
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> Any: ...
    @property
    def channel(self) -> _AnyChannel:
        """The channel of the case."""

@disjoint_base
class setting:
    """A context manager that calls change(value), and at the end change(back).

    back: by default what change(value) returned. If change is a C function, no signal
    is handled between the change and the block.
    """
    def __new__(
        cls, change: Callable[[Any], Any], value: Any, back: Any = ...
    ) -> Self: ...
    def __reduce__(self) -> NoReturn: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *args: object) -> None: ...
    entered: Any
    @property
    def active(self) -> bool:
        """Whether the calling thread is inside the block."""

@final
class pool_closer:
    """Closes a pool of workers when it is deallocated."""
    def __reduce__(self) -> NoReturn: ...

@final
class arrivals:
    """The done callback of wait(), as_completed() and select()."""
    def __reduce__(self) -> NoReturn: ...
    def __call__(self, one: Any, /) -> None: ...

@final
class completions(Generic[_T]):
    """The iterator that as_completed() returns."""
    def __reduce__(self) -> NoReturn: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T: ...
    def close(self) -> None:
        """End the iteration and forget the objects.

        Raises ValueError if a tasklet is waiting in the iterator.
        """

class stackless_channel(channel[_Item]):
    """A channel that raises the exceptions of Stackless Python."""
    def __new__(cls, *, name: str | None = None) -> Self: ...

@disjoint_base
class Lock:
    """threading.Lock, for tasklets of any thread and for threads without tasklets.

    Waiters get the lock in the order in which they came. While a waiter of
    another thread is being woken, the lock may be taken twice by others first;
    then it is handed over.
    """
    def __new__(cls) -> Self: ...
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock, waiting until it is free.

        Returns True, or False after timeout seconds (-1: no limit) or, with
        blocking=False, if the lock is not free. While a tasklet waits, others run; a
        thread without tasklets sleeps. An RLock that the caller owns is acquired once
        more.

        Raises ValueError for any other negative timeout, or one with blocking=False;
        OverflowError beyond threading.TIMEOUT_MAX; DeadlockError if the owner waits
        for another lock, and so on, up to a lock of the caller's. After an error the
        lock was not acquired.
        """
    def release(self) -> None:
        """Release the lock, which any thread or tasklet may have acquired.

        The first waiter is next. Raises RuntimeError if the lock is not acquired.
        """
    def locked(self) -> bool:
        """Return whether the lock is acquired."""
    def acquire_lock(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Old name of acquire()."""
    def release_lock(self) -> None:
        """Old name of release()."""
    def locked_lock(self) -> bool:
        """Old name of locked()."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    def _at_fork_reinit(self) -> None: ...

@disjoint_base
class RLock:
    """threading.RLock: a lock that its owner can acquire again.

    The owner, a tasklet or a thread without tasklets, must release it as many
    times. Greenlets inside a tasklet count as that tasklet.
    """
    def __new__(cls) -> Self: ...
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock, waiting until it is free.

        Returns True, or False after timeout seconds (-1: no limit) or, with
        blocking=False, if the lock is not free. While a tasklet waits, others run; a
        thread without tasklets sleeps. An RLock that the caller owns is acquired once
        more.

        Raises ValueError for any other negative timeout, or one with blocking=False;
        OverflowError beyond threading.TIMEOUT_MAX; DeadlockError if the owner waits
        for another lock, and so on, up to a lock of the caller's. After an error the
        lock was not acquired.
        """
    def release(self) -> None:
        """Undo one acquire(); after the last one the lock is free.

        The first waiter is next then. Raises RuntimeError if the caller does not own
        the lock.
        """
    def locked(self) -> bool:
        """Return whether the lock is acquired."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    def _is_owned(self) -> bool: ...
    def _be_strict(self) -> None: ...
    def _free_if_lost(self) -> bool: ...
    def _recursion_count(self) -> int: ...
    def _release_save(self) -> int: ...
    def _acquire_restore(self, count: int, /) -> None: ...
    def _at_fork_reinit(self) -> None: ...

@disjoint_base
class Condition:
    """threading.Condition, for tasklets of any thread and threads without tasklets.

    lock: a Lock or RLock of this module, or any object with acquire() and
    release(); None: a new RLock. With exactly a Lock or RLock of this module, a
    notified waiter is woken once, when it can have the lock.

    Raises RuntimeError if it is initialised again while it has waiters.
    """
    def __init__(self, lock: _AnyLock | None = None) -> None: ...
    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Acquire the underlying lock: call its acquire() with these arguments."""
    def release(self) -> None:
        """Release the underlying lock: call its release()."""
    def locked(self) -> bool:
        """Return whether the underlying lock is acquired."""
    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait to be notified, and acquire the lock again.

        Returns True if notified, False after timeout seconds. An RLock is acquired
        again as many times as it was before.

        Raises RuntimeError if the caller does not own the lock. Any other exception,
        such as a kill, also leaves the caller owning the lock; a notification that it
        received is passed on to the next waiter. Only if the lock itself keeps
        refusing does RuntimeError report that it could not be re-acquired.
        """
    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        """Wait until predicate() is true, for at most timeout seconds.

        predicate is called with the lock acquired: at once, and after each
        notification. Returns its last result. Raises like wait().
        """
    def notify(self, n: int = 1) -> None:
        """Notify the n longest-waiting waiters, or all if there are fewer.

        Each of them returns from wait() once it has acquired the lock. Raises
        RuntimeError if the caller does not own the lock.
        """
    def notify_all(self) -> None:
        """Notify all waiters. RuntimeError if the caller does not own the lock."""
    def notifyAll(self) -> None:
        """Deprecated alias of notify_all()."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    def _is_owned(self) -> bool: ...
    def _release_save(self) -> Any: ...
    def _acquire_restore(self, saved: Any, /) -> None: ...
    def _at_fork_reinit(self) -> None: ...
    @property
    def _lock(self) -> Any: ...
    @property
    def _waiters(self) -> tuple[Any, ...]: ...

@disjoint_base
class Semaphore:
    """threading.Semaphore, for tasklets of any thread and threads without tasklets.

    value: the number of permits. Raises ValueError if it is negative.
    """
    def __init__(self, value: int = 1) -> None: ...
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit, waiting for one for at most timeout seconds.

        Returns whether a permit was taken. Waiters are served in the order in which they
        came. Raises ValueError for a timeout with blocking=False. After an error none was
        taken.
        """
    def release(self, n: int = 1) -> None:
        """Return n permits, which any thread or tasklet may have taken.

        Raises ValueError if n is less than 1, or if a BoundedSemaphore would have more
        permits than at the beginning; none was returned then.
        """
    def locked(self) -> bool:
        """Return whether acquire() would have to wait."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    @property
    def _value(self) -> int: ...

class BoundedSemaphore(Semaphore):
    """threading.BoundedSemaphore: a Semaphore with a maximum number of permits."""
    @property
    def _initial_value(self) -> int: ...

@disjoint_base
class Event:
    """threading.Event, for tasklets of any thread and for threads without tasklets.

    tasklets.wait(), as_completed() and select() accept it too.
    """
    def __new__(cls) -> Self: ...
    def is_set(self) -> bool:
        """Return whether the flag is set."""
    def isSet(self) -> bool:
        """Deprecated alias of is_set()."""
    def set(self) -> None:
        """Set the flag, wake all waiters, and call the callbacks.

        An Exception of a callback is reported as unraisable. Any other exception,
        such as KeyboardInterrupt, is raised here once all have been called.
        """
    def clear(self) -> None:
        """Reset the flag. Waiters that set() has woken still return."""
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set, for at most timeout seconds.

        Returns True, or False if the time is over.
        """
    def add_done_callback(self, func: Callable[[Self], object], /) -> None:
        """Call func(event) once, inside the call of set(); at once if the flag is set.

        An Exception of func is reported as unraisable. Any other exception, such as
        TaskletExit, is raised by set(). Raises TypeError if func is not callable.
        """
    def remove_done_callback(self, func: Callable[[Self], object], /) -> int:
        """Remove a callback as many times as it was added, and return that number."""
    def __reduce__(self) -> NoReturn: ...
    def _at_fork_reinit(self) -> None: ...
    @property
    def _cond(self) -> Condition: ...

@disjoint_base
class NLCondition:
    """A Condition without a lock, for the tasklets of one thread.

    They need no lock: between two waits of a tasklet no other tasklet runs.
    acquire(), release() and the with statement do nothing.
    """
    def __new__(cls) -> Self: ...
    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Do nothing, since there is no lock. Returns True."""
    def release(self) -> None:
        """Do nothing, since there is no lock."""
    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be notified: return True, or False after timeout seconds.

        If it raises, because of a kill for instance, a notification that it received
        is passed on to the next waiter.
        """
    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        """Wait until predicate() is true, for at most timeout seconds.

        predicate is called at once and after each notification. Returns its last
        result.
        """
    def notify(self, n: int = 1) -> None:
        """Wake the n longest-waiting waiters, or all if there are fewer."""
    def notify_all(self) -> None:
        """Wake all waiters."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...

@disjoint_base
class Barrier:
    """threading.Barrier, for tasklets of any thread and for threads without tasklets.

    parties: the number of parties, at least 1. action: called without arguments
    by the last party to arrive, each time. timeout: in seconds, for each wait()
    that has none of its own. A party that has passed can wait again at once.

    Raises ValueError if parties is less than 1, RuntimeError if it is initialised
    again while it has waiters.
    """
    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None: ...
    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have arrived, then let them pass.

        The last party to arrive calls the action before any of them passes. Returns
        an int from 0 to parties - 1, different for each party unless one of them left
        early.

        timeout: in seconds; None: the barrier's own. Raises BrokenBarrierError if it
        is over, which breaks the barrier, or if the barrier is broken or is reset or
        aborted while it waits. An exception of the action is raised in the last
        party, and breaks the barrier.
        """
    def reset(self) -> None:
        """Make the barrier empty and unbroken; its waiters raise BrokenBarrierError."""
    def abort(self) -> None:
        """Break the barrier until reset(): wait() raises BrokenBarrierError.

        Parties that are waiting already raise it too.
        """
    def __reduce__(self) -> NoReturn: ...
    @property
    def parties(self) -> int:
        """The number of parties that must arrive before all can pass."""
    @property
    def n_waiting(self) -> int:
        """The number of waiting parties."""
    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""

@final
class released:
    """A context manager that releases a lock for a block, and then acquires it again.

    lock: any object with release() and acquire(). The lock is acquired again whatever
    interrupts that; exceptions that came in between are raised afterwards. Only if the
    lock itself keeps refusing does RuntimeError report that it could not be
    re-acquired.
    """
    def __new__(cls, lock: Any) -> Self: ...
    def __reduce__(self) -> NoReturn: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> bool: ...

# Functions.

@disjoint_base
class Queue(Generic[_T]):
    """queue.Queue, for tasklets of any thread and for threads without tasklets.

    First in, first out. maxsize: the maximum number of items; 0 or less: no limit.

    Waiters are served in the order in which they came. While a waiter is being woken,
    others may take its item or place twice; then it is handed over.
    """

    queue: Any
    unfinished_tasks: int
    is_shutdown: bool
    def __init__(self, maxsize: float = 0) -> None: ...
    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Store item, waiting while the queue is full for at most timeout seconds.

        While a tasklet waits, others run; a thread without tasklets sleeps. Raises Full if
        the queue stays full, or with block=False at once; ShutDown after shutdown();
        ValueError if timeout is negative. After an error item was not stored.
        """
    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Remove and return an item, waiting for one for at most timeout seconds.

        While a tasklet waits, others run; a thread without tasklets sleeps. Raises Empty if
        no item comes, or with block=False at once; ShutDown if the queue is empty after
        shutdown(); ValueError if timeout is negative. After an error nothing was removed.
        """
    def put_nowait(self, item: _T) -> None:
        """Same as put(item, block=False)."""
    def get_nowait(self) -> _T:
        """Same as get(block=False)."""
    def task_done(self) -> None:
        """Mark one item returned by get() as done; when all are, join() returns.

        Raises ValueError if called more times than there were items.
        """
    def join(self) -> None:
        """Wait until task_done() has been called for every item."""
    def qsize(self) -> int:
        """Return the number of items. It may have changed by the time it is used."""
    def empty(self) -> bool:
        """Return whether no items are stored. That may change at any time."""
    def full(self) -> bool:
        """Return whether maxsize items are stored. That may change at any time."""
    def shutdown(self, immediate: bool = False) -> None:
        """Make put() raise ShutDown from now on, and get() once the queue is empty.

        Waiters are woken. immediate: also drop all items and mark them as done.
        """
    def _init(self, maxsize: float, /) -> None: ...
    def _qsize(self) -> int: ...
    def _put(self, item: _T, /) -> None: ...
    def _get(self) -> _T: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...
    @property
    def maxsize(self) -> float:
        """The maximum number of items; <= 0: no limit."""
    @maxsize.setter
    def maxsize(self, value: float) -> None: ...
    @property
    def mutex(self) -> Lock:
        """The Lock that protects the queue."""
    @property
    def not_empty(self) -> Condition:
        """The Condition that get() waits for."""
    @property
    def not_full(self) -> Condition:
        """The Condition that put() waits for."""
    @property
    def all_tasks_done(self) -> Condition:
        """The Condition that join() waits for."""

class LifoQueue(Queue[_T]):
    """A Queue that returns the last item first."""
    def __new__(cls, maxsize: float = 0) -> Self: ...

class PriorityQueue(Queue[_T]):
    """A Queue that returns the least item first.

    Items are compared while the mutex is held.
    """
    def __new__(cls, maxsize: float = 0) -> Self: ...

@disjoint_base
class SimpleQueue(Generic[_T]):
    """queue.SimpleQueue, for tasklets of any thread and threads without tasklets.

    An unbounded queue, whose put() never waits.
    """
    def __new__(cls) -> Self: ...
    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Store item, without waiting. block and timeout are ignored.

        May be called from finalizers and signal handlers, whatever these have interrupted.
        """
    def put_nowait(self, item: _T) -> None:
        """Same as put(item)."""
    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Remove and return the first item, waiting up to timeout seconds for one.

        While a tasklet waits, others run; a thread without tasklets sleeps. Waiters get
        items in the order in which they came. Raises Empty if no item comes, or with
        block=False at once; ValueError if timeout is negative. After an error nothing was
        removed.
        """
    def get_nowait(self) -> _T:
        """Same as get(block=False)."""
    def qsize(self) -> int:
        """Return the number of items, including those reserved for woken waiters."""
    def empty(self) -> bool:
        """Return whether the queue is empty."""
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...

class ShutDown(Exception): ...

def run(
    timeout: int = 0,
    threadblock: bool = False,
    soft: bool = False,
    ignore_nesting: bool = False,
    totaltimeout: bool = False,
    *,
    wait: bool = False,
) -> tasklet | None:
    """Run the other tasklets of this thread until none is runnable.

    Returns None, or the tasklet that a timeout has stopped. Any tasklet may call it.

    timeout: the number of ticks (not seconds; see scheduler.run()) that one tasklet may
    run without giving way; with totaltimeout, that all may run together. 0 or less: no
    limit. The tasklet that exceeds it is stopped, removed from the run queue and
    returned: alive and paused; insert() lets it go on. It is not stopped while it is
    atomic, in a callback, under switch_trap(), in an import, or, unless it or this call
    has set ignore_nesting, in a function called from C code (generators do not count);
    it is stopped as soon as that is over. soft: stop no tasklet; return None when it
    next gives way. threadblock: while none is runnable, wait as long as another thread
    could make one runnable. wait: while none is runnable, wait as long as anything is
    pending, like scheduler.run(); without it, tasklets that sleep or wait for
    descriptors may be left waiting.

    As in Stackless Python, the options other than wait have no effect without a
    timeout, and a timeout has none inside another run() with a timeout. An uncaught
    exception of a tasklet is raised in the innermost run(); the others stay as they
    are. Raises TypeError for a timeout that is not an int: see scheduler.run(seconds=).
    """

def scheduler_run(
    ticks: int | None = None,
    *,
    seconds: float | None = None,
    switches: int | None = None,
    rounds: int | None = None,
    slice_ticks: int | None = None,
    slice_seconds: float | None = None,
    soft: bool = False,
    threadblock: bool = False,
    ignore_nesting: bool = True,
    wait: bool = False,
) -> tasklet | None:
    """Run the other tasklets of this thread until none is runnable or a budget ends.

    Budgets: ticks, seconds, switches and rounds are for the whole call, slice_ticks and
    slice_seconds for what one tasklet runs without giving way. None: no limit. With 0
    or less nothing runs, and the call returns at once.

    rounds: in a round, each tasklet that is runnable when it begins is entered once, in
    the order of the run queue; a tasklet that becomes runnable during it is entered in
    the next. run(rounds=1) suits a frame of a game. switches: the number of tasklets
    entered. ticks: events of this thread's Python code; from Python 3.12 on a jump or
    the entry of a function, on 3.11 the start of a line or a jump backwards. The same
    program is stopped at the same tick each time. seconds: a float; costs nothing until
    the time is over.

    A budget that ends inside a tasklet stops it, at that tick or soon after that time,
    and returns it: alive, paused, not in the run queue; insert() lets it go on. A
    budget that ends between two tasklets returns None and leaves the run queue as it
    is. A tasklet is not stopped while it is atomic, in a callback, in a finalizer
    called by the collector, under switch_trap(), in an import, or with
    ignore_nesting=False in a function called from C code; it is stopped as soon as that
    is over. soft: stop no tasklet; return None when it next gives way. last_run() tells
    which budget ended.

    wait: while none is runnable, wait as long as anything is pending: a sleep or
    timeout, a descriptor, a worker's result, a callback. Without it, only what is due
    already is taken up. Tasklets blocked on channels or locks do not count.
    threadblock: while none is runnable, wait as long as another thread could make one
    runnable.

    An uncaught exception of a tasklet is raised here. Raises TypeError for a count that
    is not an int or a time that is not a number, ValueError for a time that is NaN, and
    RuntimeError if all tools of sys.monitoring are in use; nothing has run then.
    """

def run_forever() -> None:
    """Run the other tasklets of this thread until stop(); wait while none is runnable.

    Uncaught exceptions of tasklets, and those of signal handlers while it waits, are
    raised here; the other tasklets stay as they are, and it can be called again.
    """

def stop(thread: int | Thread | None = None) -> None:
    """End the innermost run() of a thread, or the next one if there is none.

    It returns when the running tasklet gives way. thread: an ident or a
    threading.Thread; None: the calling thread. Raises RuntimeError if no such thread
    uses tasklets.
    """

def sleep(seconds: float = 0, /) -> None:
    """Let other tasklets run for at least that many seconds; 0: like schedule().

    While none is runnable the thread waits without the GIL. Raises ValueError if
    seconds is negative or NaN, BlockTrapError if the tasklet must not block.
    """

def deadline(
    when: float | None, exc: _ExceptionClass | BaseException | None = None
) -> timeout:
    """Like timeout(), for a block that must end when time.monotonic() shows `when`."""

@overload
def call_soon(func: Callable[[*_Ts], object], /, *args: *_Ts) -> Handle:
    """Call func(*args) soon, in a new tasklet behind the runnable ones of this thread.

    Returns a Handle. The call may block. Its result is dropped; its exception is
    treated like that of any tasklet. It runs in a copy of the caller's contextvars
    Context. Raises TypeError if func is not callable or is async.
    """

@overload
def call_soon(
    func: _Caller, inner: Callable[[*_Ts], object], /, *args: *_Ts
) -> Handle: ...
@overload
def call_later(delay: float, func: Callable[[*_Ts], object], /, *args: *_Ts) -> Handle:
    """Call func(*args) after at least delay seconds; otherwise like call_soon().

    delay: 0 or less for soon. run(wait=True) waits for the call. Raises ValueError if
    delay is NaN.
    """

@overload
def call_later(
    delay: float, func: _Caller, inner: Callable[[*_Ts], object], /, *args: *_Ts
) -> Handle: ...
def scheduled_calls() -> list[Handle]:
    """Return a list of the Handles of this thread's pending calls, the oldest first."""

@overload
def call_soon_threadsafe(
    func: Callable[[*_Ts], object], /, *args: *_Ts, thread: int | Thread | None = None
) -> Handle:
    """Call func(*args) soon in another thread, whose scheduler is woken if it waits.

    thread: an ident or a threading.Thread; None: the main thread. Otherwise like
    call_soon(). Raises RuntimeError if that thread does not use tasklets.
    """

@overload
def call_soon_threadsafe(
    func: _Caller,
    inner: Callable[[*_Ts], object],
    /,
    *args: *_Ts,
    thread: int | Thread | None = None,
) -> Handle: ...
def wait_readable(fd: int | _HasFileno, /, timeout: float | None = None) -> None:
    """Wait until a descriptor can be read from, was closed by its peer, or is in error.

    fd: an int, or an object with fileno(); its flags are left alone. Regular files are
    always ready. Call notify_closing() before closing a descriptor that tasklets wait
    for.

    timeout: in seconds; 0 or less: do not wait. Raises TimeoutError when it is over,
    OSError if the descriptor cannot be waited for or is closed during the wait, and
    BlockTrapError if the tasklet must not block.
    """

def wait_writable(fd: int | _HasFileno, /, timeout: float | None = None) -> None:
    """Wait until a descriptor can be written to; otherwise like wait_readable()."""

def notify_closing(fd: int | _HasFileno, /) -> None:
    """Wake all waiters of a descriptor, in every thread, before it is closed.

    fd: an int, or an object with fileno(). Their wait_readable(), wait_writable() or
    select() raises OSError, with errno EBADF and the number as its filename. Has no
    effect without waiters. Close the descriptor next, before another tasklet runs: a
    wait that begins in between notices the close only after about a second. Any thread
    may call it, and a signal handler may. Raises TypeError, ValueError or OverflowError
    if fd is not a descriptor.
    """

def recv(channel: channel[_T], /) -> Case[_T]:
    """Return a case for select(): receive from channel. It can be used again."""

def send(channel: channel[_T], value: _T | bomb, /) -> Case[None]:
    """Return a case for select(): send value to channel. It can be used again."""

# The value has the type of its case. Type checkers would join the types of several
# cases into object, so there is a signature for each number of cases.
@overload
def select(case: Case[_T], /, *, timeout: float | None = None) -> tuple[Case[_T], _T]:
    """Do one of several operations, the first that is possible; return (case, value).

    Cases: recv(channel), whose value is the received one; send(channel, value);
    readable(fd); writable(fd); a tasklet or concurrent.futures.Future, chosen when it
    has ended; a tasklets.locks.Event, chosen when it is or has been set since the call.
    The value of all but recv() is None. If several are possible each has the same
    chance. If none is, the call waits, or with a default returns (None, default). Cases
    that were not chosen have no effect.

    timeout: in seconds; 0 or less: do not wait. Raises TimeoutError when it is over;
    the exception that a sender sent with send_exception(); ChannelClosed if a case's
    channel is closed; DeadlockError and BlockTrapError like receive().
    """

@overload
def select(
    case: Case[_T], /, *, timeout: float | None = None, default: _D
) -> tuple[Case[_T], _T] | tuple[None, _D]: ...
@overload
def select(
    case1: Case[_T1], case2: Case[_T2], /, *, timeout: float | None = None
) -> tuple[Case[_T1], _T1] | tuple[Case[_T2], _T2]: ...
@overload
def select(
    case1: Case[_T1], case2: Case[_T2], /, *, timeout: float | None = None, default: _D
) -> tuple[Case[_T1], _T1] | tuple[Case[_T2], _T2] | tuple[None, _D]: ...
@overload
def select(
    case1: Case[_T1],
    case2: Case[_T2],
    case3: Case[_T3],
    /,
    *,
    timeout: float | None = None,
) -> tuple[Case[_T1], _T1] | tuple[Case[_T2], _T2] | tuple[Case[_T3], _T3]: ...
@overload
def select(
    case1: Case[_T1],
    case2: Case[_T2],
    case3: Case[_T3],
    /,
    *,
    timeout: float | None = None,
    default: _D,
) -> (
    tuple[Case[_T1], _T1]
    | tuple[Case[_T2], _T2]
    | tuple[Case[_T3], _T3]
    | tuple[None, _D]
): ...
@overload
def select(
    case1: Case[_T1],
    case2: Case[_T2],
    case3: Case[_T3],
    case4: Case[_T4],
    /,
    *,
    timeout: float | None = None,
) -> (
    tuple[Case[_T1], _T1]
    | tuple[Case[_T2], _T2]
    | tuple[Case[_T3], _T3]
    | tuple[Case[_T4], _T4]
): ...
@overload
def select(
    case1: Case[_T1],
    case2: Case[_T2],
    case3: Case[_T3],
    case4: Case[_T4],
    /,
    *,
    timeout: float | None = None,
    default: _D,
) -> (
    tuple[Case[_T1], _T1]
    | tuple[Case[_T2], _T2]
    | tuple[Case[_T3], _T3]
    | tuple[Case[_T4], _T4]
    | tuple[None, _D]
): ...
@overload
def select(*cases: Case[_T], timeout: float | None = None) -> tuple[Case[_T], _T]: ...
@overload
def select(
    *cases: Case[_T], timeout: float | None = None, default: _D
) -> tuple[Case[_T], _T] | tuple[None, _D]: ...
@overload
def select(*cases: _S, timeout: float | None = None) -> tuple[_S, None]: ...
@overload
def select(
    *cases: _S, timeout: float | None = None, default: _D
) -> tuple[_S, None] | tuple[None, _D]: ...
@overload
def select(
    *cases: Case[_T] | _S, timeout: float | None = None
) -> tuple[Case[_T], _T] | tuple[_S, None]: ...
@overload
def select(
    *cases: Case[_T] | _S, timeout: float | None = None, default: _D
) -> tuple[Case[_T], _T] | tuple[_S, None] | tuple[None, _D]: ...
@overload
def select(
    *cases: Case[Any] | _Selectable, timeout: float | None = None
) -> tuple[Case[Any] | _Selectable, Any]: ...
@overload
def select(
    *cases: Case[Any] | _Selectable, timeout: float | None = None, default: _D
) -> tuple[Case[Any] | _Selectable, Any] | tuple[None, _D]: ...
def swap_block_trap(trap: Any, /) -> tuple[tasklet, bool] | None:
    """Set the current tasklet's block_trap; return the argument that restores it."""

def worker_pools() -> list[worker_pool]:
    """Return a list of all worker pools."""

def call_undisturbed(func: Callable[[Any], _T], arg: Any, /) -> _T:
    """Return func(arg), called where no signal handler can interrupt it.

    The main thread lets another thread call it.
    """

def future_listen(future: Future[Any], func: Callable[[Any], object], /) -> bool:
    """Add a done callback without taking the future's lock.

    Returns False, without adding it, if the future is done.
    """

# The second signature is for a list of several kinds, which mypy infers as a list of
# objects unless it is given an expected type.
@overload
def wait(
    objects: Iterable[_W], timeout: float | None = None, count: int | None = None
) -> list[_W]:
    """Wait until count of the objects have finished, or all if count is None.

    objects: an iterable of tasklets of any thread, concurrent.futures.Future, and
    tasklets.locks.Event, which has finished once it is set, even if it is cleared
    again. A repeated object counts once.

    Returns a list of all objects that have finished, in the order in which they did;
    objects finished before the call come first, in the order given. It has fewer
    than count items only if timeout seconds are over. A tasklet's exception is not
    raised here; if the tasklet ends during the call, it is not raised elsewhere either.

    Raises TypeError for an object of another type; ValueError if count is negative or
    greater than the number of objects, or timeout is NaN; RuntimeError if the caller is
    among the objects; DeadlockError if too few of them can ever finish.
    """

@overload
def wait(  # type: ignore[overload-cannot-match] # pyright: ignore[reportOverlappingOverload]
    objects: Iterable[_Waitable],
    timeout: float | None = None,
    count: int | None = None,
) -> list[_Waitable]: ...
@overload
def as_completed(
    objects: Iterable[_W], timeout: float | None = None
) -> completions[_W]:
    """Return an iterator over the objects in the order in which they finish.

    Objects that have finished already come first, in the order given. objects and
    errors are as for wait(). timeout: in seconds from this call; when it is over the
    iterator raises TimeoutError and ends.
    """

@overload
def as_completed(  # type: ignore[overload-cannot-match] # pyright: ignore[reportOverlappingOverload]
    objects: Iterable[_Waitable], timeout: float | None = None
) -> completions[_Waitable]: ...
def fs_open(
    path: _Path, flags: int, mode: int = 0o777, *, timeout: float | None = None
) -> int:
    """Open a file and return its descriptor, like os.open.

    flags: such as os.O_RDONLY. Child processes do not inherit the descriptor. If
    the wait ends early the file may still be opened; it is then closed again.
    Raises OSError, and TimeoutError after timeout seconds.
    """

def fs_close(fd: int, *, timeout: float | None = None) -> None:
    """Close a descriptor, like os.close.

    If the wait ends early it is closed nevertheless, then or later. Raises
    OSError, and TimeoutError after timeout seconds.
    """

def fs_read(
    fd: int, n: int, offset: int = -1, *, timeout: float | None = None
) -> bytes:
    """Read at most n bytes from a descriptor and return them; b'' at the end of file.

    offset: where to begin, like os.pread; -1: at the descriptor's position, like
    os.read. If the wait ends early the bytes read are lost. Raises OSError, and
    TimeoutError after timeout seconds.
    """

def fs_write(
    fd: int, data: Buffer, offset: int = -1, *, timeout: float | None = None
) -> int:
    """Write bytes to a descriptor and return the number of bytes written.

    data: bytes or another contiguous buffer, not to be changed during the call.
    offset: where to begin, like os.pwrite; -1: at the descriptor's position, like
    os.write. If the wait ends early the bytes may be written or not. Raises
    OSError, and TimeoutError after timeout seconds.
    """

def fs_fsync(fd: int, *, timeout: float | None = None) -> None:
    """Flush a file to disk, like os.fsync.

    Raises OSError, and TimeoutError after timeout seconds.
    """

def fs_ftruncate(fd: int, length: int, *, timeout: float | None = None) -> None:
    """Change the size of a file to length bytes, like os.ftruncate.

    If the wait ends early it may be changed or not. Raises OSError, and
    TimeoutError after timeout seconds.
    """

def fs_stat(path: _Path, *, timeout: float | None = None) -> stat_result:
    """Return what os.stat returns for a path.

    Raises OSError, and TimeoutError after timeout seconds.
    """

def fs_lstat(path: _Path, *, timeout: float | None = None) -> stat_result:
    """Return what os.lstat returns for a path: symbolic links are not followed.

    Raises OSError, and TimeoutError after timeout seconds.
    """

def fs_fstat(fd: int, *, timeout: float | None = None) -> stat_result:
    """Return what os.fstat returns for an open descriptor.

    Raises OSError, and TimeoutError after timeout seconds.
    """

def fs_mkdir(path: _Path, mode: int = 0o777, *, timeout: float | None = None) -> None:
    """Create a directory, like os.mkdir.

    If the wait ends early it may be created or not. Raises OSError, and
    TimeoutError after timeout seconds.
    """

def fs_rmdir(path: _Path, *, timeout: float | None = None) -> None:
    """Remove an empty directory, like os.rmdir.

    If the wait ends early it may be removed or not. Raises OSError, and
    TimeoutError after timeout seconds.
    """

def fs_unlink(path: _Path, *, timeout: float | None = None) -> None:
    """Remove a file, like os.unlink.

    If the wait ends early it may be removed or not. Raises OSError, and
    TimeoutError after timeout seconds.
    """

def fs_rename(src: _Path, dst: _Path, *, timeout: float | None = None) -> None:
    """Rename a file or directory, like os.rename.

    If the wait ends early it may be renamed or not. Raises OSError, and
    TimeoutError after timeout seconds.
    """

@overload
def fs_listdir(
    path: str | PathLike[str] | None = ".", *, timeout: float | None = None
) -> list[str]:
    """Return the names in a directory, like os.listdir: bytes if path is bytes.

    Raises OSError, and TimeoutError after timeout seconds.
    """

@overload
def fs_listdir(
    path: bytes | PathLike[bytes], *, timeout: float | None = None
) -> list[bytes]: ...
@overload
def fs_entries(
    path: str | PathLike[str] | None = ".", *, timeout: float | None = None
) -> list[tuple[str, int]]:
    """Return a list of (name, kind) of the entries of a directory.

    kind is the file type bits of st_mode; 0 if not known. Raises OSError, and
    TimeoutError after timeout seconds.
    """

@overload
def fs_entries(
    path: bytes | PathLike[bytes], *, timeout: float | None = None
) -> list[tuple[bytes, int]]: ...
def fs_read_bytes(path: _Path, *, timeout: float | None = None) -> bytes:
    """Return the contents of a file.

    Raises OSError, and TimeoutError after timeout seconds.
    """

def fs_write_bytes(path: _Path, data: Buffer, *, timeout: float | None = None) -> int:
    """Replace the contents of a file, and return the number of bytes written.

    data: bytes or another contiguous buffer, not to be changed during the call.
    If the wait ends early the file may be written completely, in part or not at
    all. Raises OSError, and TimeoutError after timeout seconds.
    """

def fs_watch_open() -> int:
    """Return a new descriptor of inotify, which does not block. Raises OSError."""

def fs_watch_add(fd: int, path: _Path, mask: int, /) -> int:
    """Watch a path for the events of a mask (IN_...), and return the watch's number.

    A path that leads to a file that is watched already has the same number, and
    its mask is replaced. Raises OSError.
    """

def fs_watch_remove(fd: int, watch: int, /) -> None:
    """End a watch. Raises OSError: EINVAL if it has ended already."""

@disjoint_base
class Stream:
    """A connection: bytes in both directions, while other tasklets run.

    socket: a connected socket object, which gives its descriptor away, or the number of
    a descriptor: a socket's or one end of a pipe. The stream owns the descriptor, makes
    it non-blocking, and closes it. One tasklet may read at a time; writes of several
    tasklets do not mix. Iteration yields lines.
    """
    def __new__(cls, socket: socket | int) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> Any: ...
    def read(self, n: int = 65536, /, *, timeout: float | None = None) -> bytes:
        """Return what has come, at least one and at most n bytes; b"" at the end.

        n=-1: all bytes up to the end. Waits up to timeout seconds, by default read_timeout,
        then raises TimeoutError; raises OSError if the connection breaks, RuntimeError if
        another tasklet is reading, ClosedError if the stream is closed. After an error
        nothing is lost: what had come is returned by the next read.
        """
    def read_exactly(self, n: int, /, *, timeout: float | None = None) -> bytes:
        """Return exactly n bytes.

        Raises IncompleteReadError if the stream ends before, and otherwise what read()
        raises.
        """
    def read_until(
        self,
        separator: Buffer,
        /,
        *,
        limit: int = 65536,
        timeout: float | None = None,
    ) -> bytes:
        """Return the bytes up to and including separator.

        Raises LimitError, and takes nothing, if that would be more than limit bytes;
        IncompleteReadError if the stream ends before; and otherwise what read() raises.
        """
    def readline(self, *, limit: int = 65536, timeout: float | None = None) -> bytes:
        """Return the next line, with its b"\\n"; the last one may have none. b"" at the end.

        Raises LimitError, and takes nothing, if the line is longer than limit bytes, and
        otherwise what read() raises.
        """
    def readinto(self, buffer: Buffer, /, *, timeout: float | None = None) -> int:
        """Read into a writable buffer, and return the number of bytes; 0 at the end.

        Raises what read() raises.
        """
    def write(self, data: Buffer, /, *, timeout: float | None = None) -> None:
        """Write all of data, which is bytes or another buffer.

        Small writes are collected until the tasklet gives way to others, up to 64 KiB, and
        sent together: flush() sends them at once. Waits while too much is collected, up to
        timeout seconds, by default write_timeout, then raises TimeoutError. Raises OSError
        if the connection breaks, also for an earlier write. If an exception cuts a write
        short, its attribute sent is the number of bytes that have gone, and later writes
        raise BrokenPipeError; with TLS they go on, so that the rest can be written.
        """
    def writelines(
        self, pieces: Iterable[Buffer], /, *, timeout: float | None = None
    ) -> None:
        """Write each of the pieces, an iterable of bytes or other buffers. As write()."""
    def flush(self, *, timeout: float | None = None) -> None:
        """Wait until everything written so far has been given to the system.

        Raises what write() raises.
        """
    def write_eof(self, *, timeout: float | None = None) -> None:
        """Flush, and tell the peer that nothing follows; reading goes on.

        With TLS the peer gets a close_notify; up to TLS 1.2 it may end the connection then.
        Raises what write() raises. Calling it again does nothing.
        """
    def close(self) -> None:
        """Close the stream, without waiting. Tasklets that wait for it get ClosedError.

        What was written and has not gone yet is sent in the background for up to five
        seconds; call flush() first to be sure of it. With TLS the peer is told of the end,
        unless the last write was cut short. Raises OSError if an earlier write has failed:
        the stream is closed all the same. Calling it again does nothing.
        """
    def abort(self) -> None:
        """Close the stream, and drop what has not been sent. The peer of a TCP connection gets
        a reset. Calling it again does nothing.
        """
    def detach(self) -> int:
        """Close the stream without closing its descriptor, which is returned.

        The descriptor is non-blocking. Raises ValueError, and changes nothing, if bytes that
        have come or were written would be lost, or with TLS.
        """
    def start_tls(
        self,
        context: SSLContext,
        /,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: SSLSession | None = None,
        suppress_ragged_eofs: bool = False,
        timeout: float | None = 60,
    ) -> None:
        """Begin TLS on this connection, and wait until the handshake is complete.

        context is an ssl.SSLContext; server_side says which end this is. A client gives
        server_hostname, which is sent to the server, and which its certificate must be for;
        session is one of an earlier connection, to resume it. If the peer ends the
        connection without saying so in TLS, reads raise ssl.SSLEOFError, because an attacker
        may have cut it; with suppress_ragged_eofs they return b"".

        Raises RuntimeError, and changes nothing, if TLS has begun, if another tasklet reads
        or writes, or if bytes were received that nobody has read. If the handshake fails or
        is interrupted, the stream is closed: raises ssl.SSLError, of which
        ssl.SSLCertVerificationError is a kind, OSError, or TimeoutError after timeout
        seconds (None: no limit).
        """
    def fileno(self) -> int:
        """Return the descriptor, -1 once the stream is closed."""
    @property
    def peer_address(self) -> Any:
        """The peer's address, in the form that socket.getpeername() returns."""
    @property
    def local_address(self) -> Any:
        """The own address, in the form that socket.getsockname() returns."""
    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
    @property
    def tls(self) -> SSLObject | None:
        """The ssl.SSLObject of the connection, to ask for version(), cipher(),
        getpeercert(), selected_alpn_protocol(), session and the like; None: no TLS.
        """
    @property
    def read_timeout(self) -> float | None:
        """The timeout of reads without one, in seconds; None: none."""
    @read_timeout.setter
    def read_timeout(self, value: float | None) -> None: ...
    @property
    def write_timeout(self) -> float | None:
        """The same for writes."""
    @write_timeout.setter
    def write_timeout(self, value: float | None) -> None: ...

@disjoint_base
class Listener:
    """Accepts connections, while other tasklets run.

    socket: a listening socket object, which gives its descriptor away, or the number of
    its descriptor. The listener owns the descriptor, makes it non-blocking, and closes
    it.
    """
    def __new__(cls, socket: socket | int) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> Any: ...
    def accept(self, *, timeout: float | None = None) -> Stream:
        """Return a Stream for the next connection.

        Waits up to timeout seconds, then raises TimeoutError; raises ClosedError when the
        listener is closed. While no descriptor is left, it tries again after pauses of 50 ms
        to 1 s; after five seconds of that, new connections are closed at once, so that their
        clients do not hang.
        """
    def close(self) -> None:
        """Stop listening. A tasklet inside accept() gets ClosedError. Calling it again does
        nothing.
        """
    def detach(self) -> int:
        """Close the listener without closing its descriptor, which is returned, and is
        non-blocking.
        """
    def fileno(self) -> int:
        """Return the descriptor, -1 once the listener is closed."""
    @property
    def address(self) -> Any:
        """The own address, in the form that socket.getsockname() returns."""
    @property
    def closed(self) -> bool:
        """Whether the listener was closed."""
    @property
    def shed(self) -> int:
        """The number of connections closed at once for want of descriptors."""

@disjoint_base
class DatagramSocket:
    """Sends and receives datagrams, while other tasklets run.

    socket: a datagram socket object, which gives its descriptor away, or the number of
    its descriptor. The new object owns the descriptor, makes it non-blocking, and closes
    it.
    """
    def __new__(cls, socket: socket | int) -> Self: ...
    def __reduce__(self) -> Any: ...
    def receive(
        self, size: int = 65536, /, *, timeout: float | None = None
    ) -> tuple[bytes, Any, bool]:
        """Return the next datagram: (data, address of the sender, whether it was cut to size).

        Waits up to timeout seconds, then raises TimeoutError. Raises ClosedError if the
        socket is closed, and ConnectionRefusedError, once, if nobody listens at the address
        to which a connected socket has sent. After an error nothing is lost.
        """
    def send(
        self, data: Buffer, address: Any = None, /, *, timeout: float | None = None
    ) -> None:
        """Send data as one datagram to address, by default to the connected peer.

        address is in the form that socket.sendto() takes, with a numeric host. Waits up to
        timeout seconds while the system takes none, then raises TimeoutError. Raises OSError
        if the datagram is too long or cannot be sent; nothing was sent then.
        """
    def close(self) -> None:
        """Close the socket. Tasklets that wait for it get ClosedError. Calling it again does
        nothing.
        """
    def fileno(self) -> int:
        """Return the descriptor, -1 once the socket is closed."""
    @property
    def family(self) -> int:
        """The address family, an int."""
    @property
    def closed(self) -> bool:
        """Whether the socket was closed."""
    @property
    def local_address(self) -> Any:
        """The own address, in the form that socket.getsockname() returns."""

def net_connect(
    family: int,
    address: Any,
    local: Any = None,
    /,
    *,
    timeout: float | None = None,
) -> Stream:
    """Return a Stream that is connected to address, in the form that sockets of that family
    take, with a numeric host.

    local: the own address, or None. Raises TimeoutError after timeout seconds, OSError
    with the address in it if the connection fails, ValueError if a host is a name. After
    an error no descriptor is left.
    """

def net_socket_type() -> type[socket]:
    """Return the class derived from socket.socket whose calls let other tasklets run."""

def net_give_way() -> None:
    """Count an operation that did not wait. After 16 of them in one slice the other tasklets
    get their turn, if the caller may switch.
    """

def net_getaddrinfo(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
    *,
    timeout: float | None = None,
) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
    """Return what socket.getaddrinfo returns, with family and type as plain ints.

    timeout: in seconds; raises TimeoutError when it is over. Otherwise raises what
    socket.getaddrinfo raises.
    """

def pending() -> int:
    """Return the number of pending operations that complete by themselves.

    They are this thread's sleeps, timeouts, call_later() calls, and waits for
    descriptors, files, addresses, workers and futures. run(wait=True) goes on while
    there are any.
    """

def next_deadline() -> float | None:
    """Return when run() has something to do next, on time.monotonic()'s clock.

    That is now if another tasklet is runnable; None if no timer is pending.
    """

def now() -> float:
    """Return the time that this thread's sleeps and timeouts follow, in seconds.

    That is time.monotonic(), or what a fake clock shows.
    """

def shift_clock(seconds: float, /) -> None:
    """Postpone all pending timers of this thread by seconds; negative: advance them.

    For a host that was suspended, and whose tasklets should not notice.
    """

def fake_clock(seconds: float | None, /, *, carry: bool = False) -> float | None:
    """Make this thread's sleeps and timeouts follow a fake clock that shows seconds.

    The fake clock moves only when it is set, or when nothing is runnable: then to the
    next deadline. None: return to the real clock. carry: pending timers keep the time
    they have left. Returns what the fake clock showed, or None if the clock was the
    real one.

    Raises RuntimeError if, without carry, it would change between the real and a fake
    clock while timers are pending.
    """

def advance_fake_clock(nanoseconds: int, /) -> int:
    """Advance the fake clock by nanoseconds, but not beyond the next deadline.

    Returns the nanoseconds left. Raises RuntimeError if this thread has no fake clock.
    """

def last_run() -> tuple[str, float, int] | None:
    """Return (why, elapsed, switches) of this thread's last scheduler.run(), or None.

    why: 'idle' (none was runnable); 'ticks', 'seconds', 'switches', 'rounds',
    'slice_ticks' or 'slice_seconds' (that budget ended); 'stopped' (by stop(), or
    by an insert() of the caller); 'error' (it raised). elapsed is in seconds.
    """

def schedule(retval: Any = ...) -> Any:
    """Let every other runnable tasklet of this thread run once, then return.

    Returns retval, by default the current tasklet, unless the caller's tempval
    was set in between. Returns at once if no other tasklet is runnable.
    """

def schedule_remove(retval: Any = ...) -> Any:
    """Pause the current tasklet until another one inserts it; the others run.

    Returns retval, by default the current tasklet, unless its tempval was set in
    between. If no other tasklet is runnable the innermost run() goes on, or if it
    cannot, DeadlockError is raised here. While the caller is paused, retval is in its
    tempval: by default it refers to itself, and if all other references are dropped
    only the cyclic collector ends it. After schedule_remove(None) dropping the last
    reference does.
    """

def stackless_schedule_remove(retval: Any = ...) -> Any:
    """Pause the current tasklet until another one inserts it; the others run.

    Returns retval, by default the current tasklet, unless its tempval was set in
    between. If no other tasklet is runnable the innermost run() goes on, or if it
    cannot, DeadlockError is raised here. While the caller is paused, retval is in its
    tempval: by default it refers to itself, and if all other references are dropped
    only the cyclic collector ends it. After schedule_remove(None) dropping the last
    reference does.
    """

@overload
def spawn(
    func: Callable[..., _T], /, *args: Any, name: str | None, **kwargs: Any
) -> tasklet[_T]:
    """Run func(*args, **kwargs) in a new tasklet, and return the tasklet.

    It is runnable, runs in a copy of the caller's contextvars Context, and keeps its
    result or exception for result() and exception(). name: a str, the tasklet's name; a
    func that has a parameter of that name gets it by position, or as
    functools.partial(func, name=...). Raises TypeError if func is not callable or is
    async, or name is not a str. Warns of a generator function: none of its body runs.
    """

@overload
def spawn(
    func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
) -> tasklet[_T]: ...
def kill_all(tasklets: Iterable[tasklet[Any]], pending: bool = False) -> None:
    """Raise TaskletExit in each of the tasklets (an iterable), like their kill().

    Those of this thread run at once, one after the other in that order: when the
    call returns their finally blocks have run, unless these wait. Until then no
    other tasklet runs, except through what the killed tasklets do; n tasklets
    cost n switches. If the caller is among them it is killed last.

    pending: the tasklets are killed when their turn comes, and the call returns
    at once. This always holds for tasklets of other threads and inside shield().

    If one of them ends with an exception, the exception is raised in main or in
    the innermost run(), as for kill(); the rest are killed when their turn comes.
    Raises TypeError for an item that is not a tasklet, RuntimeError in a callback
    and SwitchTrapError under switch_trap(); none has been killed then.
    """

def getcurrent() -> tasklet:
    """Return the running tasklet; in a schedule callback, the one being left."""

def getmain() -> tasklet:
    """Return this thread's main tasklet, the code that the thread began with."""

def getcurrentid() -> int:
    """Return an int that identifies the current tasklet; for main, the thread's id."""

def getruncount() -> int:
    """Return the number of this thread's runnable tasklets, the running included."""

def getthreads() -> list[int]:
    """Return the ids of all Python threads but idle workers, the oldest first."""

def get_thread_info(thread_id: int = -1, flags: int = 0, /) -> tuple[Any, ...]:
    """Return (main tasklet, current tasklet, run count) of a thread.

    thread_id: -1 for this thread. Returns (None, None, 0) for a thread that has not
    used tasklets yet. With bit 31 of flags set there is a fourth item: None before the
    first run(), otherwise a list of the caller of run() whose timeout is active, or
    None, and of all callers of run() from the outermost. Raises RuntimeError if there
    is no such thread.
    """

def getuncollectables() -> list[tasklet]:
    """Return a list of the tasklets of all threads that have started and not ended.

    Main tasklets are left out. Unreachable ones that the collector cannot free are
    included.
    """

def all_tasklets() -> list[tasklet]:
    """Return a list of the tasklets of all threads that are runnable or have started.

    Main tasklets and paused ones are included. Tasklets that have ended or were never
    made runnable are not, nor those removed from the run queue before they began. The
    list keeps the tasklets alive.
    """

def survey(all_threads: bool, /) -> list[_Record]:
    """Return a list that describes each tasklet, of all threads or of this one.

    The items are (thread id, name, state, wait, spawned at, stack). wait is None, or
    (what the tasklet waits for, seconds since it began, seconds until it times out or
    None). stack is a list of (file, line, function), the innermost first. The result
    keeps no tasklet alive.
    """

def switch_trap(change: int = 0, /) -> int:
    """Add change to this thread's trap counter and return its old value.

    While the counter is not 0, any operation that would switch to another tasklet
    raises SwitchTrapError and changes nothing; insert(), remove() and waking other
    threads are allowed.
    """

def stackless_switch_trap(change: int = 0, /) -> int:
    """Add change to this thread's trap counter and return its old value.

    While the counter is not 0, any operation that would switch to another tasklet
    raises SwitchTrapError and changes nothing; insert(), remove() and waking other
    threads are allowed.
    """

def set_channel_callback(func: _ChannelCallback | None, /) -> _ChannelCallback | None:
    """Call func(channel, tasklet, sending, willblock) at each channel operation.

    None removes the callback. Returns the previous callback, or None. func is called
    before anything changes, or afterwards if the partner belongs to another thread. It
    must not use channels or switch; an exception that it raises is raised by the
    operation. Raises TypeError if func is not callable.
    """

def get_channel_callback() -> _ChannelCallback | None:
    """Return the callback that set_channel_callback() set, or None."""

def set_schedule_callback(
    func: _ScheduleCallback | None, /
) -> _ScheduleCallback | None:
    """Call func(prev, next) before each switch, in every thread.

    None removes the callback. Returns the previous callback, or None. func must not
    switch; an exception that it raises is reported as unraisable. prev is None when a
    thread's main tasklet is created. Raises TypeError if func is not callable.
    """

def get_schedule_callback() -> _ScheduleCallback | None:
    """Return the callback that set_schedule_callback() set, or None."""

def set_error_handler(func: _ErrorHandler | None = None, /) -> _ErrorHandler | None:
    """Call func(type, value, traceback) with each uncaught exception of a tasklet.

    None removes the handler. Returns the previous handler, or None. func is called in
    the dying tasklet; if it returns, the exception counts as handled; if it raises,
    that exception goes to run(). Raises TypeError if func is not callable.
    """

def check_function(fname: str, func: object, level: int, /) -> None:
    """Raise the TypeError of fname() if func is not callable or is async.

    Issues a RuntimeWarning if it is a generator function. level: how far the call of
    fname() is from the caller of this function, which has level 1.
    """

def order_seed(seed: int | None, /) -> int | None:
    """Insert tasklets that become runnable at random places of this thread's run queue.

    The places are behind the head, and the same for the same seed, an int from 1 to
    2**64 - 1. None: append at the end, as usual. Returns the seed that continues the
    present sequence, or None.
    """

def statistics() -> _Statistics:
    """Return a dict of counters of this thread and of the process.

    This thread: runnable, started (not ended yet), blocked (a dict: how many wait for
    what), switches, spawned, finished, pooled_stacks; sleeps and spins (waits of the
    thread with and without sleeping), woken (sleeps ended by another thread), slept and
    run_time (CPU time), both in seconds; timers (pending), timers_fired, latency_mean
    and latency_max (how late they fired, in seconds).

    The process: tasklets, channels, threads (that use tasklets), slabs (megabytes held
    for stacks), worker_pools, workers, workers_idle, calls_queued and calls_finished.
    The calls of a pool that no longer exists are not counted.
    """

def live_counts() -> dict[str, int]:
    """Return a dict of the number of live objects of each C type, for leak tests."""

stress: bool

def stress_yields(flag: bool, /) -> bool:
    """Set whether a build with TL_STRESS yields before each operation that may wait.

    Returns the previous value. For tests that count turns; other builds never yield.
    """

def libuv_version() -> str:
    """Return the version of the loaded libuv."""

def _report_lock_cycles(flag: bool, /) -> bool: ...
def _set_end_limits(cpu_seconds: float, turn_seconds: float, /) -> None: ...
def _main_has_ended() -> None: ...
def _at_exit() -> None: ...
def _after_fork() -> None: ...
