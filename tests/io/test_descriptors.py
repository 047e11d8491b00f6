"""Tasklets wait for file descriptors."""

import os
import random
import socket
import threading
import time

import pytest
from children import forks_beside_threads, run_program

from tasklets import (
    BlockTrapError,
    channel,
    getcurrent,
    run,
    schedule,
    scheduler,
    sleep,
    spawn,
    timeout,
)

LATE = 30
wait_readable, wait_writable = scheduler.wait_readable, scheduler.wait_writable


@pytest.fixture
def pair():
    """Give two sockets that are connected and do not block."""
    both = socket.socketpair()
    for each in both:
        each.setblocking(False)
    yield both
    for each in both:
        each.close()


def test_a_wait_without_a_descriptor_to_wait_with_is_an_error():
    status, output, errors = run_program(
        """
        import errno
        import os
        import resource
        from tasklets.scheduler import wait_readable

        readable, writable = os.pipe()
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (writable + 1, before[1]))
        for _ in range(2):
            try:
                wait_readable(readable, timeout=1)
            except OSError as error:
                print(errno.errorcode[error.errno])
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.write(writable, b"x")
        print(wait_readable(readable))
        """
    )
    assert (status, output) == (0, "EMFILE\nEMFILE\nNone\n"), errors


def fill(sock):
    """Write until no more is taken; return how much that was."""
    total = 0
    while True:
        try:
            total += sock.send(b"x" * 65536)
        except BlockingIOError:
            return total


def echo(sock):
    while True:
        wait_readable(sock)
        data = sock.recv(4096)
        if not data:
            return "closed"
        sock.send(data.upper())


def test_an_echo(pair):
    here, there = pair
    server = spawn(echo, there)
    for word in (b"one", b"two", b"three"):
        here.send(word)
        wait_readable(here, timeout=LATE)
        assert here.recv(100) == word.upper()
    assert "waits for a descriptor to read from" in repr(server)
    assert scheduler.pending() == 1
    here.close()
    assert server.result(timeout=LATE) == "closed"
    assert scheduler.pending() == 0


def test_both_directions_of_one_descriptor(pair, log):
    here, there = pair
    amount = fill(here)

    def reader():
        wait_readable(here)
        log.append(here.recv(100))

    def writer():
        wait_writable(here)
        log.append("writable")

    both = [spawn(reader), spawn(writer)]
    run()
    assert not log
    there.send(b"data")
    assert both[0].join(timeout=LATE)
    assert log == [b"data"]
    while amount > 0:
        amount -= len(there.recv(1 << 20))
    assert both[1].join(timeout=LATE)
    assert log == [b"data", "writable"]


def test_all_waiters_for_one_descriptor_are_woken(pair):
    here, there = pair
    waiters = [spawn(wait_readable, here.fileno()) for _ in range(5)]
    run()
    there.send(b"x")
    for each in waiters:
        assert each.result(timeout=LATE) is None


def test_a_wait_times_out(pair):
    for seconds in (0.01, 0, -1):
        with pytest.raises(TimeoutError):
            wait_readable(pair[0], timeout=seconds)
    with pytest.raises(TimeoutError), timeout(0.01):
        wait_readable(pair[0])
    assert scheduler.pending() == 0
    wait_writable(pair[0], timeout=0)
    pair[1].send(b"x")
    wait_readable(pair[0], timeout=0)


def test_a_waiter_can_be_killed(pair, log):
    def work():
        try:
            wait_readable(pair[0])
        finally:
            log.append("finally")

    victim = spawn(work)
    run()
    victim.kill()
    assert log == ["finally"]
    assert scheduler.pending() == 0
    pair[1].send(b"x")
    scheduler.run(wait=True, seconds=0.01)


def test_other_tasklets_run_during_the_wait_and_do_not_delay_it(pair, log):
    def yielder():
        while not log:
            schedule()

    def reader():
        wait_readable(pair[0])
        log.append("ready")

    for _ in range(50):
        spawn(yielder)
    spawn(reader)
    thread = threading.Timer(0.02, pair[1].send, (b"x",))
    thread.start()
    scheduler.run(wait=True)
    thread.join()
    assert log == ["ready"]


def test_what_was_closed_and_opened_again_is_another():
    for _ in range(3):
        read, write = os.pipe()
        os.write(write, b"x")
        wait_readable(read, timeout=LATE)
        os.close(read)
        os.close(write)
    read, write = os.pipe()
    with pytest.raises(TimeoutError):
        wait_readable(read, timeout=0.01)
    os.close(write)
    wait_readable(read, timeout=LATE)
    assert os.read(read, 1) == b""
    os.close(read)


