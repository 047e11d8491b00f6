"""Fixtures of the tests of atomic sections."""

import sys

import pytest

INTERVAL = 1e-5  # so short that without protection much goes wrong soon


@pytest.fixture
def hurry():
    """Let threads take turns as fast as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(INTERVAL)
    yield
    sys.setswitchinterval(before)
