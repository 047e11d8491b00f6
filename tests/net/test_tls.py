"""Streams with TLS: they do all that streams do, with any peer."""

import gc
import os
import random
import socket
import ssl
import threading
import weakref

import pytest
from connections import LATE, stream_and_peer, tcp_pair, two_streams
from tls_ends import (
    VERSIONS,
    client_context,
    server_context,
    start_both,
    stream_and_ssl_socket,
    tls_streams,
)

from tasklets import (
    BlockTrapError,
    CancelledError,
    TaskletExit,
    block_trap,
    run,
    schedule,
    sleep,
    spawn,
)
from tasklets.net import ClosedError, IncompleteReadError, LimitError, Stream

each_version = pytest.mark.parametrize("version", VERSIONS)
each_side = pytest.mark.parametrize(
    "server_side", [False, True], ids=["client", "server"]
)


@pytest.fixture(params=["tcp", "unix"])
def ends(request):
    with tls_streams(request.param) as both:
        ends = list(both)
        del both
        yield ends
        ends.clear()  # pytest keeps the list


# ---- reading


@each_version
@each_side
def test_a_plain_ssl_socket_is_the_peer(server_side, version):
    with stream_and_ssl_socket(server_side, version) as (stream, peer):
        assert stream.tls.version() == peer.version() == version
        stream.write(b"hello")
        stream.flush()
        assert peer.recv(100) == b"hello"
        peer.sendall(b"line\nrest")
        assert stream.readline() == b"line\n"
        assert stream.read() == b"rest"
        data = random.Random(1).randbytes(300_000)

        def answer():
            peer.sendall(recv_exactly(peer, 300_000))

        echo = threading.Thread(target=answer)
        echo.start()
        stream.write(data)
        assert stream.read_exactly(300_000) == data
        echo.join()


def recv_exactly(sock, n):
    data = b""
    while len(data) < n:
        data += sock.recv(65536)
    return data


def test_reads(ends):
    one, other = ends
    other.write(b"hello, wor")
    other.write(b"ld\nnext\nlast")
    assert [one.read(5), one.read_exactly(3)] == [b"hello", b", w"]
    assert one.read_until(b"ld\n") == b"orld\n"
    other.close()
    assert list(one) == [b"next\n", b"last"]
    assert [one.read(), one.read(-1), one.readline()] == [b"", b"", b""]
    with pytest.raises(IncompleteReadError, match="after 0 bytes, before 5"):
        one.read_exactly(5)


def test_a_read_leaves_no_record_behind(ends):
    # A caller that waits for the descriptor to be readable would not see it.
    one, other = ends
    for i in range(5):
        other.write(b"%d" % i * 1000)
    other.flush()
    run()
    assert one.read() == b"".join(b"%d" % i * 1000 for i in range(5))
    with pytest.raises(TimeoutError):
        one.read(timeout=0.01)


def test_readinto(ends):
    one, other = ends
    other.write(b"abcdef")
    buffer = bytearray(4)
    assert one.readinto(buffer) == 4
    assert buffer == b"abcd"
    assert one.readinto(buffer) == 2
    assert buffer == b"efcd"
    other.close()
    assert one.readinto(buffer) == 0


def test_a_line_over_the_limit_takes_nothing(ends):
    one, other = ends
    other.write(b"x" * 20 + b"\n")
    with pytest.raises(LimitError):
        one.readline(limit=20)
    assert one.readline() == b"x" * 20 + b"\n"


@pytest.mark.parametrize("size", [1, 100, 16383, 16384, 16385, 65536, 65537, 500_000])
def test_messages_of_any_size(ends, size):
    one, other = ends
    data = random.Random(size).randbytes(2 * size)
    writer = spawn(lambda: (other.write(data), other.flush()))
    assert one.read_exactly(size) + one.read_exactly(size) == data
    writer.result(timeout=LATE)


@pytest.mark.parametrize("seed", range(20))
def test_any_split_of_the_same_bytes_gives_the_same_lines(seed):
    source = random.Random(seed)
    lines = [
        source.randbytes(source.choice([0, 3, 50, 3000])).replace(b"\n", b"-") + b"\n"
        for _ in range(60)
    ]
    data = b"".join(lines)
    with tls_streams() as (one, other):

        def write():
            at = 0
            while at < len(data):
                n = source.choice([1, 7, 500, 20_000])
                other.write(data[at : at + n])
                at += n
                if source.random() < 0.3:
                    schedule()
            other.close()

        writer = spawn(write)
        assert list(one) == lines
        writer.result(timeout=LATE)


# ---- waits


