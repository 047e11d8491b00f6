"""Reading from streams and writing to them."""

import io
import os
import random
import socket
import threading
import warnings

import pytest
from connections import (
    LATE,
    PAIRS,
    reset,
    stream_and_peer,
    two_streams,
)

from tasklets import (
    BlockTrapError,
    TaskletExit,
    _core,
    block_trap,
    run,
    schedule,
    scheduler,
    sleep,
    spawn,
    timeout,
)
from tasklets.net import ClosedError, IncompleteReadError, LimitError, Stream

kinds = pytest.mark.parametrize("kind", PAIRS)


# ---- reading


def test_read_returns_what_has_come(ends):
    stream, peer = ends
    peer.sendall(b"hello")
    assert stream.read() == b"hello"
    peer.sendall(b"hello")
    assert [stream.read(2), stream.read(2), stream.read(2)] == [b"he", b"ll", b"o"]


def test_read_waits_while_others_run(ends):
    stream, peer = ends
    reader = spawn(stream.read)
    schedule()
    assert not reader.done()
    peer.sendall(b"late")
    assert reader.result(timeout=LATE) == b"late"


def test_the_end_stays_the_end(ends):
    stream, peer = ends
    peer.sendall(b"last")
    peer.close()
    assert [stream.read(), stream.read(), stream.read(-1)] == [b"last", b"", b""]
    assert stream.readline() == b""
    assert list(stream) == []


def test_read_all(ends):
    stream, peer = ends
    data = random.Random(1).randbytes(300_000)
    thread = threading.Thread(target=lambda: (peer.sendall(data), peer.close()))
    thread.start()
    assert stream.read(-1) == data
    thread.join()


def test_read_exactly(ends):
    stream, peer = ends
    peer.sendall(b"abcdef")
    assert stream.read_exactly(4) == b"abcd"
    assert stream.read_exactly(0) == b""
    reader = spawn(stream.read_exactly, 4)
    schedule()
    peer.sendall(b"gh")
    assert reader.result(timeout=LATE) == b"efgh"


@pytest.mark.parametrize("size", [1, 100, 16384, 16385, 65536, 65537, 500_000])
def test_read_exactly_of_any_size(ends, size):
    stream, peer = ends
    data = random.Random(size).randbytes(2 * size)
    thread = threading.Thread(target=peer.sendall, args=(data,))
    thread.start()
    assert stream.read_exactly(size) + stream.read_exactly(size) == data
    thread.join()


def test_read_exactly_at_the_end(ends):
    stream, peer = ends
    peer.sendall(b"abc")
    peer.close()
    with pytest.raises(IncompleteReadError, match="after 3 bytes, before 5") as caught:
        stream.read_exactly(5)
    assert (caught.value.partial, caught.value.expected) == (b"abc", 5)
    assert stream.read() == b""


def test_lines(ends):
    stream, peer = ends
    peer.sendall(b"one\ntwo\n\nlast")
    peer.close()
    assert list(stream) == [b"one\n", b"two\n", b"\n", b"last"]


def test_read_until(ends):
    stream, peer = ends
    peer.sendall(b"a=1\r\nb=2\r\n\r\nbody")
    assert stream.read_until(b"\r\n\r\n") == b"a=1\r\nb=2\r\n\r\n"
    peer.close()
    with pytest.raises(IncompleteReadError, match="before a separator") as caught:
        stream.read_until(bytearray(b"\r\n"))
    assert (caught.value.partial, caught.value.expected) == (b"body", None)


@pytest.mark.parametrize("at", range(1, 9))
def test_a_separator_may_come_in_two_pieces(ends, at):
    stream, peer = ends
    reader = spawn(stream.read_until, b"--end--")
    for part in (b"x--e--end--"[:at], b"x--e--end--"[at:]):
        schedule()
        peer.sendall(part)
        while not scheduler.pending() and not reader.done():
            schedule()
        run()
    assert reader.result(timeout=LATE) == b"x--e--end--"


def test_a_line_over_the_limit_takes_nothing(ends):
    stream, peer = ends
    peer.sendall(b"x" * 20 + b"\nnext\n")
    with pytest.raises(LimitError, match="the line is longer than the limit of 20"):
        stream.readline(limit=20)
    assert stream.readline(limit=21) == b"x" * 20 + b"\n"
    assert stream.readline() == b"next\n"
    peer.sendall(b"endless")
    with pytest.raises(LimitError, match=r"part up to b'--'"):
        stream.read_until(b"--", limit=5)
    assert stream.read() == b"endless"


