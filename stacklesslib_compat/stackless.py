"""The module `stackless` of Stackless Python 3.8.

`import stackless` finds it after `stacklesslib_compat.install()`. It has the documented
names of Stackless, except for pickling running tasklets and for soft switching, whose
settings exist but have no effect.

Importing it adds `TaskletExit` to builtins, as Stackless does.
"""

import builtins
import sys
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from types import ModuleType
from typing import Any, Literal, TypeVar

from tasklets import _core
from tasklets._core import (
    atomic,
    bomb,
    get_channel_callback,
    get_schedule_callback,
    get_thread_info,
    getcurrent,
    getcurrentid,
    getmain,
    getruncount,
    getthreads,
    getuncollectables,
    run,
    schedule,
    set_channel_callback,
    set_error_handler,
    set_schedule_callback,
    tasklet,
)

# These raise plain RuntimeError and ValueError, with the exact messages of Stackless.
from tasklets._core import stackless_channel as channel
from tasklets._core import stackless_schedule_remove as schedule_remove
from tasklets._core import stackless_switch_trap as switch_trap
from tasklets._names import public_names

__all__ = [
    "PICKLEFLAGS_PICKLE_CONTEXT",
    "PICKLEFLAGS_PRESERVE_AG_FINALIZER",
    "PICKLEFLAGS_PRESERVE_TRACING_STATE",
    "PICKLEFLAGS_RESET_AG_FINALIZER",
    "atomic",
    "bomb",
    "cframe",
    "channel",
    "cstack",
    "enable_softswitch",
    "get_channel_callback",
    "get_schedule_callback",
    "get_thread_info",
    "getcurrent",
    "getcurrentid",
    "getdebug",
    "getmain",
    "getruncount",
    "getthreads",
    "getuncollectables",
    "pickle_flags",
    "pickle_flags_default",
    "run",
    "schedule",
    "schedule_remove",
    "set_channel_callback",
    "set_error_handler",
    "set_schedule_callback",
    "stackless",
    "switch_trap",
    "tasklet",
]


def __dir__() -> list[str]:
    return public_names(
        globals(),
        "current",
        "main",
        "runcount",
        "threads",
        "debug",
        "uncollectables",
        "pickle_with_tracing_state",
    )


T = TypeVar("T")

builtins.TaskletExit = _core.TaskletExit  # type: ignore[attr-defined]


class cframe:
    """The type of Stackless's C frames; there are none."""

    __slots__ = ()


class cstack:
    """The type of Stackless's saved C stacks; there are none."""

    __slots__ = ()


def getdebug() -> bool:
    """Return whether this is a debug build of Stackless: always False."""
    return False


def enable_softswitch(flag: object, /) -> Literal[False]:
    """Return whether soft switching was enabled before: always False."""
    return False


# Pickle flags: programs can set them, but they have no effect.

PICKLEFLAGS_PRESERVE_TRACING_STATE = 1
PICKLEFLAGS_PRESERVE_AG_FINALIZER = 2
PICKLEFLAGS_RESET_AG_FINALIZER = 4
PICKLEFLAGS_PICKLE_CONTEXT = 8
_ALL_PICKLEFLAGS = 15


class _PickleFlags(threading.local):
    """This thread's pickle flags, initially the default of all threads."""

    default = 0

    def __init__(self) -> None:
        self.flags = self.default


_pickle_flags = _PickleFlags()


def _changed_flags(old: int, new: int, mask: int) -> int:
    if new < -1 or (new >= 0 and new & ~_ALL_PICKLEFLAGS):
        raise ValueError("you must not set an undefined pickle-flag")
    return old if new == -1 else (old & ~mask) | (new & mask)


def pickle_flags(new: int = -1, mask: int = -1) -> int:
    """Set the bits in mask of this thread's pickle flags; return the old flags."""
    old = _pickle_flags.flags
    _pickle_flags.flags = _changed_flags(old, new, mask)
    return old


def pickle_flags_default(new: int = -1, mask: int = -1) -> int:
    """Like pickle_flags(), for the flags that a new thread starts with."""
    old = _PickleFlags.default
    _PickleFlags.default = _changed_flags(old, new, mask)
    return old


# Used by the tests of Stackless.


def _tasklet_get_unpicklable_state(tasklet: tasklet, /) -> dict[str, Context]:
    """Return the state that a pickled tasklet leaves out; the context is a copy."""
    return {"context": tasklet.context_run(copy_context)}


def test_outside() -> None:
    """Run all scheduled tasklets but the caller."""
    run()


def test_cframe_nr(switches: int) -> None:
    """Call schedule() that many times."""
    for _ in range(switches):
        schedule(None)


def _test_nostacklesscall(func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call func."""
    return func(*args, **kwargs)


# For type checkers: the attributes that _Module computes.
current: tasklet
main: tasklet
runcount: int
threads: list[int]
debug: bool
uncollectables: list[tasklet]
pickle_with_tracing_state: bool


class _Module(ModuleType):
    """A module with attributes that are computed when they are read."""

    @property
    def current(self) -> tasklet:
        """The running tasklet of this thread."""
        return getcurrent()

    @property
    def main(self) -> tasklet:
        """The main tasklet of this thread."""
        return getmain()

    @property
    def runcount(self) -> int:
        """The number of runnable tasklets of this thread."""
        return getruncount()

    @property
    def threads(self) -> list[int]:
        """The ids of all threads."""
        return getthreads()

    @property
    def debug(self) -> bool:
        """Same as getdebug()."""
        return getdebug()

    @property
    def uncollectables(self) -> list[tasklet]:
        """The tasklets of all threads that have started and not ended."""
        return getuncollectables()

    @property
    def pickle_with_tracing_state(self) -> bool:
        """Whether the first pickle flag is set; setting it sets the default as well."""
        return bool(pickle_flags() & PICKLEFLAGS_PRESERVE_TRACING_STATE)

    @pickle_with_tracing_state.setter
    def pickle_with_tracing_state(self, flag: object) -> None:
        new = PICKLEFLAGS_PRESERVE_TRACING_STATE if flag else 0
        pickle_flags(new, PICKLEFLAGS_PRESERVE_TRACING_STATE)
        pickle_flags_default(new, PICKLEFLAGS_PRESERVE_TRACING_STATE)


stackless: ModuleType = sys.modules[__name__]
stackless.__class__ = _Module