READS = {
    "read": lambda stream, **kw: stream.read(**kw),
    "read_exactly": lambda stream, **kw: stream.read_exactly(5, **kw),
    "readline": lambda stream, **kw: stream.readline(**kw),
    "readinto": lambda stream, **kw: stream.readinto(bytearray(5), **kw),
}


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
class TestAWaitingReader:
    def test_times_out(self, ends, read):
        one, other = ends
        with pytest.raises(TimeoutError):
            read(one, timeout=0.01)
        other.write(b"12345\n")
        other.flush()
        assert read(one, timeout=LATE)

    def test_is_killed(self, ends, read):
        one, other = ends
        reader = spawn(read, one)
        schedule()
        reader.kill()
        with pytest.raises(CancelledError):
            reader.result()
        other.write(b"12345\n")
        assert read(one, timeout=LATE)

    def test_is_told_of_the_closing(self, ends, read):
        one, _ = ends
        reader = spawn(read, one)
        schedule()
        one.close()
        with pytest.raises(ClosedError):
            reader.result(timeout=LATE)

    def test_a_second_reader_is_refused(self, ends, read):
        one, other = ends
        reader = spawn(read, one)
        schedule()
        with pytest.raises(RuntimeError, match="another tasklet is reading"):
            one.read()
        other.write(b"12345\n")
        assert reader.result(timeout=LATE)

    def test_a_trap_forbids_to_wait(self, ends, read):
        one, _ = ends
        with pytest.raises(BlockTrapError):
            with block_trap():
                read(one)


# ---- writing


def test_small_writes_go_together(ends):
    one, other = ends
    for i in range(100):
        one.write(b"%02d" % i)
    one.writelines([b"end", bytearray(b"!"), memoryview(b"")])
    one.write(b"")
    schedule()
    expected = b"".join(b"%02d" % i for i in range(100)) + b"end!"
    assert other.read_exactly(len(expected)) == expected


def test_a_writer_waits_while_much_is_not_sent():
    with tls_streams("unix", small=True) as (one, other):
        written = []

        def write():
            for i in range(40):
                one.write(bytes([i]) * 10_000)
                written.append(i)
            one.flush()

        writer = spawn(write)
        for _ in range(20):
            sleep(0.001)
        count = len(written)
        assert 5 <= count < 30
        data = other.read_exactly(400_000, timeout=LATE)
        assert data == b"".join(bytes([i]) * 10_000 for i in range(40))
        writer.result(timeout=LATE)


def test_writes_of_several_tasklets_do_not_mix():
    with tls_streams("unix", small=True) as (one, other):
        writers = [spawn(one.write, bytes([i]) * 200_000) for i in range(4)]
        data = other.read_exactly(800_000, timeout=LATE)
        assert {data[at : at + 200_000] for at in range(0, 800_000, 200_000)} == {
            bytes([i]) * 200_000 for i in range(4)
        }
        for writer in writers:
            writer.result(timeout=LATE)


@pytest.mark.parametrize("end", ["kill", "timeout"])
def test_the_rest_of_an_interrupted_write_can_follow(end):
    data = random.Random(2).randbytes(1_000_000)
    with tls_streams("unix", small=True) as (one, other):
        caught = []

        def write():
            try:
                one.write(data, timeout=0.05 if end == "timeout" else None)
            except BaseException as exc:
                caught.append(exc)
                raise

        writer = spawn(write)
        if end == "kill":
            for _ in range(10):
                sleep(0.001)
            writer.kill()
        writer.join()
        assert isinstance(caught[0], TimeoutError if end == "timeout" else TaskletExit)
        sent = caught[0].sent
        assert 0 < sent < len(data)
        rest = spawn(lambda: (one.write(data[sent:]), one.close()))
        assert other.read_exactly(len(data), timeout=LATE) == data
        assert other.read() == b""
        rest.result(timeout=LATE)


def test_a_part_of_a_write_does_not_look_whole():
    with tls_streams("unix", small=True) as (one, other):
        writer = spawn(one.write, bytes(1_000_000))
        for _ in range(10):
            sleep(0.001)
        writer.kill()
        one.close()
        with pytest.raises(ssl.SSLEOFError):
            while other.read(timeout=LATE):
                pass


def test_a_flood_does_not_keep_others_from_running():
    with tls_streams() as (one, other):
        turns = []
        stop = []

        def flood():
            while not stop:
                one.write(bytes(1000))

        def drain():
            while not stop:
                other.read()

        def count():
            while len(turns) < 20:
                turns.append(1)
                schedule()
            stop.append(1)

        group = [spawn(flood), spawn(drain), spawn(count)]
        group[2].result(timeout=LATE)
        group[0].result(timeout=LATE)
        one.close()
        group[1].result(timeout=LATE)
        assert len(turns) == 20


# ---- the end


