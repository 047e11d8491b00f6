"""What the tests of time have in common."""

import pytest

from tasklets import scheduler

LATE = 30  # seconds until something is badly wrong


# For times that must not be up at once, as they may be on a busy machine.
on_the_fake_clock = pytest.mark.parametrize("each_clock", ["fake"], indirect=True)


def drain():
    """Let what is still asleep come to its end."""
    while scheduler.pending():
        scheduler.run(wait=True)