def test_files_are_always_ready():
    with open(__file__) as file:
        wait_readable(file, timeout=LATE)
        wait_writable(file.fileno())


def test_flags_are_left_alone():
    read, write = os.pipe()
    os.write(write, b"x")
    wait_readable(read)
    assert os.get_blocking(read)
    os.close(read)
    os.close(write)


def test_a_refusal_says_what_is_wrong(pair):
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    for bad, error in (
        (read, OSError), (1_000_000, OSError), (-1, ValueError), ("1", TypeError),
        (None, TypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            wait_readable(bad)
    with pytest.raises(OSError, match="Bad file"):
        wait_writable(read, timeout=0)
    with pytest.raises(TypeError):
        wait_readable()
    getcurrent().block_trap = True
    try:
        with pytest.raises(BlockTrapError):
            wait_readable(pair[0])
    finally:
        getcurrent().block_trap = False
    assert scheduler.pending() == 0


def test_main_may_wait_for_a_channel_at_the_same_time(pair):
    ch = channel()

    def reader():
        wait_readable(pair[0])
        ch.send(pair[0].recv(10))

    spawn(reader)
    thread = threading.Timer(0.02, pair[1].send, (b"data",))
    thread.start()
    assert ch.receive() == b"data"
    thread.join()


def test_in_several_threads():
    def work(number):
        here, there = socket.socketpair()
        with here, there:
            server = spawn(echo, there)
            for each in range(50):
                word = b"%d-%d" % (number, each)
                here.send(word)
                wait_readable(here, timeout=LATE)
                assert here.recv(100) == word
            server.kill()
        done.append(number)

    done = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1, 2, 3]


def test_a_thread_that_ends_forgets_its_waiters(pair):
    def work():
        spawn(wait_readable, pair[0])
        schedule()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LATE)
    assert not thread.is_alive()
    assert scheduler.pending() == 0


def test_many_pairs_at_random():
    """Every byte that is sent is received, whatever the order."""
    chance = random.Random(1)
    pairs = [socket.socketpair() for _ in range(50)]
    total = 0

    def read(sock):
        count = 0
        while True:
            wait_readable(sock)
            data = sock.recv(100)
            if not data:
                return count
            count += len(data)

    readers = [spawn(read, here) for here, _ in pairs]
    for _ in range(2000):
        chance.choice(pairs)[1].send(b"x")
        total += 1
        if chance.random() < 0.3:
            schedule()
        if chance.random() < 0.02:
            sleep(0.0001)
    for _, there in pairs:
        there.close()
    assert sum(each.result(timeout=LATE) for each in readers) == total
    for here, _ in pairs:
        here.close()


def test_ctrl_c_reaches_main_while_it_waits():
    status, output, _ = run_program(
        """
        import os, signal, socket, threading
        from tasklets import scheduler
        here, there = socket.socketpair()
        try:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            scheduler.wait_readable(here)
        except KeyboardInterrupt:
            print("interrupted", scheduler.pending())
        """
    )
    assert (status, output) == (0, "interrupted 0\n")


@forks_beside_threads
def test_waiters_live_on_in_the_child_of_a_fork():
    status, output, _ = run_program(
        """
        import os, warnings
        warnings.simplefilter("ignore")
        from tasklets import scheduler, spawn, run
        read, write = os.pipe()
        def work():
            scheduler.wait_readable(read)
            os.write(1, os.read(read, 1))
        spawn(work)
        run()
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        os.write(write, b"p" if child else b"c")
        scheduler.run(wait=True)
        """
    )
    assert (status, output) == (0, "cp")


def test_an_idle_wait_uses_no_cpu():
    status, output, _ = run_program(
        """
        import socket, threading, time
        from tasklets import scheduler, spawn
        here, there = socket.socketpair()
        before = time.process_time()
        try:
            scheduler.wait_readable(here, timeout=1)
        except TimeoutError:
            print(time.process_time() - before < 0.05)
        """
    )
    assert (status, output) == (0, "True\n")


def test_woken_by_a_descriptor_and_by_a_thread(pair, log):
    """Both ways to end one sleep work in turn."""
    ch = channel()

    def reader():
        for _ in range(20):
            wait_readable(pair[0])
            log.append(pair[0].recv(1))

    def receiver():
        for _ in range(20):
            log.append(ch.receive())

    def work():
        for _ in range(20):
            pair[1].send(b"x")
            time.sleep(0.001)
            ch.send("y")

    both = [spawn(reader), spawn(receiver)]
    thread = threading.Thread(target=work)
    thread.start()
    for each in both:
        each.result(timeout=LATE)
    thread.join()
    assert log.count(b"x") == log.count("y") == 20
