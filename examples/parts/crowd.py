"""100,000 tasklets that wait, and messages that wake them."""

import asyncio
import gc
import time
from pathlib import Path

import tasklets
from parts import Comparison, Note, Result, Results

TITLE = "Crowd"
ROUNDS = 1

CROWD = 100_000
ROUND = 2  # messages per tasklet
PIECE = 20_000  # messages between two progress notes


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no Rss in /proc/self/smaps_rollup")


def sizes(scale: float) -> tuple[int, int]:
    """Return the number of waiting tasklets, and of messages."""
    crowd = max(1, int(CROWD * scale))
    return crowd, crowd * ROUND


def explained(scale: float) -> str:
    """Return what is done."""
    crowd, _ = sizes(scale)
    return f"{crowd:,} tasklets wait for messages; each message wakes one of them."


def outcome(crowd: int, memory: int, born: float, sent: int, seconds: float) -> Result:
    """Return a subject's result. Seconds are CPU time."""
    return {
        "crowd": crowd,
        "bytes": memory / crowd,
        "births": crowd / born,
        "rate": sent / seconds,
    }


def meet(scale: float, note: Note) -> Result:
    """Run tasklets that wait on a channel."""
    crowd, messages = sizes(scale)
    received = 0

    def wait(ch):
        nonlocal received
        for _ in ch:
            received += 1

    ch = tasklets.channel()
    gc.collect()
    before, start = resident(), time.process_time()
    waiting = [tasklets.spawn(wait, ch) for _ in range(crowd)]
    tasklets.run()
    born = time.process_time() - start
    memory = resident() - before
    note(f"{crowd:,} wait")
    start = time.process_time()
    for number in range(messages):
        ch.send(number)
        if number % PIECE == 0:
            note(f"{number:,} messages")
    tasklets.run()
    seconds = time.process_time() - start
    ch.close(wake=True)
    tasklets.run()
    ended = sum(each.done() for each in waiting)
    return outcome(crowd, memory, born, messages, seconds) | {
        "ok": (received, ended) == (messages, crowd)
    }


def meet_async(scale: float, note: Note) -> Result:
    """Run asyncio tasks that wait on a queue."""

    async def main() -> Result:
        crowd, messages = sizes(scale)
        received = 0

        async def wait(queue):
            nonlocal received
            while True:
                await queue.get()
                received += 1

        queue = asyncio.Queue(1)  # a sender waits until a task receives
        gc.collect()
        before, start = resident(), time.process_time()
        waiting = [asyncio.create_task(wait(queue)) for _ in range(crowd)]
        await asyncio.sleep(0)
        born = time.process_time() - start
        memory = resident() - before
        note(f"{crowd:,} wait")
        start = time.process_time()
        for number in range(messages):
            await queue.put(number)
            if number % PIECE == 0:
                note(f"{number:,} messages")
        while not queue.empty():
            await asyncio.sleep(0)
        seconds = time.process_time() - start
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return outcome(crowd, memory, born, messages, seconds) | {
            "ok": received == messages
        }

    return asyncio.run(main())


SUBJECTS = {"tasklets": meet, "asyncio": meet_async}


def lines(results: Results) -> list[tuple[str, object]]:
    """Return the results to show."""
    return [
        (
            name,
            f"{result['crowd']:,} wait, {result['bytes']:,.0f} bytes each; "
            f"{result['births']:,.0f} started and {result['rate']:,.0f} messages "
            "a second",
        )
        for name, (result,) in results.items()
    ]


def comparisons(results: Results) -> list[Comparison]:
    """Compare with asyncio."""
    (mine,), (theirs,) = results["tasklets"], results["asyncio"]
    return [
        Comparison(
            f"messages a second among {mine['crowd']:,}",
            *(mine["rate"], theirs["rate"], "asyncio"),
            more_is_better=True,
        ),
        Comparison(
            "started a second, until they wait",
            *(mine["births"], theirs["births"], "asyncio"),
            more_is_better=True,
        ),
        Comparison(
            "bytes per waiting tasklet", mine["bytes"], theirs["bytes"], "asyncio"
        ),
    ]


def mistakes(results: Results) -> list[str]:
    """Return the wrong results."""
    return [
        f"{name}: messages got lost"
        for name, (result,) in results.items()
        if not result["ok"]
    ]
