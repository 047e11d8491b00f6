"""A game loop: thousands of creatures, each a tasklet with a mailbox.

A creature is an ordinary function with one turn per frame: it reads its mailbox, takes
a step, and greets the creatures in the same cell; the richer of the two gives half of
the difference to the other. A frame is `scheduler.run(rounds=1)`: one turn of each.

    python examples/game.py [creatures] [frames]
"""

import math
import random
import sys
import time
from dataclasses import dataclass

from display import Progress, table

import tasklets
from tasklets import scheduler

GREETING, GIFT = "greeting", "gift"
STEPS = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]


class World:
    """A square without edges: its right side is connected to its left side."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.side = max(1, math.isqrt(count))
        # The creatures in each cell, in order of arrival; the values are unused.
        self.cells: list[dict[Creature, None]] = [{} for _ in range(self.side**2)]
        self.messages = 0
        self.walking = True
        self.creatures = [Creature(self, number) for number in range(count)]

    def energy(self) -> int:
        """Return the energy of all creatures, which never changes."""
        return sum(creature.energy for creature in self.creatures)

    def frame(self) -> None:
        """Give every creature one turn."""
        scheduler.run(rounds=1)

    def end(self) -> int:
        """Run until all messages are read, and return how many tasklets have ended."""
        self.walking = False
        while any(creature.mailbox.balance > 0 for creature in self.creatures):
            self.frame()
        tasklets.kill_all(creature.tasklet for creature in self.creatures)
        return sum(creature.tasklet.done() for creature in self.creatures)


class Creature:
    """A creature, with a mailbox for messages from others."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.x, self.y = number % world.side, number // world.side % world.side
        self.energy = world.random.randrange(1000)
        self.mailbox = tasklets.QueueChannel()
        self.cell()[self] = None
        self.tasklet = tasklets.spawn(self.live)

    def cell(self) -> "dict[Creature, None]":
        """Return the creatures in its cell, itself included."""
        return self.world.cells[self.y * self.world.side + self.x]

    def live(self) -> None:
        """Have one turn per frame. This is the tasklet."""
        while True:
            self.read()
            if self.world.walking:
                self.step()
            tasklets.schedule()  # until the next frame

    def read(self) -> None:
        """Handle the messages in the mailbox."""
        while (message := self.mailbox.try_receive()) is not None:
            kind, sender, amount = message
            if kind == GREETING:
                self.share(sender, amount)
            else:
                self.energy += amount

    def step(self) -> None:
        """Move by at most one cell and greet the creatures there."""
        dx, dy = self.world.random.choice(STEPS)
        del self.cell()[self]
        self.x = (self.x + dx) % self.world.side
        self.y = (self.y + dy) % self.world.side
        here = self.cell()
        for other in here:
            self.tell(other, GREETING, self.energy)
        here[self] = None

    def share(self, sender: "Creature", its_energy: int) -> None:
        """Give the sender half of the difference if this creature has more energy."""
        gift = (self.energy - its_energy) // 2
        if gift > 0:
            self.energy -= gift
            self.tell(sender, GIFT, gift)

    def tell(self, other: "Creature", kind: str, amount: int) -> None:
        """Put a message into the mailbox of another creature."""
        self.world.messages += 1
        other.mailbox.send((kind, self, amount))


@dataclass
class Report:
    """The outcome of a game."""

    creatures: int
    frames: int
    seconds: float
    slowest: float
    messages: int
    ended: int
    energy_before: int
    energy_after: int

    @property
    def ok(self) -> bool:
        """Whether all energy is still there and every tasklet has ended."""
        return self.energy_before == self.energy_after and self.ended == self.creatures

    def rows(self) -> list[tuple[str, object]]:
        """Return the report as rows of a table."""
        rate = self.messages / self.seconds
        energy = f"{self.energy_before:,} {self.energy_after:,}"
        return [
            ("creatures, a tasklet each", f"{self.creatures:,}"),
            ("frames", f"{self.frames} in {self.seconds:.2f} s"),
            ("frames per second", f"{self.frames / self.seconds:.1f}"),
            ("slowest frame", f"{1000 * self.slowest:.1f} ms"),
            ("messages between creatures", f"{self.messages:,} ({rate:,.0f} a second)"),
            ("energy before and after", energy),
            ("tasklets that have ended", f"{self.ended:,}"),
        ]


def play(creatures: int = 10_000, frames: int = 50) -> Report:
    """Run the loop, show its progress, and return the outcome."""
    progress = Progress("game")
    world = World(creatures)
    before = world.energy()
    times = []
    for number in range(1, frames + 1):
        began = time.perf_counter()
        world.frame()
        times.append(time.perf_counter() - began)
        progress.show(f"frame {number} of {frames}, {world.messages:,} messages")
    messages = world.messages  # the answers to the last frame's are not timed
    ended = world.end()
    progress.end(f"{frames} frames, {messages:,} messages")
    return Report(
        creatures=creatures,
        frames=frames,
        seconds=sum(times),
        slowest=max(times),
        messages=messages,
        ended=ended,
        energy_before=before,
        energy_after=world.energy(),
    )


if __name__ == "__main__":
    report = play(*map(int, sys.argv[1:3]))
    print(table(report.rows()))
    sys.exit(0 if report.ok else 1)
