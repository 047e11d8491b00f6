"""The __dir__() of the package's modules."""

from typing import Any


def public_names(module: dict[str, Any], *more: str) -> list[str]:
    """Return the names that dir() shows of a module with this __dict__.

    They are the names in __all__, those with two underscores on both sides, and more.
    """
    special = [name for name in [*module] if name[:2] == name[-2:] == "__"]
    return sorted({*special, *module["__all__"], *more})
