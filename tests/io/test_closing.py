"""Descriptors that are closed while tasklets wait for them."""

import contextlib
import errno
import os
import random
import signal
import socket
import threading
from concurrent.futures import Future

import pytest
from children import forks_beside_threads, run_program
from threads import block_until, in_thread, running

from tasklets import (
    CancelledError,
    channel,
    readable,
    recv,
    run,
    schedule,
    scheduler,
    select,
    sleep,
    spawn,
    timeout,
    wait,
    writable,
)

LATE = 30
notify_closing = scheduler.notify_closing
wait_readable, wait_writable = scheduler.wait_readable, scheduler.wait_writable


@pytest.fixture
def pair():
    """Give two connected sockets; the first is ready for nothing."""
    both = socket.socketpair()
    for each in both:
        each.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            both[0].send(b"x" * 65536)
    yield both
    for each in both:
        each.close()


def shut(sock):
    """Close it as a program should."""
    notify_closing(sock)
    sock.close()


def attempt(way, fd):
    """Wait, and return how that ended: the number in the error, or "ready"."""
    error = None
    try:
        way(fd)
    except OSError as caught:
        error = caught
    if error is None:
        return "ready"
    number = error.filename
    assert error.errno == errno.EBADF
    assert str(error) == (
        f"[Errno 9] the descriptor was closed while it was waited for: {number}"
    )
    return number


def outcome_of(waiting):
    """Return what attempt() returns in another tasklet."""
    return waiting.result(timeout=LATE)


def selects(fd):
    select(readable(fd))


def wait_in_a_timeout_block(fd):
    with timeout(LATE):
        wait_readable(fd)


