"""Sleeping, timeouts, descriptors and select(), beside asyncio and gevent."""

import asyncio
import functools
import mmap
import os
import random
import select as select_module
import socket
import threading
import time

from benchmarks.bench_atomic import noop_each
from benchmarks.measure import Workload, cpu_clock, in_thread, wall_clock
from benchmarks.peers import gevent, only_with_gevent
from tasklets import (
    TaskGroup,
    channel,
    recv,
    run,
    schedule,
    scheduler,
    select,
    sleep,
    spawn,
    tasklet,
    timeout,
)

SLEEPERS = 10_000
PAUSE = 0.001

# ---- many that sleep


def per_wakeup(n, work):
    """Return the CPU time of one wakeup: n in all, of many sleepers."""
    rounds = max(n // SLEEPERS, 2)
    start = time.process_time_ns()
    work(min(n, SLEEPERS), rounds)
    return (time.process_time_ns() - start) / (min(n, SLEEPERS) * rounds)


def sleepers(n):
    """Let tasklets sleep again and again."""

    def nap(rounds):
        for _ in range(rounds):
            sleep(PAUSE)

    def work(count, rounds):
        for _ in range(count):
            spawn(nap, rounds)
        scheduler.run(wait=True)

    return per_wakeup(n, work)


def asyncio_sleepers(n):
    """Let asyncio's tasks sleep again and again."""

    async def nap(rounds):
        for _ in range(rounds):
            await asyncio.sleep(PAUSE)

    async def main(count, rounds):
        await asyncio.gather(*(nap(rounds) for _ in range(count)))

    return per_wakeup(n, lambda *args: asyncio.run(main(*args)))


def gevent_sleepers(n):
    """Let gevent's greenlets sleep again and again."""

    def nap(rounds):
        for _ in range(rounds):
            gevent.sleep(PAUSE)

    def work(count, rounds):
        gevent.joinall([gevent.spawn(nap, rounds) for _ in range(count)])

    return per_wakeup(n, work)


# ---- timers


def timers(n):
    """Make and cancel callbacks of random times, 1,000 of them pending."""
    delays = [random.Random(1).random() * 100 + 1 for _ in range(1000)]
    pending = [scheduler.call_later(delay, int) for delay in delays]
    start = cpu_clock()
    for i in range(n):
        scheduler.call_later(delays[i % 1000], int).cancel()
    cost = (cpu_clock() - start) / n
    for each in pending:
        each.cancel()
    return cost


def asyncio_timers(n):
    """Do the same with asyncio's loop."""

    async def main():
        loop = asyncio.get_running_loop()
        delays = [random.Random(1).random() * 100 + 1 for _ in range(1000)]
        pending = [loop.call_later(delay, int) for delay in delays]
        start = cpu_clock()
        for i in range(n):
            loop.call_later(delays[i % 1000], int).cancel()
        cost = (cpu_clock() - start) / n
        for each in pending:
            each.cancel()
        return cost

    return asyncio.run(main())


def timeout_each(n):
    """Enter and leave a timeout() block that does not wait."""
    start = cpu_clock()
    for _ in range(n):
        with timeout(1):
            pass
    return (cpu_clock() - start) / n


# ---- groups and kills


def group_each(n):
    """Make and leave a group with one tasklet."""
    start = cpu_clock()
    for _ in range(n):
        with TaskGroup() as group:
            group.spawn(int)
    return (cpu_clock() - start) / n


def asyncio_group_each(n):
    """Do the same with asyncio's."""

    async def nothing():
        pass

    async def main():
        start = cpu_clock()
        for _ in range(n):
            async with asyncio.TaskGroup() as group:
                group.create_task(nothing())
        return (cpu_clock() - start) / n

    return asyncio.run(main())


def group_of_1000(n):
    """Spawn tasklets into groups, 1,000 each, and wait for them."""
    start = cpu_clock()
    for _ in range(max(n // 1000, 1)):
        with TaskGroup() as group:
            for _ in range(1000):
                group.spawn(int)
    return (cpu_clock() - start) / (max(n // 1000, 1) * 1000)


def asyncio_group_of_1000(n):
    """Do the same with asyncio's tasks."""

    async def nothing():
        pass

    async def main():
        start = cpu_clock()
        for _ in range(max(n // 1000, 1)):
            async with asyncio.TaskGroup() as group:
                for _ in range(1000):
                    group.create_task(nothing())
        return (cpu_clock() - start) / (max(n // 1000, 1) * 1000)

    return asyncio.run(main())


def kill_each(n):
    """Kill tasklets that wait."""
    ch = channel()
    waiting = [tasklet(ch.receive)() for _ in range(n)]
    run()
    start = cpu_clock()
    for each in waiting:
        each.kill()
    return (cpu_clock() - start) / n


def gevent_kill_each(n):
    """Do the same with gevent's greenlets."""
    event = gevent.event.Event()
    waiting = [gevent.spawn(event.wait) for _ in range(n)]
    gevent.sleep(0)
    start = cpu_clock()
    for each in waiting:
        each.kill()
    return (cpu_clock() - start) / n


# ---- select()


def with_senders(count, n):
    """Return channels; n tasklets wait to send on the first of them."""
    channels = [channel() for _ in range(count)]
    for _ in range(n):
        tasklet(channels[0].send)(None)
    run()
    return channels


def plain_receive(n):
    """Receive from a sender that waits."""
    (ch,) = with_senders(1, n)
    start = cpu_clock()
    for _ in range(n):
        ch.receive()
    cost = (cpu_clock() - start) / n
    run()
    return cost


def select_of_2(n):
    """Do the same with select() from two channels."""
    one, other = [recv(ch) for ch in with_senders(2, n)]
    start = cpu_clock()
    for _ in range(n):
        select(one, other)
    cost = (cpu_clock() - start) / n
    run()
    return cost


def select_of_100(n):
    """Do the same with select() from 100. Each call would copy a list to a tuple."""
    cases = tuple(recv(ch) for ch in with_senders(100, n))
    start = cpu_clock()
    for _ in range(n):
        select(*cases)
    cost = (cpu_clock() - start) / n
    run()
    return cost


def meeting(receive):
    """Let one tasklet send and another wait each time, by receive(channels)."""

    def subject(n):
        channels = [channel() for _ in range(2)]

        def work():
            wait = receive(channels)
            for _ in range(n):
                wait()

        spawn(work)
        schedule()
        send = channels[0].send
        start = cpu_clock()
        for _ in range(n):
            send(None)
            schedule()
        return (cpu_clock() - start) / n

    return subject


def select_both(channels):
    """Return a call that waits for the first of two."""
    return functools.partial(select, *[recv(ch) for ch in channels])


# ---- beside others


def lateness(share):
    """Return a subject: how late a sleep of 1 ms is beside 100 that only yield."""

    def subject(n):
        late, ending = [], []

        def yielder():
            while not ending:
                schedule()

        def napper():
            for _ in range(n):
                start = wall_clock()
                sleep(PAUSE)
                late.append(wall_clock() - start - PAUSE * 1e9)
            ending.append(True)

        for _ in range(100):
            spawn(yielder)
        spawn(napper)
        scheduler.run(wait=True)
        return max(sorted(late)[min(int(share * n), n - 1)], 0)

    return subject


def echo(share):
    """Return a subject: how long an echo over sockets takes beside 100 that yield."""

    def subject(n):
        here, there = socket.socketpair()
        took, ending = [], []

        def yielder():
            while not ending:
                schedule()

        def answer():
            while True:
                scheduler.wait_readable(there)
                data = there.recv(100)
                if not data:
                    return
                there.send(data)

        def ask():
            for _ in range(n):
                start = wall_clock()
                here.send(b"x")
                scheduler.wait_readable(here)
                here.recv(100)
                took.append(wall_clock() - start)
            ending.append(True)
            here.close()

        for _ in range(100):
            spawn(yielder)
        spawn(answer)
        spawn(ask)
        scheduler.run(wait=True)
        there.close()
        return sorted(took)[min(int(share * n), n - 1)]

    return subject


def by_select(fd):
    """Wait with select.select(), as standard Python does."""
    select_module.select([fd], [], [])


def answering(wait, busy):
    """Return a subject: how soon a thread goes on when a descriptor becomes ready.

    Beside some threads that compute; the median of n times, once per millisecond. The
    calls that it then makes, such as read(), release the GIL as in any thread.
    """

    def subject(n):
        ending = threading.Event()
        read, write = os.pipe()
        posted, took = mmap.mmap(-1, 8 * n), []
        # The writer must be on time, so it is a separate process.
        child = os.fork()
        if child == 0:
            try:
                for i in range(n):
                    time.sleep(PAUSE)
                    posted[8 * i : 8 * i + 8] = time.monotonic_ns().to_bytes(
                        8, "little"
                    )
                    os.write(write, b"x")
            finally:
                os._exit(0)

        def compute():
            while not ending.is_set():
                for _ in range(1000):
                    pass

        def answer():
            seen = 0
            while seen < n:
                wait(read)
                now = time.monotonic_ns()
                sent = posted[8 * seen : 8 * seen + 8]
                took.append(now - int.from_bytes(sent, "little"))
                seen += len(os.read(read, n))

        threads = [in_thread(compute) for _ in range(busy)]
        in_thread(answer).join()
        ending.set()
        for thread in threads:
            thread.join()
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
        return sorted(took)[len(took) // 2]

    return subject


WORKLOADS = {
    "sleepers": Workload(
        title="CPU time of a wakeup, 10,000 tasklets that sleep 1 ms",
        size=100_000,
        reach=0.2,
        reference=asyncio_sleepers,
        reference_size=50_000,
        reference_name="asyncio",
        fresh=True,
        tasklets=sleepers,
        peers=only_with_gevent({"gevent": gevent_sleepers}),
    ),
    "timers": Workload(
        title="make and cancel a timer",
        size=100_000,
        reach=0.3,
        reference=asyncio_timers,
        reference_size=50_000,
        reference_name="asyncio",
        tasklets=timers,
    ),
    "timeout": Workload(
        title="`with timeout(1): pass`",
        size=200_000,
        reach=3,
        reference=noop_each,
        reference_size=200_000,
        reference_name="a C no-op",
        tasklets=timeout_each,
    ),
    "group": Workload(
        title="a `TaskGroup` with one tasklet",
        size=20_000,
        reference=asyncio_group_each,
        reference_size=5_000,
        reference_name="asyncio",
        tasklets=group_each,
    ),
    "group_1000": Workload(
        title="a tasklet of a `TaskGroup` of 1,000, spawned and ended",
        size=20_000,
        reference=asyncio_group_of_1000,
        reference_size=5_000,
        reference_name="asyncio",
        tasklets=group_of_1000,
    ),
    "kill": Workload(
        title="`kill()` of a tasklet that waits",
        size=10_000,
        tasklets=kill_each,
        peers=only_with_gevent({"gevent": gevent_kill_each}),
        unit=1e3,
        suffix=" us",
    ),
    **{
        f"select_{count}": Workload(
            title=f"`select()` from {count} channels, one ready",
            size=10_000,
            reach=reach,
            reference=plain_receive,
            reference_size=10_000,
            reference_name="`receive()`",
            tasklets=subject,
        )
        for count, reach, subject in ((2, 1.5, select_of_2), (100, 6, select_of_100))
    },
    "select_wait": Workload(
        title="`select()` from 2 channels that waits",
        size=50_000,
        reference=meeting(lambda channels: channels[0].receive),
        reference_size=50_000,
        reference_name="`receive()`",
        tasklets=meeting(select_both),
    ),
    "late": Workload(
        title="lateness of a 1 ms sleep beside 100 that yield, 99th percentile",
        size=500,
        reach=3,
        unit=1e6,
        suffix=" ms",
        fresh=True,
        tasklets=lateness(0.99),
    ),
    "echo": Workload(
        title="echo over sockets beside 100 that yield, 99th percentile",
        size=500,
        reach=3,
        unit=1e6,
        suffix=" ms",
        fresh=True,
        tasklets=echo(0.99),
    ),
    **{
        f"answer_{busy}": Workload(
            title=f"answer to a descriptor beside {busy} threads that compute",
            size=300,
            reach=reach,
            unit=1e6,
            suffix=" ms",
            fresh=True,
            tasklets=answering(scheduler.wait_readable, busy),
            peers={"threads": answering(by_select, busy)},
        )
        for busy, reach in ((1, 0.2), (4, 2))
    },
}
