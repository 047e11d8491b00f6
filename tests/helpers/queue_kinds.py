"""The kinds of queues, and tasklets that wait for one."""

import pytest

from tasklets import TaskletExit, spawn
from tasklets.queues import LifoQueue, PriorityQueue, Queue, SimpleQueue


class Hooked(Queue):
    """Stores its items through methods of its own."""

    def _qsize(self):
        return len(self.queue)

    def _put(self, item):
        assert self.mutex.locked()
        self.queue.append(item)

    def _get(self):
        assert self.mutex.locked()
        return self.queue.popleft()


BOUNDED = [Queue, LifoQueue, PriorityQueue, Hooked]
ALL = [*BOUNDED, SimpleQueue]
IN_ORDER = [Queue, Hooked, SimpleQueue]

bounded = pytest.mark.parametrize("make", BOUNDED)
every = pytest.mark.parametrize("make", ALL)


def getter(log, q, name=None, **options):
    """Return a tasklet that waits for an item and notes it, or what was raised."""

    def get():
        try:
            item = q.get(**options)
        except BaseException as error:
            log.append((name, type(error)) if name else type(error))
            if isinstance(error, TaskletExit):
                raise
        else:
            log.append((name, item) if name else item)

    return spawn(get)


def putter(log, q, item, **options):
    """Return a tasklet that waits until it can put an item, and notes it."""

    def put():
        try:
            q.put(item, **options)
        except BaseException as error:
            log.append(type(error))
            if isinstance(error, TaskletExit):
                raise
        else:
            log.append(item)

    return spawn(put)


def waiting(q):
    """Return how many wait in get() or put(): each is in a condition's repr."""
    return sum(
        int(repr(condition).rpartition(", ")[2].rstrip(")>"))
        for condition in (q.not_empty, q.not_full)
    )
