"""What it costs to yield to other tasklets."""

import asyncio
import time

from benchmarks.measure import Workload, bare_switch, cpu_clock, in_thread, wall_clock
from benchmarks.peers import gevent, only_with_gevent
from tasklets import run, schedule, tasklet


def among_tasklets(runnable):
    """Return a subject: that many tasklets that only call schedule()."""

    def subject(n):
        turns = max(n // runnable, 1)

        def body(schedule=schedule):
            for _ in range(turns):
                schedule()

        for _ in range(runnable):
            tasklet(body)()
        start = cpu_clock()
        run()
        return (cpu_clock() - start) / (turns * runnable)

    return subject


def among_gevent(runnable):
    """Return the same with gevent.sleep(0)."""

    def subject(n):
        turns = max(n // runnable, 1)

        def body(sleep=gevent.sleep):
            for _ in range(turns):
                sleep(0)

        start = cpu_clock()
        gevent.joinall([gevent.spawn(body) for _ in range(runnable)])
        return (cpu_clock() - start) / (turns * runnable)

    return subject


def among_asyncio(runnable):
    """Return the same with asyncio.sleep(0)."""

    def subject(n):
        turns = max(n // runnable, 1)

        async def body(sleep=asyncio.sleep):
            for _ in range(turns):
                await sleep(0)

        async def main():
            start = cpu_clock()
            await asyncio.gather(*[body() for _ in range(runnable)])
            return cpu_clock() - start

        return asyncio.run(main()) / (turns * runnable)

    return subject


def among_threads(runnable):
    """Return the same with operating system threads and time.sleep(0)."""

    def subject(n):
        turns = max(n // runnable, 1)

        def body(sleep=time.sleep):
            for _ in range(turns):
                sleep(0)

        start = wall_clock()
        for thread in [in_thread(body) for _ in range(runnable)]:
            thread.join()
        return (wall_clock() - start) / (turns * runnable)

    return subject


def workload(runnable):
    """Return the workload with that many runnable tasklets."""
    return Workload(
        title=f"`schedule()`, {runnable} runnable",
        size=100_000,
        reach=1.15,
        beyond=0.95,
        reference=bare_switch,
        tasklets=among_tasklets(runnable),
        peers=only_with_gevent(
            {
                "gevent": among_gevent(runnable),
                "asyncio": among_asyncio(runnable),
                "threads": among_threads(runnable),
            }
        ),
    )


WORKLOADS = {"schedule_2": workload(2), "schedule_100": workload(100)}
