"""TaskGroup.map(), the part of TaskGroup that is written in Python."""

import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from tasklets import _core

_T = TypeVar("_T")
_R = TypeVar("_R")
_END: Any = object()


def map(
    self: _core.TaskGroup,
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
    if not callable(func):
        raise TypeError(f"the function must be callable, not {type(func).__name__}")
    places = None
    if limit is not None:
        number = operator.index(limit)
        if number < 1:
            raise ValueError(f"limit must be positive, not {number}")
        places = _core.Semaphore(min(number, 2**31 - 1))
    calls: list[_core.tasklet] = []
    rest = iter(items)
    while True:
        if places is not None:
            places.acquire()
        item = next(rest, _END)
        if item is _END:
            break
        call = self.spawn(func, item)
        if places is not None:
            call.add_done_callback(_Release(places))
        calls.append(call)
    return [_result(call) for call in calls]


def _result(call: _core.tasklet) -> Any:
    try:
        return call.result()
    except _core.CancelledError:
        _core.schedule()  # interrupts the block of a group that was cancelled
        raise


class _Release:
    """A done callback that releases a permit."""

    def __init__(self, places: _core.Semaphore) -> None:
        self._places = places

    def __call__(self, call: Any) -> None:
        self._places.release()


map.__qualname__ = "TaskGroup.map"
_core.TaskGroup.map = map  # type: ignore[method-assign]
