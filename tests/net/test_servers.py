"""connect(), listen(), serve(): connections from their begin to their end."""

import logging
import os
import resource
import socket
import threading

import pytest
from connections import LATE, open_descriptors, reset

from tasklets import (
    TaskGroup,
    net,
    schedule,
    sleep,
    spawn,
    timeout,
)
from tasklets.net import ClosedError, Listener, connect, listen, serve

LOCAL = ("127.0.0.1", 0)


def echo(stream):
    while data := stream.read():
        stream.write(data)


@pytest.fixture
def descriptors():
    """Fail a test that leaves a descriptor open."""
    before = open_descriptors()
    yield
    after = open_descriptors()
    # What the thread keeps for all its sockets, and libuv's loop, stay.
    assert not [fd for fd in after - before if is_socket(fd)]


def is_socket(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False


# ---- connecting


@pytest.mark.usefixtures("descriptors")
class TestConnect:
    def test_over_tcp(self):
        with serve(echo, LOCAL) as server:
            [address] = server.addresses
            with connect(address) as stream:
                stream.write(b"hello")
                assert stream.read(timeout=LATE) == b"hello"
                assert stream.peer_address == address
                sock = socket.socket(fileno=os.dup(stream.fileno()))
                with sock:
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_over_ipv6(self):
        with serve(echo, ("::1", 0)) as server, connect(server.addresses[0]) as stream:
            stream.write(b"six")
            assert stream.read(timeout=LATE) == b"six"
            assert "[::1]:" in repr(stream)

    def test_over_a_unix_socket(self, tmp_path):
        path = tmp_path / "socket"
        with serve(echo, path), connect(path) as stream:
            stream.write(b"unix")
            assert stream.read(timeout=LATE) == b"unix"
            assert stream.peer_address == str(path)
        with serve(echo, path):  # the file is stale, and replaced
            connect(str(path)).close()

    def test_to_a_name(self):
        with serve(echo, ("", 0)) as server:
            port = server.addresses[0][1]
            with connect(("localhost", port), timeout=LATE) as stream:
                stream.write(b"name")
                assert stream.read(timeout=LATE) == b"name"

    def test_the_own_address(self):
        with serve(echo, LOCAL) as server:
            local = ("127.0.0.9", 0)
            with connect(server.addresses[0], local_address=local) as stream:
                assert stream.local_address[0] == "127.0.0.9"

    def test_is_refused(self, tmp_path):
        with socket.socket() as sock:
            sock.bind(LOCAL)
            address = sock.getsockname()
            with pytest.raises(
                ConnectionRefusedError, match=rf"127\.0\.0\.1:{address[1]}"
            ):
                connect(address)
        with pytest.raises(FileNotFoundError):
            connect(tmp_path / "nothing")

    def test_times_out(self):
        with socket.create_server(LOCAL, backlog=0) as sock:
            address = sock.getsockname()
            # The queue of the listener is full after the first or second.
            kept = []
            with pytest.raises(TimeoutError):
                for _ in range(5):
                    kept.append(connect(address, timeout=0.05))
            with pytest.raises(TimeoutError), timeout(0.05):
                connect(address)
            for stream in kept:
                stream.abort()

    def test_is_killed(self):
        with socket.create_server(LOCAL, backlog=0) as sock:
            attempts = [spawn(connect, sock.getsockname()) for _ in range(5)]
            schedule()
            for attempt in attempts:
                attempt.kill()
                if not attempt.cancelled():
                    attempt.result().abort()

    def test_the_first_address_that_answers_wins(self, monkeypatch):
        with serve(echo, LOCAL) as server, socket.socket() as dead:
            dead.bind(LOCAL)
            refused = dead.getsockname()
            good = server.addresses[0]
            places = [(2, 1, 6, "", refused), (2, 1, 6, "", good)]
            monkeypatch.setattr(net._core, "net_getaddrinfo", lambda *_: places)
            with connect(("name", 1)) as stream:
                assert stream.peer_address == good
            places[1] = (2, 1, 6, "", refused)
            with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1: .*; 127"):
                connect(("name", 1))

    def test_a_slow_address_is_overtaken(self, monkeypatch):
        with (
            serve(echo, LOCAL) as server,
            socket.create_server(LOCAL, backlog=0) as slow,
        ):
            kept = []
            with pytest.raises(TimeoutError):
                for _ in range(5):
                    kept.append(connect(slow.getsockname(), timeout=0.05))
            good = server.addresses[0]
            places = [(2, 1, 6, "", slow.getsockname()), (2, 1, 6, "", good)]
            monkeypatch.setattr(net._core, "net_getaddrinfo", lambda *_: places)
            with connect(("name", 1), timeout=LATE) as stream:
                assert stream.peer_address == good
            for each in kept:
                each.abort()

    def test_a_name_that_does_not_exist(self):
        with pytest.raises(socket.gaierror):
            connect(("no-such-host.invalid", 80))

    @pytest.mark.parametrize(
        ("address", "error", "text"),
        [
            (5, TypeError, "tuple"),
            (None, TypeError, "NoneType"),
            (("127.0.0.1",), ValueError, "host, port"),
            (("127.0.0.1", 70000), OverflowError, "0 to 65535"),
            (("127.0.0.1", -1), OverflowError, "0 to 65535"),
            ("x" * 200, OSError, "too long"),
        ],
    )
    def test_wrong_addresses(self, address, error, text):
        with pytest.raises(error, match=text):
            connect(address)

    def test_zero_seconds(self):
        with serve(echo, LOCAL) as server:
            with pytest.raises(TimeoutError):
                connect(("localhost", server.addresses[0][1]), timeout=0)
            with pytest.raises(ValueError, match="no local_address"):
                connect("/nowhere", local_address=LOCAL)


# ---- listening


@pytest.mark.usefixtures("descriptors")
class TestListener:
    def test_accepts(self):
        with listen(LOCAL) as listener:
            with pytest.raises(TimeoutError):
                listener.accept(timeout=0.01)
            client = connect(listener.address)
            with listener.accept() as server:
                server.write(b"hi")
                assert client.read(timeout=LATE) == b"hi"
                assert server.peer_address == client.local_address
            client.close()
        assert listener.closed
        with pytest.raises(ClosedError, match="this Listener is closed"):
            listener.accept()

    def test_close_wakes_the_acceptor(self):
        listener = listen(LOCAL)
        acceptor = spawn(listener.accept)
        schedule()
        listener.close()
        with pytest.raises(ClosedError):
            acceptor.result(timeout=LATE)

    def test_several_acceptors(self):
        with listen(LOCAL) as listener:
            acceptors = [spawn(listener.accept) for _ in range(3)]
            schedule()
            clients = [connect(listener.address) for _ in range(3)]
            for acceptor in acceptors:
                acceptor.result(timeout=LATE).close()
            for client in clients:
                client.close()

    def test_the_address_is_in_use(self):
        with listen(LOCAL) as listener:
            with pytest.raises(OSError, match=r"in use: \('127.0.0.1', \d+\)"):
                listen(listener.address)
        with listen(LOCAL, reuse_port=True) as one:
            listen(one.address, reuse_port=True).close()

    def test_takes_a_socket(self):
        sock = socket.create_server(LOCAL)
        address = sock.getsockname()
        with Listener(sock) as listener:
            assert sock.fileno() == -1
            assert (listener.address, listener.shed) == (address, 0)
            assert repr(address) in repr(listener)
        assert "closed" in repr(listener)
        with socket.socket() as sock, pytest.raises(ValueError, match="not listen"):
            Listener(sock)
        with pytest.raises(ValueError, match="backlog must be"):
            listen(LOCAL, backlog=0)

    def test_detach(self):
        listener = listen(LOCAL)
        with socket.socket(fileno=listener.detach()) as sock:
            assert listener.closed
            assert sock.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ClosedError):
            listener.detach()


