"""scheduler.statistics(): what it counts, and that threads sleep while they wait."""

import threading
import time

import pytest

from tasklets import channel, run, scheduler, sleep, spawn
from tasklets.testing import fake_clock
from tasklets.workers import WorkerPool

LATE = 30  # seconds until something is badly wrong


@pytest.fixture
def grown():
    """Return a function: how much a count has grown since the test began."""
    before = scheduler.statistics()
    return lambda name: scheduler.statistics()[name] - before[name]


def test_waiting_tasklets_are_counted_by_kind():
    ch, event = channel(), threading.Event()
    some = [spawn(ch.receive) for _ in range(3)]
    some += [spawn(sleep, LATE) for _ in range(2)]
    some.append(spawn(some[0].join))
    with WorkerPool(1) as pool:
        some.append(spawn(pool.call, event.wait))
        run()
        assert scheduler.statistics()["blocked"] == {
            "receive from": 3,
            "sleeps": 2,
            "join": 1,
            "get the outcome of": 1,
        }
        event.set()
        for each in reversed(some):
            each.kill()
        assert scheduler.statistics()["blocked"] == {}


def test_timers_and_how_late_they_are(grown):
    with fake_clock():
        naps = [spawn(sleep, n) for n in range(1, 6)]
        run()
        assert grown("timers") == 5
        scheduler.run(wait=True)
    assert all(each.done() for each in naps)
    assert grown("timers_fired") == 5
    assert grown("timers") == 0
    assert grown("latency_max") == 0  # the clock is never late
    nap = spawn(sleep, 0.05)
    run()
    time.sleep(0.1)  # nobody looks
    scheduler.run(wait=True)
    assert nap.done()
    now = scheduler.statistics()
    assert now["latency_max"] >= 0.04
    assert 0 < now["latency_mean"] <= now["latency_max"]


def test_the_time_of_the_thread(grown):
    sleep(0.05)
    assert 0.04 < grown("slept") < LATE
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    assert grown("run_time") >= 0.02


def test_pools_are_counted(grown):
    gate = threading.Event()
    with WorkerPool(2) as pool:
        futures = [pool.submit(gate.wait, LATE) for _ in range(5)]
        while pool._pool.queued > 3:
            sleep(0.001)
        assert grown("worker_pools") == 1
        assert grown("workers") == 2
        assert grown("calls_queued") == 3
        gate.set()
        assert all(future.result() for future in futures)
        # A worker counts a call after it has set the result of its future.
        while grown("calls_finished") < 5:
            sleep(0.001)
        assert grown("calls_finished") == 5
        assert grown("calls_queued") == 0
    del pool, futures
    assert grown("worker_pools") == 0


# no storms, no spinning


def test_sleepers_wake_the_thread_once_for_many(grown):
    def napper():
        for _ in range(3):
            sleep(0.001)

    for _ in range(10_000):
        spawn(napper)
    scheduler.run(wait=True)
    assert grown("timers_fired") == 30_000
    assert grown("sleeps") < 3_000
    assert grown("woken") <= grown("sleeps")


@pytest.mark.timing
def test_an_idle_thread_sleeps(grown):
    sleepers = [spawn(sleep, LATE) for _ in range(1000)]
    blocked = [spawn(channel().receive) for _ in range(1000)]
    run()
    spent = time.process_time()
    sleep(1)
    assert time.process_time() - spent < 0.2
    assert grown("sleeps") <= 10
    assert grown("timers_fired") == 1
    for each in sleepers + blocked:
        each.kill()


@pytest.mark.timing
def test_messages_between_threads_wake_no_more_than_once_each(grown):
    def answer():
        for value in requests:
            replies.send(value)

    requests, replies, rounds = channel(), channel(), 1000
    thread = threading.Thread(target=answer)
    thread.start()
    for i in range(rounds):
        requests.send(i)
        assert replies.receive() == i
    requests.close(wake=True)
    thread.join()
    # One for the send, one for the receive, and a signal's or two's worth of looks.
    assert grown("sleeps") <= 3 * rounds + 100
    assert grown("woken") <= 2 * rounds + 10


@pytest.mark.timing
def test_calls_on_workers_wake_no_more_than_once_each(grown):
    calls = 500
    with WorkerPool(1) as pool:
        for _ in range(calls):
            pool.call(time.sleep, 0)
        assert grown("calls_finished") == calls
    assert grown("sleeps") <= 2 * calls + 100
    assert grown("woken") <= calls + 10


@pytest.mark.timing
def test_a_thousand_calls_in_flight_are_no_storm(grown):
    with WorkerPool(2) as pool:
        waiters = [spawn(pool.call, int) for _ in range(1000)]
        assert [each.result() for each in waiters] == [0] * 1000
    assert grown("sleeps") <= 2100
    assert grown("woken") <= 1010
