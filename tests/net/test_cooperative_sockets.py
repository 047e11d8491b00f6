"""Cooperative sockets: what their methods do in every state of the connection."""

import contextlib
import errno
import gc
import os
import pickle
import socket as standard
import struct
import threading
import weakref

import pytest
from connections import LATE, PAIRS, shrink

from tasklets import schedule, sleep, spawn, timeout
from tasklets._cooperative import socket

LOTS = 4_000_000


@contextlib.contextmanager
def ends(kind="tcp"):
    """Yield a cooperative socket and its peer, a plain one."""
    one, peer = PAIRS[kind]()
    peer.settimeout(LATE)
    with socket.socket(fileno=one.detach()) as sock, peer:
        yield sock, peer


def read_with(method, *flags):
    """Return a function that receives up to five bytes by that method."""

    def read(sock):
        buffer = bytearray(5)
        if method == "recv":
            return sock.recv(5, *flags)
        if method == "recvfrom":
            return sock.recvfrom(5, *flags)[0]
        if method == "recvmsg":
            return sock.recvmsg(5, 0, *flags)[0]
        if method == "recv_into":
            n = sock.recv_into(buffer, 5, *flags)
        elif method == "recvfrom_into":
            n = sock.recvfrom_into(buffer, 5, *flags)[0]
        else:
            n = sock.recvmsg_into([buffer], 0, *flags)[0]
        return bytes(buffer[:n])

    return read


RECEIVERS = ["recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg"]
READS = {name: read_with(name) for name in [*RECEIVERS, "recvmsg_into"]}
READS |= {f"{name}, WAITALL": read_with(name, socket.MSG_WAITALL) for name in RECEIVERS}


def send_file(sock):
    with open("/dev/zero", "rb") as file:
        return sock.sendfile(file, 0, LOTS)


# Each sends that many bytes, if its socket has no timeout.
WRITES = {
    "send": lambda sock: sock.send(bytes(LOTS)),
    "sendall": lambda sock: sock.sendall(bytes(LOTS)),
    "send, flags": lambda sock: sock.send(bytes(LOTS), socket.MSG_NOSIGNAL),
    "sendmsg": lambda sock: sock.sendmsg(iter([bytes(LOTS - 5), b"", bytes(5)])),
}


def fill(sock):
    """Send until the next byte would have to wait."""
    before = sock.gettimeout()
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))
    sock.settimeout(before)


def drain(peer, number):
    """Receive that many bytes by a thread of its own, or up to the end."""

    def work():
        left = number
        with contextlib.suppress(ConnectionResetError):
            while left > 0 and (data := peer.recv(min(left, 65536))):
                left -= len(data)
        seen.append(number - left)

    seen = []
    thread = threading.Thread(target=work)
    thread.start()
    return thread, seen


class Call:
    """A call in a tasklet, which must let others run while it waits."""

    def __init__(self, function, *args):
        self.tasklet = spawn(function, *args)
        schedule()

    def waits(self):
        schedule()
        return self.tasklet.alive

    def result(self):
        return self.tasklet.result(LATE)


reads = pytest.mark.parametrize("read", READS.values(), ids=list(READS))
writes = pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
methods = pytest.mark.parametrize(
    "call", [*READS.values(), *WRITES.values()], ids=[*READS, *WRITES]
)
kinds = pytest.mark.parametrize("kind", PAIRS)


# ---- reads


@kinds
@reads
def test_a_read_takes_what_is_there(kind, read):
    with ends(kind) as (sock, peer):
        peer.sendall(b"hello!")
        assert read(sock) == b"hello"
        assert sock.recv(9) == b"!"


@kinds
@reads
def test_a_read_waits_while_others_run(kind, read):
    with ends(kind) as (sock, peer):
        call = Call(read, sock)
        for data in (b"hello", b"again"):
            assert call.waits()
            peer.sendall(data)
            assert call.result() == data
            call = Call(read, sock)
        peer.close()
        assert call.result() == b""


@kinds
@reads
def test_a_read_finds_the_end_after_the_last_bytes(kind, read):
    with ends(kind) as (sock, peer):
        peer.sendall(b"end")
        peer.close()
        assert [read(sock), read(sock)] == [b"end", b""]


@pytest.mark.parametrize("method", RECEIVERS)
@kinds
def test_waitall_waits_for_all(kind, method):
    with ends(kind) as (sock, peer):
        call = Call(read_with(method, socket.MSG_WAITALL), sock)
        for data in (b"h", b"el", b"l"):
            peer.sendall(data)
            sleep(0.01)
            assert call.waits()
        peer.sendall(b"o!")
        assert call.result() == b"hello"
        assert sock.recv(9) == b"!"


