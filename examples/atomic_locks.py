"""A lock and a semaphore for tasklets of all threads, in a page of Python.

They are built on two things: `atomic`, which excludes all other tasklets and threads,
and a channel, on which tasklets wait. Here 4 threads of 100 tasklets each use them;
some tasklets are killed, or time out. The exit status is 0 if no tasklet was let in
wrongly and nothing was lost; --without-atomic it is 1.

    python examples/atomic_locks.py [--without-atomic] [acquisitions]
"""

import argparse
import random
import sys
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

from display import table

import tasklets
from tasklets import getcurrent, schedule, tasklet

THREADS, TASKLETS = 4, 100
MAX_WAIT = 0.2  # seconds a tasklet waits before it times out
STUCK = 5.0  # seconds without an acquisition after which the trial has failed


class Semaphore:
    """Lets a number of tasklets in at a time; the others wait in order."""

    section = tasklets.atomic

    @staticmethod
    def between():
        """Run between a check and the act; --without-atomic two threads meet here."""

    def __init__(self, limit: int):
        self.limit = limit
        self.free = list(range(limit))  # places
        self.inside: dict[tasklet, int] = {}  # the place of each tasklet inside
        self.waiting = tasklets.channel()
        self.waiting.preference = 0  # a woken tasklet runs when its turn comes

    def __enter__(self):
        """Take a place, or wait for a tasklet that leaves."""
        with self.section():
            if len(self.free) > 0:
                self.between()
                self.inside[getcurrent()] = self.free.pop()
            else:
                # If this tasklet is killed after it was handed a place and before it
                # runs, the place goes back to the channel, and to the next waiter.
                self.inside[getcurrent()] = self.waiting.receive()

    def __exit__(self, *exc):
        """Leave, and hand the place to the tasklet that has waited longest."""
        with self.section():
            place = self.inside.pop(getcurrent())
            if self.waiting.balance < 0:
                self.waiting.send(place)
            else:
                self.free.append(place)

    def is_empty(self):
        """Tell whether all places are free; some may be in the channel."""
        while self.waiting.balance > 0:
            self.free.append(self.waiting.receive())
        return sorted(self.free) == list(range(self.limit))


class Meeting:
    """Holds the first thread that calls it until a second one does."""

    def __init__(self):
        self.barrier = threading.Barrier(2)

    def __call__(self):
        """Wait for another thread, unless two have met before."""
        if not self.barrier.broken:
            with suppress(threading.BrokenBarrierError):
                self.barrier.wait()
            self.barrier.abort()


class Lock(Semaphore):
    """Lets one tasklet in at a time."""

    def __init__(self):
        super().__init__(1)


@dataclass
class Tally:
    """What happened on one thread, and when each waiting tasklet times out."""

    to_do: int
    updates: int = 0
    timeouts: int = 0
    kills: int = 0
    until: dict[tasklet, float] = field(default_factory=dict)


class Trial:
    """Threads of tasklets that share a lock and a semaphore, and the outcome."""

    def __init__(self, acquisitions: int):
        self.lock, self.semaphore = Lock(), Semaphore(5)
        self.tallies = [Tally(acquisitions // THREADS) for _ in range(THREADS)]
        self.start = threading.Barrier(THREADS)
        self.total = 0  # guarded by the lock
        self.few: list[tasklet] = []  # the tasklets inside the semaphore
        self.wrong: list[str] = []
        self.seconds = 0.0

    def update(self, tally: Tally):
        """Read, modify and write with the lock; sometimes yield in between."""
        with self.lock:
            del tally.until[getcurrent()]
            before = self.total
            if before % 8 == 0:
                schedule()
            self.total = before + 1
            tally.updates += 1
            tally.to_do -= 1

    def visit(self, tally: Tally):
        """Enter the semaphore, and check how many are inside."""
        me = getcurrent()
        with self.semaphore:
            del tally.until[me]
            self.few.append(me)
            if len(self.few) > self.semaphore.limit:
                self.wrong.append("too many were let in")
            try:
                if tally.to_do % 8 == 0:
                    schedule()
            finally:
                self.few.remove(me)
            tally.to_do -= 1

    def work(self, tally: Tally):
        """Enter and leave as long as there is work."""
        me = getcurrent()
        while tally.to_do > 0 and not self.wrong:
            for step in self.update, self.visit:
                tally.until[me] = time.monotonic() + MAX_WAIT * random.random()
                try:
                    step(tally)
                except TimeoutError:
                    tally.timeouts += 1
                finally:
                    tally.until.pop(me, None)

    def keep_time(self, tally: Tally):
        """Time out waiting tasklets, kill some, and start new ones in their place."""
        crew: list[tasklet] = []
        while tally.to_do > 0 and not self.wrong:
            crew = [t for t in crew if t.alive]
            crew += [tasklet(self.work)(tally) for _ in range(TASKLETS - len(crew))]
            if tasklets.getruncount() == 1:
                time.sleep(0.0005)  # all wait for tasklets of other threads
            schedule()
            now = time.monotonic()
            for t, end in list(tally.until.items()):
                if now > end:
                    t.throw(TimeoutError("waited too long"), pending=True)
            if random.random() < 0.05:
                random.choice(crew).kill(pending=True)
                tally.kills += 1
        for t in crew:
            t.kill(pending=True)
        while any(t.alive for t in crew):
            schedule()

    def run_thread(self, tally: Tally):
        """Run one thread of the trial."""
        try:
            self.start.wait()
            self.keep_time(tally)
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")

    def run(self) -> bool:
        """Run the trial, and return whether nothing went wrong."""
        began = moved = time.monotonic()
        threads = [
            threading.Thread(target=self.run_thread, args=(tally,), daemon=True)
            for tally in self.tallies
        ]
        for thread in threads:
            thread.start()
        seen = None
        while any(t.is_alive() for t in threads) and time.monotonic() < moved + STUCK:
            time.sleep(0.01)
            if seen != (seen := [tally.to_do for tally in self.tallies]):
                moved = time.monotonic()
        if any(t.is_alive() for t in threads):
            self.wrong.append("the tasklets are stuck")
        elif self.total != sum(tally.updates for tally in self.tallies):
            self.wrong.append("updates were lost")
        elif not (self.lock.is_empty() and self.semaphore.is_empty()):
            self.wrong.append("a place was lost or duplicated")
        self.seconds = time.monotonic() - began
        return not self.wrong


def positive(text: str) -> int:
    """Return the number that an argument stands for."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main() -> int:
    """Try it, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("acquisitions", nargs="?", type=positive, default=100_000)
    parser.add_argument("--without-atomic", action="store_true")
    options = parser.parse_args()
    if options.without_atomic:
        Semaphore.section = nullcontext
        # Both threads have then seen the only free place, and both take it.
        Lock.between = staticmethod(Meeting())
    trial = Trial(options.acquisitions)
    ok = trial.run()
    done = options.acquisitions - sum(max(t.to_do, 0) for t in trial.tallies)
    rows = [
        ("acquisitions", f"{done:,} in {trial.seconds:.1f} s"),
        ("timeouts", f"{sum(t.timeouts for t in trial.tallies):,}"),
        ("kills", f"{sum(t.kills for t in trial.tallies):,}"),
        ("what went wrong", ", ".join(sorted(set(trial.wrong))) or "nothing"),
    ]
    print(table(rows))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
