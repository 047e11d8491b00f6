"""Addresses: what socket.getaddrinfo finds, while other tasklets run."""

import errno
import os
import socket
import time

import pytest
from children import needs_own_allocator, run_program

from tasklets import (
    BlockTrapError,
    fs,
    getcurrent,
    net,
    run,
    schedule,
    scheduler,
    spawn,
    timeout,
)
from tasklets._core import live_counts

LATE = 30

FOUND = [
    ("127.0.0.1", 80),
    ("127.0.0.1", "80"),
    ("127.0.0.1", b"80"),
    ("127.0.0.1", None),
    (b"127.0.0.1", 65535),
    ("127.0.0.1", 70000),
    ("127.1", 0),
    ("::1", 80),
    ("fe80::1", 80),
    ("localhost", 80),
    ("LocalHost", 80),
    (b"localhost", "80"),
    (None, 80),
    (None, 80, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE),
    ("127.0.0.1", 80, socket.AF_INET),
    ("127.0.0.1", 80, socket.AF_UNSPEC, socket.SOCK_DGRAM),
    ("127.0.0.1", 80, 0, 0, socket.IPPROTO_TCP),
    ("127.0.0.1", 80, 0, 0, 0, socket.AI_NUMERICHOST | socket.AI_NUMERICSERV),
    ("127.0.0.1", 80, 0, socket.SOCK_STREAM, 0, socket.AI_CANONNAME),
    ("127.0.0.1", 80, socket.AF_INET6, 0, 0, socket.AI_V4MAPPED),
]
ERRORS = [
    (None, None),
    ("", 80),
    (b"", 80),
    ("127.0.0.1", "no such service"),
    ("::1", 80, socket.AF_INET),
    ("not a number", 80, 0, 0, 0, socket.AI_NUMERICHOST),
    (b"\xff\xfe", 80, 0, 0, 0, socket.AI_NUMERICHOST),
    ("é".encode(), 80, 0, 0, 0, socket.AI_NUMERICHOST),
    (b"x" * 300, 80, 0, 0, 0, socket.AI_NUMERICHOST),
    ("127.0.0.1", "http", 0, 0, 0, socket.AI_NUMERICSERV),
    ("127.0.0.1", 80, 12345),
    ("127.0.0.1", 80, 0, 12345),
    ("127.0.0.1", 80, 0, socket.SOCK_STREAM, socket.IPPROTO_UDP),
    ("127.0.0.1", 80, 0, 0, 0, 1 << 30),
    (None, 80, 0, 0, 0, socket.AI_CANONNAME),
    ("x" * 70, 80),
    (3, 80),
    ("127.0.0.1", -1),
    ("127.0.0.1", 1.5),
    ("127.0.0.1", 80, 2**40),
    ("127.0.0.1", 80, "AF_INET"),
]


def outcome(func, args):
    """Return what a call returns, or which error it raises."""
    try:
        return func(*args)
    except Exception as error:
        return type(error), getattr(error, "errno", None), error.args[:1]


@pytest.fixture
def lookup():
    """Return a function that looks up in a tasklet and must come to an end."""

    def call(*args):
        return outcome(net.getaddrinfo, args)

    return call


@pytest.mark.parametrize("args", FOUND, ids=repr)
def test_the_answers_are_those_of_socket(lookup, args):
    found, expected = lookup(*args), outcome(socket.getaddrinfo, args)
    assert found == expected
    for ours, theirs in zip(found, expected, strict=True):
        assert [type(each) for each in ours] == [type(each) for each in theirs]


@pytest.mark.parametrize("args", ERRORS, ids=repr)
def test_the_errors_are_those_of_socket(lookup, args):
    found, expected = lookup(*args), outcome(socket.getaddrinfo, args)
    assert found[:2] == expected[:2]
    if issubclass(found[0], OSError):
        assert found == expected


def test_services_have_names(lookup):
    try:
        number = socket.getservbyname("http", "tcp")
    except OSError:
        pytest.skip("the system knows no services")
    for name in ("http", b"http"):
        args = "127.0.0.1", name, 0, socket.SOCK_STREAM
        assert lookup(*args) == socket.getaddrinfo(*args)
        assert lookup(*args)[0][4] == ("127.0.0.1", number)