@kinds
def test_peek_leaves_what_it_returns(kind):
    with ends(kind) as (sock, peer):
        call = Call(sock.recv, 5, socket.MSG_PEEK)
        assert call.waits()
        peer.sendall(b"hello")
        assert call.result() == sock.recv(5) == b"hello"


@kinds
def test_dontwait_does_not_wait(kind):
    with ends(kind) as (sock, _), pytest.raises(BlockingIOError):
        sock.recv(5, socket.MSG_DONTWAIT)


@kinds
@reads
def test_two_readers_at_once(kind, read):
    with ends(kind) as (sock, peer):
        calls = [Call(read, sock), Call(read, sock)]
        assert all(call.waits() for call in calls)
        peer.sendall(b"hello")
        sleep(0.01)
        peer.sendall(b"world")
        results = sorted(call.result() for call in calls)
        assert results == [b"hello", b"world"]


# ---- writes


@kinds
@writes
def test_a_write_sends_all_if_there_is_room(kind, write):
    with ends(kind) as (sock, peer):
        thread, seen = drain(peer, LOTS)
        assert write(sock) in (None, LOTS)
        thread.join(LATE)
        assert seen == [LOTS]


@kinds
@writes
def test_a_write_waits_while_others_run(kind, write):
    with ends(kind) as (sock, peer):
        call = Call(write, sock)
        assert call.waits()
        thread, seen = drain(peer, LOTS)
        assert call.result() in (None, LOTS)
        thread.join(LATE)
        assert seen == [LOTS]


@kinds
@writes
def test_a_write_to_a_peer_that_has_closed_fails(kind, write):
    with ends(kind) as (sock, peer):
        peer.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            write(sock)
            write(sock)


def test_sendfile_waits_while_others_run(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(LOTS))
    with ends() as (sock, peer), path.open("rb") as file:
        call = Call(sock.sendfile, file)
        assert call.waits()
        thread, seen = drain(peer, LOTS)
        assert call.result() == LOTS
        thread.join(LATE)
        assert seen == [LOTS]


# ---- both


@kinds
@methods
def test_timeout(kind, call):
    with ends(kind) as (sock, _):
        fill(sock)
        sock.settimeout(0.02)
        turns = []
        spawn(lambda: turns.append(sleep(0.001)))
        with pytest.raises(TimeoutError, match=r"^timed out$") as info:
            call(sock)
        assert info.value.errno is None
        assert turns


@kinds
@methods
def test_timeout_0(kind, call):
    with ends(kind) as (sock, _):
        fill(sock)
        sock.settimeout(0)
        with pytest.raises(BlockingIOError) as info:
            call(sock)
        assert info.value.errno == errno.EAGAIN


@kinds
@methods
def test_kill(kind, call):
    with ends(kind) as (sock, peer):
        fill(sock)
        running = Call(call, sock)
        assert running.waits()
        running.tasklet.kill()
        assert not running.tasklet.alive
        peer.sendall(b"hello")
        assert sock.recv(5) == b"hello"


@kinds
@methods
def test_closed_by_another_tasklet(kind, call):
    with ends(kind) as (sock, _):
        fill(sock)
        running = Call(call, sock)
        assert running.waits()
        sock.close()
        with pytest.raises(OSError, match="Bad file descriptor") as info:
            running.result()
        assert info.value.errno == errno.EBADF
        with pytest.raises(OSError, match="Bad file descriptor"):
            call(sock)


@methods
def test_reset(call):
    with ends() as (sock, peer):
        fill(sock)
        running = Call(call, sock)
        assert running.waits()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            running.result()


@methods
def test_the_timeout_of_a_block(call):
    with ends() as (sock, _):
        fill(sock)
        with pytest.raises(TimeoutError), timeout(0.02):
            call(sock)


@methods
def test_a_second_thread_waits_though_the_first_does_not_look(call):
    """The socket moves to the thread that waits for it."""
    with ends() as (sock, peer):
        fill(sock)
        first = Call(sock.recv, 5)
        assert first.waits()
        first.tasklet.kill()
        results = []
        thread = threading.Thread(target=lambda: results.append(call(sock)))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        peer.sendall(b"hello")
        if call in WRITES.values():
            drainer, _ = drain(peer, 10 * LOTS)
            thread.join(LATE)
            sock.close()
            drainer.join(LATE)
        thread.join(LATE)
        assert results