@each_version
def test_half_close(version):
    with tls_streams(version=version) as (one, other):
        one.write(b"question")
        one.write_eof()
        one.write_eof()  # does nothing
        with pytest.raises(BrokenPipeError, match=r"after write_eof\(\)"):
            one.write(b"more")
        assert [other.read(), other.read()] == [b"question", b""]
        other.write(b"an answer")
        other.write_eof()
        assert one.read(-1) == b"an answer"


def test_half_close_keeps_what_has_come():
    with tls_streams() as (one, other):
        other.write(b"first ")
        other.flush()
        assert one.read(2) == b"fi"
        other.write(b"x" * 40_000)
        other.flush()
        assert one.read(4) == b"rst "
        one.read(1)
        one.write_eof()
        assert one.read_exactly(39_999) == b"x" * 39_999


@each_side
def test_an_ssl_socket_sees_the_end(server_side):
    with stream_and_ssl_socket(server_side) as (stream, peer):
        peer.suppress_ragged_eofs = False
        stream.write(b"last")
        stream.close()
        assert peer.recv(100) == b"last"
        assert peer.recv(100) == b""


@each_side
def test_the_end_that_an_ssl_socket_announces(server_side):
    with stream_and_ssl_socket(server_side) as (stream, peer):
        thread = threading.Thread(target=peer.unwrap)
        thread.start()
        assert stream.read() == b""
        stream.write(b"")
        stream.write_eof()
        thread.join()


def test_an_end_without_notice_is_an_error():
    with tls_streams() as (one, other):
        other.write(b"some")
        other.flush()
        cut(other)
        assert one.read() == b"some"
        for _ in range(3):
            with pytest.raises(ssl.SSLEOFError, match="EOF occurred"):
                one.read()
        with pytest.raises(ssl.SSLEOFError):
            one.read_exactly(1)


def test_an_end_without_notice_may_be_suppressed():
    with tls_streams(suppress_ragged_eofs=True) as (one, other):
        other.write(b"some")
        other.flush()
        cut(other)
        assert [one.read(), one.read(), one.read()] == [b"some", b"", b""]


def cut(stream):
    """End the connection below TLS."""
    with socket.socket(fileno=os.dup(stream.fileno())) as sock:
        sock.shutdown(socket.SHUT_WR)


def test_a_reset_is_told_after_what_has_come():
    with tls_streams() as (one, other):
        other.write(b"last words")
        other.flush()
        assert one.read(4) == b"last"
        other.abort()
        assert one.read_exactly(6) == b" words"
        for _ in range(2):
            with pytest.raises(ConnectionResetError, match=r"127\.0\.0\.1"):
                one.read()


@pytest.mark.parametrize("call", ["read", "write", "flush", "write_eof", "start_tls"])
def test_use_after_close(ends, call):
    one, _ = ends
    one.close()
    args = {"write": (b"x",), "start_tls": (client_context(),)}.get(call, ())
    options = {"server_hostname": "localhost"} if call == "start_tls" else {}
    with pytest.raises(ClosedError):
        getattr(one, call)(*args, **options)
    assert one.tls.version() == "TLSv1.3"


def test_detach_is_refused(ends):
    one, other = ends
    with pytest.raises(ValueError, match="cannot detach a stream with TLS"):
        one.detach()
    one.write(b"still there")
    schedule()
    assert other.read() == b"still there"


# ---- upgrading


def test_upgrade():
    with two_streams() as (client, server):
        assert client.tls is None

        def serve():
            assert server.readline() == b"STARTTLS\n"
            server.write(b"go ahead\n")
            server.start_tls(server_context(), server_side=True)
            server.write(server.readline().upper())

        serving = spawn(serve)
        client.write(b"STARTTLS\n")
        assert client.readline() == b"go ahead\n"
        client.start_tls(client_context(), server_hostname="localhost")
        client.write(b"hello\n")
        assert client.readline() == b"HELLO\n"
        serving.result(timeout=LATE)
        assert isinstance(client.tls, ssl.SSLObject)
        assert server.tls.server_side


