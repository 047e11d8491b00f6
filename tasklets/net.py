"""Network connections: one tasklet for each, written as plain straight-line code.

`connect()` returns a Stream; `serve()` calls a handler with one for each client.
"""

import _socket  # the part of socket that is written in C: socket's import is slow
import os
import stat
import sys
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from tasklets import _core
from tasklets._core import Listener, Stream, TaskGroup
from tasklets._names import public_names
from tasklets._net_errors import ClosedError, IncompleteReadError, LimitError
from tasklets.locks import Event, Semaphore

if TYPE_CHECKING:
    from logging import Logger
    from socket import AddressFamily, SocketKind
    from ssl import SSLContext, SSLSession
    from types import TracebackType

__all__ = [
    "ClosedError",
    "DatagramSocket",
    "IncompleteReadError",
    "LimitError",
    "Listener",
    "Server",
    "Stream",
    "connect",
    "datagram_socket",
    "getaddrinfo",
    "listen",
    "serve",
]

Address: TypeAlias = tuple[Any, ...] | str | bytes | os.PathLike[str]

# Pause between two attempts to connect to the addresses of a host, in seconds: what RFC
# 8305 recommends.
_ATTEMPT_DELAY = 0.25


def __dir__() -> list[str]:
    return public_names(globals())


# ---- names


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


def _numeric_family(host: object) -> int | None:
    """Return the family of a host that is a numeric address, None for a name."""
    if isinstance(host, str):
        for family in (_socket.AF_INET, _socket.AF_INET6):
            try:
                _socket.inet_pton(family, host)
            except (OSError, ValueError):
                continue
            return family
    return None


def _is_pair(address: Address) -> bool:
    """Return whether address is that of a host; else it is a Unix socket's path."""
    if isinstance(address, tuple):
        if len(address) < 2:
            raise ValueError(f"an address is (host, port) or a path, not {address!r}")
        return True
    if isinstance(address, (str, bytes, os.PathLike)):
        return False
    raise TypeError(
        "an address is a tuple (host, port), or the path of a Unix socket, not "
        f"{type(address).__name__}"
    )


_Place: TypeAlias = tuple[int, tuple[Any, ...]]


def _look_up(
    address: tuple[Any, ...], flags: int = 0, kind: int = _socket.SOCK_STREAM
) -> list[_Place]:
    """Return families and numeric addresses, those of both families by turns."""
    host, port, *rest = address
    family = _numeric_family(host)
    if family is not None and isinstance(port, int):
        return [(family, (host, port, *rest))]
    found: dict[int, list[_Place]] = {}
    for fam, _, _, _, where in _core.net_getaddrinfo(host, port, 0, kind, 0, flags):
        if fam in (_socket.AF_INET, _socket.AF_INET6):
            found.setdefault(fam, []).append((fam, where))
    if not found:
        raise OSError(f"no address found for {host!r}")
    return list(_by_turns(list(found.values())))


def _by_turns(lists: list[list[_Place]]) -> Iterator[_Place]:
    for i in range(max(map(len, lists))):
        for one in lists:
            if i < len(one):
                yield one[i]


# ---- connecting


_default_context: "SSLContext | None" = None


def _context(tls: object) -> "SSLContext":
    """Return the context that the argument tls of connect() means."""
    global _default_context
    if tls is not True:
        return tls  # type: ignore[return-value]  # start_tls() checks it
    if _default_context is None:
        from ssl import create_default_context  # slow, and often not needed

        _default_context = create_default_context()
    return _default_context


