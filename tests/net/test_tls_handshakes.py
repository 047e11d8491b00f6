"""Handshakes: names, certificates, sessions, and all the ways in which they fail."""

import gc
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys

import pytest
from connections import LATE, open_descriptors, reset, tcp_pair, two_streams
from tls_ends import (
    AUTHORITY,
    client_context,
    error_of,
    server_context,
    start_both,
    tls_streams,
)

from tasklets import (
    CancelledError,
    channel,
    net,
    schedule,
    sleep,
    spawn,
    timeout,
)
from tasklets.net import ClosedError, Stream, connect, serve
from tasklets.workers import call_on_worker

LOCAL = ("127.0.0.1", 0)


def echo(stream):
    while data := stream.read():
        stream.write(data)


def is_socket(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False


@pytest.fixture(autouse=True)
def descriptors():
    """Fail a test that leaves a socket open."""
    before = open_descriptors()
    yield
    assert not [fd for fd in open_descriptors() - before if is_socket(fd)]


# ---- connect() and serve()


def test_a_client_and_a_server():
    with serve(echo, LOCAL, tls=server_context()) as server:
        [address] = server.addresses
        with connect(address, tls=client_context()) as stream:
            stream.write(b"hello")
            assert stream.read(timeout=LATE) == b"hello"
            assert stream.tls.version() == "TLSv1.3"
            assert ("DNS", "localhost") in stream.tls.getpeercert()["subjectAltName"]
            assert stream.tls.cipher()[1] == "TLSv1.3"
            stream.write_eof()
            assert stream.read(timeout=LATE) == b""


def test_a_name_for_the_certificate(tmp_path):
    path = tmp_path / "socket"
    with serve(echo, path, tls=server_context()):
        with connect(path, tls=client_context(), server_hostname="localhost") as stream:
            stream.write(b"hello")
            assert stream.read(timeout=LATE) == b"hello"
        with pytest.raises(ValueError, match="server_hostname"):
            connect(path, tls=client_context())


def test_the_default_context_asks_the_system():
    with serve(echo, LOCAL, tls=server_context()) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.1"):
            connect(server.addresses[0], tls=True)


@pytest.mark.parametrize("name", ["server_hostname", "session"])
def test_arguments_without_tls(name):
    with pytest.raises(ValueError, match="server_hostname and session are for tls"):
        connect(("127.0.0.1", 1), **{name: "x"})


@pytest.mark.parametrize("tls", [1, "yes", object()])
def test_wrong_contexts(tls):
    with pytest.raises(TypeError, match=r"must be an ssl\.SSLContext"):
        serve(echo, LOCAL, tls=tls)
    with serve(echo, LOCAL) as server:
        with pytest.raises(TypeError, match=r"must be an ssl\.SSLContext"):
            connect(server.addresses[0], tls=tls)


def test_no_time_left():
    with pytest.raises(TimeoutError):
        connect(("127.0.0.1", 1), tls=client_context(), timeout=0)


def test_the_timeout_covers_the_handshake():
    with socket.create_server(LOCAL) as silent:
        with pytest.raises(TimeoutError):
            connect(silent.getsockname(), tls=client_context(), timeout=0.05)
        text = r"the TLS handshake with 127\.0\.0\.1 has timed out"
        with pytest.raises(TimeoutError, match=text):
            connect(silent.getsockname(), tls=client_context(), tls_timeout=0.05)


# ---- a server beside bad clients


@pytest.fixture
def records(monkeypatch):
    """Return the log of tasklets.net, and forget it: tracebacks keep streams alive."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.Logger("apart from pytest, which keeps the records")
    logger.addHandler(handler)
    monkeypatch.setattr(net, "_logger", lambda: logger)
    yield records
    records.clear()


class TestAServer:
    @pytest.fixture(autouse=True)
    def serving(self, records):
        self.records = records
        self.handled = []

        def handle(stream):
            self.handled.append(stream.peer_address)
            echo(stream)

        with serve(handle, LOCAL, tls=server_context(), tls_timeout=0.2) as server:
            self.server = server
            [self.address] = server.addresses
            yield
            server.drain()
            assert server.connections == 0
        self.__dict__.clear()  # pytest keeps the object

    def plain(self):
        return socket.create_connection(self.address)

    def until_logged(self, text="the TLS handshake of"):
        with timeout(LATE):
            while not any(text in r.getMessage() for r in self.records):
                sleep(0.005)
        [record] = [r for r in self.records if text in r.getMessage()]
        assert record.levelno == logging.DEBUG
        return record

    def serves(self):
        with connect(self.address, tls=client_context()) as stream:
            stream.write(b"x")
            assert stream.read(timeout=LATE) == b"x"
            stream.write_eof()
            assert stream.read(timeout=LATE) == b""
        assert len(self.handled) == 1

    def test_garbage(self):
        with self.plain() as client:
            name = "{}:{}".format(*client.getsockname())
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            record = self.until_logged()
            assert name in record.getMessage()
            assert isinstance(record.exc_info[1], ssl.SSLError)
            assert name in str(record.exc_info[1])
            self.serves()

    def test_silence(self):
        with self.plain() as client:
            name = "{}:{}".format(*client.getsockname())
            self.serves()  # while that handshake lasts
            record = self.until_logged()
            assert str(record.exc_info[1]) == (
                f"the TLS handshake with {name} has timed out"
            )
            assert client.recv(100) == b""

    def test_an_end(self):
        self.plain().close()
        assert isinstance(self.until_logged().exc_info[1], ssl.SSLEOFError)
        self.serves()

    def test_a_reset(self):
        reset(self.plain())
        assert isinstance(self.until_logged().exc_info[1], ConnectionError)
        self.serves()

    def test_a_client_that_does_not_trust_it(self):
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(self.address, tls=ssl.create_default_context())
        assert "UNKNOWN_CA" in str(self.until_logged().exc_info[1]).upper().replace(
            " ", "_"
        )
        self.serves()

    def test_an_end_without_notice_is_no_error_of_the_handler(self):
        with connect(self.address, tls=client_context()) as stream:
            stream.write(b"x")
            assert stream.read(timeout=LATE) == b"x"
            stream.abort()
        self.until_logged("has broken")
        assert len(self.handled) == 1


def test_an_unverified_server_of_a_handler_is_an_error(records):
    with serve(echo, LOCAL, tls=server_context()) as inner:

        def handle(stream):
            connect(inner.addresses[0], tls=ssl.create_default_context())

        with serve(handle, LOCAL, tls=server_context()) as outer:
            with connect(outer.addresses[0], tls=client_context()) as stream:
                assert stream.read(timeout=LATE) == b""
    [record] = [record for record in records if record.levelno == logging.ERROR]
    assert "the handler of" in record.getMessage()
    assert isinstance(record.exc_info[1], ssl.SSLCertVerificationError)


# ---- certificates and names


class TestVerification:
    def fails(self, client, name, server, text):
        with two_streams() as (one, other):
            starting = spawn(error_of, other.start_tls, server, server_side=True)
            with pytest.raises(ssl.SSLCertVerificationError, match=text) as caught:
                one.start_tls(client, server_hostname=name)
            assert one.closed
            with pytest.raises(ClosedError):
                one.write(b"secret")
            error = starting.result(timeout=LATE)
            assert isinstance(error, ssl.SSLError)
            assert "alert" in str(error)
            assert other.closed
            assert caught.value.verify_code > 0

    def test_of_an_unknown_authority(self):
        context = ssl.create_default_context()
        text = "unable to get local issuer.*: localhost$"
        self.fails(context, "localhost", server_context(), text)

    def test_of_another_name(self):
        text = "not valid for 'example.org'.*: example.org$"
        self.fails(client_context(), "example.org", server_context(), text)

    def test_of_another_certificate(self):
        context = server_context("elsewhere")
        text = "not valid for 'localhost'.*: localhost$"
        self.fails(client_context(), "localhost", context, text)

    def test_none(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with two_streams() as (one, other):
            start_both(one, other, {"context": context, "server_hostname": None})
            one.write(b"x")
            schedule()
            assert other.read() == b"x"


class TestClientCertificates:
    def context(self):
        context = server_context()
        context.load_verify_locations(AUTHORITY)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def test_are_verified(self):
        with two_streams() as (one, other):
            start_both(
                one,
                other,
                {"context": client_context("client")},
                {"context": self.context()},
            )
            subject = other.tls.getpeercert()["subject"]
            assert subject == ((("commonName", "a client"),),)

    def test_are_required(self):
        with two_streams() as (one, other):
            starting = spawn(
                error_of, other.start_tls, self.context(), server_side=True
            )
            # With TLS 1.3 the client has finished when the server refuses.
            one.start_tls(client_context(), server_hostname="localhost")
            error = starting.result(timeout=LATE)
            assert isinstance(error, ssl.SSLError)
            assert re.search(r"did not return.*: 127\.0\.0\.1:", str(error))
            for _ in range(2):
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    one.read(timeout=LATE)


class TestNames:
    def test_choose_the_certificate(self):
        asked = []
        contexts = {n: server_context(n) for n in ("localhost", "elsewhere")}

        def choose(ssl_object, name, context):
            asked.append(name)
            ssl_object.context = contexts[name.split(".")[0]]

        context = server_context()
        context.sni_callback = choose
        with serve(echo, LOCAL, tls=context) as server:
            for name in ("elsewhere.example", "localhost"):
                with connect(
                    server.addresses[0], tls=client_context(), server_hostname=name
                ) as stream:
                    names = stream.tls.getpeercert()["subjectAltName"]
                    assert ("DNS", name) in names
        assert asked == ["elsewhere.example", "localhost"]

    def test_a_callback_that_switches_gets_an_error(self):
        caught = []

        def block(*args):
            for wait in (channel().receive, lambda: sleep(0.01)):
                try:
                    wait()
                except RuntimeError as exc:
                    caught.append(str(exc))

        context = server_context()
        context.sni_callback = block
        with two_streams() as (one, other):
            start_both(one, other, {}, {"context": context})
            assert len(caught) == 2
            assert all("cannot switch tasklets inside a callback" in t for t in caught)
            one.write(b"goes on")
            schedule()
            assert other.read() == b"goes on"

    def test_a_callback_that_uses_the_stream(self):
        caught = []
        with two_streams() as (one, other):

            def use(*args):
                for call in (other.read, lambda: other.write(b"x"), other.write_eof):
                    with pytest.raises(RuntimeError) as error:
                        call()
                    caught.append(str(error.value))

            context = server_context()
            context.sni_callback = use
            start_both(one, other, {}, {"context": context})
            assert len(caught) == 3
            context.sni_callback = None
            one.write(b"goes on")
            schedule()
            assert other.read() == b"goes on"

    def test_a_callback_that_closes_the_stream(self):
        with two_streams() as (one, other):
            context = server_context()
            context.sni_callback = lambda *args: other.close()
            starting = spawn(error_of, other.start_tls, context, server_side=True)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                one.start_tls(client_context(), server_hostname="localhost")
            assert other.closed
            assert isinstance(starting.result(timeout=LATE), ClosedError)
            context.sni_callback = None

    def test_a_callback_that_fails(self, monkeypatch):
        reported = []
        monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args))
        context = server_context()
        context.sni_callback = lambda *args: 1 / 0
        with two_streams() as (one, other):
            starting = spawn(error_of, other.start_tls, context, server_side=True)
            with pytest.raises(ssl.SSLError, match="localhost"):
                one.start_tls(client_context(), server_hostname="localhost")
            assert isinstance(starting.result(timeout=LATE), ssl.SSLError)
        assert reported.pop().exc_type is ZeroDivisionError


def test_protocols_are_negotiated():
    client, server = client_context(), server_context()
    client.set_alpn_protocols(["h2", "http/1.1"])
    server.set_alpn_protocols(["http/1.1"])
    with two_streams() as (one, other):
        start_both(one, other, {"context": client}, {"context": server})
        assert one.tls.selected_alpn_protocol() == "http/1.1"
        assert other.tls.selected_alpn_protocol() == "http/1.1"


def test_no_common_version():
    client, server = client_context(), server_context(version="TLSv1.3")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with two_streams() as (one, other):
        starting = spawn(error_of, other.start_tls, server, server_side=True)
        with pytest.raises(ssl.SSLError, match="localhost"):
            one.start_tls(client, server_hostname="localhost")
        error = starting.result(timeout=LATE)
        assert isinstance(error, ssl.SSLError)
        assert "127.0.0.1" in str(error)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_session_is_resumed(version):
    client, server = client_context(), server_context(version=version)
    with serve(echo, LOCAL, tls=server) as serving:
        session = None
        for _ in range(2):
            with connect(serving.addresses[0], tls=client, session=session) as stream:
                assert stream.tls.session_reused is (session is not None)
                stream.write(b"x")
                assert stream.read(timeout=LATE) == b"x"  # and a ticket
                session = stream.tls.session


# ---- interruptions


@pytest.mark.parametrize("end", ["kill", "timeout", "close"])
def test_an_interrupted_handshake_closes(end):
    with two_streams() as (one, other):
        limit = 0.02 if end == "timeout" else None
        starting = spawn(
            one.start_tls, client_context(), server_hostname="localhost", timeout=limit
        )
        schedule()
        if end == "kill":
            starting.kill()
        elif end == "close":
            one.close()
        kinds = {"kill": CancelledError, "timeout": TimeoutError, "close": ClosedError}
        with pytest.raises(kinds[end]):
            starting.result(timeout=LATE)
        assert one.closed
        assert one.fileno() == -1
        other.read()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            other.start_tls(server_context(), server_side=True)


def test_a_killed_connect_leaves_nothing():
    with socket.create_server(LOCAL) as silent:
        client = spawn(connect, silent.getsockname(), tls=client_context())
        for _ in range(5):
            sleep(0.001)
        client.kill()
        with pytest.raises(CancelledError):
            client.result(timeout=LATE)


# ---- connections that break anywhere


class Relay:
    """Carries bytes between two streams, those to the client up to a limit."""

    def __init__(self, limit=None, end=Stream.close):
        self.limit, self.end, self.carried = limit, end, 0
        self.is_cut = False
        near, mine = tcp_pair()
        yours, far = tcp_pair()
        self.client, self.server = Stream(near), Stream(far)
        self.to_client, self.to_server = Stream(mine), Stream(yours)
        self.workers = [spawn(self.forward), spawn(self.back)]

    def forward(self):
        try:
            while data := self.to_client.read():
                self.to_server.write(data)
            self.to_server.write_eof()
        except OSError:
            pass

    def back(self):
        try:
            while data := self.to_server.read():
                if self.limit is not None and self.carried + len(data) > self.limit:
                    self.is_cut = True
                    self.to_client.write(data[: self.limit - self.carried])
                    self.to_client.flush()
                    break
                self.carried += len(data)
                self.to_client.write(data)
            (self.end if self.is_cut else Stream.close)(self.to_client)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *args):
        for worker in self.workers:
            worker.kill()
        for stream in (self.client, self.server, self.to_client, self.to_server):
            stream.abort()


MESSAGES = [b"first", b"second " * 100, b"third"]


def answer(stream):
    try:
        stream.start_tls(server_context(), server_side=True)
        for message in MESSAGES:
            stream.write(message)
        stream.close()
    except OSError:
        stream.close()


def length_of_a_session():
    with Relay() as relay:
        spawn(answer, relay.server)
        relay.client.start_tls(client_context(), server_hostname="localhost")
        assert relay.client.read(-1) == b"".join(MESSAGES)
        schedule()
        return relay.carried


@pytest.mark.parametrize("end", [Stream.close, Stream.abort], ids=["end", "reset"])
def test_a_session_that_is_cut_at_any_byte(end):
    length = length_of_a_session()
    whole = b"".join(MESSAGES)
    ends = {"handshake": 0, "read": 0}
    for limit in [*range(1, length - 60, 29), *range(length - 60, length)]:
        with Relay(limit, end) as relay:
            serving = spawn(answer, relay.server)
            came = b""
            try:
                relay.client.start_tls(client_context(), server_hostname="localhost")
            except (ssl.SSLEOFError, ConnectionError):
                ends["handshake"] += 1
                assert relay.client.fileno() == -1
            else:
                try:
                    while data := relay.client.read(timeout=LATE):
                        came += data
                except (ssl.SSLEOFError, ConnectionError):
                    ends["read"] += 1
                    assert relay.is_cut
                    assert whole.startswith(came)
                else:
                    # Signatures differ by some bytes, and so do sessions.
                    assert not relay.is_cut
                    assert came == whole
            relay.client.close()
            relay.to_server.abort()
            serving.join()
    assert min(ends.values()) > 10


@pytest.mark.parametrize("at", [0, 3, 5, 50, 1000])
def test_a_session_with_a_wrong_byte(at):
    with tls_streams() as (one, other):
        raw = socket.socket(fileno=os.dup(other.fileno()))
        with raw:
            other.write(b"good")
            other.flush()
            assert one.read() == b"good"
            record = bytearray(b"\x17\x03\x03\x04\x00" + bytes(1024))
            record[at] ^= 0xFF
            raw.sendall(record)
        texts = []
        for _ in range(3):
            with pytest.raises(ssl.SSLError) as caught:
                one.read(timeout=0.2 if at == 3 else LATE)
            texts.append((type(caught.value), str(caught.value), caught.value.reason))
        assert len(set(texts)) == 1
        with pytest.raises(ssl.SSLError):
            one.write(b"x")
        one.close()


class Terminal:
    """The command `openssl s_client`, at whose lines K and k it changes its keys."""

    def __init__(self, address):
        self.child = subprocess.Popen(
            ["openssl", "s_client", "-connect", "{}:{}".format(*address)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.output = b""

    def type(self, line, then):
        """Type a line, and wait until something is shown."""
        self.child.stdin.write(line)
        self.child.stdin.flush()
        while then not in self.output:
            data = os.read(self.child.stdout.fileno(), 65536)
            assert data, self.output
            self.output += data
        self.output = self.output[self.output.index(then) + len(then) :]

    def close(self):
        self.child.kill()
        self.child.communicate()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")
def test_a_peer_that_changes_its_keys():
    lines = []

    def handle(stream):
        for line in stream:
            lines.append(line)
            stream.write(b"answer to " + line)

    with serve(handle, LOCAL, tls=server_context()) as server:
        terminal = Terminal(server.addresses[0])

        def talk():
            terminal.type(b"before\n", b"answer to before")
            terminal.type(b"K\n", b"KEYUPDATE")  # and it asks for ours
            terminal.type(b"after\n", b"answer to after")
            terminal.type(b"k\n", b"KEYUPDATE")
            terminal.type(b"end\n", b"answer to end")

        try:
            call_on_worker(talk, timeout=LATE)
        finally:
            terminal.close()
    assert lines == [b"before\n", b"after\n", b"end\n"]


def test_no_object_is_left():
    gc.collect()
    before = sum(isinstance(o, ssl.SSLObject) for o in gc.get_objects())
    with tls_streams() as (one, other):
        one.write(b"x")
        schedule()
        assert other.read() == b"x"
        assert sum(isinstance(o, ssl.SSLObject) for o in gc.get_objects()) == before + 2
    del one, other
    gc.collect()
    assert sum(isinstance(o, ssl.SSLObject) for o in gc.get_objects()) == before
