"""The libuv loop of a thread: made when it is needed, slept on, and ended."""

import os
import random
import socket
import threading
import time
from contextlib import suppress
from textwrap import dedent

import pytest
from children import forks_beside_threads, needs_own_allocator, run_program
from fifos import LATE, descriptors, let_go, settle_requests
from threads import in_thread

import tasklets.testing
from tasklets import (
    channel,
    fs,
    net,
    run,
    schedule,
    scheduler,
    sleep,
    spawn,
    timeout,
)
from tasklets._core import live_counts
from tasklets.workers import WorkerPool

PRELUDE = """
import os, signal, sys, threading, time, warnings
from tasklets import fs, net, run, scheduler, sleep, spawn
from tasklets._core import live_counts
warnings.simplefilter("ignore")
fifo = sys.argv[1]
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def let_go():
    os.open(fifo, os.O_RDWR)
"""


@pytest.fixture
def program(fifo):
    """Return a function that runs a program, which can block in opening a file."""

    def call(source):
        return run_program(PRELUDE + dedent(source), fifo)

    return call


# ---- threads


def test_a_thread_that_ends_closes_its_loop():
    in_thread(fs.stat, "/")
    before = descriptors()
    for _ in range(5):
        in_thread(fs.stat, "/")
    settle_requests()
    assert descriptors() == before


def test_a_thread_that_does_not_need_a_loop_has_none():
    def work():
        sleep(0.001)
        return sorted(os.listdir("/proc/self/fd"), key=int)

    before = descriptors()
    assert in_thread(work) == before


def test_many_threads_have_a_loop_each(tmp_path):
    def work(number):
        def one(each):
            path = tmp_path / f"{number}-{each}"
            fs.write_bytes(path, b"%d" % each)
            total.append(int(fs.read_bytes(path)))
            assert net.getaddrinfo("127.0.0.1", 1 + each)[0][4][1] == 1 + each
            fs.unlink(path)

        total = []
        for each in range(10):
            spawn(one, each)
        scheduler.run(wait=True)
        sums.append(sum(total))

    in_thread(fs.stat, "/")
    before = descriptors()
    sums = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LATE)
    settle_requests()
    assert sums == [45] * 8
    assert os.listdir(tmp_path) == []
    assert descriptors() == before


def test_a_thread_ends_while_requests_are_in_flight(fifo):
    """What has begun goes on without it; what has not is cancelled."""

    def work():
        for _ in range(3):
            spawn(fs.open, fifo, os.O_RDONLY)
        run()
        fs.stat("/")  # then those have begun, but for the fourth thread of libuv
        for _ in range(5):
            spawn(fs.open, fifo, os.O_RDONLY)
        run()
        return live_counts()["request"]

    in_thread(fs.stat, "/")
    before = descriptors()
    assert in_thread(work) == 8
    assert 3 <= live_counts()["request"] <= 4
    let_go(fifo)
    assert descriptors() == before


def test_a_thread_ends_beside_others_that_go_on(fifo, tmp_path):
    """A waiter in one thread is not disturbed by the ends of other threads."""
    waiter = spawn(fs.open, fifo, os.O_RDONLY)
    run()
    for _ in range(10):
        in_thread(fs.write_bytes, tmp_path / "file", b"data")
    assert waiter.blocked
    writer = os.open(fifo, os.O_WRONLY)
    os.close(waiter.result(timeout=LATE))
    os.close(writer)


def test_a_clean_up_at_the_end_of_the_thread_may_use_files(program):
    """Nobody waits for that."""
    status, output, errors = program(
        """
        from tasklets import channel
        def work():
            try:
                channel().receive()
            finally:
                fs.open(fifo, os.O_RDONLY)
                say("not reached")
        def thread():
            spawn(work)
            run()
        for _ in range(2):
            other = threading.Thread(target=thread)
            other.start()
            other.join()
        let_go()
        say("end")
        """
    )
    assert (status, output) == (0, "end\n"), errors


# ---- sleeping


def test_an_idle_wait_uses_no_cpu(program):
    """With something in flight and without."""
    status, output, errors = program(
        """
        fs.stat("/")
        for wait in sleep, lambda seconds: fs.open(fifo, os.O_RDONLY, timeout=seconds):
            before = time.process_time()
            try:
                wait(0.5)
            except TimeoutError:
                pass
            say(time.process_time() - before < 0.25)
        let_go()
        """
    )
    assert (status, output) == (0, "True\nTrue\n"), errors


