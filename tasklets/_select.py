"""The cases of select() for descriptors."""

from typing import NamedTuple, Protocol


class HasFileno(Protocol):
    """What select.select() takes for a descriptor, too."""

    def fileno(self) -> int: ...


class readable(NamedTuple):
    """A case for select(): wait until a descriptor can be read from.

    fd: an int, or an object with fileno(). See scheduler.wait_readable().
    """

    fd: int | HasFileno


class writable(NamedTuple):
    """A case for select(): wait until a descriptor can be written to.

    fd: an int, or an object with fileno(). See scheduler.wait_writable().
    """

    fd: int | HasFileno
