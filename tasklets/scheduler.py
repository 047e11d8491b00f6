"""Run the tasklets of this thread, and inspect them."""

from typing import Literal, NamedTuple

from tasklets import _core
from tasklets._core import Handle as Handle
from tasklets._core import all_tasklets as all_tasklets
from tasklets._core import call_later as call_later
from tasklets._core import call_soon as call_soon
from tasklets._core import call_soon_threadsafe as call_soon_threadsafe
from tasklets._core import getuncollectables as getuncollectables
from tasklets._core import next_deadline as next_deadline
from tasklets._core import notify_closing as notify_closing
from tasklets._core import pending as pending
from tasklets._core import run_forever as run_forever
from tasklets._core import scheduler_run as run
from tasklets._core import shift_clock as shift_clock
from tasklets._core import statistics as statistics
from tasklets._core import stop as stop
from tasklets._core import wait_readable as wait_readable
from tasklets._core import wait_writable as wait_writable
from tasklets._dump import dump as dump
from tasklets._names import public_names

__all__ = [
    "Handle",
    "LastRun",
    "all_tasklets",
    "call_later",
    "call_soon",
    "call_soon_threadsafe",
    "dump",
    "getuncollectables",
    "last_run",
    "next_deadline",
    "notify_closing",
    "pending",
    "run",
    "run_forever",
    "shift_clock",
    "statistics",
    "stop",
    "wait_readable",
    "wait_writable",
]


def __dir__() -> list[str]:
    return public_names(globals())


class LastRun(NamedTuple):
    """How a call of `run` ended.

    reason: "idle": no tasklet was runnable, so that the call would have ended without a
    budget, too; "ticks", "seconds", "switches" or "rounds": that budget of the call
    ended; "slice_ticks" or "slice_seconds": one tasklet overran its slice; "stopped":
    by `stop`, or the caller was inserted; "error": it raised. With "ticks" or
    "seconds", a tasklet that `run` returns merely was running at the end.
    """

    reason: Literal[
        "idle",
        "ticks",
        "seconds",
        "switches",
        "rounds",
        "slice_ticks",
        "slice_seconds",
        "stopped",
        "error",
    ]
    elapsed: float  # seconds
    switches: int  # the number of tasklets entered


def last_run() -> LastRun | None:
    """Return how this thread's last call of `run` ended, or None before the first."""
    found = _core.last_run()
    return None if found is None else LastRun(*found)  # type: ignore[arg-type]
