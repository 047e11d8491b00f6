"""How soon a woken thread gets the GIL beside threads that compute.

Two threads exchange requests and replies as fast as they can; and a thread is woken
every millisecond by a thread that sleeps in between. Standard Python is measured in the
same process, right before.
"""

import functools
import queue
import statistics
import time

from benchmarks.bench_threads import STOP, over_channels, over_queues
from benchmarks.measure import Workload, in_thread, wall_clock
from tasklets import channel

PAUSE = 0.001
WARM_UP = 0.05


class BusyThread:
    """A thread that computes until it is told to end."""

    def __init__(self):
        self.ending, self.share = False, 0.0
        self.thread = in_thread(self.compute)

    def compute(self):
        """Compute, and record the share of the time in which this thread ran."""
        start, used = wall_clock(), time.thread_time_ns()
        while not self.ending:
            for _ in range(100):
                pass
        self.share = (time.thread_time_ns() - used) / (wall_clock() - start)


def beside(busy, work):
    """Return the result of work() beside that many busy threads, and their share."""
    crowd = [BusyThread() for _ in range(busy)]
    time.sleep(WARM_UP)
    try:
        result = work()
    finally:
        for each in crowd:
            each.ending = True
        for each in crowd:
            each.thread.join()
    return result, sum(each.share for each in crowd)


def requests(connect, milliseconds):
    """Make requests for some time; return the mean nanoseconds of a request."""
    put, get, their_get, their_put = connect()
    costs = []

    def reply():
        while (message := their_get()) is not STOP:
            their_put(message)

    def ask():
        start, count = wall_clock(), 0
        while (now := wall_clock()) - start < milliseconds * 1e6:
            put(count)
            get()
            count += 1
        put(STOP)
        costs.append((now - start) / max(count, 1))

    threads = [in_thread(reply), in_thread(ask)]
    for thread in threads:
        thread.join()
    return costs[0]


def over_a_channel():
    """Return put and get of one channel."""
    line = channel()
    return line.send, line.receive


def over_a_queue():
    """Return the same of one SimpleQueue."""
    line = queue.SimpleQueue()
    return line.put, line.get


def lateness(connect, times):
    """Return how late a thread gets its messages, in nanoseconds, the median."""
    put, get = connect()
    late = []

    def listen():
        while (sent := get()) is not STOP:
            late.append(wall_clock() - sent)

    def wake():
        for _ in range(times):
            time.sleep(PAUSE)
            put(wall_clock())
        put(STOP)

    threads = [in_thread(listen), in_thread(wake)]
    for thread in threads:
        thread.join()
    return statistics.median(late)


def request(connect, busy):
    """Return a subject: n milliseconds of requests."""
    return lambda n: beside(busy, functools.partial(requests, connect, n))[0]


def wake(connect, busy):
    """Return a subject: n wakes."""
    return lambda n: beside(busy, functools.partial(lateness, connect, n))[0]


def loss(connect):
    """Return a subject: what share a computing thread loses to n ms of requests."""

    def subject(n):
        _, alone = beside(1, lambda: time.sleep(n / 1000))
        _, left = beside(1, functools.partial(requests, connect, n))
        return max(0, 1 - left / alone)

    return subject


def workload(title, busy, size, subject, **aims):
    """Return a workload of tasklets against a SimpleQueue."""
    connect = {request: over_channels, wake: over_a_channel}[subject]
    stock = {request: over_queues, wake: over_a_queue}[subject]
    return Workload(
        title=f"{title} beside {busy} that compute{'s' * (busy == 1)}",
        size=size,
        reference=subject(stock, busy),
        reference_size=size,
        reference_name="SimpleQueue",
        fresh=True,
        tasklets=subject(connect, busy),
        **aims,
    )


WORKLOADS = {
    "priority_request": workload(
        "request and reply", 1, 1000, request, reach=1 / 30, beyond=1 / 80
    ),
    "priority_request_2": workload("request and reply", 2, 1000, request),
    "priority_loss": Workload(
        title="time that a computing thread loses beside request and reply",
        size=1000,
        reach=0.2,
        suffix=" of it",
        fresh=True,
        tasklets=loss(over_channels),
    ),
    "priority_wake": workload("a thread woken each ms", 1, 300, wake),
    "priority_wake_4": workload("a thread woken each ms", 4, 100, wake, reach=0.1),
}
