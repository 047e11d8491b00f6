"""Streams as objects: their making, attributes, threads, and fairness."""

import os
import pickle
import threading

import pytest
from connections import (
    LATE,
    PAIRS,
    accepted,
    tcp_pair,
    two_streams,
)

from tasklets import (
    net,
    schedule,
    spawn,
)
from tasklets.net import ClosedError, IncompleteReadError, LimitError, Stream

kinds = pytest.mark.parametrize("kind", PAIRS)


# ---- construction, attributes


def test_a_stream_takes_the_descriptor_of_its_socket():
    one, other = tcp_pair()
    with other:
        fd, name = one.fileno(), one.getsockname()
        stream = Stream(one)
        assert (one.fileno(), stream.fileno()) == (-1, fd)
        assert not os.get_blocking(fd)
        assert stream.local_address == name
        assert stream.peer_address == other.getsockname()
        host, port = other.getsockname()
        assert f"tasklets.net.Stream {host}:{port}, open, fd={fd}" in repr(stream)
        stream.close()
        assert stream.peer_address == other.getsockname()
        with pytest.raises(ClosedError):
            _ = stream.local_address


def test_pipes():
    reading, writing = map(Stream, os.pipe())
    writer = spawn(lambda: (writing.write(b"x" * 200_000), writing.close()))
    assert reading.read(-1) == b"x" * 200_000
    writer.result(timeout=LATE)
    with pytest.raises(OSError, match="Bad file descriptor"):
        reading.write(b"wrong end")
        reading.flush()
    with pytest.raises(OSError, match="Bad file descriptor"):
        reading.close()  # tells of the write again
    assert reading.closed


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda s: Stream(), TypeError, "argument"),
        (lambda s: Stream("x"), TypeError, "must be an int"),
        (lambda s: Stream(-1), ValueError, "negative"),
        (lambda s: Stream(999_999), OSError, "Bad file descriptor"),
        (lambda s: s.read(-2), ValueError, "n must be -1 or more"),
        (lambda s: s.read("x"), TypeError, "integer"),
        (lambda s: s.read(1, 2), TypeError, "read"),
        (lambda s: s.read(nbytes=1), TypeError, "nbytes"),
        (lambda s: s.read_exactly(-1), ValueError, "must not be negative"),
        (lambda s: s.read_until(b""), ValueError, "must not be empty"),
        (lambda s: s.read_until("x"), TypeError, "str"),
        (lambda s: s.readline(limit=-1), ValueError, "limit must not be negative"),
        (lambda s: s.readline(timeout="x"), TypeError, "real number"),
        (lambda s: s.read(timeout=float("nan")), ValueError, "NaN"),
        (lambda s: s.write("text"), TypeError, "bytes-like"),
        (lambda s: s.write(), TypeError, "write"),
        (lambda s: s.writelines(5), TypeError, "iterable"),
        (lambda s: s.writelines(["x"]), TypeError, "bytes-like"),
        (lambda s: setattr(s, "read_timeout", 0), ValueError, "must be positive"),
        (lambda s: setattr(s, "read_timeout", "x"), TypeError, "real number"),
        (lambda s: delattr(s, "read_timeout"), TypeError, "set it to None"),
        (lambda s: setattr(s, "closed", True), AttributeError, "closed"),
        (pickle.dumps, TypeError, "cannot pickle"),
    ],
)
def test_wrong_arguments(ends, call, error, text):
    stream, peer = ends
    with pytest.raises(error, match=text):
        call(stream)
    peer.sendall(b"as before")
    assert stream.read() == b"as before"


def test_timeouts_are_attributes(ends):
    stream, _ = ends
    assert (stream.read_timeout, stream.write_timeout) == (None, None)
    stream.read_timeout, stream.write_timeout = 1.5, 2
    assert (stream.read_timeout, stream.write_timeout) == (1.5, 2.0)
    stream.read_timeout = None
    stream.write_timeout = float("inf")
    assert (stream.read_timeout, stream.write_timeout) == (None, None)


def test_errors_can_be_pickled_and_imported():
    for error in (
        IncompleteReadError(b"x", 5),
        LimitError(b"\n", 10),
        ClosedError(),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (type(error), str(error))
    assert issubclass(net.ClosedError, OSError)
    assert issubclass(net.IncompleteReadError, EOFError)
    assert issubclass(net.LimitError, ValueError)


# ---- fairness, threads


def test_a_flood_does_not_keep_others_from_running():
    with accepted() as (client, server):
        turns = []

        def swallow():
            while server.read(1024):
                turns.append("read")

        swallower = spawn(swallow)
        schedule()
        data = b"x" * 1024 * 1024
        spawn(lambda: [client.write(data) for _ in range(4)])
        other = 0
        while len(turns) < 1000:
            schedule()
            other += 1
        assert other >= 1000 // 17
        swallower.kill()
        client.abort()


def test_a_stream_is_used_from_two_threads():
    with two_streams() as (one, other):
        received = []

        def thread_reads():
            received.append(one.read())
            one.write(b"answer")
            one.flush()

        one.write(b"registers the stream with this thread, perhaps")
        assert other.read(timeout=LATE)
        with pytest.raises(TimeoutError):
            one.read(timeout=0.01)  # this thread's set has it now
        thread = threading.Thread(target=thread_reads)
        thread.start()
        other.write(b"question")
        assert other.read(timeout=LATE) == b"answer"
        thread.join()
        assert received == [b"question"]


def test_a_stream_goes_on_when_its_thread_has_ended():
    with two_streams() as (one, other):

        def register():
            with pytest.raises(TimeoutError):
                one.read(timeout=0.001)

        thread = threading.Thread(target=register)
        thread.start()
        thread.join()
        reader = spawn(one.read)
        schedule()
        other.write(b"after")
        assert reader.result(timeout=LATE) == b"after"


def test_a_waiter_goes_on_when_the_thread_that_watched_has_ended():
    with two_streams() as (one, other):
        begun, end = threading.Event(), threading.Event()

        def register():
            with pytest.raises(TimeoutError):
                one.read(timeout=0.001)
            begun.set()
            end.wait()

        thread = threading.Thread(target=register)
        thread.start()
        begun.wait()
        reader = spawn(one.read)
        schedule()
        end.set()
        thread.join()
        other.write(b"after")
        assert reader.result(timeout=LATE) == b"after"
