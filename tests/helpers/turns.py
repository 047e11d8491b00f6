"""What the tests of the run queue have in common."""

from tasklets import _core, getcurrent, schedule


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


def ring():
    """Return the run queue from the current tasklet on."""
    result = [getcurrent()]
    while result[-1].next is not result[0]:
        result.append(result[-1].next)
    return result


def note(log, name, steps=1):
    """Append name and a step number to log, and yield after each step."""
    for step in range(1, steps + 1):
        log.append(f"{name}{step}")
        schedule()
