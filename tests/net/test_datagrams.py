"""Datagrams: UDP and Unix, connected and not, multicast."""

import pickle
import socket
import threading

import pytest

from tasklets import BlockTrapError, block_trap, schedule, spawn
from tasklets.net import ClosedError, DatagramSocket, datagram_socket

LATE = 30
LOCAL = ("127.0.0.1", 0)


@pytest.fixture
def both():
    """Yield a list of two sockets that know nothing of each other."""
    pair = [datagram_socket(LOCAL), datagram_socket(LOCAL)]
    yield pair
    for each in pair:
        each.close()
    pair.clear()


def test_to_an_address_and_back(both):
    one, other = both
    one.send(b"question", other.local_address)
    data, address, truncated = other.receive(timeout=LATE)
    assert (data, address, truncated) == (b"question", one.local_address, False)
    other.send(bytearray(b"answer"), address)
    assert one.receive(timeout=LATE)[0] == b"answer"


def test_receive_waits_while_others_run(both):
    one, other = both
    receivers = [spawn(other.receive) for _ in range(3)]
    schedule()
    for text in (b"1", b"2", b"3"):
        one.send(text, other.local_address)
    found = sorted(each.result(timeout=LATE)[0] for each in receivers)
    assert found == [b"1", b"2", b"3"]


def test_sizes(both):
    one, other = both
    one.send(b"", other.local_address)
    assert other.receive(timeout=LATE)[0] == b""
    one.send(b"x" * 60_000, other.local_address)
    assert other.receive(timeout=LATE)[0] == b"x" * 60_000
    one.send(b"0123456789", other.local_address)
    assert other.receive(4, timeout=LATE)[::2] == (b"0123", True)
    with pytest.raises(OSError, match="too long"):
        one.send(b"x" * 70_000, other.local_address)
    one.send(b"next", other.local_address)
    assert other.receive(timeout=LATE)[0] == b"next"


def test_connected():
    with datagram_socket(LOCAL) as server:
        with datagram_socket(remote_address=server.local_address) as client:
            client.send(b"hello")
            data, address, _ = server.receive(timeout=LATE)
            assert (data, address) == (b"hello", client.local_address)
            with datagram_socket(LOCAL) as stranger:
                stranger.send(b"not heard", client.local_address)
            server.send(b"heard", address)
            assert client.receive(timeout=LATE)[0] == b"heard"


def test_nobody_listens():
    with datagram_socket(LOCAL) as gone:
        address = gone.local_address
    with datagram_socket(remote_address=address) as client:
        client.send(b"lost")
        with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{address[1]}"):
            client.receive(timeout=LATE)


def test_unix(tmp_path):
    path = tmp_path / "datagrams"
    with datagram_socket(path) as server:
        with datagram_socket(remote_address=path) as client:
            client.send(b"unix")
            assert server.receive(timeout=LATE)[0] == b"unix"
        assert server.local_address == str(path)


def test_a_sender_waits_for_room(tmp_path):
    path = tmp_path / "datagrams"
    with (
        datagram_socket(path) as server,
        datagram_socket(remote_address=path) as client,
    ):
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                client.send(b"%d" % sent, timeout=0.01)
                sent += 1
        sender = spawn(client.send, b"%d" % sent)
        schedule()
        assert not sender.done()
        for i in range(sent + 1):
            assert server.receive(timeout=LATE)[0] == b"%d" % i
        sender.result(timeout=LATE)


def test_ipv6():
    with datagram_socket(("::1", 0)) as one, datagram_socket(("::1", 0)) as other:
        one.send(b"six", other.local_address)
        assert other.receive(timeout=LATE)[0] == b"six"


def test_a_name():
    with datagram_socket(("localhost", 0)) as sock:
        assert sock.local_address[0] in ("127.0.0.1", "::1")


def test_multicast():
    group = "239.255.77.7"
    with datagram_socket(("", 0)) as receiver, datagram_socket(LOCAL) as sender:
        try:
            receiver.join_group(group, "127.0.0.1")
        except OSError as exc:
            pytest.skip(f"this system has no multicast: {exc}")
        with socket.socket(fileno=sender.fileno()) as sock:
            interface = socket.inet_aton("127.0.0.1")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            sock.detach()
        port = receiver.local_address[1]
        sender.send(b"to all", (group, port))
        assert receiver.receive(timeout=LATE)[0] == b"to all"
        receiver.leave_group(group, "127.0.0.1")
        with pytest.raises(OSError, match="address"):
            receiver.leave_group(group, "127.0.0.1")
        with pytest.raises(OSError, match="argument"):
            receiver.join_group("127.0.0.1")


def test_timeouts_kills_and_closing(both):
    one, other = both
    for seconds in (0.01, 0, -1):
        with pytest.raises(TimeoutError):
            one.receive(timeout=seconds)
    receiver = spawn(one.receive)
    schedule()
    receiver.kill()
    assert receiver.cancelled()
    with block_trap(), pytest.raises(BlockTrapError):
        one.receive()
    receiver = spawn(one.receive)
    schedule()
    one.close()
    one.close()
    with pytest.raises(ClosedError):
        receiver.result(timeout=LATE)
    for call in (one.receive, lambda: one.send(b"x", other.local_address)):
        with pytest.raises(ClosedError, match="DatagramSocket is closed"):
            call()
    with pytest.raises(ClosedError):
        _ = one.local_address
    with pytest.raises(ClosedError):
        one.join_group("239.1.2.3")
    assert "closed" in repr(one)
    assert "127.0.0.1" in repr(other)


def test_from_another_thread(both):
    one, other = both
    thread = threading.Thread(target=lambda: one.send(b"thread", other.local_address))
    receiver = spawn(other.receive)
    schedule()
    thread.start()
    assert receiver.result(timeout=LATE)[0] == b"thread"
    thread.join()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda s: s.receive(-1), ValueError, "from 0 to 65536"),
        (lambda s: s.receive(65537), ValueError, "from 0 to 65536"),
        (lambda s: s.receive("x"), TypeError, "int"),
        (lambda s: s.send("text", LOCAL), TypeError, "bytes-like"),
        (lambda s: s.send(b"x", "host"), TypeError, "tuple"),
        (lambda s: s.send(b"x", ("name", 1)), ValueError, "not a numeric address"),
        (lambda s: s.send(b"x", ("127.0.0.1", 70000)), OverflowError, "65535"),
        (lambda s: s.send(b"x"), OSError, "[Dd]estination address"),
        (lambda s: s.send(), TypeError, "send"),
        (pickle.dumps, TypeError, "cannot pickle"),
        (lambda s: DatagramSocket(0), OSError, "non-socket"),
        (lambda s: datagram_socket(), ValueError, "needs a local or a remote"),
        (lambda s: datagram_socket(5), TypeError, "tuple"),
        (
            lambda s: datagram_socket(LOCAL, remote_address="/x"),
            ValueError,
            "different families",
        ),
        (lambda s: datagram_socket(s.local_address), OSError, "in use.*127"),
    ],
)
def test_wrong_arguments(both, call, error, text):
    with pytest.raises(error, match=text):
        call(both[0])
    both[1].send(b"as before", both[0].local_address)
    assert both[0].receive(timeout=LATE)[0] == b"as before"


def test_a_stream_socket_is_refused():
    with socket.socket() as sock, pytest.raises(ValueError, match="not a datagram"):
        DatagramSocket(sock)
