"""Locks for the imports of modules, which tell tasklets apart.

The interpreter holds a lock for each module that is being imported. Its owner is a
thread, so a second tasklet of the thread would be let in, and get a module whose code
has not run to its end. These locks have tasklets as owners: the second one waits.
"""

import _thread
import importlib
import os
import sys
from typing import Any

from tasklets._core import RLock
from tasklets._unpatched import original as _original

_bootstrap: Any = importlib._bootstrap  # type: ignore[attr-defined]

# In the child of a fork: the locks of modules that are yet to be executed again.
_lost: set["ModuleLock"] = set()


class ModuleLock:
    """What the import system has for each module while somebody imports it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasklets_lock = _new_lock()

    def __repr__(self) -> str:
        return f"<ModuleLock {self.name!r} at {id(self):#x}>"

    def acquire(self) -> bool:
        """Acquire it.

        Raises the error by which the import system hands out the module as it is: where
        the owners of such locks wait for each other, as in circular imports, or where
        the caller must not wait.
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
        """Release it."""
        self._tasklets_lock.release()


def _new_lock() -> RLock:
    lock = RLock()
    lock._be_strict()
    return lock


def _convert(lock: Any) -> None:
    """Make a lock of the interpreter that this thread holds one of ours."""
    count = lock.count if isinstance(lock.count, int) else len(lock.count)
    ours = _new_lock()
    for _ in range(count):
        ours.acquire()
    lock._tasklets_lock = ours
    lock.__class__ = ModuleLock


def _execute_again(name: str) -> None:
    """Execute a module anew that another thread was executing at a fork.

    It stays the same object: waiters have it already.
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
    """In the child of a fork: free the locks of imports by threads that are gone."""
    for reference in list(_bootstrap._module_locks.values()):
        lock = reference()
        if type(lock) is ModuleLock and lock._tasklets_lock._free_if_lost():
            _lost.add(lock)


def install() -> None:
    """Let the import system make such locks, and take over those of this thread.

    Has no effect on an interpreter whose import system is another one.
    """
    names = ("_DeadlockError", "_ModuleLock", "_get_module_lock", "_module_locks")
    if not all(hasattr(_bootstrap, name) for name in names):
        return
    original = _bootstrap._ModuleLock
    # Those that this thread acquired before gevent patched get_ident(), and after.
    mine = {_thread.get_ident(), _original("_thread", "get_ident")()}
    if original.__name__ != "_ModuleLock":
        return  # done before, or by somebody else
    _bootstrap._ModuleLock = ModuleLock
    for reference in list(_bootstrap._module_locks.values()):
        lock = reference()
        if type(lock) is original and lock.owner in mine:
            _convert(lock)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_free_lost_locks)
