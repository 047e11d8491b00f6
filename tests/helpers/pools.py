"""What the tests of workers have in common."""

import time

from threads import SECONDS

from tasklets import schedule, spawn
from tasklets.workers import call_on_worker

call_on_worker(int)  # the shared pool lives as long as the process


def yield_until(condition):
    """Give way until it is true."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        schedule()
        time.sleep(0.0005)


def started(func, *args, **kwargs):
    """Return a tasklet that has run until it waits."""
    t = spawn(func, *args, **kwargs)
    yield_until(lambda: t.blocked or t.done())
    return t


def fail(*args):
    raise KeyError(*args)


def settled(some):
    """Return a pool once all of its workers are idle."""
    yield_until(lambda: some._pool.idle == some._pool.workers)
    return some
