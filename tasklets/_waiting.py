"""Waiting for the ends of several tasklets and futures, and for events."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from operator import index
from typing import Any, TypeAlias, TypeVar

from tasklets._core import Event, QueueChannel, getcurrent, job, now, tasklet

Waitable: TypeAlias = "tasklet | Future[Any] | Event"
_W = TypeVar("_W", bound=Waitable)


def source_of(one: Waitable) -> int:
    """Return who ends it: 0 a tasklet, 1 perhaps a plain thread, 2 surely a worker."""
    if isinstance(one, tasklet):
        return 0
    return 2 if isinstance(getattr(one, "_job", None), job) else 1


class _Arrivals:
    """Those of some objects that have finished, in that order."""

    def __init__(self, objects: Iterable[Waitable]) -> None:
        self.queue: QueueChannel | None = QueueChannel()
        self.queue.preference = 0  # who ends goes on
        self.left = Counter(map(source_of, objects))

    def get(self, deadline: float) -> Any:
        """Return the next that has finished. Raises TimeoutError at the deadline."""
        queue = self.queue
        assert queue is not None
        if len(queue) == 0:
            queue._source = max(+self.left, default=0)
        if len(queue) > 0 or deadline == math.inf:
            one = queue.receive()
        else:
            one = queue.receive(timeout=max(0.0, deadline - now()))
        self.left[source_of(one)] -= 1
        return one

    def put(self, one: Waitable) -> None:
        """Note that one has finished: the done callback of each, on any thread."""
        queue = self.queue
        if queue is None:
            return
        try:
            queue.send(one)
        except BaseException:
            # What was thrown into the tasklet that ends, or the channel callback's.
            queue.send(one)
            raise

    def end(self, objects: Iterable[Waitable]) -> None:
        """Have nobody call put() any more."""
        self.queue = None
        for one in objects:
            if isinstance(one, tasklet | Event):
                one.remove_done_callback(self.put)
            else:
                # There is no public way; if this one is gone, put() does nothing.
                with suppress(AttributeError, ValueError):
                    one._done_callbacks.remove(self.put)  # type: ignore[attr-defined]


def _check_objects(objects: Iterable[_W]) -> list[_W]:
    """Return the objects, each once."""
    found: dict[int, _W] = {}
    me = getcurrent()
    for one in objects:
        if not isinstance(one, tasklet | Future | Event):
            raise TypeError(
                "can only wait for tasklets, concurrent.futures.Future and "
                f"tasklets.locks.Event, not {one!r}"
            )
        if one is me:
            raise RuntimeError("a tasklet cannot wait for its own end")
        found[id(one)] = one
    return list(found.values())


def _deadline(timeout: float | None) -> float:
    if timeout is None:
        return math.inf
    if math.isnan(timeout):
        raise ValueError("a timeout must be a number of seconds, not NaN")
    return now() + timeout


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
    found = _check_objects(objects)
    wanted = len(found) if count is None else index(count)
    if not 0 <= wanted <= len(found):
        raise ValueError(
            f"count must be between 0 and {len(found)}, the number of objects, "
            f"not {wanted}"
        )
    deadline = _deadline(timeout)
    finished: list[_W] = []
    arrivals = _Arrivals(found)
    queue = arrivals.queue
    assert queue is not None
    try:
        for one in found:
            one.add_done_callback(arrivals.put)
        while len(finished) < wanted or len(queue) > 0:
            finished.append(arrivals.get(deadline))
    except TimeoutError:
        if now() < deadline:
            raise
    finally:
        arrivals.end(found)
    return finished


def as_completed(objects: Iterable[_W], timeout: float | None = None) -> Iterator[_W]:
    """Iterate over the objects in the order in which they finish.

    Those that have finished already come first, in the order given. objects and errors
    are as for wait(); the timeout, in seconds, begins with this call. The iterator
    raises TimeoutError when it is over; what has not come by then does not come any
    more.
    """
    completions = _completions(_check_objects(objects), _deadline(timeout))
    next(completions)  # from here on it listens, and stops when it is closed
    return completions  # type: ignore[return-value]


def _completions(objects: list[_W], deadline: float) -> Iterator[_W | None]:
    arrivals = _Arrivals(objects)
    left = len(objects)
    try:
        for one in objects:
            one.add_done_callback(arrivals.put)
        yield None
        while left > 0:
            finished = arrivals.get(deadline)
            left -= 1
            yield finished
    except TimeoutError:
        if now() < deadline:
            raise
        raise TimeoutError(
            f"{left} of {len(objects)} have not finished in time"
        ) from None
    finally:
        arrivals.end(objects)
