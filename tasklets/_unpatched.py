"""Access to the standard library as it was before gevent patched it."""

import _thread
import sys
from importlib import import_module
from typing import Any


def original(module: str, name: str) -> Any:
    """Return module.name, or what it was before gevent.monkey replaced it."""
    monkey = sys.modules.get("gevent.monkey")
    get_original = getattr(monkey, "get_original", None)  # None while it is imported
    if get_original is not None:
        return get_original(module, name)
    return getattr(import_module(module), name)


def threads_are_patched() -> bool:
    """Return whether gevent has made `threading` start greenlets instead of threads."""
    if "gevent.monkey" not in sys.modules:
        return False
    return original("_thread", "start_new_thread") is not _thread.start_new_thread