def test_all_that_ends_a_sleep_ends_this_one(fifo):
    """Descriptors, other threads, timers and files in turn."""
    here, there = socket.socketpair()
    here.setblocking(False)
    ch, log = channel(), []

    def reader():
        for _ in range(10):
            scheduler.wait_readable(here)
            log.append(here.recv(1))

    def receiver():
        for _ in range(10):
            log.append(ch.receive())

    def sleeper():
        for _ in range(10):
            sleep(0.002)
            log.append(0)

    def files():
        for _ in range(10):
            log.append(fs.stat("/").st_nlink > 0)
            sleep(0.001)

    def work():
        for _ in range(10):
            there.send(b"x")
            time.sleep(0.001)
            ch.send("y")

    with here, there:
        all_four = [spawn(each) for each in (reader, receiver, sleeper, files)]
        thread = threading.Thread(target=work)
        thread.start()
        for each in all_four:
            each.result(timeout=LATE)
        thread.join()
    assert [log.count(each) for each in (b"x", "y", 0, True)] == [10] * 4


def test_main_may_wait_for_something_else(tmp_path):
    ch = channel()
    spawn(lambda: ch.send(fs.write_bytes(tmp_path / "file", b"data")))
    assert ch.receive() == 4


def test_a_host_that_runs_frames_gets_the_outcome(tmp_path):
    task = spawn(fs.write_bytes, tmp_path / "file", b"data")
    end = time.monotonic() + LATE
    while task.alive:
        scheduler.run(seconds=0.01, wait=False)
        assert time.monotonic() < end
    assert task.result() == 4


def test_the_fake_clock_does_not_move_for_files(fifo, tmp_path):
    with tasklets.testing.fake_clock() as clock:
        fs.write_bytes(tmp_path / "file", b"data")
        assert fs.read_bytes(tmp_path / "file") == b"data"
        assert clock.now() == 0
        with pytest.raises(TimeoutError):
            fs.open(fifo, os.O_RDONLY, timeout=3600)
        assert clock.now() == 3600


# ---- beside blocked calls on workers


def test_64_blocked_calls_on_workers_hold_up_neither_files_nor_addresses(tmp_path):
    entered, release = threading.Semaphore(0), threading.Event()

    def block():
        entered.release()
        assert release.wait(LATE)

    with WorkerPool(64) as pool:
        blocked = [spawn(pool.call, block) for _ in range(64)]
        run()
        for _ in range(64):
            entered.acquire()
        try:
            fs.write_bytes(tmp_path / "file", b"data", timeout=LATE)
            assert fs.stat(tmp_path / "file", timeout=LATE).st_size == 4
            assert net.getaddrinfo("127.0.0.1", 80, timeout=LATE)
            assert not any(each.done() for each in blocked)
        finally:
            release.set()
        for each in blocked:
            each.result(timeout=LATE)


# ---- programs


@pytest.mark.parametrize(
    "resource", ["NOFILE", pytest.param("AS", marks=needs_own_allocator)]
)
def test_without_descriptors_or_threads_it_is_an_error(program, resource):
    """It would be the end of the process if libuv found out."""
    status, output, errors = program(
        f"""
        import resource
        from tasklets import scheduler
        sleep(0)
        if "{resource}" == "NOFILE":
            used = max(int(fd) for fd in os.listdir("/proc/self/fd"))
            limits = [(resource.RLIMIT_NOFILE, used + n) for n in range(8)]
        else:
            with open("/proc/self/statm") as file:
                used = int(file.read().split()[0]) * resource.getpagesize()
            limits = [(resource.RLIMIT_AS, used + n * 2**20) for n in range(4, 32, 9)]
        before = resource.getrlimit(limits[0][0])
        for kind, limit in limits:
            resource.setrlimit(kind, (limit, before[1]))
            try:
                fs.stat("/")
            except OSError as error:
                say(error.errno in (11, 12, 23, 24))
        resource.setrlimit(kind, before)
        say(fs.stat("/").st_nlink > 0)
        """
    )
    assert status == 0, errors
    lines = output.split()
    assert len(lines) > 3
    assert set(lines) == {"True"}


def test_ctrl_c_reaches_main_while_it_waits(program):
    status, output, errors = program(
        """
        try:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            fs.open(fifo, os.O_RDONLY)
        except KeyboardInterrupt:
            say("interrupted", scheduler.pending())
        let_go()
        """
    )
    assert (status, output) == (0, "interrupted 0\n"), errors


def test_no_signal_is_for_the_threads_of_libuv(program):
    status, output, errors = program(
        """
        before = set(os.listdir("/proc/self/task"))
        fs.stat("/")
        for task in set(os.listdir("/proc/self/task")) - before:
            with open(f"/proc/self/task/{task}/status") as file:
                (mask,) = (line for line in file if line.startswith("SigBlk"))
            say(bool(int(mask.split()[1], 16) >> (signal.SIGINT - 1) & 1))
        """
    )
    assert status == 0, errors
    lines = output.splitlines()
    assert len(lines) >= 4
    assert set(lines) == {"True"}


