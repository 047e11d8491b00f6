"""Fixtures of the tests of budgets."""

import sys

import pytest

from tasklets import spawn


@pytest.fixture
def counter():
    """Return a function that makes a tasklet which counts up to a limit."""

    def count(name, limit):
        reached = 0
        while reached < limit:
            reached += 1
            counts[name] = reached
        return reached

    counts = {}

    def start(name="x", limit=10**9):
        victim = spawn(count, name, limit, name=name)
        victims.append(victim)
        return victim

    victims = []
    start.counts = counts
    yield start
    while victims:
        victims.pop().remove().kill()


@pytest.fixture
def tools_as_before():
    """Leave no tracer or profiler behind."""
    tracer, profiler = sys.gettrace(), sys.getprofile()
    yield
    sys.settrace(tracer)
    sys.setprofile(profiler)
