"""10,000 creatures at 60 frames a second, and a script that does not yield."""

import asyncio
import statistics
import time
import traceback

from parts import Comparison, Note, Result, Results, shorter
from tasklets import getruncount, schedule, scheduler, spawn

TITLE = "Game loop"
ROUNDS = 1

CREATURES = 10_000
SECONDS = 2.0  # how long the game lasts
FRAME = 1 / 60  # seconds
SLICE = 0.002  # seconds that a creature may compute without yielding
# On a busy machine a tasklet may overrun its slice because another process had the CPU.
# A tasklet that overruns it in this many consecutive frames is killed.
STRIKES = 3
SCRIPT_ENDS = 1.0  # seconds of CPU time after which the script ends if not stopped


def number(scale: float) -> int:
    """Return how many creatures there are."""
    return max(1, int(CREATURES * scale))


def explained(scale: float) -> str:
    """Return what is done."""
    return (
        f"{number(scale):,} creatures, each a tasklet, have one turn in every frame of "
        "1/60 s; halfway through, a script among them loops forever."
    )


class Creature:
    """A creature that walks back and forth."""

    __slots__ = ("place", "step", "turns")

    def __init__(self, number: int) -> None:
        self.place, self.step, self.turns = number % 100, 1, 0

    def walk(self) -> None:
        """Take a step, and turn round at the wall."""
        self.turns += 1
        self.place += self.step
        if not 0 < self.place < 100:
            self.step = -self.step

    def live(self) -> None:
        """Take a step in every frame: a tasklet."""
        while True:
            schedule()  # until the next frame
            self.walk()

    async def live_async(self) -> None:
        """Do the same as a task of asyncio."""
        while True:
            await asyncio.sleep(0)
            self.walk()


def script(cpu_seconds: float) -> None:
    """Look for the way to a goal that is never reached."""
    find_way(0, 0.5, time.thread_time() + cpu_seconds)


def find_way(step: int, goal: float, end: float) -> None:
    """Walk to the goal, in whole steps."""
    while step != goal and time.thread_time() < end:
        step += 1


async def script_async(cpu_seconds: float) -> None:
    """Run the same script as a task of asyncio."""
    script(cpu_seconds)


class Game:
    """The clock of a game: when frames begin, and how long they took."""

    def __init__(self, scale: float, note: Note) -> None:
        self.creatures = [Creature(n) for n in range(number(scale))]
        self.seconds = shorter(SECONDS, scale)
        self.note = note
        self.took: list[float] = []  # seconds of each frame
        self.cpu: list[float] = []  # seconds of the CPU that each took
        self.hit = -1  # the frame in which the script started; -1: not yet

    def begin(self) -> None:
        """Start the clock."""
        self.began = self.next = time.monotonic()

    def go_on(self) -> bool:
        """Begin a frame; return False if the game is over."""
        frame, now = len(self.took), time.monotonic()
        if now - self.began >= self.seconds and 0 <= self.hit <= frame - STRIKES:
            return False
        if frame:
            self.note(
                f"frame {frame}, {frame / (now - self.began):.1f} a second, "
                f"{self.late()} late"
            )
        time.sleep(max(0, self.next - now))
        self.start, self.start_cpu = time.monotonic(), time.thread_time()
        self.next = max(self.next, self.start) + FRAME
        return True

    def script_is_due(self) -> bool:
        """Return True once, when half of the game is over."""
        due = self.hit < 0 and self.start - self.began >= self.seconds / 2
        if due:
            self.hit = len(self.took)
        return due

    def frame_is_over(self) -> None:
        """Record how long the frame took."""
        self.took.append(time.monotonic() - self.start)
        self.cpu.append(time.thread_time() - self.start_cpu)

    def late(self) -> int:
        """Return how many frames took too long."""
        return sum(seconds > FRAME for seconds in self.took)

    def result(self) -> Result:
        """Return the outcome of the game."""
        quiet = self.took[: self.hit] or [0.0]
        after = self.took[self.hit : self.hit + STRIKES]
        return {
            "creatures": len(self.creatures),
            "frames": len(self.took),
            "rate": len(self.took) / (time.monotonic() - self.began),
            "late": self.late(),
            "cpu_ms": 1000 * statistics.median(self.cpu),
            "slowest_ms": 1000 * max(quiet),
            "hit_ms": 1000 * max(after),
        }


