"""Import locks that belong to tasklets instead of threads.

The interpreter holds a lock for each module that is being imported. The owner is a
thread, so a second tasklet of the thread could acquire it too, and would get a module
whose code has not finished. These locks belong to tasklets: the second tasklet waits.
"""

import _thread
import importlib
import os
import sys
from typing import Any

from tasklets._core import RLock
from tasklets._unpatched import original as _original

_bootstrap: Any = importlib._bootstrap  # type: ignore[attr-defined]

# In the child of a fork: the locks of modules that must be executed again.
_lost: set["ModuleLock"] = set()


class ModuleLock:
    """The import system's lock for a module that is being imported."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasklets_lock = _new_lock()

    def __repr__(self) -> str:
        return f"<ModuleLock {self.name!r} at {id(self):#x}>"

    def acquire(self) -> bool:
        """Acquire the lock; return True.

        Raises the error on which the import system returns the unfinished module: if
        the owners of such locks wait for each other, as in circular imports, or if the
        caller must not wait.
        """
        try:
            self._tasklets_lock.acquire()
        except RuntimeError as exc:
            raise _bootstrap._DeadlockError(f"{self!r}: {exc}") from exc
        if self in _lost:
            _lost.discard(self)
            try:
                _execute_again(self.name)
            except BaseException:
                self.release()
                raise
        return True

    def release(self) -> None:
        """Release the lock."""
        self._tasklets_lock.release()


def _new_lock() -> RLock:
    lock = RLock()
    lock._be_strict()
    return lock


def _convert(lock: Any) -> None:
    """Turn an interpreter's lock held by this thread into a ModuleLock."""
    count = lock.count if isinstance(lock.count, int) else len(lock.count)
    ours = _new_lock()
    for _ in range(count):
        ours.acquire()
    lock._tasklets_lock = ours
    lock.__class__ = ModuleLock


def _execute_again(name: str) -> None:
    """Execute again a module that another thread was executing at a fork.

    The module stays the same object, because waiters already refer to it.
    """
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if module is None or spec is None or not getattr(spec, "_initializing", False):
        return
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    spec._initializing = False


def _free_lost_locks() -> None:
    """Free the import locks of threads that do not exist in this child of a fork."""
    for reference in list(_bootstrap._module_locks.values()):
        lock = reference()
        if type(lock) is ModuleLock and lock._tasklets_lock._free_if_lost():
            _lost.add(lock)


def install() -> None:
    """Make the import system use ModuleLock, and convert the locks of this thread.

    Has no effect on an interpreter with another import system.
    """
    names = ("_DeadlockError", "_ModuleLock", "_get_module_lock", "_module_locks")
    if not all(hasattr(_bootstrap, name) for name in names):
        return
    original = _bootstrap._ModuleLock
    # The owner of this thread's locks, before gevent patched get_ident() and after.
    mine = {_thread.get_ident(), _original("_thread", "get_ident")()}
    if original.__name__ != "_ModuleLock":
        return  # replaced already, by install() or by another package
    _bootstrap._ModuleLock = ModuleLock
    for reference in list(_bootstrap._module_locks.values()):
        lock = reference()
        if type(lock) is original and lock.owner in mine:
            _convert(lock)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_free_lost_locks)