def test_readinto(ends):
    stream, peer = ends
    buffer = bytearray(4)
    peer.sendall(b"abcdef")
    assert stream.readinto(buffer) == 4
    assert buffer == b"abcd"
    assert stream.read_until(b"e") == b"e"
    assert stream.readinto(memoryview(buffer)[1:]) == 1
    assert buffer == b"afcd"
    peer.close()
    assert stream.readinto(buffer) == 0
    with pytest.raises(BufferError):
        stream.readinto(b"constant")


def reference_lines(data, limit):
    """Split as readline() does."""
    stream = io.BytesIO(data)
    return list(iter(lambda: stream.readline(limit), b""))


@pytest.mark.parametrize("seed", range(20))
def test_any_split_of_the_same_bytes_gives_the_same_lines(seed):
    draw = random.Random(seed)
    data = b"".join(
        bytes(draw.choices(b"ab\r\n", k=draw.randrange(40))) for _ in range(100)
    )
    with stream_and_peer(draw.choice(list(PAIRS))) as (stream, peer):

        def send():
            left = data
            while left:
                size = draw.choice([1, 2, 3, 50, 5000])
                peer.sendall(left[:size])
                left = left[size:]
                if draw.random() < 0.1:
                    sleep(0)
            peer.close()

        sender = spawn(send)
        lines = list(stream)
        sender.join()
    assert lines == reference_lines(data, -1)


def test_what_came_before_a_reset_is_read_first():
    with stream_and_peer("tcp") as (stream, peer):
        peer.sendall(b"before")
        assert stream.read(3) == b"bef"
        spawn(reset, peer)
        schedule()
        # The kernel drops what was not read when a reset comes: only what was taken.
        with pytest.raises(ConnectionResetError, match=r"127\.0\.0\.1:"):
            while stream.read():
                pass
        for _ in range(2):  # the kernel reports it once
            with pytest.raises(ConnectionResetError):
                stream.read()


# ---- writing


def test_a_write_reaches_the_peer_at_the_next_switch(ends):
    stream, peer = ends
    peer.setblocking(False)
    stream.write(b"one ")
    stream.write(memoryview(b"two"))
    if not _core.stress:  # it gives way before every write
        with pytest.raises(BlockingIOError):
            peer.recv(100)
    schedule()
    assert peer.recv(100) == b"one two"
    stream.writelines([b"three ", bytearray(b"four")])
    stream.flush()
    assert peer.recv(100) == b"three four"


def test_a_lone_yield_and_a_sleep_flush(ends):
    stream, peer = ends
    peer.setblocking(False)
    for pause in (schedule, lambda: sleep(0.001), lambda: spawn(int).join()):
        stream.write(b"x")
        pause()
        assert peer.recv(100) == b"x"


def test_the_end_of_a_tasklet_flushes(ends):
    stream, peer = ends
    spawn(stream.write, b"from a tasklet")
    run()
    assert peer.recv(100) == b"from a tasklet"


@kinds
def test_a_slice_that_a_budget_ends_flushes(kind):
    with stream_and_peer(kind) as (stream, peer):

        def write_and_compute():
            stream.write(b"before")
            while True:
                pass

        spawn(write_and_compute)
        victim = scheduler.run(slice_ticks=1000)
        peer.setblocking(False)
        assert peer.recv(100) == b"before"
        victim.kill()


@pytest.mark.parametrize("size", [1, 16384, 16385, 65536, 65537, 1_000_000])
def test_writes_of_any_size(ends, size):
    stream, peer = ends
    data = random.Random(size).randbytes(size)
    received = []

    def receive():
        while sum(map(len, received)) < 3 * size:
            received.append(peer.recv(65536))

    thread = threading.Thread(target=receive)
    thread.start()
    for _ in range(3):
        stream.write(data)
    stream.flush()
    thread.join()
    assert b"".join(received) == 3 * data


@kinds
def test_a_writer_waits_while_much_is_not_sent(kind):
    with stream_and_peer(kind, small=True) as (stream, peer):
        done = []

        def write():
            for _ in range(1000):
                stream.write(b"x" * 1000)
                done.append(1)

        writer = spawn(write)
        scheduler.run(seconds=0.05, wait=True)
        assert not writer.done()
        assert 60 < len(done) < 500
        thread = threading.Thread(
            target=lambda: [peer.recv(65536) for _ in iter(int, 1)], daemon=True
        )
        received = 0
        peer.setblocking(False)
        while received < 1_000_000:
            try:
                received += len(peer.recv(65536))
            except BlockingIOError:
                sleep(0.0005)
        assert writer.join(timeout=LATE)
        del thread


