"""The modules `stackless` and `stacklesslib.locks`, implemented with tasklets."""

import sys
from types import ModuleType

from tasklets._names import public_names

__all__ = ["install"]


def __dir__() -> list[str]:
    return public_names(globals())


def install() -> ModuleType:
    """Make `import stackless` find this implementation, and return that module.

    Also makes `stacklesslib.locks` available: in the package `stacklesslib` if that has
    been imported before, otherwise in a package that has nothing else.
    """
    from stacklesslib_compat import locks, stackless

    sys.modules["stackless"] = stackless
    package = sys.modules.get("stacklesslib")
    if package is None:
        package = ModuleType("stacklesslib", "What stacklesslib_compat offers.")
        package.__path__ = []  # a package: its modules can be imported
        sys.modules["stacklesslib"] = package
    package.locks = locks  # type: ignore[attr-defined]
    sys.modules["stacklesslib.locks"] = locks
    return stackless
