"""Locks for tasklets of one or several threads, and for threads without tasklets."""

from tasklets._core import Condition as Condition
from tasklets._core import Lock as Lock
from tasklets._core import RLock as RLock

__all__ = ["Condition", "Lock", "RLock"]