def connect(
    address: Address,
    *,
    local_address: tuple[Any, ...] | None = None,
    tls: "SSLContext | bool | None" = None,
    server_hostname: str | None = None,
    session: "SSLSession | None" = None,
    suppress_ragged_eofs: bool = False,
    tls_timeout: float | None = 60,
    timeout: float | None = None,
) -> Stream:
    """Return a Stream that is connected to address.

    address is (host, port), or the path of a Unix socket. If the host has several
    addresses, they are tried in the system's order, IPv6 and IPv4 by turns: the next
    one when an attempt has failed or takes longer than 250 ms. The first that answers
    wins. local_address is the own (host, port), with a numeric host.

    tls is an ssl.SSLContext, or True for one with the system's certificates: TLS begins
    at once, and the server's certificate must be for server_hostname, by default the
    host of address. See Stream.start_tls() for session and suppress_ragged_eofs; the
    handshake may take tls_timeout seconds.

    timeout, in seconds, covers the lookup, all attempts and the handshake; then
    TimeoutError is raised. Raises OSError if no attempt succeeds: it lists each address
    and reason; and what Stream.start_tls() raises. After an error no descriptor is
    left.
    """
    if tls is None or tls is False:
        if server_hostname is not None or session is not None:
            raise ValueError("server_hostname and session are for tls")
        return _connect(address, local_address, timeout)
    context = _context(tls)
    if server_hostname is None and _is_pair(address):
        assert isinstance(address, tuple)
        host = address[0]
        server_hostname = host.decode() if isinstance(host, bytes) else host
    if timeout is not None and timeout <= 0:
        raise TimeoutError("timed out")
    with _core.timeout(timeout):
        stream = _connect(address, local_address, None)
        try:
            stream.start_tls(
                context,
                server_hostname=server_hostname,
                session=session,
                suppress_ragged_eofs=suppress_ragged_eofs,
                timeout=tls_timeout,
            )
        except BaseException:
            stream.abort()  # after an alert, if the handshake had begun
            raise
        return stream


def _connect(
    address: Address, local_address: tuple[Any, ...] | None, timeout: float | None
) -> Stream:
    if not _is_pair(address):
        assert not isinstance(address, tuple)
        if local_address is not None:
            raise ValueError("a Unix socket takes no local_address")
        path = os.fspath(address)
        return _core.net_connect(_socket.AF_UNIX, path, None, timeout=timeout)
    assert isinstance(address, tuple)
    if _numeric_family(address[0]) is not None and isinstance(address[1], int):
        [(family, where)] = _look_up(address)
        return _core.net_connect(family, where, local_address, timeout=timeout)
    if timeout is not None and timeout <= 0:
        raise TimeoutError("timed out")
    with _core.timeout(timeout):
        places = _look_up(address)
        if len(places) == 1:
            [(family, where)] = places
            return _core.net_connect(family, where, local_address)
        return _connect_first(places, local_address, address)


def _connect_first(
    places: list[_Place], local: tuple[Any, ...] | None, address: object
) -> Stream:
    won: list[Stream] = []
    failures: list[tuple[_Place, OSError]] = []
    news = Event()

    def attempt(place: _Place) -> None:
        try:
            stream = _core.net_connect(*place, local)
        except OSError as exc:
            failures.append((place, exc))
        else:
            if won:
                stream.close()
            else:
                won.append(stream)
                group.cancel()
        finally:
            news.set()

    try:
        with TaskGroup() as group:
            for place in places:
                news.clear()
                group.spawn(attempt, place)
                news.wait(_ATTEMPT_DELAY)
    except BaseException:
        for stream in won:
            stream.abort()
        raise
    if won:
        return won[0]
    reasons = "; ".join(f"{where[0]}: {exc.strerror}" for (_, where), exc in failures)
    last = failures[-1][1]
    raise OSError(last.errno, f"cannot connect to {address!r}: {reasons}") from last


# ---- listening


