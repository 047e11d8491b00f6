"""The module `stacklesslib.locks`: locks whose timeouts are None or a number.

The classes are those of `tasklets.locks`, with stacklesslib's rules where these differ:
entering a context manager returns None, a `Lock` is a semaphore and may be released
more times than it was acquired. `NLCondition`, `ValueEvent` and a few functions exist
only here.
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
    """Receive from a channel and drop the value; return whether one came in time."""
    try:
        chan.receive(timeout=timeout)
    except TimeoutError:
        return False
    return True


def wait_for_condition(
    cond: Any, predicate: Callable[[], T], timeout: float | None = None
) -> T:
    """Wait on cond until predicate() is true or timeout is over; return its last value.

    cond: any object with a method wait(timeout). timeout: in seconds; None: no limit.
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
    """Makes a class with acquire() and release() a context manager."""

    def __enter__(self) -> None:
        self.acquire()  # type: ignore[attr-defined]

    def __exit__(self, *error: object) -> None:
        self.release()  # type: ignore[attr-defined]


class _Counter(LockMixin):
    """A semaphore whose release() has stacklesslib's argument name."""

    def release(self, count: int = 1) -> None:
        """Add count to the counter, and wake that many waiters."""
        super().release(count)  # type: ignore[misc]


class Semaphore(_Counter, locks.Semaphore):  # type: ignore[misc]
    """A counter that acquire() decrements, and that is never negative."""


class BoundedSemaphore(_Counter, locks.BoundedSemaphore):  # type: ignore[misc]
    """A semaphore whose counter cannot exceed its first value: ValueError."""


class Lock(Semaphore):
    """A semaphore that begins with 1. Releasing it when it is free increments it."""

    def __init__(self) -> None:
        super().__init__(1)


class _Count(int):
    """How many times an RLock was acquired, with the state that restores this."""

    state: Any


class RLock(LockMixin, locks.RLock):  # type: ignore[misc]
    """A lock that its owner, a tasklet, may acquire again."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire the lock; return False if that takes longer than timeout seconds."""
        return super().acquire(blocking, -1 if timeout is None else max(timeout, 0))

    def _release_save(self) -> "_Count":
        count = _Count(self._recursion_count())
        count.state = super()._release_save()
        return count

    def _acquire_restore(self, state: "_Count") -> None:  # type: ignore[override]
        super()._acquire_restore(state.state)


class Condition(LockMixin, locks.Condition):  # type: ignore[misc]
    """A condition with the given lock, by default a new RLock."""

    def __init__(self, lock: Any = None) -> None:
        super().__init__(RLock() if lock is None else lock)

    def notifyAll(self) -> None:
        """Like notify_all(), without a warning."""
        self.notify_all()


class Event(locks.Event):
    """An event with callbacks, which can be waited for together with other objects.

    The functions of add_done_callback() are called once, with the event.
    """

    # Not the callbacks of the base class, which reports their exceptions: here set()
    # raises them, and waitsite_signal() calls callbacks of an event that is not set.

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[Any], object]] = []

    def isSet(self) -> bool:
        """Like is_set(), without a warning."""
        return self.is_set()

    def set(self) -> None:
        """Set the event, wake its waiters, and call the callbacks."""
        super().set()
        self.waitsite_signal()

    def waitsite_signalled(self) -> bool:
        """Return whether a callback that is added now would be called at once."""
        return self.is_set()

    def waitsite_signal(self) -> None:
        """Call the callbacks and remove them."""
        while self._callbacks:
            self._callbacks.pop(0)(self)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call callback(self) when the event is set; at once if it is set."""
        self._callbacks.append(callback)
        if self.waitsite_signalled():
            self.waitsite_signal()

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Remove the callback; return how many times it had been added."""
        before = len(self._callbacks)
        self._callbacks[:] = [func for func in self._callbacks if func != callback]
        return before - len(self._callbacks)


class ValueEvent:
    """A value that is set once and given to all waiters of that moment.

    timeout: seconds from now until it aborts itself with timeoutException (default:
    TimeoutError), called with timeoutExceptionValue (None: without an argument).
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
        """Give value to all waiters. Raises RuntimeError if it is over."""
        self._finish(value, None)

    def abort(
        self, exception: type[BaseException] | None = None, *value: object
    ) -> None:
        """Raise exception(*value), by default that of the timeout, in all waiters.

        Raises RuntimeError if it is over.
        """
        error = self._at_timeout if exception is None else (exception, value)
        self._finish(None, error)

    def wait(self) -> Any:
        """Wait for the value, and return it.

        Raises the exception of abort() or of the timeout, and RuntimeError if the
        value was set before.
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
        """Abort if the timeout is over."""
        with self._guard:
            timed_out = self._end is not None and _core.now() >= self._end
            if timed_out and not self._over.is_set():
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
