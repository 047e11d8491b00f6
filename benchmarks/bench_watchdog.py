"""What the budgets of scheduler.run() cost, and how late a tasklet is stopped."""

import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks.measure import (
    Workload,
    bare_switch,
    cpu_clock,
    in_thread,
    wall_clock,
)
from tasklets import kill_all, run, schedule, scheduler, spawn

# The CPU time of all threads of this process, the timekeeper thread included.
process_clock = time.process_time_ns

MICROSECOND, MILLISECOND = 1e3, 1e6  # in nanoseconds, as all clocks here

# Budgets that are never used up.
PLENTY = {"ticks": 1 << 50, "seconds": 3600, "slice_seconds": 0.02}

SLICE = 0.001
FRAME, FRAME_SLICE = 0.01, 0.002
ENTITIES = 1000
ROUNDS = 10  # rounds of which the best counts, to leave out the load of other processes
REST = 0.7  # seconds after which the counting of ticks has no effect any more

# Ticks are counted by monitoring events from 3.12 on, and by tracing before.
MONITORING = sys.version_info >= (3, 12)


def is_counting():
    """Return whether ticks are counted, or were some milliseconds ago."""
    if not MONITORING:
        return False  # it ends with the call
    monitoring = sys.monitoring
    return any(
        monitoring.get_tool(tool) == "tasklets" and monitoring.get_events(tool)
        for tool in range(6)
    )


def settle():
    """Wait until ticks are no longer counted."""
    while is_counting():
        time.sleep(0.01)


# ---- code that never overruns


def tight_while(n):
    """Count up to n."""
    i = 0
    while i < n:
        i += 1


def tight_for(n):
    """Add n numbers."""
    total = 0
    for i in range(n):
        total += i


def increment(number):
    """Be a small function."""
    return number + 1


def calls(n):
    """Call a small function n times."""
    for _ in range(n):
        increment(1)


def items(n):
    """Yield n numbers."""
    for i in range(n):
        yield i + 1


def generators(n):
    """Take n items from a generator."""
    for _ in items(n):
        pass


class Creature:
    """An entity of a game."""

    def __init__(self, number):
        self.number = number
        self.x, self.y = float(number), 0.0
        self.dx, self.dy = 0.3, -0.2
        self.energy = 100
        self.seen = {}

    def move(self):
        """Move on, and turn round at the borders."""
        self.x += self.dx
        self.y += self.dy
        if not 0 <= self.x < 64:
            self.dx = -self.dx
        if not 0 <= self.y < 64:
            self.dy = -self.dy

    def look(self, others):
        """Find the creatures nearby, and remember when."""
        near = [each for each in others if abs(each.x - self.x) < 8]
        for each in near:
            self.seen[each.number] = self.energy
        return near

    def think(self, near):
        """Decide from what has been seen."""
        if not near:
            return "wander"
        other = min(near, key=lambda each: abs(each.x - self.x) + abs(each.y - self.y))
        return f"{'flee' if other.energy > self.energy else 'follow'} {other.number}"


def game(n):
    """Play n turns of eight creatures each."""
    creatures = [Creature(number) for number in range(8)]
    words = {}
    for turn in range(n):
        creature = creatures[turn % 8]
        creature.move()
        word, _, _ = creature.think(creature.look(creatures)).partition(" ")
        words[word] = words.get(word, 0) + 1
        creature.energy = (creature.energy + len(word)) % 100
        schedule()


def by_turns(n):
    """Yield n times, and do little else."""
    for _ in range(n):
        schedule()


def drive(**budgets):
    """Run all runnable tasklets to their end."""
    # On a busy machine even a well-behaved tasklet may take too long.
    while (victim := scheduler.run(**budgets)) is not None:
        victim.insert()


