"""Tools for tests of programs that use tasklets: control over time and order.

They affect only the calling thread.
"""

import math
from functools import partial
from typing import TYPE_CHECKING

from tasklets import _core
from tasklets._names import public_names
from tasklets._traps import Setting

__all__ = ["FakeClock", "fake_clock", "seeded", "settle"]


def __dir__() -> list[str]:
    return public_names(globals())


def settle(*, switches: int = 1_000_000) -> None:
    """Run the other tasklets of this thread until none is runnable or due.

    Does not wait, neither for time nor for other threads. An uncaught exception of a
    tasklet is raised here, and the others stay as they are. Raises RuntimeError if
    tasklets have been entered `switches` times and some are still runnable, TypeError
    or ValueError if `switches` is not a positive int.
    """
    if not isinstance(switches, int):
        raise TypeError(f"switches must be an int, not {type(switches).__name__}")
    if switches < 1:
        raise ValueError(f"switches must be positive, not {switches}")
    start = _core.statistics()["switches"]
    left = switches
    while True:
        _core.scheduler_run(switches=left)
        if _core.last_run()[0] == "idle":  # type: ignore[index]
            return
        left = switches + 1 - (_core.statistics()["switches"] - start)
        if left <= 0:
            raise RuntimeError(
                f"not settled after {switches} switches, runnable: {_runnable()}"
            )


def _runnable() -> str:
    """Return the reprs of the first runnable tasklets other than the caller."""
    names = []
    me = _core.getcurrent()
    one = me.next
    while one is not None and one is not me and len(names) < 5:
        names.append(repr(one))
        one = one.next
    return ", ".join(names)


class FakeClock:
    """A clock that sleeps and timeouts of this thread follow; see fake_clock()."""

    def __init__(self, block: Setting) -> None:
        self._block = block

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}>"

    def now(self) -> float:
        """Return what the clock shows, in seconds.

        Raises RuntimeError after the end of the block, and on another thread.
        """
        if not self._block.active:
            raise RuntimeError(
                "a fake clock exists only in its block, on the block's thread"
            )
        return _core.now()

    def advance(self, seconds: float) -> None:
        """Advance the clock by that many seconds, and run what is due by then.

        It moves from one deadline to the next, and calls settle() at each. An exception
        of a tasklet is raised here, and the clock stays where it is then. Raises
        ValueError if seconds is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"seconds must be 0 or positive, not {seconds!r}")
        self.now()  # raises outside of the block
        left = round(seconds * 1e9)
        settle()
        while left > 0:
            left = _core.advance_fake_clock(left)
            settle()


class _FakeClockSetting(Setting):
    """The block of a fake clock; entering it returns the clock."""

    def __init__(self, *_: object) -> None:
        self.entered: FakeClock = FakeClock(self)

    if TYPE_CHECKING:

        def __enter__(self) -> FakeClock: ...


def fake_clock(start: float = 0.0) -> _FakeClockSetting:
    """Make sleeps and timeouts of this thread follow a clock that tests advance.

    It shows `start` seconds until its advance() is called, or until nothing is
    runnable while a tasklet waits: then it jumps to the next deadline, so that no test
    waits. Timers that are pending at the beginning or at the end of the block keep the
    time they have left. Budgets of scheduler.run() follow the real clock. Raises
    TypeError if start is not a number, ValueError if it is negative or not finite.
    """
    if not isinstance(start, (int, float)):
        kind = type(start).__name__
        raise TypeError(f"start must be a number of seconds, not {kind}")
    if not 0 <= start < math.inf:
        raise ValueError(f"start must be 0 or positive, and finite, not {start!r}")
    change = partial(_core.fake_clock, carry=True)
    call = f"testing.fake_clock({float(start)})"
    return _FakeClockSetting(change, float(start))._made_by(call)


def seeded(seed: int) -> Setting:
    """Insert tasklets that become runnable at random places in the run queue.

    The same program uses the same places each time with the same seed. The running
    tasklet remains first, and a tasklet that only yields goes to the end, as usual.
    These orders break rules of the scheduler that programs may rely on: a program that
    does is not wrong if it fails here. Try a program that must be correct in every
    order with as many seeds as needed.
    """
    if not isinstance(seed, int):
        raise TypeError(f"seed must be an int, not {seed!r}")
    from random import Random  # not needed by programs that only import us

    order = Random(seed).getrandbits(64) or 1
    return Setting(_core.order_seed, order)._made_by(f"testing.seeded({seed})")
