"""Fixtures of the tests of the core."""

import pytest
from turns import Clock

import tasklets
from tasklets import channel, kill_all, run, schedule, spawn, tasklet
from tasklets.testing import fake_clock


@pytest.fixture
def make():
    """Return a function that makes a tasklet in the state that it is told."""
    made = []

    def make(state):
        work = {
            "blocked": lambda: channel().receive(),
            "paused": tasklets.schedule_remove,
            "ended": int,
        }
        t = tasklet(work[state])()
        run()
        made.append(t)
        return t

    yield make
    while made:
        made.pop().kill()


@pytest.fixture
def entity(log):
    """Return a function that spawns a tasklet that logs its name once a turn."""

    def live(name):
        while True:
            log.append(name)
            schedule()

    def start(name):
        one = spawn(live, name, name=name)
        made.append(one)
        return one

    made = []
    yield start
    kill_all(made)
    made.clear()


@pytest.fixture
def still_clock():
    with fake_clock(0):
        yield Clock()
