"""Locks for tasklets of any thread, and for threads without tasklets."""

from threading import BrokenBarrierError as BrokenBarrierError

from tasklets._core import Barrier as Barrier
from tasklets._core import BoundedSemaphore as BoundedSemaphore
from tasklets._core import Condition as Condition
from tasklets._core import Event as Event
from tasklets._core import Lock as Lock
from tasklets._core import NLCondition as NLCondition
from tasklets._core import RLock as RLock
from tasklets._core import Semaphore as Semaphore
from tasklets._names import public_names as _public_names

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Event",
    "Lock",
    "NLCondition",
    "RLock",
    "Semaphore",
]


def __dir__() -> list[str]:
    return _public_names(globals())