def time_of(code, clock, tasklets=1, **budgets):
    """Return a subject: code in that many tasklets, under budgets that never end."""
    finish = partial(drive, **budgets) if budgets else run

    def subject(n):
        share = max(n // tasklets // ROUNDS, 1)
        spent = []
        # The first round does not count: there the code becomes what it will be,
        # specialized, and with or without events.
        for _ in range(ROUNDS + 1):
            for _ in range(tasklets):
                spawn(code, share)
            start = clock()
            finish()
            spent.append(clock() - start)
        settle()
        return min(spent[1:]) / (share * tasklets)

    return subject


def against_run(title, code, size, reach, budget="ticks", clock=cpu_clock, tasklets=1):
    """Return a workload: code under a budget that never ends, against no budget."""
    return Workload(
        title=f"{title}, with `{budget}`",
        size=size,
        reach=reach,
        reference=time_of(code, clock, tasklets),
        reference_size=size,
        reference_name="`run()`",
        tasklets=time_of(code, clock, tasklets, **{budget: PLENTY[budget]}),
    )


def counted(title, code, size, monitoring, tracing):
    """Return the workload of exact ticks; its aims depend on how ticks are counted."""
    return against_run(title, code, size, monitoring if MONITORING else tracing)


def timed(title, code, size, budget, tasklets):
    """Return the workload of a budget of time."""
    return against_run(title, code, size, 1.02, budget, process_clock, tasklets)


def nothing():
    """End at once."""


def calls_of_run(finish):
    """Return a subject: run() of one tasklet that ends at once, many times."""

    def subject(n):
        start = process_clock()
        for _ in range(n):
            spawn(nothing)
            finish()
        return (process_clock() - start) / n

    return subject


def frames(budget, turns):
    """Return a subject: frames in which each entity has one turn, by that budget."""

    def subject(n):
        entities = [spawn(by_turns, sys.maxsize) for _ in range(ENTITIES)]
        play = partial(scheduler.run, **{budget: turns})
        count = max(n // ENTITIES // ROUNDS, 1)
        spent = []
        for _ in range(ROUNDS + 1):
            start = cpu_clock()
            for _ in range(count):
                play()
            spent.append(cpu_clock() - start)
        kill_all(entities)
        return min(spent[1:]) / (count * ENTITIES)

    return subject


# ---- the cost after counting has ended


def uncounted(n):
    """Return how long code takes without a budget."""
    codes = (tight_for, calls, generators)
    return sum(time_of(code, cpu_clock)(n) for code in codes)


def after_counting(n):
    """Return the same some hundred milliseconds after ticks were counted."""
    for code in (tight_for, calls, generators):
        spawn(code, n)
    drive(ticks=PLENTY["ticks"])
    time.sleep(REST)
    return uncounted(n)


# ---- interruptions


def forever():
    """Never yield."""
    i = 0
    while True:
        i += 1


@contextmanager
def runaway():
    """Run the block with a runnable tasklet that never yields."""
    tasklet = spawn(forever)
    try:
        yield tasklet
    finally:
        tasklet.kill()


def interruption(n):
    """Return what an interruption by ticks takes beyond its two switches."""
    bare = 2 * bare_switch(n)
    stop = scheduler.run
    with runaway():
        stop(ticks=2).insert()  # from now on it is counted
        start = cpu_clock()
        for _ in range(n):
            stop(ticks=2).insert()
        spent = (cpu_clock() - start) / n
    settle()
    return max(spent - bare, 0)


@contextmanager
def rival():
    """Run the block beside a thread that wants the GIL all the time."""
    ended = False

    def compute():
        while not ended:
            pass

    thread = in_thread(compute)
    try:
        yield
    finally:
        ended = True
        thread.join()


def quantile(values, share):
    """Return a quantile of the values."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def latency(share, *among):
    """Return a subject: how long after its start a tasklet's slice ends."""

    def subject(n):
        times = []
        with ExitStack() as stack:
            for each in (runaway, *among):
                stack.enter_context(each())
            for _ in range(n):
                start = wall_clock()
                victim = scheduler.run(slice_seconds=SLICE)
                times.append(wall_clock() - start)
                victim.insert()
        return quantile(times, share)

    return subject


def play_frame(seconds):
    """Give all tasklets turns until the frame is over; return its nanoseconds."""
    start = now = wall_clock()
    end = start + int(seconds * 1e9)
    while now < end:
        victim = scheduler.run(seconds=(end - now) / 1e9, slice_seconds=FRAME_SLICE)
        if victim is not None:
            victim.insert()
        now = wall_clock()
    return now - start


def beyond_the_frame(share):
    """Return a subject: how long frames last beyond their budget."""

    def subject(n):
        entities = [spawn(by_turns, sys.maxsize) for _ in range(ENTITIES)]
        with runaway():
            times = [play_frame(FRAME) - FRAME * 1e9 for _ in range(n)]
        kill_all(entities)
        return quantile(times, share)

    return subject


def late(title, size, reach, subject):
    """Return a workload that measures a lateness, in milliseconds."""
    return Workload(
        title=title,
        size=size,
        reach=reach,
        unit=MILLISECOND,
        suffix=" ms",
        tasklets=subject,
    )


WORKLOADS = {
    "seconds_switches": timed("100 by turns", by_turns, 200_000, "seconds", 100),
    "slices_switches": timed("100 by turns", by_turns, 200_000, "slice_seconds", 100),
    "seconds_game": timed("a game", game, 8_000, "seconds", 10),
    "slices_game": timed("a game", game, 8_000, "slice_seconds", 10),
    "seconds_call": Workload(
        title="a call of `run(seconds)` with nothing to do",
        size=20_000,
        reference=calls_of_run(run),
        reference_size=20_000,
        reference_name="`run()`",
        tasklets=calls_of_run(partial(drive, seconds=PLENTY["seconds"])),
    ),
    "rounds": Workload(
        title=f"{ENTITIES} by turns, each frame `run(rounds=1)`",
        size=1_000_000,
        reach=1.02,
        reference=frames("switches", ENTITIES),
        reference_size=1_000_000,
        reference_name="`run(switches=n)`",
        tasklets=frames("rounds", 1),
    ),
    "ticks_while": counted("a tight `while`", tight_while, 1_000_000, 1.6, 3),
    "ticks_for": counted("a tight `for`", tight_for, 1_000_000, 1.6, 3),
    "ticks_calls": counted("small calls", calls, 500_000, 1.5, 5.5),
    "ticks_generators": counted("generators", generators, 500_000, 2.0, 3.5),
    "ticks_game": counted("a game", game, 8_000, 1.2, 2.5),
    "ticks_switches": counted("`schedule()`", by_turns, 200_000, None, None),
    "ticks_over": Workload(
        title="code without budget, after `ticks` against before",
        size=1_000_000,
        reach=1.05,
        reference=uncounted,
        reference_size=1_000_000,
        reference_name="before",
        fresh=True,
        tasklets=after_counting,
    ),
    "interruption": Workload(
        title="stopped after two ticks, beyond two bare switches",
        size=100_000,
        reach=1,
        unit=MICROSECOND,
        suffix=" µs",
        tasklets=interruption,
    ),
    "slice": late("a slice of 1 ms, median", 300, 1.3, latency(0.5)),
    "slice_99": late("a slice of 1 ms, 99 of 100", 300, 3, latency(0.99)),
    "slice_rival": late(
        "a slice of 1 ms beside another thread, median", 100, 8, latency(0.5, rival)
    ),
    "frame": late(
        "1000 and a runaway, beyond a frame of 10 ms, median",
        40,
        2,
        beyond_the_frame(0.5),
    ),
    "frame_90": late(
        "1000 and a runaway, beyond a frame of 10 ms, 9 of 10",
        40,
        2,
        beyond_the_frame(0.9),
    ),
}
