"""Threads that compute beside atomic sections."""

import contextlib
import inspect
import threading
import time
from contextlib import nullcontext

import pytest
from threads import SECONDS, running

from tasklets import atomic, getcurrent


def compute(loops=20_000):
    """Need the GIL for some hundred microseconds."""
    for _ in range(loops):
        pass


def compute_until(condition):
    """Compute until something has happened."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"


class Counter:
    """What a thread does that computes all the time."""

    def __init__(self):
        self.count, self.ending = 0, False

    def __call__(self):
        while not self.ending:
            self.count += 1


@contextlib.contextmanager
def counting(number=2):
    """Have threads that compute all the time; give a function that sums their work."""
    counters = [Counter() for _ in range(number)]

    def total():
        return sum(counter.count for counter in counters)

    with running(*counters):
        try:
            for counter in counters:
                compute_until(lambda counter=counter: counter.count > 0)
            yield total
        finally:
            for counter in counters:
                counter.ending = True


class FlagSet:
    """The same as atomic(), by means of set_atomic()."""

    def __enter__(self):
        self.before = getcurrent().set_atomic(True)

    def __exit__(self, *exc):
        getcurrent().set_atomic(self.before)


class Hold:
    """Holds the first thread that comes by until another one has made progress."""

    def __init__(self):
        self.first = threading.Lock()  # never released

    def __call__(self, progress, loops=20_000):
        if self.first.acquire(blocking=False):
            before = progress()
            compute_until(lambda: progress() != before)
        else:
            compute(loops)


def violations(test):
    """Run a test, which returns how many violations it saw, with and without sections.

    It takes what makes a section, and a function that it calls where an interference
    would be a violation, with a function whose result an interference changes. With
    sections that call computes for a while. Without them the first call returns only
    after an interference, so the test must see a violation.
    """

    @pytest.mark.parametrize(
        ("section", "protects"),
        [
            pytest.param(atomic, True, id="atomic"),
            pytest.param(FlagSet, True, id="set_atomic"),
            pytest.param(nullcontext, False, id="without"),
        ],
    )
    def with_and_without(section, protects, **kwargs):
        if protects:
            assert test(section, lambda _, loops=20_000: compute(loops), **kwargs) == 0
        else:
            assert test(section, Hold(), **kwargs) > 0

    takes = inspect.signature(test)
    parameters = [p for p in takes.parameters.values() if p.name != "stay"]
    parameters.append(inspect.Parameter("protects", inspect.Parameter.KEYWORD_ONLY))
    with_and_without.__name__ = test.__name__
    with_and_without.__signature__ = takes.replace(parameters=parameters)
    return with_and_without