class TestAnUpgradeThatIsRefused:
    def refuse(self, stream, text, kind=RuntimeError):
        with pytest.raises(kind, match=text):
            stream.start_tls(client_context(), server_hostname="localhost")

    def works(self, stream, peer):
        stream.write(b"works")
        stream.flush()
        assert peer.recv(100) == b"works"

    def test_because_of_bytes_in_the_buffer(self):
        with stream_and_peer() as (stream, peer):
            peer.sendall(b"220 go ahead\r\ninjected")
            assert stream.readline() == b"220 go ahead\r\n"
            self.refuse(stream, "8 bytes in the read buffer")
            assert stream.tls is None
            assert stream.read() == b"injected"
            self.works(stream, peer)

    def test_because_of_a_reader(self):
        with stream_and_peer() as (stream, peer):
            reader = spawn(stream.read)
            schedule()
            self.refuse(stream, "another tasklet is reading")
            peer.sendall(b"x")
            assert reader.result(timeout=LATE) == b"x"
            self.works(stream, peer)

    def test_because_of_a_writer(self):
        with stream_and_peer(small=True) as (stream, _):
            writer = spawn(stream.write, bytes(500_000))
            schedule()
            self.refuse(stream, "another tasklet is writing")
            writer.kill()

    def test_because_of_the_end(self):
        with stream_and_peer() as (stream, peer):
            peer.shutdown(1)
            assert stream.read() == b""
            self.refuse(stream, "the peer has ended the stream")

    def test_because_of_the_own_end(self):
        with stream_and_peer() as (stream, _):
            stream.write_eof()
            self.refuse(stream, r"after write_eof\(\)", BrokenPipeError)

    def test_because_it_has_begun(self, ends):
        self.refuse(ends[0], "has TLS already")
        ends[0].write(b"x")
        schedule()
        assert ends[1].read() == b"x"

    @pytest.mark.parametrize(
        ("args", "options", "kind", "text"),
        [
            ((), {}, TypeError, "context"),
            ((None,), {}, TypeError, "must be an ssl.SSLContext, not NoneType"),
            (("tls",), {}, TypeError, "must be an ssl.SSLContext, not str"),
            ((client_context(),), {}, ValueError, "server_hostname"),
            (
                (server_context(),),
                {"server_side": True, "server_hostname": "localhost"},
                ValueError,
                "server_hostname",
            ),
            (
                (client_context(),),
                {"server_hostname": "localhost", "timeout": "soon"},
                TypeError,
                "must be real number",
            ),
            (
                (client_context(),),
                {"server_hostname": "localhost", "session": "none"},
                TypeError,
                "not a SSLSession",
            ),
            ((server_context(),), {"server_side": False}, ssl.SSLError, "client"),
        ],
    )
    def test_because_of_its_arguments(self, args, options, kind, text):
        with stream_and_peer() as (stream, peer):
            with pytest.raises(kind, match=text):
                stream.start_tls(*args, **options)
            assert stream.tls is None
            self.works(stream, peer)


def test_others_wait_for_the_end_of_a_handshake():
    with two_streams() as (client, server):
        context = client_context()
        starting = spawn(client.start_tls, context, server_hostname="localhost")
        schedule()
        with pytest.raises(RuntimeError, match="another tasklet is reading"):
            client.read()
        with pytest.raises(RuntimeError, match="has TLS already"):
            client.start_tls(client_context(), server_hostname="localhost")
        writer = spawn(client.write, b"encrypted")
        schedule()
        assert not writer.done()
        server.start_tls(server_context(), server_side=True)
        assert server.read(timeout=LATE) == b"encrypted"
        starting.result(timeout=LATE)
        writer.result(timeout=LATE)


# ---- threads and memory


def test_one_thread_reads_while_another_writes():
    size = 2_000_000
    data = random.Random(3).randbytes(size)
    with stream_and_ssl_socket(False) as (stream, peer):
        # The peer itself has one thread: two at once confuse an SSLSocket of 3.15.
        def echo():
            left = size
            while left > 0:
                part = peer.recv(65536)
                peer.sendall(part)
                left -= len(part)

        def write():
            for at in range(0, size, 10_000):
                stream.write(data[at : at + 10_000])
            stream.flush()

        threads = [threading.Thread(target=target) for target in (echo, write)]
        for thread in threads:
            thread.start()
        assert stream.read_exactly(size, timeout=LATE) == data
        for thread in threads:
            thread.join()


def test_close_while_another_thread_reads():
    for _ in range(5):
        with tls_streams() as (one, other):
            results = []

            def read(one=one, results=results):
                try:
                    while one.read():
                        pass
                except (ClosedError, OSError) as exc:
                    results.append(exc)

            thread = threading.Thread(target=read)
            thread.start()
            for _ in range(50):
                other.write(bytes(20_000))
            other.flush()
            one.close()
            thread.join(LATE)
            assert not thread.is_alive()
            assert isinstance(results[0], ClosedError)


def test_a_cycle_through_a_stream_is_collected():
    one, other = tcp_pair()
    with Stream(one) as client, Stream(other) as server:
        start_both(client, server)
        client.tls.mine = client
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_a_forgotten_stream_warns_and_announces_no_end():
    one, other = tcp_pair()
    client, server = Stream(one), Stream(other)
    start_both(client, server)
    kept = [server]
    del server
    with pytest.warns(ResourceWarning, match="unclosed stream"):
        kept.clear()
    with client, pytest.raises((ssl.SSLEOFError, ConnectionError)):
        client.read()