def _is_stale(path: str | bytes) -> bool:
    """Return whether path is a Unix socket on which nobody listens."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except OSError:
        return False
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.setblocking(False)
        probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return False


def _can_be_dual() -> bool:
    """Return whether an IPv6 socket can serve IPv4, too."""
    try:
        probe = _socket.socket(_socket.AF_INET6, _socket.SOCK_STREAM)
    except OSError:
        return False
    try:
        probe.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
    except OSError:
        return False
    finally:
        probe.close()
    return True


def _open_listener(family: int, where: Any, backlog: int, reuse_port: bool) -> Listener:
    sock = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        if family == _socket.AF_UNIX:
            if isinstance(where, (str, bytes)) and _is_stale(where):
                os.unlink(where)
        else:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            # Connections inherit it, which saves a call for each.
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        if reuse_port:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        if family == _socket.AF_INET6:
            both = where[0] == ""
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, not both)
            where = ("::", *where[1:]) if both else where
        try:
            sock.bind(where)
        except OSError as exc:
            raise OSError(exc.errno, f"{exc.strerror}: {where!r}") from None
        sock.listen(backlog)
        return Listener(sock)
    finally:
        sock.close()


def listen(
    address: Address, *, backlog: int | None = None, reuse_port: bool = False
) -> Listener:
    """Return a Listener at address, which is (host, port) or a Unix socket's path.

    A host of "" or None listens on all addresses, IPv6 and IPv4; a name is looked up,
    and its first address taken. Port 0 lets the system choose: see Listener.address. A
    socket file on which nobody listens any more is replaced. backlog is how many
    connections may wait to be accepted, by default as many as the system allows; with
    reuse_port several processes may listen at the same address.

    Raises OSError, with the address in it, if that is in use, forbidden or not there.
    """
    if backlog is None:
        backlog = _socket.SOMAXCONN
    elif backlog < 1:
        raise ValueError(f"backlog must be at least 1, not {backlog}")
    if not _is_pair(address):
        assert not isinstance(address, tuple)
        path = os.fspath(address)
        return _open_listener(_socket.AF_UNIX, path, backlog, reuse_port)
    assert isinstance(address, tuple)
    host, port, *rest = address
    if host is None or host == "":
        if _can_be_dual():
            return _open_listener(_socket.AF_INET6, ("", port), backlog, reuse_port)
        where: tuple[Any, ...] = ("0.0.0.0", port)
        return _open_listener(_socket.AF_INET, where, backlog, reuse_port)
    family, where = _look_up((host, port, *rest), _socket.AI_PASSIVE)[0]
    return _open_listener(family, where, backlog, reuse_port)


# ---- datagrams


class DatagramSocket(_core.DatagramSocket):
    """Sends and receives datagrams, while other tasklets run.

    Made by datagram_socket(), or from a datagram socket object, which gives its
    descriptor away. Several tasklets may receive at a time: each datagram goes to one
    of them. A context manager that closes the socket.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def join_group(self, group: str, interface: str | int | None = None) -> None:
        """Receive what is sent to a multicast group, an address such as "239.1.2.3".

        interface: for IPv4 its address, for IPv6 its number or name; None: the system
        chooses. Raises OSError if that is impossible.
        """
        self._set_group(group, interface, joins=True)

    def leave_group(self, group: str, interface: str | int | None = None) -> None:
        """Receive no more from a multicast group; arguments as for join_group()."""
        self._set_group(group, interface, joins=False)

    def _set_group(
        self, group: str, interface: str | int | None, *, joins: bool
    ) -> None:
        if self.closed:
            raise ClosedError(self)
        if self.family == _socket.AF_INET:
            option = _socket.IP_ADD_MEMBERSHIP if joins else _socket.IP_DROP_MEMBERSHIP
            own = "0.0.0.0" if interface is None else str(interface)
            value = _socket.inet_pton(_socket.AF_INET, group)
            value += _socket.inet_pton(_socket.AF_INET, own)
            level = _socket.IPPROTO_IP
        elif self.family == _socket.AF_INET6:
            option = _socket.IPV6_JOIN_GROUP if joins else _socket.IPV6_LEAVE_GROUP
            if isinstance(interface, str):
                interface = _socket.if_nametoindex(interface)
            value = _socket.inet_pton(_socket.AF_INET6, group)
            value += (interface or 0).to_bytes(4, sys.byteorder)
            level = _socket.IPPROTO_IPV6
        else:
            raise ValueError("only IPv4 and IPv6 have multicast groups")
        sock = _socket.socket(fileno=self.fileno())
        try:
            sock.setsockopt(level, option, value)
        finally:
            sock.detach()


