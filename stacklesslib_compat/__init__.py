"""The modules of Stackless Python and of stacklesslib, on top of tasklets."""

import sys
from types import ModuleType

from tasklets._names import public_names

__all__ = ["install"]


def __dir__() -> list[str]:
    return public_names(globals())


def install() -> ModuleType:
    """Let `import stackless` find our module, and return that module.

    `stacklesslib.locks` is found as well: in a package that has nothing else, unless
    there is one that has been imported before.
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
