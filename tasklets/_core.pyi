from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError as _FutureCancelledError
from concurrent.futures import Future
from contextvars import Context
from os import PathLike, stat_result
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

# What a channel carries, and what a tasklet returns: Any where nobody says it.
_Item = TypeVar("_Item", default=Any)
_Result_co = TypeVar("_Result_co", covariant=True, default=Any)
_Value_co = TypeVar("_Value_co", covariant=True, default=Any)

# What wait(), as_completed() and select() take; and what only select() does.
_Waitable: TypeAlias = tasklet | Future[Any] | Event
_W = TypeVar("_W", bound=_Waitable)
_Selectable: TypeAlias = _Waitable | readable | writable
_S = TypeVar("_S", bound=_Selectable)

_Path: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes]

# Some classes have an attribute of the name type, or channel.
_ExceptionClass: TypeAlias = type[BaseException]
_AnyChannel: TypeAlias = channel
_ChannelCallback: TypeAlias = Callable[[channel, tasklet, int, int], object]
_ScheduleCallback: TypeAlias = Callable[[tasklet | None, tasklet], object]
_ErrorHandler: TypeAlias = Callable[
    [_ExceptionClass, BaseException, TracebackType | None], object
]
# What survey() tells of a tasklet: thread, name, state, wait, spawned_at, stack.
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
    """Ends a tasklet without being an error; see tasklet.kill()."""

class TimeoutExit(TaskletExit):
    """Leaves a timeout() block whose time is up, which then raises."""

class GroupExit(TaskletExit):
    """Interrupts the body of a TaskGroup that is being cancelled."""

class CancelledError(_FutureCancelledError, RuntimeError):
    """The tasklet whose result was asked for has been killed."""

class DeadlockError(RuntimeError):
    """Nobody could ever end this wait. Lists who waits for what."""

class ChannelClosed(ValueError):
    """The operation would block, and the channel is closed."""

class BlockTrapError(RuntimeError):
    """The operation would block, and the tasklet's block_trap is set."""

class SwitchTrapError(RuntimeError):
    """The operation would switch, and switch_trap() forbids that."""

# Types.

@disjoint_base
class tasklet(Generic[_Result_co]):
    """A function that runs on a stack of its own, by turns with others of its thread.

    tasklet(func)(*args) makes it runnable. With args or kwargs given here it is set up,
    but paused until insert(). As in Stackless Python; see also spawn().
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
        """Bind to a function; with args or kwargs also set up, paused. Returns the tasklet.

        Without arguments: unbind. The caller's contextvars Context is shared from now on.
        Raises RuntimeError for a tasklet that is current, scheduled, blocked or started, and
        TypeError for arguments of the wrong type; the tasklet is unchanged then.
        """
    def setup(self, /, *args: Any, **kwargs: Any) -> Self:
        """Give the bound function its arguments and make the tasklet runnable on its thread.

        Returns the tasklet. Raises RuntimeError if it is alive or not bound.
        """
    def insert(self) -> Self:
        """Put it at the end of its thread's run queue, if it is paused, and wake that thread.

        Returns the tasklet. Raises RuntimeError if it is blocked, not alive, or its thread
        has ended.
        """
    def remove(self) -> Self:
        """Take it out of the run queue: it is paused. Returns the tasklet.

        Raises RuntimeError if it is blocked, or its thread's current tasklet.
        """
    def run(self) -> Any:
        """Run it now; the caller stays in the run queue, at its end.

        A tasklet of another thread becomes that thread's next one instead. Raises
        RuntimeError if it is blocked or not alive.
        """
    def switch(self) -> Any:
        """Run it now; the caller is paused.

        Raises RuntimeError if it is blocked, not alive, or of another thread.
        """
    def kill(self, pending: bool = False) -> None:
        """Raise TaskletExit in it: now, or with pending when it is next resumed.

        Its finally blocks run; it may catch TaskletExit and live on. A tasklet that is not
        alive is left alone. One of another thread gets it when that thread next switches.
        """
    def throw(
        self,
        exc: _ExceptionClass | BaseException,
        val: object = None,
        tb: TracebackType | None = None,
        pending: bool = False,
    ) -> Any:
        """Raise an exception in it: now, or with pending when it is next resumed.

        exc is an exception class or instance, val and tb as in a three-part raise. On the
        current tasklet it is raised at once. Raises RuntimeError if it is not alive, and
        TypeError for arguments that do not fit.
        """
    def raise_exception(self, cls: _ExceptionClass, /, *args: Any) -> Any:
        """Raise cls(*args) in it now. The instance is made on its side."""
    def set_atomic(self, flag: bool | int, /) -> bool:
        """Set the atomic flag and return the old one. While it is set, no budget of run() stops
        the tasklet; one that has ended meanwhile stops it when the flag is reset.
        """
    def set_ignore_nesting(self, flag: bool | int, /) -> bool:
        """Set the flag that lets a watchdog interrupt nested code, and return the old one."""
    def bind_thread(self, thread_id: int = -1, /) -> None:
        """Make another thread its home: the caller's, or the one with that id.

        Raises RuntimeError if it is runnable or has started, ValueError for a thread that
        does not exist or has not used tasklets yet.
        """
    def set_context(self, context: Context, /) -> Self:
        """Have context be the contextvars Context in force while it runs. Returns the tasklet.

        Raises RuntimeError for a tasklet that is current or runnable on another thread, or
        is inside Context.run().
        """
    def context_run(
        self, func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call func here and now, with this tasklet's contextvars Context in force."""
    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, on whatever thread: True, or False after timeout seconds.

        Raises RuntimeError if called by the tasklet itself, DeadlockError if it can never
        end, BlockTrapError if the caller must not block. Its error is not raised here.
        """
    def result(self, timeout: float | None = None) -> _Result_co:
        """Wait for the end, then return what the function returned or raise what it raised.

        Only for tasklets made by spawn(), else RuntimeError. Raises CancelledError if it was
        killed, TimeoutError after timeout seconds; for the rest as join().
        """
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end, then return the exception that ended it, or None.

        As result() for the rest.
        """
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
    def cancelled(self) -> bool:
        """Whether it was killed, or its thread ended before it."""
    def add_done_callback(self, func: Callable[[Self], object], /) -> None:
        """Call func(tasklet) once it has ended, on its stack; at once if it has.

        An exception in func is reported as unraisable. In the main thread, KeyboardInterrupt
        and SystemExit are raised in the main tasklet, or here if func is called here.
        """
    def remove_done_callback(self, func: Callable[[Self], object], /) -> int:
        """Forget a callback, as often as it was added; return how often that was."""
    @property
    def alive(self) -> bool:
        """Whether it has something to run, on a thread that exists."""
    @property
    def scheduled(self) -> bool:
        """Runnable or blocked."""
    @property
    def blocked(self) -> bool:
        """Whether it waits on a channel or for another tasklet."""
    @property
    def paused(self) -> bool:
        """Alive, and neither runnable nor blocked."""
    @property
    def restorable(self) -> bool:
        """Whether it could be pickled whole: it has not started."""
    @property
    def is_current(self) -> bool:
        """Whether it is its thread's current."""
    @property
    def is_main(self) -> bool:
        """Whether it is its thread's main tasklet."""
    @property
    def thread_id(self) -> int:
        """The id of its thread, -1 if that has ended."""
    @property
    def trace_function(self) -> Callable[..., object] | None:
        """What sys.settrace() is for the thread, for this tasklet alone; None: it is not
        traced. Unless set, or when deleted, the thread's is in force, and not shown for
        a tasklet that does not run. Raises RuntimeError if it runs on another thread.
        """
    @trace_function.setter
    def trace_function(self, value: Callable[..., object] | None, /) -> None: ...
    @trace_function.deleter
    def trace_function(self) -> None: ...
    @property
    def profile_function(self) -> Callable[..., object] | None:
        """The same for sys.setprofile()."""
    @profile_function.setter
    def profile_function(self, value: Callable[..., object] | None, /) -> None: ...
    @profile_function.deleter
    def profile_function(self) -> None: ...
    @property
    def next(self) -> tasklet | None:
        """The next in the run queue or in the channel's queue; None at a queue's end, or
        if it is in none.
        """
    @property
    def prev(self) -> tasklet | None:
        """As next, in the other direction."""
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
        """If set, an operation of this tasklet that would block raises BlockTrapError."""
    @block_trap.setter
    def block_trap(self, value: bool | int) -> None: ...
    @property
    def recursion_depth(self) -> int:
        """How deep its Python code is; 0 if it is not running."""
    @property
    def nesting_level(self) -> int:
        """0 before the start and after the end, else at least 1."""
    @property
    def context_id(self) -> int:
        """The id() of its contextvars Context."""
    @property
    def _channel(self) -> channel | None: ...
    name: str
    @property
    def spawned_at(self) -> tuple[str, int] | None:
        """(file, line) of the call of spawn(), or None."""

