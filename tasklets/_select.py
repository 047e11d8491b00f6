"""The cases of select() for descriptors."""

from typing import NamedTuple, Protocol, Self


class HasFileno(Protocol):
    """An object that can stand for a descriptor, as in select.select()."""

    def fileno(self) -> int: ...


class _Descriptor(NamedTuple):
    fd: int | HasFileno


def _check(name: str, fd: object) -> None:
    """Raise TypeError or ValueError at once if fd cannot be a descriptor."""
    if isinstance(fd, int):
        if fd < 0:
            raise ValueError(
                f"{name}() needs a descriptor, which is not negative: {fd}"
            )
    elif not callable(getattr(fd, "fileno", None)):
        kind = type(fd).__name__
        raise TypeError(
            f"{name}() needs a descriptor: an int, or an object with fileno(), "
            f"not {kind}"
        )


class readable(_Descriptor):
    """A case for select(): wait until a descriptor can be read from.

    fd: an int, or an object with fileno(). Raises TypeError for another object,
    ValueError for a negative int. See scheduler.wait_readable().
    """

    __slots__ = ()

    def __new__(cls, fd: int | HasFileno) -> Self:
        _check("readable", fd)
        return super().__new__(cls, fd)


class writable(_Descriptor):
    """A case for select(): wait until a descriptor can be written to.

    fd: an int, or an object with fileno(). Raises TypeError for another object,
    ValueError for a negative int. See scheduler.wait_writable().
    """

    __slots__ = ()

    def __new__(cls, fd: int | HasFileno) -> Self:
        _check("writable", fd)
        return super().__new__(cls, fd)
