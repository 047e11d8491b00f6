"""A pytest plugin: fixtures for tests of programs that use tasklets.

pytest finds it by its entry point; see docs/testing.md. The rest of its tools is
imported when a test asks for it.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tasklets.testing import FakeClock

_OPTION = "tasklets_strict"
_PATIENCE = "tasklets_patience"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options to the ini file."""
    parser.addini(
        _OPTION,
        "fail every test that leaves tasklets or their calls behind",
        type="bool",
        default=False,
    )
    parser.addini(
        _PATIENCE,
        "seconds to wait for the end of what a test has left behind",
        default="5",
    )


def _patience(config: pytest.Config) -> float:
    text = config.getini(_PATIENCE)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 3600:  # NaN is no number of seconds either
        raise pytest.UsageError(
            f"{_PATIENCE} must be a number of seconds from 0 to 3600, not {text!r}"
        )
    return seconds


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and check all tests if the ini file says so."""
    _patience(config)  # refuse a bad value before any test runs
    config.addinivalue_line(
        "markers",
        f"{_OPTION}(check=True): whether the test fails if it leaves tasklets or their "
        f"calls behind, if the option {_OPTION} is set",
    )
    if config.getini(_OPTION):
        config.pluginmanager.register(_Strict(), _OPTION)


class _Strict:
    """The part of the plugin that is registered if all tests are checked."""

    @pytest.fixture(autouse=True)
    def _tasklets_strict(self, request: pytest.FixtureRequest) -> None:
        marker = request.node.get_closest_marker(_OPTION)
        check = True
        if marker is not None:
            (check,) = [*marker.args, *marker.kwargs.values(), True][:1]
        if check:
            request.getfixturevalue("tasklets_clean")


@pytest.fixture
def tasklets_clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """End what the test leaves behind on its thread, and fail the test.

    That is tasklets, pending call_later() calls, calls on workers, callbacks and traps.
    What existed before the test is left alone.
    """
    from tasklets._leftovers import Leftovers

    leftovers = Leftovers()
    yield
    lines = leftovers.end(_patience(request.config))
    if lines:
        pytest.fail(
            "\n  ".join([f"{request.node.name} left behind:", *lines]), pytrace=False
        )


@pytest.fixture
def fake_clock() -> "Iterator[FakeClock]":
    """Return a FakeClock that the sleeps and timeouts of the test's thread follow."""
    from tasklets import testing

    with testing.fake_clock() as clock:
        yield clock


@pytest.fixture
def settle() -> Callable[..., None]:
    """Return tasklets.testing.settle(): run the others until all of them wait."""
    from tasklets import testing

    return testing.settle