@kinds
def test_output_goes_on_while_the_writer_does_something_else(kind):
    with stream_and_peer(kind, small=True) as (stream, peer):
        data = random.Random(2).randbytes(60_000)
        stream.write(data)  # collected whole; more than the system takes at once
        received = b""
        peer.setblocking(False)
        while len(received) < len(data):
            try:
                received += peer.recv(65536)
            except BlockingIOError:
                sleep(0.0005)
        assert received == data


def test_writes_of_several_tasklets_do_not_mix():
    with two_streams(small=True) as (stream, peer):
        sizes = [10, 5000, 20_000, 100_000]
        parts = [bytes([i]) * size for i, size in enumerate(sizes)]
        writers = [spawn(stream.write, part) for part in parts * 3]
        expected = 3 * sum(sizes)
        data = peer.read_exactly(expected, timeout=LATE)
        for writer in writers:
            writer.result(timeout=LATE)
        counts = [0] * len(sizes)
        while data:
            i = data[0]
            assert data[: sizes[i]] == parts[i]
            data = data[sizes[i] :]
            counts[i] += 1
        assert counts == [3] * len(sizes)


def test_half_close(ends):
    stream, peer = ends
    stream.write(b"question")
    stream.write_eof()
    stream.write_eof()
    assert (peer.recv(100), peer.recv(100)) == (b"question", b"")
    with pytest.raises(BrokenPipeError, match="after write_eof"):
        stream.write(b"more")
    peer.sendall(b"answer")
    assert stream.read() == b"answer"


def test_a_broken_connection_is_told_to_the_next_write(ends):
    stream, peer = ends
    peer.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(LATE * 100):
            stream.write(b"x")
            sleep(0.01)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        stream.flush()


# ---- timeouts, kills, interruptions


@pytest.mark.parametrize(
    "read",
    [
        lambda s, **kw: s.read(**kw),
        lambda s, **kw: s.read_exactly(9, **kw),
        lambda s, **kw: s.read_until(b"!", **kw),
        lambda s, **kw: s.readline(**kw),
        lambda s, **kw: s.readinto(bytearray(9), **kw),
    ],
    ids=["read", "read_exactly", "read_until", "readline", "readinto"],
)
class TestReads:
    def test_times_out(self, ends, read):
        stream, _ = ends
        for seconds in (0.01, 0, -1):
            with pytest.raises(TimeoutError):
                read(stream, timeout=seconds)
        stream.read_timeout = 0.01
        with pytest.raises(TimeoutError):
            read(stream)
        with pytest.raises(TimeoutError), timeout(0.01):
            read(stream, timeout=None)

    def test_is_killed(self, ends, read):
        stream, peer = ends
        reader = spawn(read, stream)
        schedule()
        reader.kill()
        assert reader.cancelled()
        peer.sendall(b"after")
        assert stream.read() == b"after"

    def test_is_told_of_the_closing(self, ends, read):
        stream, _ = ends
        reader = spawn(read, stream)
        schedule()
        stream.close()
        with pytest.raises(ClosedError, match="this Stream is closed"):
            reader.result(timeout=LATE)
        with pytest.raises(ClosedError):
            read(stream)

    def test_a_second_reader_is_refused(self, ends, read):
        stream, peer = ends
        reader = spawn(stream.read)
        schedule()
        with pytest.raises(RuntimeError, match="another tasklet is reading"):
            read(stream)
        peer.sendall(b"x")
        assert reader.result(timeout=LATE) == b"x"

    def test_a_trap_forbids_to_wait(self, ends, read):
        stream, _ = ends
        with block_trap(), pytest.raises(BlockTrapError):
            read(stream)


def test_a_read_that_timed_out_loses_nothing(ends):
    stream, peer = ends
    peer.sendall(b"half a li")
    for read in (
        lambda: stream.readline(timeout=0.01),
        lambda: stream.read_exactly(11, timeout=0.01),
        lambda: stream.read_exactly(50_000, timeout=0.01),
        lambda: stream.read(-1, timeout=0.01),
    ):
        with pytest.raises(TimeoutError):
            read()
    peer.sendall(b"ne\nrest")
    assert stream.readline() == b"half a line\n"
    assert stream.read() == b"rest"


