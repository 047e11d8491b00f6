"""The pool of all: calls that only wait do not keep others from their turn."""

import os
import socket
import threading

import pytest
from pools import settled, yield_until
from threads import SECONDS, Gate

from tasklets import _core, spawn
from tasklets.workers import WorkerPool, _SharedPool, call_on_worker

BLOCKED = 64


class Small(_SharedPool):
    """A pool of two for what computes, however many CPUs there are."""

    _helpers = 100


@pytest.fixture
def small():
    """Return a pool of two workers that may have helpers."""
    with Small(2) as made:
        yield made


def read_something():
    with open(os.devnull) as file:
        return file.read()


def test_names_and_files_get_their_turn_beside_blocked_calls(gate):
    blocked = [spawn(call_on_worker, gate.wait) for _ in range(BLOCKED)]
    beside = [
        spawn(call_on_worker, socket.getaddrinfo, "localhost", 80),
        spawn(call_on_worker, read_something),
        spawn(call_on_worker, os.stat, os.curdir),
    ]
    addresses, text, status = (each.result(SECONDS) for each in beside)
    assert addresses
    assert text == ""
    assert status.st_mode
    assert not any(each.done() for each in blocked)
    gate.set()
    assert all(each.result() for each in blocked)


def test_a_call_that_comes_later_does_not_wait(small, gate):
    blocked = [small.submit(gate.wait) for _ in range(BLOCKED)]
    assert small.call(int, timeout=SECONDS) == 0
    yield_until(lambda: all(each.running() for each in blocked))
    for _ in range(20):
        assert small.call(int, timeout=SECONDS) == 0
    assert small._pool.workers <= BLOCKED + 4


@pytest.mark.timing
def test_calls_that_compute_do_not_become_more_at_a_time(small):
    def compute():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        sum(range(300_000))
        with lock:
            now[0] -= 1

    lock, now, most = threading.Lock(), [0], [0]
    for future in [small.submit(compute) for _ in range(60)]:
        future.result()
    assert most[0] < 20


def test_there_is_a_limit(gate):
    class Few(Small):
        _helpers = 3

    with Few(2) as pool:
        blocked = [pool.submit(gate.wait) for _ in range(10)]
        yield_until(lambda: sum(each.running() for each in blocked) == 5)
        with pytest.raises(TimeoutError):
            pool.call(int, timeout=0.1)
        assert pool._pool.workers == 5
        gate.set()


def test_a_pool_of_ones_own_has_no_more_than_it_was_told(gate):
    with WorkerPool(2) as pool:
        for _ in range(6):
            pool.submit(gate.wait)
        with pytest.raises(TimeoutError):
            pool.call(int, timeout=0.1)
        assert pool._pool.workers == 2
        gate.set()


def test_helpers_that_have_nothing_to_do_end(gate):
    def start(pool):
        thread = threading.Thread(target=pool.work)
        thread.start()
        threads.append(thread)

    threads = []
    pool = _core.worker_pool(start, 2, most=50, linger=0.01)
    jobs = [pool.submit(gate.wait, ()) for _ in range(20)]
    yield_until(lambda: pool.workers >= 20)
    gate.set()
    for job in jobs:
        job.wait()
    yield_until(lambda: pool.workers <= 3)
    assert pool.call(int, ()) == 0
    pool.close()
    for thread in threads:
        thread.join()
    assert pool.workers == 0


def test_a_pool_with_helpers_is_shut_down_while_calls_wait(gate):
    pool = Small(1)
    futures = [pool.submit(gate.wait) for _ in range(8)]
    yield_until(lambda: pool._pool.workers >= 2)
    pool.shutdown(wait=False)
    gate.set()
    assert all(future.result() for future in futures)
    pool.shutdown()
    assert pool._pool.workers == 0


def test_bursts_come_and_go(small):
    for size in (30, 1, 50, 3):
        gate = Gate()
        futures = [small.submit(gate.wait) for _ in range(size)]
        yield_until(lambda futures=futures: all(each.running() for each in futures))
        gate.set()
        assert all(each.result() for each in futures)
        settled(small)


@pytest.mark.parametrize("linger", [-1, float("nan"), 1e300])
def test_a_time_to_linger_is_a_number_of_seconds(linger):
    with pytest.raises(ValueError, match="linger must be a number of seconds"):
        _core.worker_pool(int, 1, linger=linger)