def datagram_socket(
    local_address: Address | None = None,
    *,
    remote_address: Address | None = None,
    broadcast: bool = False,
    reuse_port: bool = False,
) -> DatagramSocket:
    """Return a DatagramSocket, for UDP or Unix datagrams.

    local_address is where it receives: (host, port), or the path of a Unix socket; port
    0 and None let the system choose. With remote_address it is connected: it sends
    there, and receives only from there. Host names are looked up, and the first address
    is taken. broadcast allows to send to broadcast addresses; with reuse_port several
    sockets may have the same address.

    Raises ValueError without any address, and OSError, with the address in it, if that
    is in use or forbidden.
    """
    places = [
        None if each is None else _datagram_place(each)
        for each in (local_address, remote_address)
    ]
    families = {place[0] for place in places if place is not None}
    if not families:
        raise ValueError("a datagram socket needs a local or a remote address")
    if len(families) > 1:
        raise ValueError("the two addresses are of different families")
    sock = _socket.socket(families.pop(), _socket.SOCK_DGRAM)
    where: Any = None
    try:
        if broadcast:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_BROADCAST, 1)
        if reuse_port:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        for place, act in zip(places, (sock.bind, sock.connect), strict=True):
            if place is not None:
                where = place[1]
                act(where)
        return DatagramSocket(sock)
    except OSError as exc:
        if where is None:
            raise
        raise OSError(exc.errno, f"{exc.strerror}: {where!r}") from None
    finally:
        sock.close()


def _datagram_place(address: Address) -> tuple[int, Any]:
    if not _is_pair(address):
        assert not isinstance(address, tuple)
        return _socket.AF_UNIX, os.fspath(address)
    assert isinstance(address, tuple)
    host, port, *rest = address
    if host is None or host == "":
        return _socket.AF_INET, ("0.0.0.0", port)
    return _look_up((host, port, *rest), 0, _socket.SOCK_DGRAM)[0]


# ---- serving


def _logger() -> "Logger":
    import logging  # slow, and seldom needed

    return logging.getLogger("tasklets.net")


def _is_of_peer(exc: Exception) -> bool:
    """Return whether a handler got exc because the peer has broken TLS."""
    from ssl import SSLCertVerificationError, SSLError

    # The handler itself may be the client of another server, which has no certificate.
    return isinstance(exc, SSLError) and not isinstance(exc, SSLCertVerificationError)