@pytest.mark.parametrize("end", ["timeout", "kill"])
def test_a_write_that_is_cut_short_says_how_much_has_gone(end):
    with stream_and_peer(small=True) as (stream, peer):
        errors = []

        def write():
            try:
                stream.write(b"x" * 1_000_000, timeout=0.05)
            except BaseException as exc:
                errors.append(exc)
                raise

        writer = spawn(write)
        schedule()
        if end == "kill":
            writer.kill()
        writer.join()
        [error] = errors
        assert isinstance(error, TimeoutError if end == "timeout" else TaskletExit)
        assert 0 < error.sent < 1_000_000
        with pytest.raises(BrokenPipeError, match="cut short"):
            stream.write(b"y")
        peer.setblocking(False)
        received = 0
        while received < error.sent:
            try:
                received += len(peer.recv(65536))
            except BlockingIOError:
                sleep(0.0005)
        sleep(0.01)
        with pytest.raises(BlockingIOError):
            peer.recv(100)
        peer.settimeout(LATE)
        peer.sendall(b"still here")
        assert stream.read() == b"still here"


def test_a_small_write_that_times_out_sends_nothing():
    with stream_and_peer(small=True) as (stream, _):
        with pytest.raises(TimeoutError) as caught:
            while True:
                stream.write(b"x" * 1000, timeout=0.01)
        assert caught.value.sent == 0
        with pytest.raises(TimeoutError):
            stream.flush(timeout=0.01)
        stream.write_timeout = 0.01
        with pytest.raises(TimeoutError):
            stream.write(b"x" * 1000)
        assert stream.write_timeout == 0.01


# ---- closing


def fill(stream):
    """Write until a write would wait; return all that was written."""
    draw, written = random.Random(3), []
    while True:
        part = draw.randbytes(10_000)
        try:
            stream.write(part, timeout=0)
        except TimeoutError:
            return b"".join(written)
        written.append(part)
        schedule()


def test_close_sends_what_is_left_in_the_background():
    with stream_and_peer(small=True) as (stream, peer):
        data = fill(stream)
        stream.close()
        assert stream.closed
        assert "closing" in repr(stream)
        with pytest.raises(ClosedError):
            stream.write(b"more")
        received = b""
        peer.setblocking(False)
        while len(received) < len(data):
            try:
                received += peer.recv(65536)
            except BlockingIOError:
                sleep(0.0005)
        assert received == data
        while stream.fileno() >= 0:
            sleep(0.0005)
        peer.settimeout(LATE)
        assert peer.recv(1) == b""


def test_close_gives_up_after_five_seconds(clock):
    with stream_and_peer(small=True) as (stream, _):
        fill(stream)
        stream.close()
        sleep(4.9)
        assert stream.fileno() >= 0
        sleep(0.2)
        assert stream.fileno() == -1


def test_abort_resets():
    with stream_and_peer("tcp") as (stream, peer):
        stream.write(b"never sent")
        stream.abort()
        stream.abort()
        assert stream.closed
        with pytest.raises(ConnectionResetError):
            peer.recv(100)


def test_abort_ends_a_close_in_the_background():
    with stream_and_peer(small=True) as (stream, _):
        fill(stream)
        stream.close()
        stream.abort()
        assert stream.fileno() == -1


def test_a_writer_is_told_of_the_closing():
    with stream_and_peer(small=True) as (stream, _):
        writers = [spawn(stream.write, b"x" * 1_000_000) for _ in range(3)]
        schedule()
        stream.close()
        for writer in writers:
            with pytest.raises(ClosedError):
                writer.result(timeout=LATE)


def test_a_block_closes(ends):
    stream, peer = ends
    with stream as same:
        assert same is stream
        stream.write(b"bye")
    assert stream.closed
    assert peer.recv(100) == b"bye"
    with pytest.raises(ZeroDivisionError), stream:
        raise ZeroDivisionError


def test_detach(ends):
    stream, peer = ends
    peer.sendall(b"line\nrest")
    assert stream.readline() == b"line\n"
    with pytest.raises(ValueError, match="4 bytes in its read buffer"):
        stream.detach()
    assert stream.read() == b"rest"
    stream.write(b"out")
    fd = stream.detach()
    assert stream.closed
    os.close(fd)
    assert peer.recv(100) == b"out"
    with pytest.raises(ClosedError):
        stream.detach()


def test_a_forgotten_stream_is_closed_with_a_warning(ends):
    one, other = socket.socketpair()
    with other:
        stream = Stream(one)
        fd = stream.fileno()
        holder = [stream]
        del stream
        with pytest.warns(ResourceWarning, match=rf"unclosed stream <.*fd={fd}"):
            holder.clear()
        assert other.recv(1) == b""


def test_closed_streams_do_not_warn(ends):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = socket.socketpair()
        other.close()
        stream = Stream(one)
        stream.close()
        stream.close()
        del stream