@pytest.mark.parametrize("where", ["main", "thread", "daemon"])
def test_the_end_of_the_program_does_not_wait_for_blocked_calls(program, where):
    status, output, errors = program(
        f"""
        def work():
            for _ in range(5):
                spawn(fs.open, fifo, os.O_RDONLY)
            run()
            started.release()
            if {where == "daemon"}:
                sleep(60)
        started = threading.Semaphore(0)
        if {where == "main"}:
            work()
        else:
            threading.Thread(target=work, daemon={where == "daemon"}).start()
        started.acquire()
        print("end")
        sys.exit(3)
        """
    )
    assert (status, output) == (3, "end\n"), errors


def test_the_end_of_the_program_lets_be_done_what_has_begun(program, tmp_path):
    status, _, errors = program(
        """
        spawn(fs.write_bytes, fifo + ".copy", b"data" * 100000)
        end = time.monotonic() + 30
        while not os.path.exists(fifo + ".copy") and time.monotonic() < end:
            run()
        """
    )
    assert status == 0, errors
    assert (tmp_path / "fifo.copy").stat().st_size == 400000


@forks_beside_threads
def test_what_is_in_flight_is_lost_in_the_child_of_a_fork(program):
    status, output, errors = program(
        """
        def work():
            try:
                fs.close(fs.open(fifo, os.O_RDONLY))
                say("parent goes on")
            except RuntimeError as error:
                say(error)

        def other_thread():
            spawn(work)
            run()
            ready.release()
            scheduler.run(wait=True)

        ready = threading.Semaphore(0)
        waiting = spawn(work)
        run()
        threading.Thread(target=other_thread).start()
        ready.acquire()

        def fork():
            count = len(os.listdir("/proc/self/fd"))
            child = os.fork()
            if child:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            waiting.join()
            say("child", fs.stat("/").st_nlink > 0, len(net.getaddrinfo("::1", 1)) > 0)
            # No more than the parent: the other thread's are gone.
            say(len(os.listdir("/proc/self/fd")) <= count)
            sys.exit(7)

        say("ended with", spawn(fork).result())
        writer = os.open(fifo, os.O_WRONLY)
        waiting.join()
        """
    )
    assert (status, errors) == (0, [])
    lines = output.splitlines()
    assert "stayed behind" in lines[0]
    assert lines[1:4] == ["child True True", "True", "ended with 7"]
    assert lines[4:] == ["parent goes on"] * 2


@forks_beside_threads
def test_a_child_that_needs_no_loop_ends_as_it_should(program):
    """As do its own children, with a loop or without."""
    status, output, errors = program(
        """
        def fork(status, work):
            child = os.fork()
            if child == 0:
                work()
                sys.exit(status)
            say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        fs.stat("/")
        fork(4, lambda: fork(5, lambda: None))
        fork(6, lambda: fork(7, lambda: fs.stat("/")))
        fork(8, lambda: (fs.stat("/"), fork(9, lambda: None), fs.stat("/")))
        """
    )
    assert (status, errors) == (0, [])
    assert output.split() == ["5", "4", "7", "6", "9", "8"]


# ---- at random


class Nuisance(Exception):
    """What is thrown into waiters."""


def make_operations(folder, fifo):
    """Return what tasklets do, each with an effect that can be checked afterwards."""
    data = bytearray(b"x" * 5000)

    def write():
        fs.write_bytes(folder / "file", data)

    def hold():
        fd = fs.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fs.fstat(fd)
        finally:
            os.close(fd)

    def scan():
        fs.scandir(folder)
        fs.listdir(folder)

    def look_up():
        net.getaddrinfo("127.0.0.1", 80)

    def in_time():
        with suppress(TimeoutError), timeout(0.0002):
            fs.stat(folder)
            fs.read_bytes("/proc/self/status")

    return data, [write, hold, scan, look_up, in_time]


@pytest.mark.parametrize(
    "seed",
    [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 12))],
)
def test_kills_at_any_moment(seed, tmp_path, fifo):
    """Nothing is left: no descriptor, no request, no hold on memory."""
    chance = random.Random(seed)
    data, operations = make_operations(tmp_path, fifo)
    begun = set()
    before = descriptors()

    def work(number):
        own = random.Random(f"{seed} {number}")
        begun.add(number)
        for _ in range(8):
            with suppress(Nuisance):
                own.choice(operations)()

    def run_some():
        workers = [spawn(work, number) for number in range(20)]
        while any(each.alive for each in workers):
            number = chance.randrange(20)
            victim = workers[number]
            if victim.alive and chance.random() < 0.3:
                if chance.random() < 0.7 and number in begun:
                    victim.throw(Nuisance, pending=True)
                else:
                    victim.kill(pending=chance.random() < 0.5)
            if chance.random() < 0.3:
                sleep(chance.choice([0, 1e-6, 2e-4]))
            else:
                schedule()
        assert all(each.cancelled() or each.exception() is None for each in workers)
        workers.clear()

    with tasklets.testing.seeded(seed):
        run_some()
    settle_requests()
    assert scheduler.pending() == 0
    assert descriptors() == before
    data.append(1)  # nobody holds it