def test_a_number_that_is_no_port_is_no_service(lookup):
    """As in newer versions of Python; for older ones it is too large."""
    kind, number, _ = lookup("127.0.0.1", 2**70)
    assert (kind, number) == (socket.gaierror, socket.EAI_SERVICE)


def test_flags_that_would_end_the_process_are_refused(lookup):
    for flag in (0x40, 0x80):
        with pytest.raises(socket.gaierror) as caught:
            net.getaddrinfo("localhost", 80, flags=flag)
        assert caught.value.errno == socket.EAI_BADFLAGS


def test_arguments_have_names():
    found = net.getaddrinfo(
        host="127.0.0.1", port=80, family=socket.AF_INET, type=socket.SOCK_STREAM,
        proto=0, flags=0, timeout=LATE,
    )  # fmt: skip
    assert [each[4] for each in found] == [("127.0.0.1", 80)]
    with pytest.raises(TypeError):
        net.getaddrinfo("127.0.0.1")


def test_a_waiter_says_what_it_waits_for():
    end = time.monotonic() + LATE
    said = ""
    while "waits for an address" not in said:
        assert time.monotonic() < end, said
        waiter = spawn(net.getaddrinfo, "127.0.0.1", 80)
        schedule()
        said = repr(waiter)  # the answer may have come already
        assert waiter.result(timeout=LATE)


def test_calls_that_block_do_not_hold_up_lookups(fifo):
    blocked = [spawn(fs.open, fifo, os.O_RDONLY) for _ in range(4)]
    run()
    assert net.getaddrinfo("127.0.0.1", 80, timeout=LATE)
    assert scheduler.pending() == 4
    writer = os.open(fifo, os.O_WRONLY)
    for each in blocked:
        os.close(each.result(timeout=LATE))
    os.close(writer)


def test_other_tasklets_run_during_a_call():
    log = []

    def work(number):
        log.append(net.getaddrinfo("127.0.0.1", number)[0][4])

    for number in range(1, 51):
        spawn(work, number)
    scheduler.run(wait=True)
    assert sorted(log) == [("127.0.0.1", number) for number in range(1, 51)]


def test_a_lookup_without_time_does_nothing():
    for seconds in (0, -1):
        with pytest.raises(TimeoutError):
            net.getaddrinfo("127.0.0.1", 80, timeout=seconds)
    getcurrent().block_trap = True
    try:
        with pytest.raises(BlockTrapError):
            net.getaddrinfo("127.0.0.1", 80)
    finally:
        getcurrent().block_trap = False
    assert live_counts()["request"] == 0


def test_a_waiter_is_killed_or_out_of_time():
    """What it asked for is answered all the same, to nobody."""
    victims = [spawn(net.getaddrinfo, "127.0.0.1", 80) for _ in range(20)]
    schedule()
    for victim in victims:
        victim.kill()
    assert scheduler.pending() == 0
    for _ in range(20):
        try:
            with timeout(1e-6):
                net.getaddrinfo("127.0.0.1", 80)
        except TimeoutError:
            pass
    run()
    while live_counts()["request"]:
        net.getaddrinfo("127.0.0.1", 80, timeout=LATE)


@needs_own_allocator
def test_a_lookup_that_gets_no_thread_is_an_error():
    status, output, errors = run_program(
        """
        import errno
        import resource
        from tasklets import fs, net

        fs.stat("/")
        "name".encode("idna")  # imports what host names need
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        # There is room for a few objects, but not for a stack.
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, before[1]))
        try:
            net.getaddrinfo("127.0.0.1", 80)
        except OSError as error:
            print(errno.errorcode[error.errno])
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
        print(len(net.getaddrinfo("127.0.0.1", 80)) > 0)
        """
    )
    assert (status, output) == (0, "EAGAIN\nTrue\n"), errors


def test_lookups_do_not_leak(no_leak):
    def both():
        net.getaddrinfo("127.0.0.1", 80)
        with pytest.raises(socket.gaierror):
            net.getaddrinfo("x", 80, flags=socket.AI_NUMERICHOST)

    no_leak(both, calls=2000, warm_up=200)


def test_errors_have_the_numbers_of_the_system():
    with pytest.raises(socket.gaierror) as caught:
        net.getaddrinfo("x", 80, flags=socket.AI_NUMERICHOST)
    assert caught.value.errno == socket.EAI_NONAME != errno.ENOENT
    assert caught.value.strerror
