"""Queues for tasklets of any thread, and for threads without tasklets."""

from queue import Empty as Empty
from queue import Full as Full

from tasklets._core import LifoQueue as LifoQueue
from tasklets._core import PriorityQueue as PriorityQueue
from tasklets._core import Queue as Queue
from tasklets._core import ShutDown as ShutDown
from tasklets._core import SimpleQueue as SimpleQueue
from tasklets._names import public_names as _public_names

__all__ = [
    "Empty",
    "Full",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "ShutDown",
    "SimpleQueue",
]


def __dir__() -> list[str]:
    return _public_names(globals())
