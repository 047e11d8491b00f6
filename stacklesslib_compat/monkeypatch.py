"""Replace the locks and queues of the standard library by those of tasklets.

Programs written for threads then run in tasklets unmodified. Attributes of modules are
replaced, never modules: code that looks a name up in the module sees the change, code
that has imported the name itself does not. The report of a patch lists such names.
"""

import functools
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Self

from tasklets import _core, locks, queues
from tasklets._names import public_names
from tasklets._unpatched import threads_are_patched

__all__ = ["Holder", "PatchReport", "get_original", "patch_locks", "unpatched"]


def __dir__() -> list[str]:
    return public_names(globals())


class Holder(NamedTuple):
    """A name in an imported module that still refers to an original."""

    module: str
    name: str
    original: str  # such as "threading.Lock"

    def __str__(self) -> str:
        return f"{self.module}.{self.name} is the original {self.original}"


class _Patch(NamedTuple):
    original: Any
    replacement: Any


class PatchReport:
    """What a patch has changed; the end of a with block undoes it.

    patched: the names that were replaced, such as "threading.Lock".
    holders: the names in other modules that still refer to originals.

    It is true if anything was patched.
    """

    def __init__(
        self, places: list[tuple[Any, str]], after: Callable[[], object]
    ) -> None:
        self.patched: list[str] = [_title(*place) for place in places]
        self.holders: list[Holder] = _holders()
        self._places = places
        self._after = after

    def undo(self) -> None:
        """Restore the originals; calling it again has no effect.

        Names that other code has changed since then stay as they are, and existing
        objects keep their classes.
        """
        places, self._places = self._places, []
        for owner, name in places:
            patch = _patches.pop((owner, name))
            if vars(owner).get(name) is patch.replacement:
                setattr(owner, name, patch.original)
        if places:
            self._after()

    def __bool__(self) -> bool:
        return bool(self.patched)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return (
            f"<PatchReport: {len(self.patched)} patched, "
            f"{len(self.holders)} names hold originals>"
        )

    def __str__(self) -> str:
        lines = ["patched: " + (", ".join(self.patched) or "nothing")]
        return "\n".join([*lines, *map(str, self.holders)])


# All present patches, by owner and name.
_patches: dict[tuple[Any, str], _Patch] = {}

# The modules of the originals, which are not reported as holders.
_SOURCES = {"_queue", "_thread", "queue", "threading"}


def _title(owner: Any, name: str) -> str:
    if isinstance(owner, ModuleType):
        return f"{owner.__name__}.{name}"
    return f"{owner.__module__}.{owner.__qualname__}.{name}"


def _put(replacements: dict[tuple[Any, str], Any]) -> list[tuple[Any, str]]:
    """Replace what is not replaced yet; return a list of the places."""
    places = []
    for place, replacement in replacements.items():
        owner, name = place
        if place not in _patches:
            _patches[place] = _Patch(vars(owner)[name], replacement)
            setattr(owner, name, replacement)
            places.append(place)
    return places


def _holders() -> list[Holder]:
    """Return the names in other modules that refer to originals."""
    titles = {
        id(patch.original): _title(owner, name)
        for (owner, name), patch in _patches.items()
        if isinstance(owner, ModuleType)
    }
    found = set()
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", None)
        if not isinstance(module, ModuleType) or name in _SOURCES | {__name__}:
            continue
        found |= {
            Holder(str(name), key, titles[id(value)])
            for key, value in list(vars(module).items())
            if id(value) in titles
        }
    return sorted(found)


def get_original(module: str | ModuleType, name: str) -> Any:
    """Return the original module.name, whether or not it is patched.

    Raises AttributeError if the module has no such name, and KeyError if sys.modules
    has no module of that name.
    """
    owner = sys.modules[module] if isinstance(module, str) else module
    patch = _patches.get((owner, name))
    return getattr(owner, name) if patch is None else patch.original


@contextmanager
def unpatched() -> Iterator[None]:
    """Restore all originals during a block, for all threads.

    For importing a module that must not be patched, or for a call that creates locks
    which must block their thread.
    """
    before = []
    for (owner, name), patch in _patches.items():
        before.append((owner, name, vars(owner)[name]))
        setattr(owner, name, patch.original)
    try:
        yield
    finally:
        for owner, name, value in before:
            if (owner, name) in _patches:
                setattr(owner, name, value)


_LOCKS: dict[tuple[Any, str], Any] = {
    (threading, "Barrier"): locks.Barrier,
    (threading, "BoundedSemaphore"): locks.BoundedSemaphore,
    (threading, "Condition"): locks.Condition,
    (threading, "Event"): locks.Event,
    (threading, "Lock"): locks.Lock,
    (threading, "RLock"): locks.RLock,
    (threading, "Semaphore"): locks.Semaphore,
    (queue, "LifoQueue"): queues.LifoQueue,
    (queue, "PriorityQueue"): queues.PriorityQueue,
    (queue, "Queue"): queues.Queue,
    (queue, "SimpleQueue"): queues.SimpleQueue,
}


def patch_locks() -> PatchReport:
    """Replace the locks of `threading` and the queues of `queue` by those of tasklets.

    These are Lock, RLock, Condition, Event, Semaphore, BoundedSemaphore and Barrier;
    Queue, LifoQueue, PriorityQueue and SimpleQueue. Nothing else is replaced: a thread
    remains an OS thread, which uses the originals to start and to end. While a tasklet
    waits for a lock, the other tasklets of the thread run. Locks created before stay as
    they are. While the patch is active, a cycle of lock owners causes a RuntimeWarning
    instead of an error. Returns a report, which can undo the patch. What is patched
    already is left alone.

    Raises RuntimeError if gevent has replaced threads by greenlets: a greenlet that
    waits for a lock of tasklets blocks all other greenlets.
    """
    if threads_are_patched():
        raise RuntimeError(
            "patch_locks() cannot be used with the threads of gevent: patch with "
            "gevent.monkey.patch_all(thread=False), or leave the locks to gevent"
        )
    init = threading.Thread.__init__
    places = _put({**_LOCKS, (threading.Thread, "__init__"): _with_own_event(init)})
    if not places:
        return PatchReport(places, lambda: None)
    before = _core._report_lock_cycles(True)
    return PatchReport(places, lambda: _core._report_lock_cycles(before))


def _with_own_event(init: Callable[..., None]) -> Callable[..., None]:
    """Return Thread.__init__ with an original Event for start() to wait for.

    No other tasklet may run inside start(), and the new thread, which sets the event,
    is not yet ready to wake tasklets.
    """
    event = get_original(threading, "Event")
    condition = get_original(threading, "Condition")
    lock = get_original(threading, "Lock")

    @functools.wraps(init)
    def __init__(self: threading.Thread, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        # Event() itself would look up the replaced locks by their names.
        started = event.__new__(event)
        started._cond = condition(lock())
        started._flag = False
        self._started = started  # type: ignore[attr-defined]

    return __init__


def _after_fork_in_child() -> None:
    """Give threading an original lock: it has created a new one after the fork."""
    patch = _patches.get((threading, "RLock"))
    if patch is not None:
        threading._active_limbo_lock = patch.original()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
