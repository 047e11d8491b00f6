"""What dir() shows of a module."""

from typing import Any


def public_names(module: dict[str, Any], *more: str) -> list[str]:
    """Return what the __dir__() of a module with this dict returns.

    It is the names in __all__, those with two underscores on both sides, and more.
    """
    special = [name for name in [*module] if name[:2] == name[-2:] == "__"]
    return sorted({*special, *module["__all__"], *more})
