"""Put the tools of tasklets in the place of the standard library's.

Programs that were written for threads then run in tasklets unmodified. Attributes of
modules are replaced, never modules: who imports one sees the change, and who has
imported a name from it before keeps what that was. The report of a patch lists those.
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
    """A name in an imported module that stands for an original."""

    module: str
    name: str
    original: str  # such as "threading.Lock"

    def __str__(self) -> str:
        return f"{self.module}.{self.name} is the original {self.original}"


class _Patch(NamedTuple):
    original: Any
    replacement: Any


class PatchReport:
    """What a patch has changed; at the end of a with block, that is undone.

    patched: the names that it gave another meaning, such as "threading.Lock".
    holders: the names in other modules that still stand for originals.

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
        """Put the originals back; once, then it has no effect.

        What somebody else has changed meanwhile stays as it is, and objects that have
        been made stay what they are.
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


# All that is patched now, by owner and name.
_patches: dict[tuple[Any, str], _Patch] = {}

# The modules that the originals come from: that they hold some is no news.
_SOURCES = {"_queue", "_thread", "queue", "threading"}


def _title(owner: Any, name: str) -> str:
    if isinstance(owner, ModuleType):
        return f"{owner.__name__}.{name}"
    return f"{owner.__module__}.{owner.__qualname__}.{name}"


def _put(replacements: dict[tuple[Any, str], Any]) -> list[tuple[Any, str]]:
    """Replace what is not yet replaced; return where."""
    places = []
    for place, replacement in replacements.items():
        owner, name = place
        if place not in _patches:
            _patches[place] = _Patch(vars(owner)[name], replacement)
            setattr(owner, name, replacement)
            places.append(place)
    return places


def _holders() -> list[Holder]:
    """Return the names elsewhere that stand for originals of what is patched."""
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
    """Return what module.name is or, if it is patched, was.

    Raises AttributeError if the module has no such name, and KeyError if there is no
    module of that name in sys.modules.
    """
    owner = sys.modules[module] if isinstance(module, str) else module
    patch = _patches.get((owner, name))
    return getattr(owner, name) if patch is None else patch.original


@contextmanager
def unpatched() -> Iterator[None]:
    """Have all originals back in a block, for all threads.

    For the import of what must not be patched, or for a call that makes locks which
    must block their thread.
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
    Queue, LifoQueue, PriorityQueue and SimpleQueue. Nothing else is: a thread remains
    an OS thread, and uses the originals to start and to end. Who waits for a lock in a
    tasklet lets the other tasklets of the thread run; locks that were made before stay
    as they were. While it is patched, a cycle of owners is reported by a RuntimeWarning
    and not raised as an error. Returns a report, which can undo it; what is patched
    already is left as it is.

    Raises RuntimeError if gevent has put greenlets in the place of threads: a greenlet
    that waits for a lock of tasklets holds up all the others.
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
    """Return Thread.__init__ with an original for the event that start() waits for.

    start() is no place where other tasklets run, and the thread that sets the event is
    too young to be one that others wait for.
    """
    event = get_original(threading, "Event")
    condition = get_original(threading, "Condition")
    lock = get_original(threading, "Lock")

    @functools.wraps(init)
    def __init__(self: threading.Thread, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        # Event() itself would find the locks of today by their names.
        started = event.__new__(event)
        started._cond = condition(lock())
        started._flag = False
        self._started = started  # type: ignore[attr-defined]

    return __init__


def _after_fork_in_child() -> None:
    """Have threading's own lock be an original: the module has made it anew."""
    patch = _patches.get((threading, "RLock"))
    if patch is not None:
        threading._active_limbo_lock = patch.original()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
