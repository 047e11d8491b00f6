"""The module socket, over sockets whose calls let other tasklets run.

What is written in Python in the standard library's module runs here over our class.
"""

import os as _os
import socket as _standard
from collections.abc import Callable
from socket import *  # noqa: F403
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from tasklets import _core, net
from tasklets.workers import call_on_worker as _call_on_worker

__all__ = _standard.__all__  # type: ignore[attr-defined]

_F = TypeVar("_F", bound=Callable[..., Any])

# The functions that are taken over find in this module what they use of theirs.
for _name, _value in vars(_standard).items():
    if not _name.startswith("__"):
        globals()[_name] = _value


def _taken_over(function: _F) -> _F:
    """Return a function of the standard library's that uses the names of ours."""
    assert isinstance(function, FunctionType)
    ours = FunctionType(
        function.__code__,
        globals(),
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    ours.__kwdefaults__ = function.__kwdefaults__
    ours.__annotations__ = function.__annotations__
    ours.__qualname__ = function.__qualname__
    ours.__doc__ = function.__doc__
    ours.__module__ = __name__
    return ours  # type: ignore[return-value]


if TYPE_CHECKING:
    _Base = _standard.socket
else:
    _Base = _core.net_socket_type()


# Raised where a file cannot be sent by the system.
_give_up: Any = _standard._GiveupOnSendfile  # type: ignore[attr-defined]

# Maximum number of bytes of one call of os.sendfile(): larger ones overflow on some
# systems.
_MAX_SENDFILE = 1 << 30


class socket(_Base):
    """A socket.socket whose calls let other tasklets run while they wait.

    Its descriptor is always non-blocking.
    """

    __slots__ = ()

    accept = _taken_over(_standard.socket.accept)

    # The base class's sendfile() calls this, and sends by send() if it gives up.
    def _sendfile_use_sendfile(
        self, file: Any, offset: int = 0, count: int | None = None
    ) -> int:
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        try:
            number = file.fileno()
            size = _os.fstat(number).st_size
        except (AttributeError, OSError) as exc:
            raise _give_up(exc) from None  # it is no regular file
        timeout = self.gettimeout()
        if size and timeout == 0:
            raise ValueError("non-blocking sockets are not supported")
        sent = 0
        try:
            while size and (count is None or sent < count):
                part = min(size if count is None else count - sent, _MAX_SENDFILE)
                try:
                    n = _os.sendfile(self.fileno(), number, offset + sent, part)
                except BlockingIOError:
                    n = -1
                except OSError as exc:
                    if sent == 0:
                        raise _give_up(exc) from None
                    raise
                if n < 0:
                    _core.wait_writable(self.fileno(), timeout)
                    continue
                if n == 0:
                    break
                sent += n
        finally:
            if sent and hasattr(file, "seek"):
                file.seek(offset + sent)
        return sent


def getaddrinfo(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    """Return what `socket.getaddrinfo` returns, while other tasklets run."""
    return net.getaddrinfo(host, port, family, type, proto, flags)


def _on_worker(function: _F) -> _F:
    """Return a function that calls this one on a worker thread."""

    def call(*args: Any) -> Any:
        return _call_on_worker(function, *args)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call  # type: ignore[return-value]


gethostbyname = _on_worker(_standard.gethostbyname)
gethostbyname_ex = _on_worker(_standard.gethostbyname_ex)
gethostbyaddr = _on_worker(_standard.gethostbyaddr)
getnameinfo = _on_worker(_standard.getnameinfo)

for _name, _value in vars(_standard).items():
    if (
        isinstance(_value, FunctionType)
        and _value.__module__ == _standard.__name__
        and globals()[_name] is _value
    ):
        globals()[_name] = _taken_over(_value)
del _name, _value


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)
