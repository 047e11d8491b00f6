"""What the tests of workers have in common."""

import threading
import time

from tasklets import schedule, spawn
from tasklets.workers import call_on_worker

# For what must happen: nobody waits so long.
LONG = 30

call_on_worker(int)  # the shared pool lives as long as the process


class Gate(threading.Event):
    """An event that nobody waits for for ever, so that a failed test ends."""

    def wait(self):
        """Wait, but not for ever."""
        return super().wait(LONG)


def until(condition):
    """Give way until it is true."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        schedule()
        time.sleep(0.0005)


def started(func, *args, **kwargs):
    """Return a tasklet that has run until it waits."""
    t = spawn(func, *args, **kwargs)
    until(lambda: t.blocked or t.done())
    return t


def fail(*args):
    raise KeyError(*args)


def settled(some):
    """Return a pool once all of its workers are idle."""
    until(lambda: some._pool.idle == some._pool.workers)
    return some
