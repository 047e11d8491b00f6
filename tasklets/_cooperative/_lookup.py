"""Host names in the addresses that a socket's methods take."""

from typing import Any

from tasklets import _core


def numeric(family: int, address: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return address with a number for its host, which is looked up.

    What a socket does not take as a host is left alone: its own method raises the error
    for it.
    """
    host, *rest = address
    try:
        name = host.encode("idna") if isinstance(host, str) else bytes(memoryview(host))
    except (TypeError, UnicodeError):
        return address
    if not name or name == b"<broadcast>" or b"\0" in name:
        return address
    found = _core.net_getaddrinfo(name, None, family, 0, 0, 0)
    return (found[0][4][0], *rest)
