"""What dir() shows of a module."""

from collections.abc import Callable
from typing import Any


def public_names(module: dict[str, Any], *more: str) -> Callable[[], list[str]]:
    """Return the __dir__() of a module with this dict.

    It returns the names in __all__, those with two underscores on both sides, and more.
    """

    def __dir__() -> list[str]:
        special = [name for name in [*module] if name[:2] == name[-2:] == "__"]
        return sorted({*special, *module["__all__"], *more})

    return __dir__