# ---- serving


@pytest.mark.usefixtures("descriptors")
class TestServer:
    def test_many_clients(self):
        def client(number):
            with connect(address) as stream:
                for i in range(10):
                    text = b"%d %d\n" % (number, i)
                    stream.write(text)
                    assert stream.readline(timeout=LATE) == text
            return number

        with serve(echo, LOCAL) as server:
            [address] = server.addresses
            with TaskGroup() as group:
                assert group.map(client, range(100)) == list(range(100))

    def test_a_handler_that_fails_is_logged(self, caplog):
        def handler(stream):
            raise ZeroDivisionError(stream.readline().decode())

        with caplog.at_level(logging.ERROR), serve(handler, LOCAL) as server:
            for text in ("one", "two"):
                with connect(server.addresses[0]) as stream:
                    stream.write(text.encode())
                    stream.write_eof()
                    assert stream.read(timeout=LATE) == b""
        assert [record.exc_info[1].args for record in caplog.records] == [
            ("one",),
            ("two",),
        ]
        assert all("127.0.0.1:" in record.getMessage() for record in caplog.records)
        caplog.clear()  # the tracebacks keep the streams

    def test_a_broken_connection_is_no_error(self, caplog):
        with caplog.at_level(logging.INFO), serve(echo, LOCAL) as server:
            with socket.create_connection(server.addresses[0]) as sock:
                sock.sendall(b"x")
                spawn(lambda: None)
                sleep(0.01)
                reset(sock)
                sleep(0.01)
        assert not caplog.records

    def test_no_more_connections_than_allowed(self):
        most = 0

        def handler(stream):
            nonlocal most
            most = max(most, server.connections)
            echo(stream)

        with serve(handler, LOCAL, max_connections=2) as server:
            clients = [connect(server.addresses[0]) for _ in range(5)]
            for client in clients:
                client.write(b"x")
            for client in clients:
                assert client.read(timeout=LATE) == b"x"
                client.close()
        assert most == 2

    def test_drain_waits_for_handlers(self):
        ended = []

        def handler(stream):
            server.closing.wait()
            stream.write(b"bye")
            ended.append(stream)

        server = serve(handler, LOCAL)
        clients = [connect(server.addresses[0]) for _ in range(3)]
        while server.connections < 3:
            sleep(0.001)
        assert not server.join(timeout=0.01)
        assert server.drain(timeout=LATE)
        assert len(ended) == 3
        for client in clients:
            assert client.read() == b"bye"
            client.close()
        with pytest.raises(ConnectionRefusedError):
            connect(server.addresses[0])
        assert "closing" in repr(server)
        ended.clear()

    def test_drain_kills_at_last(self):
        killed = []

        def handler(stream):
            try:
                stream.read()
            finally:
                killed.append(1)

        server = serve(handler, LOCAL)
        client = connect(server.addresses[0])
        while not server.connections:
            sleep(0.001)
        assert not server.drain(timeout=0.01)
        assert killed == [1]
        assert client.read(timeout=LATE) == b""
        client.close()

    def test_an_error_in_the_block_kills(self):
        with pytest.raises(ZeroDivisionError), serve(echo, LOCAL) as server:
            client = connect(server.addresses[0])
            while not server.connections:
                sleep(0.001)
            raise ZeroDivisionError
        assert client.read(timeout=LATE) == b""
        client.close()

    def test_a_handler_may_drain(self):
        drained = []

        def handler(stream):
            drained.append(server.drain(timeout=LATE))

        server = serve(handler, LOCAL)
        connect(server.addresses[0]).close()
        assert server.join(timeout=LATE)
        assert drained == [True]

    def test_close_while_full(self):
        server = serve(echo, LOCAL, max_connections=1)
        client = connect(server.addresses[0])
        while not server.connections:
            sleep(0.001)
        server.close()
        client.close()
        assert server.join(timeout=LATE)

    @pytest.mark.parametrize(
        ("kwargs", "error"),
        [
            ({"max_connections": 0}, ValueError),
            ({"max_connections": -1}, ValueError),
            ({"backlog": 0}, ValueError),
        ],
    )
    def test_wrong_arguments(self, kwargs, error):
        with pytest.raises(error):
            serve(echo, LOCAL, **kwargs)
        with pytest.raises(TypeError, match="callable"):
            serve("echo", LOCAL)

    def test_in_a_thread_beside_plain_clients(self):
        stop = threading.Event()
        ready = []

        def serve_in_thread():
            with serve(echo, LOCAL) as server:
                ready.append(server.addresses[0])
                while not stop.is_set():
                    sleep(0.001)

        thread = threading.Thread(target=serve_in_thread)
        thread.start()
        while not ready:
            sleep(0.001)
        with socket.create_connection(ready[0]) as sock:
            sock.settimeout(LATE)
            sock.sendall(b"plain")
            assert sock.recv(100) == b"plain"
        stop.set()
        thread.join()


# ---- no descriptor left


def test_no_descriptor_is_left(clock):
    with listen(LOCAL) as listener:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        first, second, fillers = socket.socket(), socket.socket(), []
        acceptor = spawn(listener.accept)
        schedule()
        limit = max(open_descriptors()) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            while True:  # take the free numbers below the limit
                fillers.append(os.dup(0))
        except OSError:
            pass
        try:
            first.connect(listener.address)
            sleep(4)
            assert not acceptor.done()
            os.close(fillers.pop())
            acceptor.result(timeout=LATE).close()
            fillers.append(os.dup(0))
            # Now none is free for long: a further client is told, and does not hang.
            second.connect(listener.address)
            acceptor = spawn(listener.accept)
            sleep(7)
            assert not acceptor.done()
            assert listener.shed == 1
            assert second.recv(1) == b""
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for fd in fillers:
                os.close(fd)
        acceptor.kill()
        first.close()
        second.close()
