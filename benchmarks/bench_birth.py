"""What it costs to create, run and finish a tasklet, and to hold a blocked one."""

import asyncio
import threading

import greenlet

from benchmarks.measure import (
    Workload,
    bare_switch,
    cpu_clock,
    in_thread,
    resident,
    wall_clock,
)
from benchmarks.peers import gevent, only_with_gevent
from tasklets import channel, run, tasklet


def nothing():
    """Do nothing."""


async def nothing_async():
    """Do nothing, in a task."""


# ---- finished


def batch_tasklets(n):
    """Create all, then run them."""
    start = cpu_clock()
    for _ in range(n):
        tasklet(nothing)()
    run()
    return (cpu_clock() - start) / n


def single_tasklets(n):
    """Create and run one at a time."""
    start = cpu_clock()
    for _ in range(n):
        tasklet(nothing)()
        run()
    return (cpu_clock() - start) / n


def batch_gevent(n):
    """Create all, then run them."""
    spawn = gevent.spawn
    start = cpu_clock()
    for _ in range(n):
        spawn(nothing)
    gevent.sleep(0)
    return (cpu_clock() - start) / n


def single_gevent(n):
    """Create and run one at a time."""
    spawn, sleep = gevent.spawn, gevent.sleep
    start = cpu_clock()
    for _ in range(n):
        spawn(nothing)
        sleep(0)
    return (cpu_clock() - start) / n


def batch_asyncio(n):
    """Create all, then run them."""

    async def main():
        start = cpu_clock()
        await asyncio.gather(*[nothing_async() for _ in range(n)])
        return cpu_clock() - start

    return asyncio.run(main()) / n


def single_asyncio(n):
    """Create and run one at a time."""

    async def main():
        create = asyncio.get_running_loop().create_task
        start = cpu_clock()
        for _ in range(n):
            await create(nothing_async())
        return cpu_clock() - start

    return asyncio.run(main()) / n


def single_threads(n):
    """Create and run one at a time."""
    start = wall_clock()
    for _ in range(n):
        in_thread(nothing).join()
    return (wall_clock() - start) / n


# ---- blocked


def block_tasklets(n):
    """Return a function that leaves n new tasklets blocked, each one frame deep."""
    ch = channel()

    def body():
        ch.receive()

    def work():
        for _ in range(n):
            tasklet(body)()
        run()

    return work


def block_greenlets(n):
    """Return the same with bare greenlets."""
    born = [None] * n
    home = greenlet.getcurrent()

    def body():
        home.switch()

    def work():
        new = greenlet.greenlet
        for i in range(n):
            one = born[i] = new(body)
            one.switch()

    work.keep = born
    return work


def block_gevent(n):
    """Return the same with gevent."""
    event = gevent.event.Event()

    def body():
        event.wait()

    def work():
        spawn = gevent.spawn
        for _ in range(n):
            spawn(body)
        gevent.sleep(0)

    # Start the hub and its loop, whose cost is not measured.
    gevent.sleep(0)
    work.keep = event
    return work


def block_asyncio(n):
    """Return the same with asyncio."""
    loop = asyncio.new_event_loop()
    event = asyncio.Event()
    born = [None] * n

    async def body():
        await event.wait()

    async def main():
        create = loop.create_task
        for i in range(n):
            born[i] = create(body())
        await asyncio.sleep(0)

    def work():
        loop.run_until_complete(main())

    loop.run_until_complete(nothing_async())
    # Each task that is pending when the process ends would print a warning.
    loop.set_exception_handler(lambda *_: None)
    work.keep = loop, born
    return work


def block_threads(n):
    """Return the same with operating system threads."""
    closed = threading.Lock()
    closed.acquire()
    born = [None] * n

    def body():
        closed.acquire()
        closed.release()

    def work():
        for i in range(n):
            born[i] = in_thread(body)

    def end():
        closed.release()
        for thread in born:
            thread.join()

    work.end = end
    return work


def time_of(prepare, clock=cpu_clock):
    """Return a subject: the time until all are blocked."""

    def subject(n):
        work = prepare(n)
        start = clock()
        work()
        elapsed = clock() - start
        getattr(work, "end", nothing)()
        return elapsed / n

    return subject


def memory_of(prepare):
    """Return a subject: the memory that the blocked ones take."""

    def subject(n):
        work = prepare(n)
        few = prepare(4)
        few()
        before = resident()
        work()
        size = resident() - before
        for each in (few, work):
            getattr(each, "end", nothing)()
        return size / n

    return subject


WORKLOADS = {
    "create_batch": Workload(
        title="create, run and finish, in a batch",
        size=100_000,
        reach=3.0,
        beyond=1.8,
        reference=bare_switch,
        tasklets=batch_tasklets,
        peers=only_with_gevent({"gevent": batch_gevent, "asyncio": batch_asyncio}),
    ),
    "create_single": Workload(
        title="create, run and finish, one at a time",
        size=100_000,
        reach=3.0,
        beyond=1.8,
        reference=bare_switch,
        tasklets=single_tasklets,
        peers=only_with_gevent(
            {
                "gevent": single_gevent,
                "asyncio": single_asyncio,
                "threads": single_threads,
            }
        ),
    ),
    "first_births": Workload(
        title="first births, all block at once",
        size=100_000,
        reach=14,
        beyond=9,
        reference=bare_switch,
        fresh=True,
        tasklets=time_of(block_tasklets),
        peers=only_with_gevent(
            {
                "greenlet": time_of(block_greenlets),
                "gevent": time_of(block_gevent),
                "asyncio": time_of(block_asyncio),
                "threads": time_of(block_threads, wall_clock),
            }
        ),
    ),
    "memory": Workload(
        title="memory of a blocked tasklet, one frame deep",
        size=100_000,
        reach=4.0,
        beyond=3.2,
        unit=1024,
        in_bytes=True,
        suffix=" KB",
        fresh=True,
        tasklets=memory_of(block_tasklets),
        peers=only_with_gevent(
            {
                "greenlet": memory_of(block_greenlets),
                "gevent": memory_of(block_gevent),
                "asyncio": memory_of(block_asyncio),
                "threads": memory_of(block_threads),
            }
        ),
    ),
}
