"""Fixtures of the suites of the interpreter."""

import pytest
from crowds import live_in, without_leftovers


@pytest.fixture(autouse=True)
def crowd(request):
    """Have the threads of the test be what its class says."""
    yield from live_in(request.cls.crowd)
    without_leftovers(request.instance)
