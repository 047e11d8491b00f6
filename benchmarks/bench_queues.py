"""What a put and a get of an item cost, beside the standard library's queues."""

import queue

from benchmarks.measure import Workload, cpu_clock, in_thread, wall_clock
from tasklets import QueueChannel, queues, run, tasklet

ROOM = 100


def alone(make):
    """Return a subject in which one thread puts and gets items."""

    def subject(n):
        q = make()
        put, get = q.put, q.get
        start = cpu_clock()
        for _ in range(max(n // ROOM, 1)):
            for i in range(ROOM):
                put(i)
            for _ in range(ROOM):
                get()
        return (cpu_clock() - start) / (max(n // ROOM, 1) * ROOM)

    return subject


def producer_and_consumer(n, put, get):
    """Return two functions: one puts n items, the other gets them."""

    def produce():
        for i in range(n):
            put(i)

    def consume():
        for _ in range(n):
            get()

    return produce, consume


def tasklets_over(make, put="put", get="get"):
    """Return a subject of two tasklets of one thread."""

    def subject(n):
        q = make()
        for work in producer_and_consumer(n, getattr(q, put), getattr(q, get)):
            tasklet(work)()
        start = cpu_clock()
        run()
        return (cpu_clock() - start) / n

    return subject


def threads_over(make):
    """Return a subject of two operating system threads without tasklets."""

    def subject(n):
        q = make()
        works = producer_and_consumer(n, q.put, q.get)
        start = wall_clock()
        threads = [in_thread(work) for work in works]
        for thread in threads:
            thread.join()
        return (wall_clock() - start) / n

    return subject


def requests_over(make):
    """Return a subject of two threads, one of which asks and the other replies."""

    def subject(n):
        ask, answer = make(), make()

        def reply():
            for _ in range(n):
                answer.put(ask.get())

        def request():
            for i in range(n):
                ask.put(i)
                answer.get()

        start = wall_clock()
        threads = [in_thread(reply), in_thread(request)]
        for thread in threads:
            thread.join()
        return (wall_clock() - start) / n

    return subject


def small(cls, maxsize=ROOM):
    """Return a function that makes a queue of limited size."""
    return lambda: cls(maxsize)


def workload(title, how, ours, theirs, sizes, reach):
    """Return a workload of a queue of tasklets against the standard library's."""
    size, reference_size = sizes
    return Workload(
        title=f"{title}, per item",
        size=size,
        reach=reach,
        reference=how(theirs),
        reference_size=reference_size,
        reference_name="the same of queue",
        tasklets=how(ours),
        fresh=how not in (alone, tasklets_over),
    )


WORKLOADS = {
    "queue_tasklets": Workload(
        title="Queue between two tasklets, per item",
        size=50_000,
        reach=0.25,
        beyond=0.1,
        reference=alone(queue.Queue),
        reference_size=20_000,
        reference_name="queue.Queue in one thread",
        tasklets=tasklets_over(small(queues.Queue)),
    ),
    "queue_channel": Workload(
        title="SimpleQueue beside a QueueChannel, two tasklets, per item",
        size=50_000,
        reference=tasklets_over(QueueChannel, "send", "receive"),
        reference_size=50_000,
        reference_name="QueueChannel",
        tasklets=tasklets_over(queues.SimpleQueue),
    ),
    "queue_alone": workload(
        "Queue, nobody waits", alone, queues.Queue, queue.Queue, (50_000, 20_000), 0.25
    ),
    "queue_priority": workload(
        "PriorityQueue, nobody waits", alone, queues.PriorityQueue,
        queue.PriorityQueue, (20_000, 10_000), 0.5,
    ),
    "queue_simple": workload(
        "SimpleQueue, nobody waits", alone, queues.SimpleQueue, queue.SimpleQueue,
        (100_000, 100_000), None,
    ),
    "queue_threads": workload(
        f"Queue({ROOM}) between two threads", threads_over, small(queues.Queue),
        small(queue.Queue), (20_000, 20_000), 0.67,
    ),
    "queue_threads_narrow": workload(
        "Queue(1) between two threads", threads_over, small(queues.Queue, 1),
        small(queue.Queue, 1), (4000, 4000), 0.67,
    ),
    "queue_threads_simple": workload(
        "SimpleQueue between two threads", threads_over, queues.SimpleQueue,
        queue.SimpleQueue, (50_000, 50_000), None,
    ),
    "queue_requests": workload(
        "request and reply over Queues, two threads", requests_over, queues.Queue,
        queue.Queue, (4000, 4000), 0.67,
    ),
    "queue_requests_simple": workload(
        "request and reply over SimpleQueues, two threads", requests_over,
        queues.SimpleQueue, queue.SimpleQueue, (4000, 4000), None,
    ),
}  # fmt: skip
