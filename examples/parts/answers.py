"""Requests and answers between two threads, beside a third that computes."""

import queue
import statistics
import threading
import time
from collections.abc import Callable

import tasklets
from parts import Comparison, Note, Result, Results, shorter

TITLE = "Answers"
ROUNDS = 1

SECONDS = 1.0
PAUSE = 0.002  # seconds between an answer and the next request
END = -1


def explained(_: float) -> str:
    """Return what is done."""
    return (
        f"a thread sleeps {1000 * PAUSE:g} ms and then asks, another answers, and a "
        "third computes all the time."
    )


def talk(scale: float, note: Note, pause, ask: tuple, answer: tuple) -> Result:
    """Send requests for some time, and return how long the answers took."""
    (put, get), (their_get, their_put) = ask, answer
    seconds = shorter(SECONDS, scale)
    ending = False
    share = 0.0

    def compute() -> None:
        nonlocal share
        start, used = time.perf_counter(), time.thread_time()
        while not ending:
            for _ in range(1000):
                pass
        share = (time.thread_time() - used) / (time.perf_counter() - start)

    def reply() -> None:
        while (number := their_get()) != END:
            their_put(number + 1)

    took: list[float] = []
    wrong = 0
    threads = [threading.Thread(target=work) for work in (compute, reply)]
    for thread in threads:
        thread.start()
    try:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter() + PAUSE
            pause(PAUSE)
            put(len(took))
            wrong += get() != len(took) + 1
            took.append(time.perf_counter() - start)
        note(f"{len(took):,} answers")
    finally:
        ending = True
        put(END)
        for thread in threads:
            thread.join()
    return {
        "answers": len(took),
        "median_ms": 1000 * statistics.median(took),
        "slowest_ms": 1000 * max(took),
        "share": share,
        "wrong": wrong,
    }


def over_channels(scale: float, note: Note) -> Result:
    """Run talk() over channels."""
    there, back = tasklets.channel(), tasklets.channel()
    return talk(
        scale,
        note,
        tasklets.sleep,
        (there.send, back.receive),
        (there.receive, back.send),
    )


def over_queues(scale: float, note: Note) -> Result:
    """Run talk() over the fastest queues of the standard library."""
    there, back = queue.SimpleQueue(), queue.SimpleQueue()
    return talk(scale, note, time.sleep, (there.put, back.get), (there.get, back.put))


SUBJECTS: dict[str, Callable[[float, Note], Result]] = {
    "tasklets": over_channels,
    "queue": over_queues,
}


def lines(results: Results) -> list[tuple[str, object]]:
    """Return the results to show."""
    names = {"tasklets": "channel", "queue": "queue.SimpleQueue"}
    return [
        (
            names[name],
            f"{result['answers']:,} answers, {result['median_ms']:.2f} ms after the "
            f"sleep, slowest {result['slowest_ms']:.1f} ms; "
            f"{result['share']:.0%} of a CPU for the third",
        )
        for name, (result,) in results.items()
    ]


def comparisons(results: Results) -> list[Comparison]:
    """Compare with queue.SimpleQueue."""
    (mine,), (theirs,) = results["tasklets"], results["queue"]
    return [
        Comparison(
            "from the end of a sleep to an answer, ms",
            *(mine["median_ms"], theirs["median_ms"], "SimpleQueue", "{:.3f}"),
        ),
    ]


def mistakes(results: Results) -> list[str]:
    """Return the wrong results."""
    return [
        f"{name}: {result['wrong']} answers were wrong"
        for name, (result,) in results.items()
        if result["wrong"]
    ]