@disjoint_base
class channel(Generic[_Item]):
    """A meeting place where tasklets hand each other values one at a time.

    Neither side goes on before the other has come. Works between threads. name: a str that
    repr() and error messages show. Raises TypeError for any other argument.
    """

    name: str | None
    def __init__(self, *, name: str | None = None) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _Item: ...
    def send(self, value: _Item | bomb, /, *, timeout: float | None = None) -> Any:
        """Give value to the first waiting receiver, or block until one comes.

        Returns what the receiver had for the sender, as a rule None. Who runs after the
        two have met is for preference and schedule_all to say; if they live on different
        threads the caller goes on. Works between threads. As in Stackless Python.

        Raises TimeoutError after timeout seconds (<= 0: if it would block), ChannelClosed if
        it would block on a closed channel, BlockTrapError if the tasklet must not block,
        DeadlockError if nobody could ever receive; value was not delivered then. A killed
        sender did not deliver either.
        """
    def receive(self, *, timeout: float | None = None) -> _Item:
        """Take the value of the first waiting sender, or block until one comes.

        Raises what the sender sent with send_exception() or send_throw(); TimeoutError after
        timeout seconds (<= 0: if it would block); ChannelClosed if
        it would block on a closed channel, or close(wake=True) is called meanwhile;
        BlockTrapError if the tasklet must not block; DeadlockError if nobody could ever
        send. In all cases but the first no value was taken. As in Stackless Python.
        """
    def try_send(self, value: _Item | bomb, /) -> bool:
        """Send value if that does not block, and return whether it was delivered.

        Raises ChannelClosed if nobody waits and the channel is closed.
        """
    @overload
    def try_receive(self, default: None = None, /) -> _Item | None:
        """Return the value of the first waiting sender, or default if nobody waits.

        Never blocks. Raises what was sent as an exception, and ChannelClosed if nobody
        waits and the channel is closed.
        """
    @overload
    def try_receive(self, default: _D, /) -> _Item | _D: ...
    def send_exception(self, cls: _ExceptionClass, /, *args: Any) -> None:
        """Send an exception: receive() raises cls(*args), made on the receiver's side.

        Blocks and fails as send() does.
        """
    def send_throw(
        self,
        exc: _ExceptionClass | BaseException,
        val: object = None,
        tb: TracebackType | None = None,
    ) -> None:
        """Send an exception as a raise statement would have it, its traceback included.

        exc is an exception class or instance. Blocks and fails as send() does.
        """
    def send_sequence(self, iterable: Iterable[_Item | bomb], /) -> int:
        """Send each item in turn and return how many there were. Fails as send() does."""
    def close(self, *, wake: bool = False) -> None:
        """Forbid blocking on this channel; what finds a partner still works.

        With wake, each receiver that waits gets ChannelClosed, and an iteration that waits
        ends; waiting senders stay, and can still be received from. Calling it again does
        no harm.
        """
    def open(self) -> None:
        """Undo close(): blocking is allowed again."""
    @property
    def balance(self) -> int:
        """How many wait: senders positive, receivers negative."""
    @property
    def queue(self) -> tasklet | None:
        """The tasklet that waits longest, or None."""
    @property
    def closing(self) -> bool:
        """True between close() and open()."""
    @property
    def closed(self) -> bool:
        """True if closing and nobody waits."""
    preference: int
    schedule_all: int

class QueueChannel(channel[_Item]):
    """A channel that stores up to maxsize values: send() blocks only while it is full.

    maxsize <= 0 stores any number. What is stored when it is closed can still be
    received; sending into a closed one raises ChannelClosed. len() counts the stored.
    name: as for a channel. Raises TypeError if maxsize is not an int.
    """
    def __init__(self, maxsize: int = 0, *, name: str | None = None) -> None: ...
    def __len__(self) -> int: ...
    @property
    def maxsize(self) -> int:
        """How many values it stores before send() blocks; <= 0: no limit."""

@final
class bomb:
    """An exception on its way: a tasklet whose tempval is a bomb raises it when it is next
    resumed. A tuple as the only argument is unpacked.
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
    """A context manager that sets the atomic flag of the current tasklet, and at the end puts
    back what it was, on the tasklet that is current then. Reusable and re-entrant.

    Inside, no budget of run() stops the tasklet, and no other OS thread gets the GIL unless
    the tasklet itself gives it up, by waiting or in a call that does; from its return on,
    nobody else gets in again. Signal handlers, finalizers and callbacks still run.
    supported: True if other threads are held off on this interpreter.
    why_not: None then; otherwise a str that says what this interpreter lacks. Sections still
    exclude one another there.
    """

    supported: bool
    why_not: str | None
    def __new__(cls) -> Self: ...
    def __reduce__(self) -> Any: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> bool: ...

@disjoint_base
class local:
    """An object whose attributes are another's in each tasklet, as threading.local's are in
    each thread.

    They go when the tasklet ends, or the object does. The main tasklet's are those of the
    thread, whether it uses tasklets or not. If a subclass has an __init__(), each tasklet
    calls it, with the arguments of the constructor, when it first comes to the object; if
    that raises, the access does, and the next one calls it again.
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
        """Wait until the call is over, or will never be; the other tasklets run.

        Raises TimeoutError after timeout seconds.
        """
    def cancel(self) -> bool:
        """Take it out of the queue. Returns False if a worker has begun with it.

        An owner that is a Future is cancelled in the same moment; its own code has yet to tell
        of it.
        """
    def __reduce__(self) -> Any: ...
    @property
    def owner(self) -> Any:
        """What it was submitted with, or None."""

