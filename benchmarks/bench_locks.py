"""What locks cost: alone, between tasklets, and between operating system threads.

The locks of threading are measured in the same process, right before.
"""

import threading
from functools import partial
from itertools import repeat

from benchmarks.bench_priority import beside
from benchmarks.bench_threads import allowed, over_queues, pin
from benchmarks.measure import Workload, bare_switch, cpu_clock, in_thread, wall_clock
from tasklets import getcurrent, locks, spawn
from tasklets.scheduler import run as run_all

CONTENDERS = 100
PARTIES = 8
BATCH = 2e8  # nanoseconds
STOP = None


# ---- without contention


def entering(make):
    """Return a subject: a with statement with an empty body."""

    def subject(n):
        lock = make()
        start = cpu_clock()
        for _ in repeat(None, n):
            with lock:
                pass
        return (cpu_clock() - start) / n

    return subject


def waiting_for_what_is_set(make):
    """Return a subject: wait() of an event that is set."""

    def subject(n):
        event = make()
        event.set()
        wait = event.wait
        start = cpu_clock()
        for _ in repeat(None, n):
            wait()
        return (cpu_clock() - start) / n

    return subject


# ---- tasklets


def contending(n):
    """Pass one lock between a hundred tasklets: what a hand-off costs."""
    lock = locks.Lock()

    def work(times):
        acquire, release = lock.acquire, lock.release
        for _ in repeat(None, times):
            acquire()
            release()

    times = max(n // CONTENDERS, 1)
    lock.acquire()
    for _ in range(CONTENDERS):
        spawn(work, times)
    run_all()
    start = cpu_clock()
    lock.release()
    run_all()
    return (cpu_clock() - start) / (times * CONTENDERS)


# ---- threads


def in_turns(first, second, cpus=None):
    """Return the nanoseconds that two threads take to run these functions."""

    def begin(work):
        if cpus is not None:
            pin(cpus)
        work()

    start = wall_clock()
    threads = [in_thread(partial(begin, work)) for work in (first, second)]
    for thread in threads:
        thread.join()
    return wall_clock() - start


def over_condition(make, n, cpus=None):
    """Pass items from one thread to another: what an item costs."""
    cond, items = make(), []

    def produce():
        for i in range(n):
            with cond:
                while items:
                    cond.wait()
                items.append(i)
                cond.notify()

    def consume():
        for _ in range(n):
            with cond:
                while not items:
                    cond.wait()
                items.pop()
                cond.notify()

    return in_turns(produce, consume, cpus) / n


def over_locks(make, n, cpus=None, begin=int):
    """Two threads wake each other in turn with a lock for each: a round trip."""
    there, back = make(), make()
    there.acquire()
    back.acquire()

    def ask():
        begin()
        for _ in repeat(None, n):
            there.release()
            back.acquire()

    def answer():
        begin()
        for _ in repeat(None, n):
            there.acquire()
            back.release()

    return in_turns(ask, answer, cpus) / n


def over_barrier(make, n):
    """Eight threads pass a barrier repeatedly: what a turn costs."""
    barrier = make(PARTIES)

    def work():
        for _ in repeat(None, n):
            barrier.wait()

    start = wall_clock()
    threads = [in_thread(work) for _ in range(PARTIES)]
    for thread in threads:
        thread.join()
    return (wall_clock() - start) / n


def free(work, make):
    """Return a subject whose threads may run anywhere."""
    return lambda n: work(make, n)


def pinned(work, make):
    """Return a subject whose threads share one CPU."""
    return lambda n: work(make, n, {allowed()[0]})


def beside_one(work, make):
    """Return a subject beside a thread that computes."""
    return lambda n: beside(1, lambda: work(make, n))[0]


def work_done(work, make):
    """Return a subject: how much longer a computing thread takes beside the others."""

    def subject(n):
        rounds, ending = 0, False

        def go_on():
            items = 20
            while not ending:  # batch after batch, of about BATCH
                items = max(int(BATCH / work(make, items)), 20)

        thread = in_thread(go_on)
        start = wall_clock()
        while wall_clock() - start < n * 1e6:
            rounds += 1
            for _ in range(100):
                pass
        ending = True
        thread.join()
        return n * 1e6 / rounds

    return subject


def queue_round_trip(n):
    """Request and reply over two SimpleQueues: a round trip."""
    put, get, their_get, their_put = over_queues()

    def reply():
        while (message := their_get()) is not STOP:
            their_put(message)

    def ask():
        for i in range(n):
            put(i)
            get()
        put(STOP)

    return in_turns(ask, reply) / n


# ---- the table


def against(title, size, subject, make, other, **aims):
    """Return a workload of a lock of tasklets against the same of threading."""
    return Workload(
        title=title,
        size=size,
        tasklets=subject(make),
        reference=subject(other),
        reference_size=size,
        reference_name=f"threading.{other.__name__}",
        **aims,
    )


def between(title, size, how, work, name, reference_size=None, **aims):
    """Return a workload between threads that uses the class of that name."""
    make, other = getattr(locks, name), getattr(threading, name)
    return Workload(
        title=title,
        size=size,
        tasklets=how(work, make),
        reference=how(work, other),
        reference_size=reference_size or size,
        reference_name=f"threading.{name}",
        fresh=True,
        **aims,
    )


COND = "an item from thread to thread by a `Condition`"
PAIR = "a round trip between threads by two locks"
WORKLOADS = {
    "lock": against("`with Lock()`", 200_000, entering, locks.Lock, threading.Lock,
                    reach=1.15),
    "rlock": against("`with RLock()`", 200_000, entering, locks.RLock,
                     threading.RLock, reach=1.15),
    "semaphore": against("`with Semaphore()`", 100_000, entering, locks.Semaphore,
                         threading.Semaphore, reach=0.35),
    "condition": against("`with Condition()`", 200_000, entering, locks.Condition,
                         threading.Condition, reach=0.35),
    "event": against("`Event.wait()`, set", 200_000, waiting_for_what_is_set,
                     locks.Event, threading.Event, reach=0.35),
    "lock_contended": Workload(
        title="a lock goes from tasklet to tasklet, with 100 waiters",
        size=40_000, tasklets=contending, reference=bare_switch, reach=2.5,
    ),
    "lock_threads": Workload(
        title="a round trip between tasklets of two threads by two locks",
        size=20_000, fresh=True, reach=0.15,
        tasklets=lambda n: over_locks(locks.Lock, n, begin=getcurrent),
        reference=queue_round_trip, reference_size=20_000,
        reference_name="SimpleQueue",
    ),
    "condition_threads": between(COND, 20_000, free, over_condition, "Condition",
                                 reach=0.2, beyond=0.05),
    "condition_pinned": between(f"{COND}, on one CPU", 20_000, pinned, over_condition,
                                "Condition", reach=0.67),
    "condition_beside": between(f"{COND}, beside a computing thread", 5000, beside_one,
                                over_condition, "Condition", reference_size=500,
                                reach=0.05),
    "condition_others": between("time the computing thread then takes for its work",
                                1000, work_done, over_condition, "Condition",
                                reach=1.25),
    "locks_threads": between(PAIR, 20_000, free, over_locks, "Lock", reach=0.2),
    "locks_pinned": between(f"{PAIR}, on one CPU", 20_000, pinned, over_locks, "Lock",
                            reach=0.67),
    "barrier_threads": between("8 threads pass a `Barrier`", 500, free, over_barrier,
                               "Barrier", reach=0.67),
}  # fmt: skip
