"""What a file system call costs on libuv's threads, against a call on a worker."""

import os
import threading

from benchmarks.measure import Workload, wall_clock
from tasklets import fs, net, run, spawn
from tasklets.workers import WorkerPool

WORKERS = 4  # as many threads as libuv has
BLOCKED = 64
AT_ONCE = 100


def one_by_one(call, n):
    """Call n times."""
    for _ in range(n):
        call("/")


def timed(work, call, n):
    """Return nanoseconds per call."""
    work(call, 4)
    start = wall_clock()
    work(call, n)
    return (wall_clock() - start) / n


def at_once(call, n):
    """Call about n times from many tasklets."""
    each = max(n // AT_ONCE, 1)
    for task in [spawn(one_by_one, call, each) for _ in range(AT_ONCE)]:
        task.result()


def on_libuv(work):
    """Return a subject: fs.stat."""

    def subject(n):
        return timed(work, fs.stat, n)

    return subject


def on_workers(work):
    """Return a subject: os.stat on workers."""

    def subject(n):
        with WorkerPool(WORKERS) as pool:
            return timed(work, lambda path: pool.call(os.stat, path), n)

    return subject


def beside_blocked_workers(call):
    """Return a subject: the slowest of n calls while 64 workers are blocked."""

    def subject(n):
        release, entered, slowest = threading.Event(), threading.Semaphore(0), 0

        def block():
            entered.release()
            release.wait()

        with WorkerPool(BLOCKED) as pool:
            blocked = [spawn(pool.call, block) for _ in range(BLOCKED)]
            run()
            for _ in blocked:
                entered.acquire()
            try:
                for _ in range(n):
                    start = wall_clock()
                    call()
                    slowest = max(slowest, wall_clock() - start)
            finally:
                release.set()
            for each in blocked:
                each.result()
        return slowest

    return subject


def against_workers(title, size, work):
    """Return a workload: fs.stat against os.stat on workers."""
    return Workload(
        title=title,
        size=size,
        tasklets=on_libuv(work),
        reference=on_workers(work),
        reference_size=size,
        reference_name="call_on_worker",
        fresh=True,
    )


def slowest(title, call):
    """Return a workload: the slowest call, in milliseconds."""
    return Workload(
        title=title,
        size=300,
        reach=50,
        tasklets=beside_blocked_workers(call),
        unit=1e6,
        suffix=" ms",
        fresh=True,
    )


WORKLOADS = {
    "file_stat": against_workers("`fs.stat`", 2_000, one_by_one),
    "file_stats_100": against_workers(
        "`fs.stat`, 100 at once, per call", 10_000, at_once
    ),
    "file_beside_64": slowest(
        "`fs.stat` beside 64 blocked workers, the slowest of 300",
        lambda: fs.stat("/"),
    ),
    "address_beside_64": slowest(
        "`getaddrinfo` beside 64 blocked workers, the slowest of 300",
        lambda: net.getaddrinfo("localhost", 80),
    ),
}
