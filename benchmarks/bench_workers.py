"""What a call on a worker thread costs, against the standard library's executor."""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.measure import Workload, wall_clock
from tasklets import spawn
from tasklets.workers import WorkerPool, call_on_worker

IN_FLIGHT = 1000
BLOCKED = 64
WORKERS = 6


def round_trips(call):
    """Return a subject: one call after the other, nanoseconds of each."""

    def subject(n):
        with call() as do:
            do(4)
            start = wall_clock()
            do(n)
            return (wall_clock() - start) / n

    return subject


class OnWorkers:
    """One tasklet that makes calls, and waits for each outcome."""

    def __init__(self, *work):
        self.work = work

    def __enter__(self):
        self.pool = WorkerPool(WORKERS)
        return self.one_by_one

    def __exit__(self, *error):
        self.pool.shutdown()

    def one_by_one(self, n):
        """Do the work n times."""
        call, work = self.pool.call, self.work
        for _ in range(n):
            call(*work)


class ManyOnWorkers(OnWorkers):
    """A thousand tasklets that do so."""

    def __enter__(self):
        super().__enter__()
        return self.at_once

    def at_once(self, n):
        """Do the work about n times."""
        tasklets = [
            spawn(self.one_by_one, max(n // IN_FLIGHT, 1)) for _ in range(IN_FLIGHT)
        ]
        for each in tasklets:
            each.result()


class InExecutor(OnWorkers):
    """The same with futures of a ThreadPoolExecutor."""

    def __enter__(self):
        self.pool = ThreadPoolExecutor(WORKERS)
        return self.one_by_one

    def one_by_one(self, n):
        """Do the work n times."""
        submit, work = self.pool.submit, self.work
        for _ in range(n):
            submit(*work).result()


class ManyInExecutor(InExecutor):
    """A thousand futures at a time."""

    def __enter__(self):
        super().__enter__()
        return self.at_once

    def at_once(self, n):
        """Do the work about n times."""
        for _ in range(max(n // IN_FLIGHT, 1)):
            futures = [self.pool.submit(*self.work) for _ in range(IN_FLIGHT)]
            for future in futures:
                future.result()


def read_something():
    """Open a file and read it."""
    with open(os.devnull) as file:
        return file.read()


def beside_blocked(n):
    """Return how long names and files take beside blocking calls: the worst of n.

    All are called at once, the blocking calls first. From the second time on the
    threads exist.
    """
    worst = 0
    for _ in range(n):
        gate = threading.Event()
        start = wall_clock()
        blocked = [spawn(call_on_worker, gate.wait) for _ in range(BLOCKED)]
        beside = [
            spawn(call_on_worker, socket.getaddrinfo, "localhost", 80),
            spawn(call_on_worker, read_something),
            spawn(call_on_worker, os.stat, os.curdir),
        ]
        for each in beside:
            each.result()
        worst = max(worst, wall_clock() - start)
        gate.set()
        for each in blocked:
            each.result()
    return worst


def workload(title, size, reach, ours, theirs, *work):
    """Return a workload of calls on workers against calls on the executor."""
    return Workload(
        title=title,
        size=size,
        reach=reach,
        tasklets=round_trips(lambda: ours(*work)),
        reference=round_trips(lambda: theirs(*work)),
        reference_size=size,
        reference_name="ThreadPoolExecutor",
        fresh=True,
    )


WORKLOADS = {
    "worker_call": workload(
        "a call of `time.sleep(0)` on a worker, and its outcome",
        2_000, 0.8, OnWorkers, InExecutor, time.sleep, 0,
    ),
    "worker_call_nothing": workload(
        "a call of `int()` on a worker, and its outcome",
        5_000, None, OnWorkers, InExecutor, int,
    ),
    "worker_calls_1000": workload(
        "1,000 calls of `time.sleep(0)` in flight, per call",
        10_000, 0.83, ManyOnWorkers, ManyInExecutor, time.sleep, 0,
    ),
    "worker_calls_1000_nothing": workload(
        "1,000 calls of `int()` in flight, per call",
        20_000, None, ManyOnWorkers, ManyInExecutor, int,
    ),
    "worker_blocked": Workload(
        title=f"a name and files beside {BLOCKED} calls that block, the first time",
        size=1,
        reach=50,
        unit=1e6,
        suffix=" ms",
        fresh=True,
        tasklets=beside_blocked,
    ),
}  # fmt: skip
