"""Cooperative select, poll, epoll and selectors."""

import os
import select as standard
import selectors as standard_selectors
import socket as plain
import time

import pytest
from connections import LATE

from tasklets import schedule, sleep, spawn, timeout
from tasklets._cooperative import select, selectors, socket


@pytest.fixture
def pair():
    one, two = plain.socketpair()
    with one, two:
        yield one, two


def by_select(fds, limit):
    return sorted(sock.fileno() for sock in select.select(fds, [], [], limit)[0])


def by_poll(fds, limit):
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return sorted(fd for fd, _ in poll.poll(None if limit is None else limit * 1000))


def by_epoll(fds, limit):
    with select.epoll() as epoll:
        for fd in fds:
            epoll.register(fd, select.EPOLLIN)
        return sorted(fd for fd, _ in epoll.poll(limit))


def by_selector(cls):
    def wait(fds, limit):
        with cls() as selector:
            for fd in fds:
                selector.register(fd, selectors.EVENT_READ)
            return sorted(key.fd for key, _ in selector.select(limit))

    return wait


WAYS = {"select": by_select, "poll": by_poll, "epoll": by_epoll} | {
    name: by_selector(getattr(selectors, name))
    for name in ("SelectSelector", "PollSelector", "EpollSelector", "DefaultSelector")
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


@ways
def test_what_is_ready_is_returned_at_once(way, pair):
    one, two = pair
    two.send(b"x")
    for limit in (None, 0, 5):
        assert way([one], limit) == [one.fileno()]
        assert way([one, two], limit) == [one.fileno()]


@ways
@pytest.mark.parametrize("limit", [None, LATE])
@pytest.mark.parametrize("number", [1, 2])
def test_it_waits_while_others_run(way, pair, limit, number):
    one, two = pair
    call = spawn(way, [one, two][:number], limit)
    schedule()
    sleep(0.01)
    assert call.alive
    two.send(b"x")
    assert call.result(LATE) == [one.fileno()]


@ways
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_timeout(way, pair, number):
    turns = []
    spawn(lambda: turns.append(sleep(0.001)))
    began = time.monotonic()
    assert way(pair[:number], 0.03) == []
    assert time.monotonic() - began >= 0.029
    assert turns


@ways
def test_a_timeout_of_0_does_not_wait(way, pair):
    assert way(pair, 0) == []


@ways
def test_kill_and_timeout_blocks(way, pair):
    fds = len(os.listdir("/proc/self/fd"))
    call = spawn(way, pair, None)
    schedule()
    call.kill()
    with pytest.raises(TimeoutError), timeout(0.01):
        way(pair, None)
    del call
    # The thread may have opened its own poller.
    assert len(os.listdir("/proc/self/fd")) <= fds + 1


@ways
def test_a_loop_that_never_waits_lets_others_run(way, pair):
    one, two = pair
    sleep(0)
    call = spawn(two.send, b"x")
    for _ in range(1000):
        if way([one], 0):
            break
    assert call.result(LATE) == 1


def test_select_takes_files_and_all_kinds_of_events(pair, tmp_path):
    one, two = pair
    with (tmp_path / "file").open("w") as file:
        assert select.select([file], [], [], None) == ([file], [], [])
    assert select.select([one], [two], [one], None) == ([], [two], [])
    assert select.select(iter([one]), iter([two]), (), 5) == ([], [two], [])


@pytest.mark.parametrize(
    "args", [([], [], [], "x"), ([], [], [], -1), ([-1], [], []), (1, [], [])]
)
def test_errors_of_select_are_the_standard_ones(args):
    with pytest.raises((TypeError, ValueError)) as theirs:
        standard.select(*args)
    with pytest.raises(type(theirs.value)):
        select.select(*args)


def test_the_objects_have_the_methods_of_the_standard_ones(pair):
    one, _ = pair
    for name in ("poll", "epoll"):
        theirs, ours = getattr(standard, name)(), getattr(select, name)()
        public = {each for each in dir(theirs) if not each.startswith("_")}
        assert public <= set(dir(ours))
        with pytest.raises((KeyError, OSError)):
            ours.unregister(one)
        ours.register(one)
        ours.modify(one, select.POLLIN)
        ours.unregister(one)
        with pytest.raises(TypeError):
            ours.poll("x")
    assert not ours.closed
    with select.epoll.fromfd(ours.fileno()) as other:
        assert other.fileno() == ours.fileno()
    assert other.closed
    with pytest.raises(ValueError, match="closed epoll"):
        other.poll(0)


def test_the_modules_have_all_names_of_the_standard_ones():
    assert select.EPOLLIN == standard.EPOLLIN
    assert select.error is OSError
    assert selectors.SelectorKey is standard_selectors.SelectorKey
    assert issubclass(selectors.DefaultSelector, standard_selectors.BaseSelector)
    with pytest.raises(AttributeError):
        select.nothing  # noqa: B018


def test_sockets_of_ours_in_a_selector():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_READ)
            call = spawn(selector.select)
            schedule()
            assert call.alive
            with socket.create_connection(server.getsockname()):
                assert [key.fileobj for key, _ in call.result(LATE)] == [server]
                server.accept()[0].close()
