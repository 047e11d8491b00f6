"""Pairs of connected streams, and peers that are plain sockets."""

import contextlib
import os
import socket

from tasklets.net import Stream, connect, listen

LATE = 30

# Small enough to fill up at once, large enough for TCP to work.
SMALL = 4096


def shrink(sock):
    """Give a socket small buffers."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)


def unix_pair():
    """Return two connected Unix sockets."""
    return socket.socketpair()


def tcp_pair():
    """Return two connected TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    for sock in (one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


PAIRS = {"unix": unix_pair, "tcp": tcp_pair}


@contextlib.contextmanager
def stream_and_peer(kind="tcp", small=False):
    """Yield a stream, and its peer as a plain socket with a timeout."""
    one, other = PAIRS[kind]()
    if small:
        shrink(one)
        shrink(other)
    other.settimeout(LATE)
    stream = Stream(one)
    with other:
        try:
            yield stream, other
        finally:
            stream.abort()


@contextlib.contextmanager
def two_streams(kind="tcp", small=False):
    """Yield two connected streams."""
    one, other = PAIRS[kind]()
    if small:
        shrink(one)
        shrink(other)
    streams = Stream(one), Stream(other)
    try:
        yield streams
    finally:
        for stream in streams:
            stream.abort()


@contextlib.contextmanager
def accepted():
    """Yield both ends of a connection that a listener has accepted."""
    with listen(("127.0.0.1", 0)) as listener:
        client = connect(listener.address)
        server = listener.accept(timeout=LATE)
    try:
        yield client, server
    finally:
        client.abort()
        server.abort()


def reset(sock):
    """Close a plain TCP socket so that its peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def open_descriptors():
    """Return the numbers of this process's descriptors."""
    return {int(name) for name in os.listdir("/proc/self/fd")}
