"""The modules of Stackless Python and of stacklesslib, on top of tasklets."""

import sys
from types import ModuleType

__all__ = ["install"]


def install() -> ModuleType:
    """Let `import stackless` find our module, and return that module."""
    from stacklesslib_compat import stackless

    sys.modules["stackless"] = stackless
    return stackless
