"""Addresses of hosts and services, looked up while other tasklets run."""

from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from tasklets import _core
from tasklets._names import public_names

if TYPE_CHECKING:
    from socket import AddressFamily, SocketKind

__all__ = ["getaddrinfo"]


def __dir__() -> list[str]:
    return public_names(globals())


_Number = TypeVar("_Number", bound=IntEnum)


def _named(number: int, kind: type[_Number]) -> _Number | int:
    try:
        return kind(number)
    except ValueError:
        return number


def getaddrinfo(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
    *,
    timeout: float | None = None,
) -> "list[tuple[AddressFamily | int, SocketKind | int, int, str, tuple[Any, ...]]]":
    """Return what `socket.getaddrinfo` returns, while other tasklets run.

    Internal threads ask the system; no worker and no GIL is needed. If the wait ends
    early the answer is dropped. Raises what `socket.getaddrinfo` raises, and
    TimeoutError after timeout seconds.
    """
    from socket import AddressFamily, SocketKind  # its import is slow

    return [
        (_named(fam, AddressFamily), _named(kind, SocketKind), number, name, address)
        for fam, kind, number, name, address in _core.net_getaddrinfo(
            host, port, family, type, proto, flags, timeout=timeout
        )
    ]