@final
class worker_pool:
    """Jobs, and the threads that do them, which start(pool) begins.

    most: how many there may be while calls only wait; those beyond max_workers end
    when they had nothing to do for linger seconds.
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
        """Run func(*args, **kwargs) on a worker, wait, and return what it returns."""
    def submit(
        self,
        func: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        owner: object = None,
        at_once: bool = False,
        /,
    ) -> job:
        """Have func(*args, **kwargs) run on a worker and return a job.

        Waits while the queue is full, unless at_once. on_abandoned gets owner if those who wait for the job give up.
        """
    def work(self) -> None:
        """Be a worker of the pool, until it is closed and its queue empty."""
    def close(self) -> None:
        """Take no more jobs: workers end when the queue is empty."""
    def join(self) -> None:
        """Wait until all workers of a closed pool have ended; the other tasklets run."""
    def pending(self) -> list[job]:
        """Return the jobs that no worker has begun with, the oldest first."""
    def running(self) -> list[job]:
        """Return the jobs that workers have begun with and not ended."""
    def after_fork(self) -> list[job]:
        """In the child of a fork: forget the workers, and what they had to do.

        Returns the jobs that are lost. Elsewhere it does nothing.
        """
    def closer(self) -> pool_closer:
        """Return an object that closes the pool when it goes. A __del__() would be Python code, in
        which a signal is lost.
        """
    def __reduce__(self) -> Any: ...
    @property
    def max_workers(self) -> int:
        """How many threads it has at most."""
    @property
    def workers(self) -> int:
        """How many threads it has."""
    @property
    def idle(self) -> int:
        """How many of them have nothing to do."""
    @property
    def max_queued(self) -> int | None:
        """How many jobs it stores before submit() waits, or None."""
    @property
    def queued(self) -> int:
        """How many jobs no worker has begun with."""
    @property
    def finished(self) -> int:
        """How many calls are over."""
    @property
    def closed(self) -> bool:
        """Whether it takes no more jobs."""

@final
class timeout:
    """A context manager whose block is left with TimeoutError when so many seconds are over.

    What the tasklet waits for then is interrupted; if it runs, its next wait is, or nothing
    if it does not wait any more. A value that has arrived is not lost. None: no limit.
    exc: an exception, or its class, to be raised in place of TimeoutError. Inside the block
    the interruption is a TimeoutExit, which `except Exception` lets pass: of nested blocks
    each ends by its own time only. Raises ValueError for NaN.
    """
    def __new__(
        cls, seconds: float | None, exc: _ExceptionClass | BaseException | None = None
    ) -> Self: ...
    def __reduce__(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> bool: ...
    def reschedule(self, seconds: float | None, /) -> None:
        """Have the block end so many seconds from now; None: never.

        Raises RuntimeError if it has expired.
        """
    @property
    def expired(self) -> bool:
        """Whether the block was interrupted because its time was up."""
    @property
    def when(self) -> float | None:
        """When it ends, on time.monotonic()'s clock; None: never, or not entered yet."""

