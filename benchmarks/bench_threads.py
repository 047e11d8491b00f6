"""What a request and its reply between two operating system threads cost."""

import os
import queue
import statistics
import time

from benchmarks.measure import Workload, in_thread, wall_clock
from tasklets import channel

PAUSE = 0.001  # long enough for the peer's spinning to end
STOP = None


def over_channels():
    """Return put and get of the requester, then get and put of the replier."""
    ask, answer = channel(), channel()
    return ask.send, answer.receive, ask.receive, answer.send


def over_queues():
    """Return the same of two SimpleQueues."""
    ask, answer = queue.SimpleQueue(), queue.SimpleQueue()
    return ask.put, answer.get, ask.get, answer.put


def pin(cpus):
    """Bind this thread to the given CPUs, if the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def allowed():
    """Return the CPUs that this thread may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count()))


def round_trips(connect, here, there, talk):
    """Return what talk(put, get) returns, with a thread that replies at the other end.

    here and there are the CPUs of the two threads, or None.
    """
    put, get, their_get, their_put = connect()

    def reply():
        if there is not None:
            pin(there)
        while (message := their_get()) is not STOP:
            their_put(message)

    before = allowed()
    if here is not None:
        pin(here)
    try:
        thread = in_thread(reply)
        for _ in range(4):
            put(0)
            get()
        result = talk(put, get)
        put(STOP)
        thread.join()
    finally:
        pin(before)
    return result


def back_to_back(n):
    """Return a talk of n requests without a pause: mean nanoseconds of one."""

    def talk(put, get):
        start = wall_clock()
        for i in range(n):
            put(i)
            get()
        return (wall_clock() - start) / n

    return talk


def with_pauses(n):
    """Return a talk of n requests with pauses: median nanoseconds of one."""

    def talk(put, get):
        times = []
        for i in range(n):
            time.sleep(PAUSE)
            start = wall_clock()
            put(i)
            get()
            times.append(wall_clock() - start)
        return statistics.median(times)

    return talk


def own_cpus(connect, talk=back_to_back):
    """Return a subject whose threads have a CPU each."""

    def subject(n):
        cpus = allowed()
        return round_trips(connect, {cpus[0]}, {cpus[-1]}, talk(n))

    return subject


def free_cpus(connect, talk=back_to_back):
    """Return a subject whose threads may run anywhere."""
    return lambda n: round_trips(connect, None, None, talk(n))


def one_cpu(connect, talk=back_to_back):
    """Return a subject whose threads, and so this process, share one CPU."""

    def subject(n):
        cpus = allowed()
        return round_trips(connect, {cpus[0]}, {cpus[0]}, talk(n))

    return subject


def workload(title, size, reference_size, place, reach, beyond, **kwargs):
    """Return a workload of two threads against SimpleQueue."""
    return Workload(
        title=f"two threads, {title}, per round trip",
        size=size,
        reach=reach,
        beyond=beyond,
        reference=place(over_queues, **kwargs),
        reference_size=reference_size,
        reference_name="SimpleQueue",
        fresh=True,
        tasklets=place(over_channels, **kwargs),
    )


WORKLOADS = {
    "threads_two_cpus": workload(
        "a CPU each, answered at once", 50_000, 3_000, own_cpus, 0.1, 0.02
    ),
    "threads_free": workload(
        "on any CPU, answered at once", 50_000, 3_000, free_cpus, None, None
    ),
    "threads_one_cpu": workload("one CPU for both", 10_000, 5_000, one_cpu, 0.5, 0.4),
    "threads_asleep": workload(
        "a CPU each, peer asleep", 200, 200, own_cpus, 1.0, None, talk=with_pauses
    ),
}