def play(scale: float, note: Note) -> Result:
    """Play the game with tasklets."""
    game = Game(scale, note)
    creatures = {spawn(each.live): each for each in game.creatures}
    strikes: dict[object, list[int]] = {}  # the frames in which a tasklet was stopped
    stopped, stack = [], []
    scheduler.run(rounds=1)  # each starts here, and has its first turn later
    game.begin()
    while game.go_on():
        if game.script_is_due():
            spawn(script, shorter(SCRIPT_ENDS, scale), name="script")
        left = getruncount() - 1  # all but this one
        victim = scheduler.run(rounds=1, slice_seconds=SLICE)
        while victim is not None:
            left -= scheduler.last_run().switches
            frame = len(game.took)
            frames = strikes.setdefault(victim, [])
            frames.append(frame)
            if frames[-STRIKES:] == list(range(frame + 1 - STRIKES, frame + 1)):
                stopped.append(victim.name)
                stack = traceback.format_stack(victim.frame)
                victim.kill()
            else:
                victim.insert()  # it continues its turn in the next frame
            # The stop has ended the round: the others still have their turn.
            victim = scheduler.run(switches=left, slice_seconds=SLICE)
        game.frame_is_over()
    wrong = 0
    for tasklet, creature in creatures.items():
        stops = len(strikes.get(tasklet, ()))
        more = creature.turns + stops - len(game.took)
        wrong += not 0 <= more <= min(stops, 1)
    places = [line.strip().splitlines() for line in stack]
    return game.result() | {
        "wrong": wrong,
        "stopped": stopped,
        "stack": [(p[0].rpartition(" in ")[2], p[-1].strip()) for p in places],
    }


def play_async(scale: float, note: Note) -> Result:
    """Play the game with tasks of asyncio."""

    async def main() -> Result:
        game = Game(scale, note)
        tasks = [asyncio.create_task(each.live_async()) for each in game.creatures]
        await asyncio.sleep(0)
        game.begin()
        while game.go_on():
            if game.script_is_due():
                runaway = script_async(shorter(SCRIPT_ENDS, scale))
                tasks.append(asyncio.create_task(runaway))
            await asyncio.sleep(0)  # every task that is ready has a turn
            game.frame_is_over()
        for task in tasks:
            task.cancel()
        frames = len(game.took)
        return game.result() | {
            "wrong": sum(creature.turns != frames for creature in game.creatures)
        }

    return asyncio.run(main())


SUBJECTS = {"tasklets": play, "asyncio": play_async}


def lines(results: Results) -> list[tuple[str, object]]:
    """Return the results to show."""
    shown = []
    for name, (result,) in results.items():
        shown.append(
            (
                name,
                f"{result['rate']:.1f} frames a second, {result['late']} of "
                f"{result['frames']} late; {result['cpu_ms']:.1f} ms of the CPU each",
            )
        )
    (mine,), (theirs,) = results["tasklets"], results["asyncio"]
    frame = f"its slowest frame took {mine['hit_ms']:.1f} ms"
    late = mine["hit_ms"] > 1000 * FRAME
    shown.append(
        (
            "runaway, tasklets",
            f"{', '.join(mine['stopped']) or 'nothing'} stopped; {frame}, "
            f"{'LATE' if late else 'in time'}",
        )
    )
    for function, code in mine["stack"]:
        shown.append(("", f"    in {function}: {code}"))
    shown.append(
        (
            "runaway, asyncio",
            f"no task can be stopped; its frame took {theirs['hit_ms']:,.0f} ms, "
            "until it ended by itself",
        )
    )
    return shown


def comparisons(results: Results) -> list[Comparison]:
    """Compare with asyncio."""
    (mine,), (theirs,) = results["tasklets"], results["asyncio"]
    return [
        Comparison(
            f"frames a second with {mine['creatures']:,} creatures",
            *(mine["rate"], theirs["rate"], "asyncio", "{:.1f}"),
            more_is_better=True,
        ),
        Comparison(
            "CPU of a frame, ms",
            *(mine["cpu_ms"], theirs["cpu_ms"], "asyncio", "{:.1f}"),
        ),
        Comparison(
            "frame with a runaway script, ms",
            *(mine["hit_ms"], theirs["hit_ms"], "asyncio", "{:,.1f}"),
        ),
    ]


def mistakes(results: Results) -> list[str]:
    """Return the wrong results."""
    (mine,), (theirs,) = results["tasklets"], results["asyncio"]
    found = []
    if mine["stopped"] != ["script"]:
        found.append(f"stopped was not the script alone: {mine['stopped']}")
    for result, name in ((mine, "tasklets"), (theirs, "asyncio")):
        if result["wrong"]:
            found.append(
                f"{name}: {result['wrong']} creatures had too few or many turns"
            )
    return found