@final
class shield:
    """A context manager whose block is not interrupted for at most so many seconds.

    For clean-up that must be let finish. Kills, throws, and the interruptions of timeout()
    and TaskGroup blocks round this one are held off until the block is left, and are then
    raised at the next operation that may block. When the seconds are over the block is
    interrupted as any other code; None: it is never. Blocks inside it end as usual, and so
    does a kill() that the tasklet calls on itself. KeyboardInterrupt, and errors of other
    tasklets that reach the main tasklet, are not held off. Raises ValueError for NaN.
    """
    def __new__(cls, seconds: float | None) -> Self: ...
    def __reduce__(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> bool: ...
    @property
    def expired(self) -> bool:
        """Whether the limit was over before the block was left."""

@disjoint_base
class TaskGroup:
    """A context manager whose block does not end before the tasklets that it spawned.

    limit: how many of them run at a time; None: any number.

    An error in one of them, or in the block, cancels the group: the other tasklets are
    killed, and the block is interrupted by a GroupExit where it waits, or waits next. When
    all have ended, an ExceptionGroup of all the errors leaves the block, also if there is
    only one. KeyboardInterrupt and SystemExit leave it bare. A killed tasklet has no error.

    A kill of the tasklet in the block, or a timeout() round it, cancels the group too, and
    goes on when all have ended; if there are errors, these leave the block, and the kill or
    timeout comes at the next operation that may block. A group is used by one thread, and
    once.
    """
    def __init__(self, limit: int | None = None) -> None: ...
    def __reduce__(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> bool: ...
    @overload
    def spawn(
        self, func: Callable[..., _T], /, *args: Any, name: str | None, **kwargs: Any
    ) -> tasklet[_T]:
        """Run func(*args, **kwargs) in a new tasklet of the group, which is returned, runnable.

        As tasklets.spawn(), but it waits while the group has as many tasklets as its limit.
        Tasklets of the group may call it too. Raises RuntimeError before and after the block,
        on another thread, and while the group is being cancelled; TypeError as spawn(). In all
        cases nothing was spawned. name is the tasklet's, as in tasklets.spawn().
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
        that run at a time; None: the group's own limit is the only one. The next item is
        taken from `items` when its call may start.

        As with spawn(), an error in one call cancels the group, and the caller is
        interrupted or gets that error. Raises CancelledError if a call is killed alone, and
        what `items` raises; calls that have started then go on, and belong to the group.
        Raises TypeError or ValueError for arguments that do not fit, RuntimeError as
        spawn(); nothing has been spawned then.
        """
    def cancel(self) -> None:
        """Kill the tasklets of the group, and interrupt its block where it waits.

        The block still ends when all of them have, without an error if they have none. A
        tasklet of the group that calls this is killed on the spot. Has no effect if the group
        is being cancelled or is over. Raises RuntimeError before the block and on another
        thread.
        """

@final
class Handle:
    """What call_soon() and call_later() return: a call that can be cancelled."""
    def __reduce__(self) -> Any: ...
    def cancel(self) -> None:
        """Have it not called, if the call has not begun."""
    def cancelled(self) -> bool:
        """Whether it was cancelled in time."""
    def when(self) -> float | None:
        """Return its time on time.monotonic()'s clock; None if it is just to be soon."""

@final
class Case(Generic[_Value_co]):
    """What recv() and send() return: one of the things that select() may do.

    Two are equal if they do the same: receive from the same channel, or send equal values
    to it.
    """
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> Any: ...
    @property
    def channel(self) -> _AnyChannel:
        """The channel it is about."""

@disjoint_base
class setting:
    """A context manager that calls change(value) at the beginning, and change(back) at the
    end; back is by default what change(value) returned. No signal is handled in between
    if change is no Python code.
    """
    def __new__(
        cls, change: Callable[[Any], Any], value: Any, back: Any = ...
    ) -> Self: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *args: object) -> None: ...
    entered: Any
    @property
    def active(self) -> bool:
        """Whether the calling thread is inside the block."""

@final
class pool_closer:
    """Closes a pool of workers when it goes."""

@final
class arrivals:
    """The done callback of wait(), as_completed() and select()."""
    def __call__(self, one: Any, /) -> None: ...

@final
class completions(Generic[_T]):
    """What as_completed() returns: an iterator."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T: ...
    def close(self) -> None:
        """Give out nothing more, and forget the objects."""

class stackless_channel(channel[_Item]):
    """A channel with Stackless Python's own exceptions."""
    def __new__(cls, *, name: str | None = None) -> Self: ...

@disjoint_base
class Lock:
    """threading.Lock, for tasklets of one or several threads and for threads without any.

    Those who wait get it in the order in which they came; while one of another thread is
    woken others may be faster, but not more than twice.
    """
    def __new__(cls) -> Self: ...
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock, waiting until it is free for at most timeout seconds; -1: as long
        as it takes. Returns whether it was acquired.

        A tasklet waits while others run, a thread without tasklets sleeps. An RLock that the
        caller owns is acquired once more. Raises ValueError for another negative timeout, or
        one with blocking=False; OverflowError beyond threading.TIMEOUT_MAX; DeadlockError if
        the owner waits for another lock, and so on, and at last for one that the caller owns.
        After an error the lock was not acquired.
        """
    def release(self) -> None:
        """Release the lock, whoever acquired it: the first who waits for it is next.

        Raises RuntimeError if it is not locked.
        """
    def locked(self) -> bool:
        """Return whether somebody has acquired the lock."""
    def acquire_lock(self, blocking: bool = True, timeout: float = -1) -> bool:
        """The old name of acquire()."""
    def release_lock(self) -> None:
        """The old name of release()."""
    def locked_lock(self) -> bool:
        """The old name of locked()."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    def _at_fork_reinit(self) -> None: ...

@disjoint_base
class RLock:
    """threading.RLock: a lock that its owner, a tasklet or a thread without any, can acquire
    again, and has to release as often. Greenlets inside a tasklet are that tasklet.
    """
    def __new__(cls) -> Self: ...
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock, waiting until it is free for at most timeout seconds; -1: as long
        as it takes. Returns whether it was acquired.

        A tasklet waits while others run, a thread without tasklets sleeps. An RLock that the
        caller owns is acquired once more. Raises ValueError for another negative timeout, or
        one with blocking=False; OverflowError beyond threading.TIMEOUT_MAX; DeadlockError if
        the owner waits for another lock, and so on, and at last for one that the caller owns.
        After an error the lock was not acquired.
        """
    def release(self) -> None:
        """Release the lock once; after as many calls as of acquire() it is free, and the first
        who waits for it is next.

        Raises RuntimeError if the caller does not own it.
        """
    def locked(self) -> bool:
        """Return whether somebody has acquired the lock."""
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
    """threading.Condition, for tasklets of one or several threads and for threads without any.

    lock: any lock, of threading's too; None: an RLock of its own. With exactly our Lock or
    RLock who is notified is woken once, when the lock is free for it. Raises RuntimeError if
    it is initialised again while somebody waits.
    """
    def __init__(self, lock: _AnyLock | None = None) -> None: ...
    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Acquire the underlying lock: its acquire()."""
    def release(self) -> None:
        """Release the underlying lock: its release()."""
    def locked(self) -> bool:
        """Return whether somebody has acquired the underlying lock."""
    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait until notified for at most timeout seconds, and acquire the lock
        again, as often as before. Returns whether it was notified.

        Raises RuntimeError if the caller does not own the lock. After another error, which may
        come from outside, it owns it, too; a notification that came is passed on. Only if the
        lock itself keeps refusing, RuntimeError says that it could not be re-acquired.
        """
    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        """Wait until predicate(), which is called with the lock acquired, returns something true,
        for at most timeout seconds. Returns what it returned last. Raises as wait() does.
        """
    def notify(self, n: int = 1) -> None:
        """Notify the n that have waited longest, or all if there are fewer: each goes on when the
        lock is free for it. Raises RuntimeError if the caller does not own the lock.
        """
    def notify_all(self) -> None:
        """Notify all who wait. Raises RuntimeError if the caller does not own the lock."""
    def notifyAll(self) -> None:
        """A deprecated name of notify_all()."""
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
    """threading.Semaphore, for tasklets of one or several threads and for threads without any.

    value: how many permits there are. Raises ValueError if it is negative.
    """
    def __init__(self, value: int = 1) -> None: ...
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit, waiting for one for at most timeout seconds. Returns whether there was
        one. Those who wait are served in the order in which they came.

        Raises ValueError for a timeout with blocking=False. After an error none was taken.
        """
    def release(self, n: int = 1) -> None:
        """Give back n permits, whoever took them.

        Raises ValueError if n is less than 1, or a BoundedSemaphore would have more than at the
        beginning; then none was given back.
        """
    def locked(self) -> bool:
        """Return whether there is no permit to be had at once."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    @property
    def _value(self) -> int: ...

class BoundedSemaphore(Semaphore):
    """threading.BoundedSemaphore: a Semaphore that refuses to be released too often."""
    @property
    def _initial_value(self) -> int: ...

@disjoint_base
class Event:
    """threading.Event, for tasklets of one or several threads and for threads without any. Can
    be waited for with others: tasklets.wait(), as_completed() and select().
    """
    def __new__(cls) -> Self: ...
    def is_set(self) -> bool:
        """Return whether the flag is set."""
    def isSet(self) -> bool:
        """A deprecated name of is_set()."""
    def set(self) -> None:
        """Set the flag: all who wait go on, and the callbacks are called.

        Raises what one of them lets out, if that is no Exception, when all have been called.
        """
    def clear(self) -> None:
        """Reset the flag. Who waited when it was set goes on all the same."""
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set, for at most timeout seconds. Returns whether it was."""
    def add_done_callback(self, func: Callable[[Self], object], /) -> None:
        """Call func(event) once when the flag is set, in the call of set(); at once if it is.

        An Exception in func is reported as unraisable. What else it lets out, such as
        TaskletExit, is raised by set(). Raises TypeError if func cannot be called.
        """
    def remove_done_callback(self, func: Callable[[Self], object], /) -> int:
        """Forget a callback, as often as it was added; return how often that was."""
    def __reduce__(self) -> NoReturn: ...
    def _at_fork_reinit(self) -> None: ...
    @property
    def _cond(self) -> Condition: ...

@disjoint_base
class NLCondition:
    """A Condition without a lock, for tasklets of one thread, which need none: between two
    waits nobody else runs. acquire(), release() and the with statement do nothing.
    """
    def __new__(cls) -> Self: ...
    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Do nothing, as there is no lock. Returns True."""
    def release(self) -> None:
        """Do nothing, as there is no lock."""
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until notified, for at most timeout seconds. Returns whether it was notified. After
        an error, which may come from outside, a notification that came is passed on.
        """
    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        """Wait until predicate() returns something true, which is asked now and after each
        notification, for at most timeout seconds. Returns what it returned last.
        """
    def notify(self, n: int = 1) -> None:
        """Let the n that have waited longest go on, or all if there are fewer."""
    def notify_all(self) -> None:
        """Let all who wait go on."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...

@disjoint_base
class Barrier:
    """threading.Barrier, for tasklets of one or several threads and for threads without any.

    action: called without arguments each time all have come, by the last. timeout: for each
    wait() that names none, in seconds. Who has passed can come again at once. Raises
    ValueError unless parties is positive.
    """
    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None: ...
    def wait(self, timeout: float | None = None) -> int:
        """Wait until as many as there are parties have come, for at most timeout seconds, or the
        barrier's own timeout. Returns a number from 0 to parties - 1, another for each if nobody
        has left meanwhile.

        The last to come calls the action before anybody goes. Raises BrokenBarrierError if the
        time is up, which breaks the barrier, or it is broken or reset meanwhile; for the last,
        what the action raised, which breaks it, too.
        """
    def reset(self) -> None:
        """Have the barrier be empty and whole: those who wait raise BrokenBarrierError."""
    def abort(self) -> None:
        """Break the barrier: those who wait, or will, raise BrokenBarrierError, until reset()."""
    def __reduce__(self) -> NoReturn: ...
    @property
    def parties(self) -> int:
        """How many have to come before all can pass."""
    @property
    def n_waiting(self) -> int:
        """How many wait."""
    @property
    def broken(self) -> bool:
        """Whether it is broken."""

@final
class released:
    """A context manager that releases a lock for a block, and acquires it again at the end.

    lock: anything with release() and acquire(). The block is left with the lock acquired,
    whatever interrupts that; the exceptions that came meanwhile are raised then. Only if
    the lock itself keeps refusing, RuntimeError says that it could not be re-acquired.
    """
    def __new__(cls, lock: Any) -> Self: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> bool: ...

# Functions.

@disjoint_base
class Queue(Generic[_T]):
    """queue.Queue, for tasklets of one or several threads and for threads without any: the
    first item in is the first out. maxsize <= 0: as many items as one likes.

    Those who wait come in the order in which they came; while one is woken others may be
    faster, but not more than twice.
    """

    queue: Any
    unfinished_tasks: int
    is_shutdown: bool
    def __init__(self, maxsize: float = 0) -> None: ...
    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Store item, waiting while the queue is full for at most timeout seconds.

        A tasklet waits while others run, a thread without tasklets sleeps. Raises Full if no
        place came free in time, or with block false at once; ShutDown after shutdown();
        ValueError if timeout is negative. After an error item was not stored.
        """
    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Remove and return an item, waiting for one for at most timeout seconds.

        A tasklet waits while others run, a thread without tasklets sleeps. Raises Empty if none
        came in time, or with block false at once; ShutDown if there is none after shutdown();
        ValueError if timeout is negative. After an error nothing was removed.
        """
    def put_nowait(self, item: _T) -> None:
        """put(item, block=False)."""
    def get_nowait(self) -> _T:
        """get(block=False)."""
    def task_done(self) -> None:
        """Say that the work for one item, which get() has returned, is done: when that has been
        said of all items, join() returns. Raises ValueError if there is no such item.
        """
    def join(self) -> None:
        """Wait until the work for all items is done, as task_done() tells."""
    def qsize(self) -> int:
        """Return how many items there are. It may be another number when one looks at it."""
    def empty(self) -> bool:
        """Return whether there are no items. It may be otherwise when one looks at it."""
    def full(self) -> bool:
        """Return whether there are maxsize items, or more. It may be otherwise when one looks at
        it.
        """
    def shutdown(self, immediate: bool = False) -> None:
        """Have put() raise ShutDown from now on, and get() when the queue is empty. Those who wait
        there are woken.

        With immediate the queue is made empty, and the work for its items counts as done.
        """
    def _init(self, maxsize: float, /) -> None: ...
    def _qsize(self) -> int: ...
    def _put(self, item: _T, /) -> None: ...
    def _get(self) -> _T: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...
    @property
    def maxsize(self) -> float:
        """How many items there may be; <= 0: any number."""
    @maxsize.setter
    def maxsize(self, value: float) -> None: ...
    @property
    def mutex(self) -> Lock:
        """The Lock that keeps all others out."""
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
    """A Queue whose last item in is the first out."""
    def __new__(cls, maxsize: float = 0) -> Self: ...

class PriorityQueue(Queue[_T]):
    """A Queue whose least item is the first out. Items are compared while the mutex is held."""
    def __new__(cls, maxsize: float = 0) -> Self: ...

@disjoint_base
class SimpleQueue(Generic[_T]):
    """queue.SimpleQueue, for tasklets of one or several threads and for threads without any: a
    queue without limit, whose put() never waits.
    """
    def __new__(cls) -> Self: ...
    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Store item. It never waits; block and timeout are there for likeness to Queue. It may be
        called from finalizers and signal handlers, whatever they have interrupted.
        """
    def put_nowait(self, item: _T) -> None:
        """put(item)."""
    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Remove and return the first item, waiting for one for at most timeout seconds.

        A tasklet waits while others run, a thread without tasklets sleeps; those who wait get
        items in the order in which they came. Raises Empty if none came in time, or with block
        false at once; ValueError if timeout is negative. After an error nothing was removed.
        """
    def get_nowait(self) -> _T:
        """get(block=False)."""
    def qsize(self) -> int:
        """Return how many items there are, among them those for waiters that have been woken."""
    def empty(self) -> bool:
        """Return whether there are no items."""
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
    """Run the other tasklets of this thread until none is runnable, or one takes too long.

    wait: while none is runnable, wait as long as something is to come, as scheduler.run()
    does. Without it a tasklet that sleeps or waits for a descriptor may be left waiting.

    timeout: how many ticks (not seconds) one tasklet may run without giving way, or with
    totaltimeout all together; 0 or less: as many as they want. What a tick is,
    scheduler.run() says. The tasklet that runs longer is stopped, removed from the run
    queue and returned: alive and paused, insert() lets it go on. It is not stopped while
    it is atomic, in a callback, under switch_trap(), in an import, or, unless it or this
    call has set ignore_nesting, in a function that C code has called (a generator is
    none); then it is as soon as that is over. soft: it is not stopped, but when it next
    gives way, this call returns None. threadblock: while none is runnable, wait for other
    threads as long as these can run. Otherwise returns None.

    Any tasklet may call it, also while another is inside run(): a timeout inside one with
    a timeout has no effect. An uncaught exception of a tasklet is raised here, in the
    innermost run(); the others stay as they are. As in Stackless Python, the options but
    wait have no effect without a timeout. Raises TypeError for a timeout that is no int:
    for a time in seconds use scheduler.run(seconds=...).
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
    """Run the other tasklets of this thread until none is runnable or a budget is used up.

    ticks, seconds, switches and rounds bound the whole call, slice_ticks and
    slice_seconds what one tasklet runs without giving way. None: no such bound. With 0 or
    less nothing runs, and the call returns at once.

    rounds: in a round each tasklet that is runnable when it begins is entered once, in
    the order of the run queue; what becomes runnable meanwhile is in the next round.
    run(rounds=1) is for a frame of a game. switches counts the tasklets that are entered.
    A tick is an event of this thread's Python code: from Python 3.12 a jump or the entry
    of a function, on 3.11 the start of a line or a jump backwards. The same program is
    stopped at the same tick each time. Seconds (float) cost nothing until they are over.

    A budget that ends inside a tasklet stops it, at that tick or soon after that time, and
    returns it: alive, paused, not in the run queue; insert() lets it go on. One that ends
    between two tasklets returns None and leaves the run queue as it is. A tasklet is not
    stopped while it is atomic, in a callback, in a finalizer that the collector calls,
    under switch_trap(), in an import, or with ignore_nesting=False in a function that C
    code has called; it is as soon as that is over. soft: none is stopped, the budget's
    end is waited for. last_run() tells which budget it was.

    wait: while none is runnable, wait as long as something is to come: a sleep or timeout,
    a descriptor, a worker's result, a callback. Without it, what is due is taken up, and
    nothing is waited for. Tasklets that are blocked on channels or locks only do not count.
    threadblock: while none is runnable, wait as long as another thread could make one so.
    An uncaught exception of a tasklet is raised here. Raises TypeError for a count that is
    no int and a time that is no number, ValueError for a time that is NaN; RuntimeError if
    all tools of sys.monitoring are in use. Nothing has run then.
    """

def run_forever() -> None:
    """Run the other tasklets of this thread until stop(), waiting while none is runnable.

    An uncaught exception of a tasklet is raised here, and so is what signal handlers
    raise while it waits; the others stay as they are, and it can be called again.
    """

def stop(thread: int | Thread | None = None) -> None:
    """End the innermost run of a thread's scheduler, or if there is none the next one.

    It returns when the tasklet that runs gives way. thread: its ident; None: the caller's
    own. Raises RuntimeError if no such thread uses tasklets.
    """

def sleep(seconds: float = 0, /) -> None:
    """Let the others run for at least so many seconds; 0: each in its turn, as schedule().

    While none is runnable the thread waits without the GIL. Raises ValueError if seconds
    is negative or NaN, BlockTrapError if the tasklet must not block.
    """

def deadline(
    when: float | None, exc: _ExceptionClass | BaseException | None = None
) -> timeout:
    """As timeout(), for a block that is to end when time.monotonic() shows `when`."""

def call_soon(func: Callable[[*_Ts], object], /, *args: *_Ts) -> Handle:
    """Have func(*args) called in a tasklet of this thread, after those that are runnable.

    Returns a handle. The call may wait; its result is dropped, its error goes where those
    of tasklets go. It runs in a copy of the caller's contextvars Context.
    """

def call_later(delay: float, func: Callable[[*_Ts], object], /, *args: *_Ts) -> Handle:
    """As call_soon(), after at least delay seconds (0 or less: soon). run(wait=True) waits
    for it. Raises ValueError for NaN.
    """

def scheduled_calls() -> list[Handle]:
    """Return the handles of this thread's calls that wait for their time, in the order in
    which they were made.
    """

def call_soon_threadsafe(
    func: Callable[[*_Ts], object], /, *args: *_Ts, thread: int | Thread | None = None
) -> Handle:
    """As call_soon(), for another thread's scheduler, which is woken if it waits.

    thread: its ident, or a threading.Thread; None: the main thread. Raises RuntimeError if
    that does not use tasklets.
    """

def wait_readable(fd: int | _HasFileno, /, timeout: float | None = None) -> None:
    """Wait until a descriptor can be read from, has been closed by its peer, or is in error.

    fd: an int, or an object with fileno(); its flags are left alone. Files are always
    ready. Call notify_closing() before it is closed while tasklets wait for it. Raises
    TimeoutError after timeout seconds (<= 0: if it is not ready now), OSError if it cannot
    be waited for or is closed meanwhile, BlockTrapError if the tasklet must not block.
    """

def wait_writable(fd: int | _HasFileno, /, timeout: float | None = None) -> None:
    """As wait_readable(), until the descriptor can be written to."""

def notify_closing(fd: int | _HasFileno, /) -> None:
    """Tell all waiters of a descriptor, in every thread, that it is about to be closed.

    fd: an int, or an object with fileno(). Their wait_readable(), wait_writable() or
    select() raises an OSError, with errno EBADF and the number as its filename. Has no
    effect if there are none. Close it next, before another tasklet runs: a wait that begins
    before that ends only about a second later. May be called by any thread, and by a
    signal handler. Raises TypeError, ValueError or OverflowError for what is no descriptor.
    """

def recv(channel: channel[_T], /) -> Case[_T]:
    """A case for select(): receive from channel. It can be used any number of times."""

def send(channel: channel[_T], value: _T | bomb, /) -> Case[None]:
    """A case for select(): send value to channel. It can be used any number of times."""

# The value has the type of the case it comes from. Type checkers would join the types
# of several cases into object, so each number of cases has a signature of its own.
@overload
def select(case: Case[_T], /, *, timeout: float | None = None) -> tuple[Case[_T], _T]:
    """Do the first of several things that can be done: return (case, value).

    A case is recv(channel), whose value is what was received; send(channel, value),
    readable(fd) or writable(fd); a tasklet or concurrent.futures.Future, which has ended
    then: its result() does not wait; a tasklets.locks.Event, which is set or has been since
    the call. The value of all these is None. If several can be done at once each has the
    same chance. If none can, it waits; with a default it returns (None, default) instead.
    What was not chosen has not been done.

    Raises TimeoutError after timeout seconds (<= 0: if none can be done now); what a sender
    sent with send_exception(); ChannelClosed if a case's channel is closed; DeadlockError
    and BlockTrapError as receive().
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
    """Set the current tasklet's block_trap, and return what sets it back."""

def worker_pools() -> list[worker_pool]:
    """Return a list of all pools of workers."""

def call_undisturbed(func: Callable[[Any], _T], arg: Any, /) -> _T:
    """Return func(arg), which no signal handler interrupts: the main thread has it called by
    another one.
    """

def future_listen(future: Future[Any], func: Callable[[Any], object], /) -> bool:
    """Add a done callback without the future's lock. Returns False if it is done already."""

# The second signature is for a list of several kinds, which mypy takes for one of
# objects unless it is told what is wanted.
@overload
def wait(
    objects: Iterable[_W], timeout: float | None = None, count: int | None = None
) -> list[_W]:
    """Wait until count of the objects have finished; None: until all have.

    Returns a list of all that have finished, in that order; those that had before, in
    the order given. There are fewer than count only if timeout seconds were over first.
    objects: tasklets, of any thread, concurrent.futures.Future, and
    tasklets.locks.Event, which has finished when it is or has meanwhile been set; one
    that is there twice counts once. A tasklet's error is not raised here, and nowhere
    else if it comes meanwhile.

    Raises TypeError for an object of another type; ValueError if count is negative or
    greater than the number of objects, or timeout is NaN; RuntimeError if the caller is
    among them; DeadlockError if too few can ever finish.
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
    """Iterate over the objects in the order in which they finish.

    Those that have finished already come first, in the order given. objects and errors
    are as for wait(); the timeout, in seconds, begins with this call. The iterator
    raises TimeoutError when it is over; what has not come by then does not come any
    more.
    """

@overload
def as_completed(  # type: ignore[overload-cannot-match] # pyright: ignore[reportOverlappingOverload]
    objects: Iterable[_Waitable], timeout: float | None = None
) -> completions[_Waitable]: ...
def fs_open(
    path: _Path, flags: int, mode: int = 0o777, *, timeout: float | None = None
) -> int:
    """Open a file and return its descriptor, as os.open does; children do not inherit it.

    flags: as os.O_RDONLY. If the wait ends early the file may be opened yet; it is closed
    again then. Raises OSError, TimeoutError after timeout seconds.
    """

def fs_close(fd: int, *, timeout: float | None = None) -> None:
    """Close a descriptor, as os.close does.

    It is closed, then or later, also if the wait ends early. Raises OSError, TimeoutError
    after timeout seconds.
    """

def fs_read(
    fd: int, n: int, offset: int = -1, *, timeout: float | None = None
) -> bytes:
    """Read at most n bytes from a descriptor and return them; none at the end of the file.

    offset: where to begin, as os.pread; -1: where the descriptor is, as os.read. What was
    read when the wait ends early is lost. Raises OSError, TimeoutError after timeout
    seconds.
    """

def fs_write(
    fd: int, data: Buffer, offset: int = -1, *, timeout: float | None = None
) -> int:
    """Write bytes to a descriptor and return how many were written.

    data: bytes, or another contiguous buffer; do not change it meanwhile. offset: where to
    begin, as os.pwrite; -1: where the descriptor is, as os.write. If the wait ends early
    they may be written or not. Raises OSError, TimeoutError after timeout seconds.
    """

def fs_fsync(fd: int, *, timeout: float | None = None) -> None:
    """Have what was written to a descriptor be on the disk, as os.fsync does.

    Raises OSError, TimeoutError after timeout seconds.
    """

def fs_stat(path: _Path, *, timeout: float | None = None) -> stat_result:
    """Return what os.stat returns for a path. Raises OSError, TimeoutError after timeout
    seconds.
    """

def fs_lstat(path: _Path, *, timeout: float | None = None) -> stat_result:
    """The same of a symbolic link itself, as os.lstat."""

def fs_fstat(fd: int, *, timeout: float | None = None) -> stat_result:
    """The same of an open descriptor, as os.fstat."""

def fs_mkdir(path: _Path, mode: int = 0o777, *, timeout: float | None = None) -> None:
    """Make a folder, as os.mkdir does.

    If the wait ends early it may be made or not. Raises OSError, TimeoutError after
    timeout seconds.
    """

def fs_rmdir(path: _Path, *, timeout: float | None = None) -> None:
    """Remove an empty folder, as os.rmdir does; the rest as mkdir()."""

def fs_unlink(path: _Path, *, timeout: float | None = None) -> None:
    """Remove a file, as os.unlink does; the rest as mkdir()."""

def fs_rename(src: _Path, dst: _Path, *, timeout: float | None = None) -> None:
    """Give a file or folder another name, as os.rename does; the rest as mkdir()."""

@overload
def fs_listdir(
    path: str | PathLike[str] | None = ".", *, timeout: float | None = None
) -> list[str]:
    """Return the names in a folder, as os.listdir does: bytes if the path is bytes.

    Raises OSError, TimeoutError after timeout seconds.
    """

@overload
def fs_listdir(
    path: bytes | PathLike[bytes], *, timeout: float | None = None
) -> list[bytes]: ...
@overload
def fs_entries(
    path: str | PathLike[str] | None = ".", *, timeout: float | None = None
) -> list[tuple[str, int]]:
    """Return (name, kind) for all in a folder. kind: the type in st_mode; 0: not known."""

@overload
def fs_entries(
    path: bytes | PathLike[bytes], *, timeout: float | None = None
) -> list[tuple[bytes, int]]: ...
def fs_read_bytes(path: _Path, *, timeout: float | None = None) -> bytes:
    """Return what is in a file. Raises OSError, TimeoutError after timeout seconds."""

def fs_write_bytes(path: _Path, data: Buffer, *, timeout: float | None = None) -> int:
    """Write a file, in place of what was in it, and return how many bytes.

    data: bytes, or another contiguous buffer; do not change it meanwhile. If the wait ends
    early the file may be written, in part or not at all. Raises OSError, TimeoutError
    after timeout seconds.
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
    """Return what socket.getaddrinfo returns, with plain numbers for family and type."""

def pending() -> int:
    """Return how much is to come to this thread by itself: sleeps and timeouts, callbacks
    with a time, descriptors, files, addresses, workers' results, futures. run(wait=True)
    goes on while there is any.
    """

def next_deadline() -> float | None:
    """Return when run() has something to do next, on time.monotonic()'s clock.

    That is now if another tasklet is runnable; None if no time is known.
    """

def now() -> float:
    """Return the time that this thread's sleeps and timeouts follow: time.monotonic(), or
    what a fake clock shows.
    """

def shift_clock(seconds: float, /) -> None:
    """Have all that this thread waits for come so many seconds later, or earlier if that is
    negative: for a host that stood still, and whose tasklets are not to notice.
    """

def fake_clock(seconds: float | None, /, *, carry: bool = False) -> float | None:
    """Have this thread's sleeps and timeouts follow a clock that shows seconds, and moves
    only when it is set anew or nothing is runnable, then to what is due next. None: the
    true one again. carry: what waits for its time has as long to wait as before. Returns
    what it showed, or None if it was the true one.

    Raises RuntimeError if it would change between the true and a fake one, without carry,
    while something waits for its time.
    """

def advance_fake_clock(nanoseconds: int, /) -> int:
    """Have the fake clock show so many more, but stop it at what is due next. Returns how
    many are left. Raises RuntimeError if this thread has no fake clock.
    """

def last_run() -> tuple[str, float, int] | None:
    """Return (why, elapsed, switches) of this thread's last scheduler.run(); None before it.

    why is 'idle' (none was runnable), 'ticks', 'seconds', 'switches', 'rounds',
    'slice_ticks', 'slice_seconds' (that budget was used up), 'stopped' (by stop(), or by
    an insert() of the caller) or 'error' (it raised). elapsed is in seconds.
    """

def schedule(retval: Any = ...) -> Any:
    """Let the other runnable tasklets of this thread run, each in its turn.

    Returns retval, by default the current tasklet, unless its tempval was set meanwhile.
    If no other tasklet is runnable, it returns at once.
    """

def schedule_remove(retval: Any = ...) -> Any:
    """Pause the current tasklet: the others run, and it does when somebody inserts it.

    Returns retval, by default the current tasklet, unless its tempval was set meanwhile.
    The last runnable tasklet wakes the innermost run(); if there is none to wake, it gets a
    DeadlockError. While it is paused, retval is in its tempval: by default it holds
    itself, and if it is forgotten only the cyclic collector ends it.
    schedule_remove(None) leaves it to the last reference.
    """

def stackless_schedule_remove(retval: Any = ...) -> Any:
    """Pause the current tasklet: the others run, and it does when somebody inserts it.

    Returns retval, by default the current tasklet, unless its tempval was set meanwhile.
    The last runnable tasklet wakes the innermost run(); if there is none to wake, it gets a
    DeadlockError. While it is paused, retval is in its tempval: by default it holds
    itself, and if it is forgotten only the cyclic collector ends it.
    schedule_remove(None) leaves it to the last reference.
    """

@overload
def spawn(
    func: Callable[..., _T], /, *args: Any, name: str | None, **kwargs: Any
) -> tasklet[_T]:
    """Have func(*args, **kwargs) run in a new tasklet, which is returned, runnable.

    It runs in a copy of the caller's contextvars Context, and keeps its result or
    exception for result() and exception(). name is the tasklet's: a func that has a
    parameter of that name gets it by position, or as functools.partial(func, name=...).
    Raises TypeError if func cannot be called or is async, or name is not a str.
    """

@overload
def spawn(
    func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
) -> tasklet[_T]: ...
def kill_all(tasklets: Iterable[tasklet[Any]], pending: bool = False) -> None:
    """Raise TaskletExit in each of the tasklets (an iterable), as their kill() would.

    Those of this thread run at once, one after the other in that order, so that their
    finally blocks have run when the call returns, unless these wait. No other tasklet has
    a turn meanwhile but by what they do there, and n tasklets cost n switches. With pending
    they end in their turn, and the call returns at once; so do in any case tasklets of
    other threads and those inside shield(). If the caller is among them it is killed last.

    An exception that one of them ends with is raised where it is for kill(), in main or the
    innermost run(); the rest, which have been told, end in their turn. Raises TypeError for
    what is no tasklet, RuntimeError in a callback and SwitchTrapError under switch_trap():
    none has been killed then.
    """

def getcurrent() -> tasklet:
    """Return the running tasklet of this thread; in a schedule callback, the one before."""

def getmain() -> tasklet:
    """Return the main tasklet of this thread: the code that began it."""

def getcurrentid() -> int:
    """Return a number that identifies the current tasklet: the thread's id for a main one."""

def getruncount() -> int:
    """Return how many tasklets of this thread are runnable, the running one included."""

def getthreads() -> list[int]:
    """Return the ids of all Python threads, the oldest first. Workers that have nothing to
    do are left out.
    """

def get_thread_info(thread_id: int = -1, flags: int = 0, /) -> tuple[Any, ...]:
    """Return (main tasklet, current tasklet, run count) of a thread, -1 being this one.

    (None, None, 0) for a thread that has not used tasklets yet. With bit 31 of flags set,
    a fourth item lists the callers of run(): None in the place of the one whose timeout
    is in force, then the callers from the outermost; None before the first run(). Raises
    RuntimeError if there is no such thread.
    """

def getuncollectables() -> list[tasklet]:
    """Return the tasklets of all threads that have started and not ended, main ones left
    out. Those that nobody can reach and the collector does not find are among them.
    """

def all_tasklets() -> list[tasklet]:
    """Return a list of the tasklets of all threads that are runnable or have started.

    The main ones are among them, and those that are paused in the middle. What has ended,
    and what was never made runnable, is not; nor is a tasklet that was removed from the
    run queue before it began. The list keeps them alive.
    """

def survey(all_threads: bool, /) -> list[_Record]:
    """Return a list that tells what each tasklet does, of all threads or of this one.

    The items are (thread id, name, state, wait, spawned at, stack). wait is None, or what
    it waits for, since how many seconds, and in how many that ends or None. stack is a
    list of (file, line, function), the innermost first. No tasklet is kept alive.
    """

def switch_trap(change: int = 0, /) -> int:
    """Add change to this thread's trap counter and return the old value.

    While it is not 0, whatever would switch to another tasklet raises SwitchTrapError
    and changes nothing; insert(), remove() and waking other threads are allowed.
    """

def stackless_switch_trap(change: int = 0, /) -> int:
    """Add change to this thread's trap counter and return the old value.

    While it is not 0, whatever would switch to another tasklet raises SwitchTrapError
    and changes nothing; insert(), remove() and waking other threads are allowed.
    """

def set_channel_callback(func: _ChannelCallback | None, /) -> _ChannelCallback | None:
    """Have func(channel, tasklet, sending, willblock) called at each channel operation.

    Returns the callback before, or None; None removes it. It is called before anything
    moves, or after if the partner is another thread's. It may not use channels or
    switch; an exception that it raises is raised by the operation.
    """

def get_channel_callback() -> _ChannelCallback | None:
    """Return what set_channel_callback() set, or None."""

def set_schedule_callback(
    func: _ScheduleCallback | None, /
) -> _ScheduleCallback | None:
    """Have func(prev, next) called before each switch, on all threads.

    Returns the callback before, or None; None removes it. It may not switch; an
    exception that it raises is reported as unraisable. prev is None when a thread's main
    tasklet is made.
    """

def get_schedule_callback() -> _ScheduleCallback | None:
    """Return what set_schedule_callback() set, or None."""

def set_error_handler(func: _ErrorHandler | None = None, /) -> _ErrorHandler | None:
    """Have func(type, value, traceback) called with each uncaught exception of a tasklet.

    Returns the handler before, or None; None removes it. It is called in the dying
    tasklet; if it returns, the error is dealt with, if it raises, that goes to run().
    Raises TypeError if func cannot be called.
    """

def check_function(fname: str, func: object, /) -> None:
    """Raise the TypeError of fname() if func cannot be called or is async."""

def order_seed(seed: int | None, /) -> int | None:
    """Have each tasklet that becomes runnable on this thread take a random place in the run
    queue, behind the first: the same places for the same seed, a positive int below 2**64.
    None: the end, as usual. Returns the seed that would go on as before, or None.
    """

def statistics() -> _Statistics:
    """Return a dict of counts: of this thread, and of the process. Times are in seconds.

    This thread's are runnable, started (begun and not ended), blocked (a dict: how many by
    what they wait for), switches, spawned, finished, pooled_stacks; sleeps and spins (waits
    with and without sleeping), woken (sleeps that others ended), slept, run_time (of its
    CPU); timers (pending), timers_fired, latency_mean and latency_max (how late they were).
    The process's are tasklets, channels, threads (that have used tasklets), slabs
    (megabytes held for stacks), worker_pools, workers, workers_idle, calls_queued and
    calls_finished. A pool that is gone takes its calls with it.
    """

def live_counts() -> dict[str, int]:
    """Return how many objects of each C type are alive, for leak tests."""

stress: bool

def stress_yields(flag: bool, /) -> bool:
    """Whether a build with TL_STRESS yields before each operation that may have to wait; for
    tests that count turns. Returns what it was before. Without effect in other builds.
    """

def libuv_version() -> str:
    """Return the version of the libuv that is loaded."""

def _report_lock_cycles(flag: bool, /) -> bool: ...
def _last_seconds(computing: float, turn: float, /) -> None: ...
def _main_has_ended() -> None: ...
def _at_exit() -> None: ...
def _after_fork() -> None: ...