class Server:
    """What serve() returns: accepts connections, and runs a handler for each.

    Attributes: `addresses`, a list of the addresses at which it listens; `closing`, an
    Event that is set when it stops accepting, for handlers of long connections. As a
    context manager it is drained at the end of the block, and all handlers are killed
    if the block raises.
    """

    def __init__(
        self,
        handler: Callable[[Stream], object],
        listeners: list[Listener],
        max_connections: int | None,
        tls: "SSLContext | None" = None,
        tls_timeout: float | None = 60,
    ) -> None:
        self._handler = handler
        self._tls = tls
        self._tls_timeout = tls_timeout
        self._listeners = listeners
        self._running: dict[_core.tasklet[Any], Stream] = {}
        self._room = None if max_connections is None else Semaphore(max_connections)
        self._changed = Event()  # a handler has ended
        self.closing: Event = Event()
        self.addresses: list[Any] = [listener.address for listener in listeners]
        self._acceptors = [
            _core.spawn(self._accept, listener) for listener in listeners
        ]

    def __repr__(self) -> str:
        word = "closing" if self.closing.is_set() else "serving"
        where = ", ".join(map(repr, self.addresses))
        count = f"{self.connections} connections"
        return f"<tasklets.net.Server {word} at {where}, {count}>"

    @property
    def connections(self) -> int:
        """The number of handlers that run."""
        return len(self._running)

    def _accept(self, listener: Listener) -> None:
        room = self._room
        while True:
            if room is not None:
                room.acquire()
            try:
                stream = listener.accept()
            except ClosedError:
                return
            self._running[_core.spawn(self._handle, stream)] = stream

    def _start_tls(self, stream: Stream) -> bool:
        """Return whether the connection may go on."""
        if self._tls is None:
            return True
        try:
            stream.start_tls(self._tls, server_side=True, timeout=self._tls_timeout)
        except OSError:  # which includes those of ssl, and a timeout
            _logger().debug("the TLS handshake of %r has failed", stream, exc_info=True)
            return False
        return True

    def _handle(self, stream: Stream) -> None:
        try:
            if self._start_tls(stream):
                self._handler(stream)
        except (ConnectionError, ClosedError):
            _logger().debug("the connection %r has broken", stream, exc_info=True)
        except Exception as exc:
            if stream.tls is not None and _is_of_peer(exc):
                _logger().debug("the connection %r has broken", stream, exc_info=True)
            else:
                _logger().exception("the handler of %r has failed", stream)
        finally:
            try:
                stream.close()
            except OSError:
                _logger().debug("%r has lost output", stream, exc_info=True)
            self._running.pop(_core.getcurrent(), None)
            if self._room is not None:
                self._room.release()
            self._changed.set()

    def close(self) -> None:
        """Stop accepting; handlers go on. Calling it again does nothing."""
        if self.closing.is_set():
            return
        self.closing.set()
        for listener in self._listeners:
            listener.close()
            if self._room is not None:
                self._room.release()  # its acceptor may wait for room

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the server is closed and all its handlers have ended.

        A handler that calls this does not wait for itself. Returns False if that has
        not happened after timeout seconds.
        """
        if timeout is not None and timeout <= 0:
            return self.closing.is_set() and not self._others()
        try:
            with _core.timeout(timeout):
                for acceptor in self._acceptors:
                    acceptor.join()
                while self._others():
                    self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            return False
        return True

    def _others(self) -> list[_core.tasklet[Any]]:
        """Return the tasklets of handlers, without the caller."""
        me = _core.getcurrent()
        return [t for t in self._running if t is not me]

    def drain(self, timeout: float | None = None) -> bool:
        """Stop accepting, and wait until all handlers have ended.

        After timeout seconds the handlers that still run are killed, and False is
        returned.
        """
        self.close()
        if self.join(timeout):
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """Stop accepting, and kill all handlers; returns when they have ended."""
        self.close()
        while others := self._others():
            _core.kill_all(others)
            self.join(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        if kind is None:
            self.drain()
        else:
            self.kill()


def serve(
    handler: Callable[[Stream], object],
    address: Address | Listener,
    *,
    tls: "SSLContext | None" = None,
    tls_timeout: float | None = 60,
    max_connections: int | None = None,
    backlog: int | None = None,
    reuse_port: bool = False,
) -> Server:
    """Accept connections at address, and call handler(stream) for each in a tasklet.

    Returns a Server at once; its join() waits. address is as for listen(), or a
    Listener, which the server closes. While max_connections handlers run, further
    clients wait in the system's queue. The stream is closed when its handler returns.
    An exception of a handler is logged, to the logger "tasklets.net", with the peer's
    address, at the level DEBUG if the connection has broken, and the server goes on.

    With tls, an ssl.SSLContext for servers, the handler gets the stream when the TLS
    handshake is complete. A handshake that fails, or takes longer than tls_timeout
    seconds (None: no limit), is logged at the level DEBUG.
    """
    if not callable(handler):
        raise TypeError(f"the handler must be callable, not {handler!r}")
    if max_connections is not None and max_connections < 1:
        raise ValueError(f"max_connections must be at least 1, not {max_connections}")
    if tls is not None:
        from ssl import SSLContext

        if not isinstance(tls, SSLContext):
            raise TypeError(f"tls must be an ssl.SSLContext, not {type(tls).__name__}")
    if not isinstance(address, Listener):
        address = listen(address, backlog=backlog, reuse_port=reuse_port)
    return Server(handler, [address], max_connections, tls, tls_timeout)
