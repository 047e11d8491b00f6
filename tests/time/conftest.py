"""Fixtures of the tests of time."""

import pytest
from clocks import drain

from tasklets._core import fake_clock, now


@pytest.fixture(params=["true", "fake"])
def each_clock(request):
    """Give a function that tells the time; on a fake clock nobody waits for it."""
    if request.param == "true":
        yield now
        return
    fake_clock(1000)
    yield now
    drain()
    fake_clock(None)