WAYS = {
    "wait_readable": wait_readable,
    "wait_writable": wait_writable,
    "with a timeout": lambda fd: wait_readable(fd, timeout=LATE),
    "in a timeout block": wait_in_a_timeout_block,
    "select readable": selects,
    "select writable": lambda fd: select(writable(fd)),
    "select both": lambda fd: select(readable(fd), writable(fd), timeout=LATE),
    "select with others": lambda fd: select(
        recv(channel()), readable(fd), Future(), timeout=LATE
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_wait_ends_with_an_error_that_names_the_descriptor(pair, way):
    fd = pair[0].fileno()
    waiting = spawn(attempt, WAYS[way], fd)
    run()
    assert waiting.blocked
    shut(pair[0])
    assert outcome_of(waiting) == fd
    assert scheduler.pending() == 0


def test_the_drivers_go_on(pair, log):
    def work():
        try:
            wait_readable(pair[0])
        except OSError as error:
            log.append(error.errno)

    spawn(work)
    scheduler.call_later(0.01, shut, pair[0])
    scheduler.run(wait=True)
    assert log == [errno.EBADF]


def test_an_error_that_nobody_catches_comes_out_of_run(pair):
    spawn(wait_readable, pair[0])
    run()
    shut(pair[0])
    with pytest.raises(OSError, match="closed while it was waited for"):
        scheduler.run(wait=True)


def test_waiters_of_all_threads_are_told():
    here, there = socket.socketpair()
    fd, outcomes = here.fileno(), []

    def work():
        waiting = [spawn(attempt, wait_readable, fd), spawn(attempt, selects, fd)]
        schedule()
        started.append(1)
        outcomes.extend(outcome_of(each) for each in waiting)

    started = []
    with running(*[work] * 4):
        block_until(lambda: len(started) == 4)
        in_thread(shut, here)  # which has no tasklets
    assert outcomes == [fd] * 8
    there.close()


def test_a_signal_handler_may_tell(pair):
    old = signal.signal(signal.SIGALRM, lambda *_: shut(pair[0]))
    fd = pair[0].fileno()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(OSError, match="was closed") as caught:
            wait_readable(pair[0])
    finally:
        signal.signal(signal.SIGALRM, old)
    assert caught.value.filename == fd


def test_nobody_waits(pair):
    read, write = os.pipe()
    notify_closing(read)  # never waited for
    with pytest.raises(TimeoutError):
        wait_readable(read, timeout=0.001)
    notify_closing(read)  # not any more
    waiting = spawn(attempt, wait_readable, read)
    run()
    notify_closing(write)
    notify_closing(pair[0])
    notify_closing(2**31 - 1)
    assert waiting.blocked
    os.write(write, b"x")
    assert outcome_of(waiting) == "ready"
    os.close(read)
    os.close(write)
    notify_closing(read)  # closed already


def test_what_is_no_descriptor_is_refused(pair):
    closed = socket.socket()
    closed.close()
    for bad, error in (
        (-1, ValueError), (closed, ValueError), ("1", TypeError), (None, TypeError),
        (1.0, TypeError), (2**40, OverflowError),
    ):  # fmt: skip
        with pytest.raises(error):
            notify_closing(bad)
    for wrong in (), (1, 2):
        with pytest.raises(TypeError):
            notify_closing(*wrong)
    with pytest.raises(TypeError):
        notify_closing(fd=1)


def test_an_error_for_a_bad_descriptor_names_it():
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    for call in (
        lambda: wait_readable(read),
        lambda: wait_readable(read, timeout=0),
        lambda: select(readable(read)),
        lambda: select(readable(read), default=None),
    ):
        with pytest.raises(OSError, match="Bad file") as caught:
            call()
        assert caught.value.filename == read


@pytest.mark.parametrize("way", [wait_readable, selects])
def test_a_waiter_that_was_woken_and_has_not_run_yet_gets_the_error(log, way):
    """It would use a descriptor that is another one by then."""
    pipes = [os.pipe() for _ in range(2)]
    reads = [read for read, _ in pipes]

    def work(mine, other):
        outcome = attempt(way, mine)
        log.append(mine)
        notify_closing(other)
        return outcome

    waiting = {read: spawn(work, read, *({*reads} - {read})) for read in reads}
    run()
    for _, write in pipes:
        os.write(write, b"x")
    wait(waiting.values(), timeout=LATE)  # one look finds both
    first, second = log
    assert outcome_of(waiting[first]) == "ready"
    assert outcome_of(waiting[second]) == second
    for both in pipes:
        for each in both:
            os.close(each)


def test_a_kill_is_stronger(pair):
    waiting = spawn(attempt, wait_readable, pair[0])
    run()
    notify_closing(pair[0])
    waiting.kill(pending=True)
    with pytest.raises(CancelledError):
        waiting.result(timeout=LATE)


# Closed without a word: noticed in the course of a second.


def test_what_was_closed_without_a_word_is_noticed(log):
    read, write = os.pipe()
    waiting = [spawn(attempt, wait_readable, read), spawn(attempt, selects, read)]
    run()
    os.close(read)
    assert {outcome_of(each) for each in waiting} == {read}
    assert scheduler.pending() == 0
    os.close(write)


def test_what_another_thread_has_closed_is_noticed():
    read, write = os.pipe()
    waiting = spawn(wait_readable, read)
    run()
    in_thread(os.close, read)
    with pytest.raises(OSError, match="was closed"):
        scheduler.run(wait=True)
    assert waiting.done()
    os.close(write)


def test_a_close_is_noticed_while_other_tasklets_run(log):
    read, write = os.pipe()
    waiting = spawn(attempt, wait_readable, read)
    waiting.add_done_callback(log.append)

    def busy():
        while not log:
            schedule()

    spawn(busy)
    schedule()
    os.close(read)
    assert outcome_of(waiting) == read
    os.close(write)
    run()


def test_a_wait_that_begins_before_the_close_is_noticed(pair):
    fd = pair[0].fileno()
    notify_closing(pair[0])
    waiting = spawn(attempt, wait_readable, fd)
    run()
    pair[0].close()
    assert outcome_of(waiting) == fd


def reopen(fd):
    """Have fd stand for the end of a new pipe, and return the pipe's other end."""
    read, write = os.pipe()
    if read != fd:
        os.dup2(read, fd)
        os.close(read)
    return write


def test_a_number_that_stands_for_another_file_is_noticed():
    read, write = os.pipe()
    waiting = spawn(attempt, wait_readable, read)
    run()
    os.close(read)
    other = reopen(read)
    os.write(other, b"x")  # nothing that the waiter asked for
    assert outcome_of(waiting) == read
    for each in read, write, other:
        os.close(each)


def test_waiters_of_the_next_file_tell_those_of_the_last():
    """At once: the kernel is asked when the new wait begins."""
    read, write = os.pipe()
    old = [spawn(attempt, wait_readable, read), spawn(attempt, selects, read)]
    run()
    os.close(read)
    other = reopen(read)
    new = spawn(attempt, wait_readable, read)
    run()
    assert [outcome_of(each) for each in old] == [read, read]
    assert new.blocked
    os.write(other, b"x")
    assert outcome_of(new) == "ready"
    for each in read, write, other:
        os.close(each)


def test_waiters_of_a_closed_one_are_told_by_a_wait_that_is_refused():
    read, write = os.pipe()
    old = spawn(attempt, wait_readable, read)
    run()
    os.close(read)
    with pytest.raises(OSError, match="Bad file"):
        wait_readable(read)
    assert outcome_of(old) == read
    os.close(write)


def test_a_copy_keeps_nobody_awake():
    """The file is still open elsewhere; its number is another's."""
    read, write = os.pipe()
    old = spawn(attempt, wait_readable, read)
    run()
    copy = os.dup(read)
    notify_closing(read)
    os.close(read)
    assert outcome_of(old) == read
    other = reopen(read)
    new = spawn(attempt, wait_readable, read)
    run()
    os.write(write, b"x")  # into the old pipe
    with pytest.raises(TimeoutError):
        new.result(timeout=0.05)
    os.write(other, b"x")
    assert outcome_of(new) == "ready"
    for each in copy, read, write, other:
        os.close(each)


def test_a_close_before_a_select_has_begun_to_listen_is_noticed():
    """The number was read, and is another file's when it would be listened to."""
    read, write = os.pipe()
    ends = [write]

    class Closes(Future):
        def add_done_callback(self, callback):
            notify_closing(read)
            os.close(read)
            ends.extend(os.pipe())
            assert ends[1] == read
            super().add_done_callback(callback)

    with pytest.raises(OSError, match="closed while") as caught:
        select(readable(read), Closes(), timeout=LATE)
    assert (caught.value.errno, caught.value.filename) == (errno.EBADF, read)
    for each in ends:
        os.close(each)


def test_a_select_listens_to_the_file_of_now():
    """Others still wait for an earlier file of that number; they are told."""
    read, write = os.pipe()
    old = spawn(attempt, wait_readable, read)
    run()
    os.close(read)
    ends = os.pipe()
    assert ends[0] == read
    os.write(ends[1], b"x")
    case, _ = select(readable(read), Future(), timeout=LATE)
    assert case == readable(read)
    assert outcome_of(old) == read
    for each in (write, *ends):
        os.close(each)


@forks_beside_threads
def test_only_this_process_is_told():
    status, output, _ = run_program(
        """
        import os, warnings
        warnings.simplefilter("ignore")
        from tasklets import scheduler, spawn, run
        read, write = os.pipe()
        def work():
            try:
                scheduler.wait_readable(read)
                print("ready", flush=True)
            except OSError as error:
                print(error.filename == read, flush=True)
        spawn(work)
        run()
        child = os.fork()
        if child == 0:
            scheduler.notify_closing(read)
            os.close(read)
            scheduler.run(wait=True)
            os._exit(0)
        os.waitpid(child, 0)
        os.write(write, b"x")
        scheduler.run(wait=True)
        """
    )
    assert (status, output) == (0, "True\nready\n")


READING = (
    wait_readable,
    lambda sock: wait_readable(sock, timeout=LATE),
    lambda sock: select(readable(sock), timeout=LATE),
)


@pytest.mark.parametrize("seed", range(12))
def test_no_wait_lasts_beyond_the_close(seed):
    """Threads wait for, and close, sockets of each other in any order."""
    chance = random.Random(seed)
    shared = [socket.socketpair() for _ in range(8)]
    told, other_ends = [], []

    def wait_until_closed(sock, ways):
        while True:
            try:
                next(ways)(sock)
                sock.recv(1)
            except ValueError:
                return  # it has no number any more
            except BlockingIOError:
                continue  # another one has read it
            except OSError as error:
                told.append(error)

    def work(orders):
        ways = iter(lambda: orders.choice(READING), None)
        waiting = [
            spawn(wait_until_closed, here, ways) for here, _ in shared for _ in range(2)
        ]
        schedule()
        for _ in range(40):
            here, there = orders.choice(shared)
            action = orders.random()
            with contextlib.suppress(OSError, ValueError):  # closed already
                if action < 0.5:
                    there.send(b"x")
                elif action < 0.6:
                    shut(here)
                else:
                    sleep(orders.choice((0, 0, 0.0001)))
            if action > 0.9:
                other_ends.append(socket.socketpair())  # which take the numbers
        for here, _ in shared:
            with contextlib.suppress(ValueError):  # closed already
                shut(here)
        wait(waiting, timeout=LATE)
        assert all(each.done() for each in waiting)
        for each in waiting:
            each.result()

    for here, _ in shared:
        here.setblocking(False)
    orders = [random.Random(chance.random()) for _ in range(3)]
    with running(*[lambda orders=each: work(orders) for each in orders]):
        pass
    assert {error.errno for error in told} == {errno.EBADF}
    for both in shared + other_ends:
        for each in both:
            each.close()


def test_threads_end_with_their_waiters(pair):
    def work():
        spawn(attempt, wait_readable, pair[0])
        schedule()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LATE)
    notify_closing(pair[0])
    assert scheduler.pending() == 0
