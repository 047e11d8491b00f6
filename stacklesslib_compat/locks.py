"""The module `stacklesslib.locks`: locks whose timeouts are None or a number.

They are those of `tasklets.locks`, with the rules of stacklesslib where these differ:
no context manager gives a value, a `Lock` is a semaphore and may be released more
often than acquired, and `NLCondition`, `ValueEvent` and a few functions are here only.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from tasklets import _core, locks
from tasklets._core import released
from tasklets._names import public_names
from tasklets.locks import Barrier, BrokenBarrierError, NLCondition

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Event",
    "Lock",
    "LockMixin",
    "NLCondition",
    "RLock",
    "Semaphore",
    "ValueEvent",
    "lock_channel_wait",
    "released",
    "wait_for_condition",
]


def __dir__() -> list[str]:
    return public_names(globals())


T = TypeVar("T")


def lock_channel_wait(chan: Any, timeout: float | None) -> bool:
    """Receive from a channel and drop what comes; return whether it came in time."""
    try:
        chan.receive(timeout=timeout)
    except TimeoutError:
        return False
    return True


def wait_for_condition(
    cond: Any, predicate: Callable[[], T], timeout: float | None = None
) -> T:
    """Wait on cond until predicate() is true or the time is up; return its last value.

    cond is whatever has a wait(timeout).
    """
    end = None if timeout is None else _core.now() + timeout
    result = predicate()
    while not result:
        left = None if end is None else end - _core.now()
        if left is not None and left <= 0:
            break
        cond.wait(left)
        result = predicate()
    return result


class LockMixin:
    """Makes a context manager of what has acquire() and release()."""

    def __enter__(self) -> None:
        self.acquire()  # type: ignore[attr-defined]

    def __exit__(self, *error: object) -> None:
        self.release()  # type: ignore[attr-defined]


class _Counter(LockMixin):
    """A semaphore with stacklesslib's name for the argument of release()."""

    def release(self, count: int = 1) -> None:
        """Make the counter larger, and wake who can go on."""
        super().release(count)  # type: ignore[misc]


class Semaphore(_Counter, locks.Semaphore):  # type: ignore[misc]
    """A counter that acquire() makes smaller, and that is never less than 0."""


class BoundedSemaphore(_Counter, locks.BoundedSemaphore):  # type: ignore[misc]
    """A semaphore whose counter is never larger than at first: ValueError."""


class Lock(Semaphore):
    """A semaphore with 1. To release it when nobody has it is no error: it counts."""

    def __init__(self) -> None:
        super().__init__(1)


class _Count(int):
    """How often an RLock was acquired, and what it takes to restore that."""

    state: Any


class RLock(LockMixin, locks.RLock):  # type: ignore[misc]
    """A lock that its owner, a tasklet, may acquire again."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire it, if that takes no longer than timeout seconds; return whether."""
        return super().acquire(blocking, -1 if timeout is None else max(timeout, 0))

    def _release_save(self) -> "_Count":
        count = _Count(self._recursion_count())
        count.state = super()._release_save()
        return count

    def _acquire_restore(self, state: "_Count") -> None:  # type: ignore[override]
        super()._acquire_restore(state.state)


class Condition(LockMixin, locks.Condition):  # type: ignore[misc]
    """A condition over a lock, an RLock if none is given."""

    def __init__(self, lock: Any = None) -> None:
        super().__init__(RLock() if lock is None else lock)

    def notifyAll(self) -> None:
        """Do what notify_all() does, without a warning."""
        self.notify_all()


class Event(locks.Event):
    """An event that calls back when it is set, and that can be waited for with others.

    The functions of add_done_callback() are called once, with the event.
    """

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[Any], object]] = []

    def isSet(self) -> bool:
        """Do what is_set() does, without a warning."""
        return self.is_set()

    def set(self) -> None:
        """Set it: who waits goes on, and the callbacks are called."""
        super().set()
        self.waitsite_signal()

    def waitsite_signalled(self) -> bool:
        """Return whether a callback that is added now is called at once."""
        return self.is_set()

    def waitsite_signal(self) -> None:
        """Call the callbacks, and forget them."""
        while self._callbacks:
            self._callbacks.pop(0)(self)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Have callback(self) called when it is set; at once if it is set."""
        self._callbacks.append(callback)
        if self.waitsite_signalled():
            self.waitsite_signal()

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Have it not called; return how often it would have been."""
        before = len(self._callbacks)
        self._callbacks[:] = [func for func in self._callbacks if func != callback]
        return before - len(self._callbacks)


class ValueEvent:
    """A value that comes once, for those who wait for it by then.

    timeout: seconds from now after which it is aborted by itself, with timeoutException
    (TimeoutError if None) made with timeoutExceptionValue (with nothing if None).
    """

    def __init__(
        self,
        timeout: float | None = None,
        timeoutException: type[BaseException] | None = None,
        timeoutExceptionValue: object = None,
    ) -> None:
        self._end = None if timeout is None else _core.now() + timeout
        value = timeoutExceptionValue
        self._at_timeout = (
            TimeoutError if timeoutException is None else timeoutException,
            () if value is None else (value,),
        )
        self._guard = locks.Lock()
        self._over = locks.Event()
        self._value: Any = None
        self._error: tuple[type[BaseException], tuple[object, ...]] | None = None

    def __repr__(self) -> str:
        state = "over" if self._over.is_set() else "waiting"
        return f"<{type(self).__name__} {state} at {id(self):#x}>"

    def set(self, value: object = None) -> None:
        """Give the value to all who wait. RuntimeError if it is over."""
        self._finish(value, None)

    def abort(
        self, exception: type[BaseException] | None = None, *value: object
    ) -> None:
        """Raise exception(*value), or that of the timeout, in all who wait.

        RuntimeError if it is over.
        """
        error = self._at_timeout if exception is None else (exception, value)
        self._finish(None, error)

    def wait(self) -> Any:
        """Wait for the value, and return it.

        Raises what it is aborted with, and RuntimeError if the value has come before.
        """
        self._check_time()
        if self._over.is_set():
            error = self._error or (RuntimeError, ("Already resumed",))
            raise error[0](*error[1])
        while not self._over.is_set():
            self._over.wait(None if self._end is None else self._end - _core.now())
            self._check_time()
        if self._error is not None:
            raise self._error[0](*self._error[1])
        return self._value

    def _check_time(self) -> None:
        """Abort it if its time is up."""
        with self._guard:
            late = self._end is not None and _core.now() >= self._end
            if late and not self._over.is_set():
                self._end_with(None, self._at_timeout)

    def _finish(self, value: object, error: Any) -> None:
        self._check_time()
        with self._guard:
            if self._over.is_set():
                raise RuntimeError("it has been set or aborted already")
            self._end_with(value, error)

    def _end_with(self, value: object, error: Any) -> None:
        self._value, self._error = value, error
        self._over.set()
