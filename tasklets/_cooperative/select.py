"""The module select, whose calls let other tasklets run while they wait.

The system is asked without a wait. If nothing is ready, the tasklet waits until one of
the descriptors may be, and the system is asked again: what the calls return, and the
errors they raise, are the system's.
"""

import select as _standard
from collections.abc import Iterable
from select import *  # noqa: F403
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from tasklets import _core

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import FileDescriptorLike

# Events by the name of poll(), whose numbers are those of epoll, too.
_IN, _OUT, _PRI = _standard.POLLIN, _standard.POLLOUT, _standard.POLLPRI


def _number(fd: "FileDescriptorLike") -> int:
    return fd if isinstance(fd, int) else fd.fileno()


def _wait(awaited: dict[int, int], timeout: float | None) -> None:
    """Wait until a descriptor may have one of its events; timeout is in seconds.

    awaited maps descriptors to events. May return earlier, or if a descriptor is closed
    during the wait. Raises TimeoutError.
    """
    if len(awaited) == 1:
        [(fd, events)] = awaited.items()
        wait = {_IN: _core.wait_readable, _OUT: _core.wait_writable}.get(events)
        if wait is not None:
            _wait_for_one(wait, fd, timeout)
            return
    with _standard.epoll(max(len(awaited), 1)) as together:
        for fd, events in awaited.items():
            try:
                together.register(fd, events)
            except PermissionError:
                return  # a file, which is always ready
        _core.wait_readable(together.fileno(), timeout)


def _wait_for_one(wait: Any, fd: int, timeout: float | None) -> None:
    try:
        wait(fd, timeout)
    except TimeoutError:
        raise
    except OSError:
        pass  # it was closed, which the next look at it tells


class _Clock:
    """Measures what is left of a timeout in seconds, None: no limit."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else monotonic() + timeout

    def left(self) -> float | None:
        return None if self._end is None else max(self._end - monotonic(), 0.0)


def select(
    rlist: "Iterable[Any]",
    wlist: "Iterable[Any]",
    xlist: "Iterable[Any]",
    timeout: float | None = None,
    /,
) -> tuple[list[Any], list[Any], list[Any]]:
    """Do what `select.select` does, while other tasklets run.

    A call that does not wait lets them run, too, now and then.
    """
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        # It raises what is wrong with another timeout.
        ready = _standard.select(rlist, wlist, xlist, timeout)
        _core.net_give_way()
        return ready
    lists = list(rlist), list(wlist), list(xlist)
    clock = _Clock(timeout)
    _core.net_give_way()
    while not any(ready := _standard.select(*lists, 0)):
        awaited: dict[int, int] = {}
        for fds, events in zip(lists, (_IN, _OUT, _PRI), strict=True):
            for fd in map(_number, fds):
                awaited[fd] = awaited.get(fd, 0) | events
        try:
            _wait(awaited, clock.left())
        except TimeoutError:
            return _standard.select(*lists, 0)
    return ready


class poll:
    """An object as `select.poll` returns, whose poll() lets other tasklets run."""

    def __init__(self) -> None:
        self._poll = _standard.poll()
        self._events: dict[int, int] = {}

    def register(
        self, fd: "FileDescriptorLike", eventmask: int = _IN | _PRI | _OUT, /
    ) -> None:
        self._poll.register(fd, eventmask)
        self._events[_number(fd)] = eventmask

    def modify(self, fd: "FileDescriptorLike", eventmask: int, /) -> None:
        self._poll.modify(fd, eventmask)
        self._events[_number(fd)] = eventmask

    def unregister(self, fd: "FileDescriptorLike", /) -> None:
        self._poll.unregister(fd)
        self._events.pop(_number(fd), None)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Return the pairs of a descriptor and its events; timeout in milliseconds.

        None, or a negative timeout: no limit.
        """
        if timeout is not None and not isinstance(timeout, (int, float)):
            self._poll.poll(timeout)  # raises what is wrong with it
        clock = _Clock(None if timeout is None or timeout < 0 else timeout / 1e3)
        _core.net_give_way()
        while not (ready := self._poll.poll(0)) and clock.left() != 0:
            try:
                _wait(self._events, clock.left())
            except TimeoutError:
                return self._poll.poll(0)
        return ready


class epoll:
    """An object as `select.epoll`, whose poll() lets other tasklets run."""

    __slots__ = ("__weakref__", "_epoll")

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._epoll = _standard.epoll(sizehint, flags)

    @classmethod
    def fromfd(cls, fd: "FileDescriptorLike", /) -> Self:
        """Return an object for the descriptor of an epoll set."""
        self = cls.__new__(cls)
        self._epoll = _standard.epoll.fromfd(fd)
        return self

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._epoll.closed

    def close(self) -> None:
        """Close the descriptor."""
        if not self._epoll.closed:
            _core.notify_closing(self._epoll.fileno())
        self._epoll.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._epoll.fileno()

    def register(
        self,
        fd: "FileDescriptorLike",
        eventmask: int = _IN | _PRI | _OUT,
    ) -> None:
        """Add a descriptor."""
        self._epoll.register(fd, eventmask)

    def modify(self, fd: "FileDescriptorLike", eventmask: int) -> None:
        """Change the events of a descriptor."""
        self._epoll.modify(fd, eventmask)

    def unregister(self, fd: "FileDescriptorLike") -> None:
        """Remove a descriptor."""
        self._epoll.unregister(fd)

    def poll(
        self, timeout: float | None = None, maxevents: int = -1
    ) -> list[tuple[int, int]]:
        """Return the pairs of a descriptor and its events; timeout in seconds.

        None, or a negative timeout: no limit.
        """
        if timeout is not None and not isinstance(timeout, (int, float)):
            self._epoll.poll(timeout, maxevents)  # raises what is wrong with it
        _core.net_give_way()
        ready = self._epoll.poll(0, maxevents)
        if ready or timeout == 0:
            return ready
        clock = _Clock(None if timeout is None or timeout < 0 else timeout)
        while not ready and (left := clock.left()) != 0:
            # A set is readable while one of its descriptors is ready.
            try:
                _core.wait_readable(self._epoll.fileno(), left)
            except TimeoutError:
                return self._epoll.poll(0, maxevents)
            ready = self._epoll.poll(0, maxevents)
        return ready

    def __enter__(self) -> Self:
        self._epoll.__enter__()  # raises ValueError if it is closed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: "TracebackType | None" = None,
    ) -> None:
        self.close()


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)