# ---- connections


@contextlib.contextmanager
def server(**options):
    with socket.create_server(("127.0.0.1", 0), **options) as listener:
        yield listener


def test_accept_takes_a_connection_that_is_there():
    with server() as listener:
        with standard.create_connection(listener.getsockname()) as peer:
            sock, address = listener.accept()
            with sock:
                assert type(sock) is socket.socket
                assert address == peer.getsockname()
                assert sock.gettimeout() is None


def test_accept_waits_while_others_run():
    with server() as listener:
        call = Call(listener.accept)
        assert call.waits()
        with standard.create_connection(listener.getsockname()):
            call.result()[0].close()


def test_accept_with_a_timeout():
    with server() as listener:
        listener.settimeout(0.01)
        with pytest.raises(TimeoutError, match="^timed out$"):
            listener.accept()
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_accept_ends_by_a_kill_and_by_close():
    with server() as listener:
        killed, closed = Call(listener.accept), Call(listener.accept)
        killed.tasklet.kill()
        assert closed.waits()
        listener.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            closed.result()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", b"localhost"])
def test_connect(host):
    with server() as listener, socket.socket() as sock:
        assert sock.connect((host, listener.getsockname()[1])) is None
        assert sock.getpeername() == listener.getsockname()


def unused():
    with standard.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()


def test_connect_is_refused():
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(unused())
    with socket.socket() as sock:
        assert sock.connect_ex(unused()) == errno.ECONNREFUSED


def test_connect_waits_for_a_unix_listener_with_a_full_queue(tmp_path):
    path = str(tmp_path / "socket")
    with standard.socket(standard.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
            one.connect(path)
            call = Call(two.connect, path)
            assert call.waits()
            listener.accept()[0].close()
            assert call.result() is None


def test_connect_with_timeout_0():
    with server() as listener, socket.socket() as sock:
        sock.settimeout(0)
        assert sock.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)


def test_names_that_do_not_exist():
    with socket.socket() as sock:
        for call in (sock.connect, sock.connect_ex, sock.bind):
            with pytest.raises(socket.gaierror):
                call(("does.not.exist.invalid", 80))
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(socket.gaierror):
            sock.sendto(b"x", ("does.not.exist.invalid", 80))


def test_datagrams():
    with (
        socket.socket(type=socket.SOCK_DGRAM) as one,
        socket.socket(type=socket.SOCK_DGRAM) as two,
    ):
        one.bind(("localhost", 0))
        call = Call(one.recvfrom, 100)
        assert call.waits()
        assert two.sendto(b"hello", ("localhost", one.getsockname()[1])) == 5
        assert call.result() == (b"hello", ("127.0.0.1", two.getsockname()[1]))


