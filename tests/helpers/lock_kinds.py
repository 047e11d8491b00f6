"""The kinds of locks, and tasklets that wait for one."""

import pytest

from tasklets import spawn
from tasklets.locks import BoundedSemaphore, Condition, Lock, RLock, Semaphore
from tasklets.testing import settle


class Boom(Exception):
    """Thrown by tests."""


LOCKS = [Lock, RLock]
MUTEXES = [Lock, RLock, Semaphore, BoundedSemaphore, Condition]

every_lock = pytest.mark.parametrize("make", LOCKS)
every_mutex = pytest.mark.parametrize("make", MUTEXES)


def waiter(lock, log, name):
    """Return a tasklet that waits for the lock, notes its name and lets go."""

    def wait():
        try:
            with lock:
                log.append(name)
        except Boom:
            log.append("boom")

    task = spawn(wait, name=name)
    settle()
    return task
