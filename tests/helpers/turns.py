"""What the tests of rounds have in common."""

from tasklets import _core


class Clock:
    """The time of this thread; to set it lets nobody run."""

    def now(self):
        return _core.now()

    def advance(self, seconds):
        _core.fake_clock(_core.now() + seconds)


def turns(log):
    """Return what was logged since the last call."""
    found = "".join(log)
    log.clear()
    return found