def test_datagrams_wait_for_a_unix_peer_with_a_full_queue(tmp_path):
    path = str(tmp_path / "socket")
    with (
        standard.socket(standard.AF_UNIX, standard.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two,
    ):
        one.bind(path)
        two.settimeout(0)
        with pytest.raises(BlockingIOError):
            while True:
                two.sendto(b"x", path)
        two.settimeout(None)
        call = Call(two.sendto, b"last", path)
        assert call.waits()
        while one.recv(10) != b"last":
            sleep(0.001)
        assert call.result() == 4


# ---- the class


def test_it_is_a_socket_of_the_standard_library():
    with socket.socket() as sock:
        assert isinstance(sock, standard.socket)
        assert repr(sock).startswith(
            f"<tasklets._cooperative.socket.socket fd={sock.fileno()}, "
        )
        assert weakref.ref(sock)() is sock
        with pytest.raises(TypeError, match="cannot pickle 'socket' object"):
            pickle.dumps(sock)
        assert not os.get_blocking(sock.fileno())
        with sock.dup() as other:
            assert type(other) is socket.socket
            assert other.fileno() != sock.fileno()
    assert sock.fileno() == -1


def test_timeouts_are_those_that_were_set():
    with socket.socket() as sock:
        assert (sock.gettimeout(), sock.getblocking()) == (None, True)
        for value in (0.1, 3, 0, None, True):
            sock.settimeout(value)
            assert sock.gettimeout() == sock.timeout == value
            assert sock.getblocking() == (value != 0)
        sock.setblocking(False)
        assert sock.gettimeout() == 0.0
        for bad, error in (
            (-1, ValueError),
            (float("nan"), ValueError),
            ("x", TypeError),
        ):
            with pytest.raises(error):
                sock.settimeout(bad)
            assert sock.gettimeout() == 0.0
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.settimeout(1)


def test_the_default_timeout():
    socket.setdefaulttimeout(7)
    try:
        with socket.socket() as sock:
            assert sock.gettimeout() == 7
    finally:
        socket.setdefaulttimeout(None)


def test_a_forgotten_socket_is_closed_with_a_warning():
    sock = socket.socket()
    fd = sock.fileno()
    forget = [sock].clear
    del sock
    with pytest.warns(ResourceWarning, match="unclosed <tasklets"):
        forget()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_subclass_may_have_a_finalizer_and_forget_ours():
    class Careless(socket.socket):
        def __del__(self):
            seen.append(self.fileno())

    seen = []
    one, peer = standard.socketpair()
    sock = Careless(fileno=one.detach())
    call = Call(sock.recv, 1)
    assert call.waits()  # now it is watched
    call.tasklet.kill()
    del sock, call
    gc.collect()
    peer.send(b"x")
    sleep(0.01)
    os.close(seen[0])
    peer.close()


def test_a_subclass_may_have_attributes_and_its_own_init():
    class Named(socket.socket):
        def __init__(self, name):
            if not hasattr(self, "name"):
                with pytest.raises(OSError, match="Bad file descriptor"):
                    self.recv(1)  # it has no descriptor yet
            super().__init__()
            self.name = name

    with Named("x") as sock:
        assert sock.name == "x"
        os.close(sock.fileno())
        sock.__init__("y")
        assert sock.name == "y"


def test_the_part_of_a_socket_can_be_thrown_away():
    with ends() as (sock, peer):
        call = Call(sock.recv, 5)
        assert call.waits()
        part = sock._tasklets_part
        with socket.socket() as other:
            other._tasklets_part = part
            with pytest.raises(OSError, match="not connected"):
                other.recv(1)
        del sock._tasklets_part, part
        peer.sendall(b"hello")
        assert call.result() == b"hello"
        with pytest.raises(BlockingIOError):
            sock.recv(5)


def test_detach_wakes_the_waiters():
    with ends() as (sock, _):
        call = Call(sock.recv, 5)
        assert call.waits()
        fd = sock.detach()
        with pytest.raises(OSError, match="Bad file descriptor"):
            call.result()
        os.close(fd)


def test_file_objects():
    with ends() as (sock, peer), sock.makefile("rwb") as file:
        call = Call(file.readline)
        assert call.waits()
        peer.sendall(b"one\ntwo\n")
        assert [call.result(), file.readline()] == [b"one\n", b"two\n"]


def test_two_objects_of_one_descriptor():
    with ends() as (sock, peer):
        other = socket.socket(fileno=sock.fileno())
        calls = [Call(sock.recv, 1), Call(other.recv, 1)]
        assert all(call.waits() for call in calls)
        peer.sendall(b"x")
        sleep(0.01)
        peer.sendall(b"x")
        assert [call.result() for call in calls] == [b"x", b"x"]
        other.detach()


def test_functions_of_the_module():
    assert socket.socketpair is not standard.socketpair
    one, two = socket.socketpair()
    with (
        one,
        two,
        socket.fromfd(one.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as dup,
    ):
        assert {type(each) for each in (one, two, dup)} == {socket.socket}
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
    assert socket.gethostbyname_ex("127.0.0.1")[2] == ["127.0.0.1"]
    assert socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | 2)[0]
    assert socket.getfqdn("127.0.0.1") == standard.getfqdn("127.0.0.1")
    assert socket.getaddrinfo("127.0.0.1", 80) == standard.getaddrinfo("127.0.0.1", 80)
    assert set(standard.__all__) <= set(dir(socket))


def test_names_of_the_module_may_be_replaced(monkeypatch):
    def fail(*args):
        raise LookupError

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(LookupError):
        socket.create_connection(("localhost", 1))


def test_a_flood_lets_others_run():
    with ends("unix") as (sock, peer):
        turns = []
        peer.sendall(bytes(100))
        spawn(lambda: turns.append(1))
        sleep(0)
        spawn(lambda: turns.append(2))
        for _ in range(100):
            sock.recv(1)
        assert turns[-1] == 2


def test_tiny_buffers():
    with ends() as (sock, peer):
        shrink(sock)
        shrink(peer)
        thread, seen = drain(peer, 300_000)
        sock.sendall(bytes(300_000))
        thread.join(LATE)
        assert seen == [300_000]
