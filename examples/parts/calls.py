"""200 blocking calls, some at a time, under a deadline."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from parts import Comparison, Note, Result, Results, shorter

TITLE = "Calls"
ROUNDS = 1

CALLS = 200
LIMIT = 20
DEADLINE = 1.0  # seconds
TAKES = 0.02  # seconds
HANGS = 2.5  # seconds that the last call takes


def number_of_calls(scale: float) -> int:
    """Return how many calls are made."""
    return max(2, int(CALLS * scale))


def explained(scale: float) -> str:
    """Return what is done."""
    return (
        f"{number_of_calls(scale)} blocking calls, {LIMIT} at a time, within "
        f"{shorter(DEADLINE, scale):g} s; one of them hangs for "
        f"{shorter(HANGS, scale):g} s."
    )


def call(number: int, seconds: float) -> int:
    """Call a slow library."""
    time.sleep(seconds)
    return number * number


class Trial:
    """The outcome of the calls."""

    def __init__(self, scale: float, note: Note) -> None:
        self.number = number_of_calls(scale)
        self.deadline = shorter(DEADLINE, scale)
        self.hangs = shorter(HANGS, scale)
        self.note = note
        self.results: dict[int, int] = {}
        self.start = time.perf_counter()

    def seconds(self, number: int) -> float:
        """Return how long a call takes: the last call hangs."""
        return self.hangs if number == self.number - 1 else TAKES

    def add(self, number: int, result: int) -> None:
        """Record the result of a call."""
        self.results[number] = result
        self.note(f"{len(self.results)} of {self.number} calls")

    def passed(self) -> float:
        """Return the seconds since the beginning."""
        return time.perf_counter() - self.start

    def outcome(self, in_time: bool) -> Result:
        """Return the results when the block has been left."""
        return {
            "calls": self.number,
            "results": len(self.results),
            "left": self.passed(),
            "over": self.passed(),
            "in_time": in_time,
            "wrong": sum(n * n != result for n, result in self.results.items()),
        }


def in_a_group(scale: float, note: Note) -> Result:
    """Make the calls in a TaskGroup."""
    from tasklets import TaskGroup, timeout
    from tasklets.workers import call_on_worker

    trial = Trial(scale, note)

    def ask(number):
        trial.add(number, call_on_worker(call, number, trial.seconds(number)))

    try:
        with timeout(trial.deadline), TaskGroup(limit=LIMIT) as group:
            for number in range(trial.number):
                group.spawn(ask, number)
    except TimeoutError:
        return trial.outcome(in_time=False)
    return trial.outcome(in_time=True)


def in_a_pool(scale: float, note: Note) -> Result:
    """Make the calls in a ThreadPoolExecutor."""
    trial = Trial(scale, note)
    in_time = True
    with ThreadPoolExecutor(LIMIT) as pool:
        futures = {
            pool.submit(call, number, trial.seconds(number)): number
            for number in range(trial.number)
        }
        try:
            for done in as_completed(futures, trial.deadline):
                trial.add(futures[done], done.result())
        except TimeoutError:
            in_time = False
            pool.shutdown(wait=False, cancel_futures=True)
    return trial.outcome(in_time)


def in_asyncio(scale: float, note: Note) -> Result:
    """Make the calls in an asyncio.TaskGroup."""
    trial = Trial(scale, note)

    async def ask(number, room):
        async with room:
            seconds = trial.seconds(number)
            trial.add(number, await asyncio.to_thread(call, number, seconds))

    async def main():
        pool = ThreadPoolExecutor(LIMIT)
        asyncio.get_running_loop().set_default_executor(pool)
        room = asyncio.Semaphore(LIMIT)
        try:
            async with asyncio.timeout(trial.deadline), asyncio.TaskGroup() as group:
                for number in range(trial.number):
                    group.create_task(ask(number, room))
        except TimeoutError:
            return trial.outcome(in_time=False)
        return trial.outcome(in_time=True)

    return asyncio.run(main()) | {"over": trial.passed()}


SUBJECTS = {"tasklets": in_a_group, "threads": in_a_pool, "asyncio": in_asyncio}


def over(result: Result) -> float:
    """Return the seconds until the process had ended."""
    return result["over"] + result["exit_seconds"]


def lines(results: Results) -> list[tuple[str, object]]:
    """Return the results to show."""
    names = {
        "tasklets": "tasklets.TaskGroup",
        "threads": "ThreadPoolExecutor",
        "asyncio": "asyncio.TaskGroup",
    }
    return [
        (
            names[name],
            f"{result['results']} of {result['calls']} results; left the block after "
            f"{result['left']:.2f} s, ended after {over(result):.2f} s",
        )
        for name, (result,) in results.items()
    ]


def comparisons(results: Results) -> list[Comparison]:
    """Compare with a pool of threads and with asyncio."""
    (mine,) = results["tasklets"]
    found = []
    for peer in ("threads", "asyncio"):
        (theirs,) = results[peer]
        found += [
            Comparison(
                f"{mine['calls']} calls: block left, seconds",
                *(mine["left"], theirs["left"], peer, "{:.2f}"),
            ),
            Comparison(
                f"{mine['calls']} calls: program over, seconds",
                *(over(mine), over(theirs), peer, "{:.2f}"),
            ),
        ]
    return found


def mistakes(results: Results) -> list[str]:
    """Return the wrong results."""
    found = []
    for name, (result,) in results.items():
        if result["wrong"]:
            found.append(f"{name}: {result['wrong']} results were wrong")
        if result["in_time"] and result["results"] < result["calls"]:
            found.append(f"{name}: results are missing")
    return found
