"""Locks and queues under random work, interruptions and timeouts, checked by counting.

Actors use one object again and again: tasklets of one thread, or of two threads beside
two plain ones. Tasklets are killed, thrown into and timed out at random, and go on. It
is counted who is in where; and that no waiter waits forever shows when nothing goes on
any more. TASKLETS_STRESS is how much each run does: 1000000 takes many minutes.
"""

import itertools
import os
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from tasklets import (
    TaskletExit,
    getcurrent,
    getruncount,
    locks,
    queues,
    run,
    schedule,
    scheduler,
    sleep,
    spawn,
    timeout,
)
from tasklets.testing import fake_clock, seeded

COUNT = int(os.environ.get("TASKLETS_STRESS", 1500))

# How many actors on each thread.
TASKLETS, PLAIN = 4, 2

# Seconds without progress after which a waiter must have been forgotten: longer than
# any timeout here, and in real time than any stall of the machine.
STUCK_FAKE, STUCK_REAL = 1.0, 60.0


class Nuisance(Exception):
    """Thrown into actors."""


class Actor:
    """A user of the object of an arena, over and over."""

    def __init__(self, arena, number, plain=False):
        self.arena = arena
        self.number = number
        self.plain = plain
        self.random = random.Random(f"{arena.seed} {number}")
        self.ended = False

    def live(self):
        try:
            while self.arena.open:
                self.try_step()
        except BaseException as error:
            self.arena.fail(error)
        finally:
            self.ended = True

    def try_step(self):
        limit = None
        if not self.plain and self.random.random() < 0.2:
            limit = self.some_time()
        try:
            if limit is None:
                self.arena.step(self)
            else:
                with timeout(limit):
                    self.arena.step(self)
        except (Nuisance, TaskletExit, TimeoutError):
            # It had what it wanted, or nothing at all.
            pass

    def some_time(self):
        return self.random.random() * 0.002

    def patience(self):
        """Return a timeout for an operation, or None."""
        return self.some_time() if self.random.random() < 0.3 else None

    def pause(self):
        """Give others the opportunity to do something wrong."""
        choice = self.random.randrange(8)
        if choice < 4:
            return
        if self.plain:
            time.sleep(0 if choice < 7 else self.some_time())
        elif choice < 7:
            schedule()
        else:
            sleep(self.some_time())


class Arena:
    """An object to use, what is known about it, and how far all that has come."""

    def __init__(self, seed):
        self.seed = seed
        self.open = True
        self.errors = []
        self.progress = 0
        self.waiting = Counter()
        self.setup()

    def setup(self):
        pass

    def fail(self, error):
        self.errors.append(error)
        self.open = False

    def advance(self):
        # A lost increment does no harm: it is compared with before, and with a limit.
        self.progress += 1
        if self.progress >= COUNT:
            self.open = False

    @contextmanager
    def wait(self, what="it"):
        """Count a waiter for something."""
        self.waiting[what] += 1
        try:
            yield
        finally:
            self.waiting[what] -= 1

    def look(self):
        """Look for a waiter for what is there, while no tasklet is runnable."""
        for what, number in self.waiting.items():
            assert not (number and self.is_there(what)), f"{number} wait for {what}"

    def is_there(self, what):
        """Return whether nobody needs to wait for it."""

    def release(self):
        """Let those go who wait for others that have ended."""

    def check(self):
        """Look at the object when all is over."""


class Exclusive(Arena):
    """At most that many are inside at any time, and there is room for as many later."""

    permits = 1
    in_order = False

    def setup(self):
        self.inside = []
        self.lock = self.make()

    def step(self, actor):
        if actor.random.random() < 0.1:
            got = self.lock.acquire(False)
        else:
            patience = actor.patience()
            limit = {} if patience is None else {"timeout": patience}
            with self.wait():
                got = self.lock.acquire(**limit)
        if got:
            self.inside.append(actor)
            try:
                assert len(self.inside) <= self.permits
                self.advance()
                self.work(actor)
            finally:
                self.inside.remove(actor)
                self.lock.release()
        actor.pause()

    def work(self, actor):
        actor.pause()

    def is_there(self, what):
        return len(self.inside) < self.permits

    def check(self):
        assert not self.inside
        for _ in range(self.permits):
            assert self.lock.acquire(False)
        assert not self.lock.acquire(False)


class LockArena(Exclusive):
    make = locks.Lock


class RLockArena(Exclusive):
    make = locks.RLock

    def work(self, actor):
        with self.lock:
            actor.pause()
        assert self.lock._is_owned()
        assert self.inside == [actor]

    def check(self):
        assert not self.inside
        assert self.lock.acquire(False)
        self.lock.release()
        with pytest.raises(RuntimeError):
            self.lock.release()


class SemaphoreArena(Exclusive):
    permits = 3

    def make(self):
        return locks.Semaphore(3)


class BoundedSemaphoreArena(Exclusive):
    permits = 2

    def make(self):
        return locks.BoundedSemaphore(2)

    def check(self):
        with pytest.raises(ValueError, match="released too many times"):
            self.lock.release()
        super().check()


class Goods(Arena):
    """Half of the actors make things, the others take them: none is lost or doubled."""

    def setup(self):
        self.numbers = itertools.count()
        self.made = []
        self.taken = []

    def step(self, actor):
        if actor.number % 2:
            thing = next(self.numbers)
            if self.put(thing, actor.patience()):
                self.made.append(thing)
                self.advance()
        else:
            thing = self.get(actor.patience())
            if thing is not None:
                self.taken.append(thing)
        actor.pause()

    def check(self):
        things = [thing for thing in self.taken + self.left() if thing >= 0]
        assert sorted(things) == sorted(self.made)


class ConditionArena(Goods):
    """One notification for each thing, and for each room for one."""

    make = locks.Condition
    make_lock = locks.RLock

    def setup(self):
        super().setup()
        self.things = []
        lock = self.make_lock()
        self.filled, self.emptied = self.make(lock), self.make(lock)

    def put(self, thing, patience):
        with self.emptied:
            with self.wait("room"):
                free = self.emptied.wait_for(self.may_put, patience) and self.open
            if free:
                self.things.append(thing)
                self.filled.notify()
            return free

    def get(self, patience):
        with self.filled:
            with self.wait("things"):
                self.filled.wait_for(self.may_get, patience)
            if self.things:
                thing = self.things.pop(0)
                self.emptied.notify()
                return thing

    def may_put(self):
        return len(self.things) < 2 or not self.open

    def may_get(self):
        return self.things or not self.open

    def release(self):
        with self.filled:
            self.filled.notify_all()
            self.emptied.notify_all()

    def is_there(self, what):
        return self.things if what == "things" else len(self.things) < 2

    def left(self):
        return self.things


class ConditionOverLockArena(ConditionArena):
    make_lock = locks.Lock


class ConditionOverThreadingsArena(ConditionArena):
    make_lock = threading.Lock


class QueueArena(Goods):
    make = queues.Queue
    size = (2,)

    def setup(self):
        super().setup()
        self.queue = self.make(*self.size)

    def put(self, thing, patience):
        try:
            with self.wait("room"):
                self.queue.put(thing, timeout=patience)
        except queues.Full:
            return False
        return True

    def get(self, patience):
        try:
            with self.wait("things"):
                return self.queue.get(timeout=patience)
        except queues.Empty:
            return None

    def release(self):
        # Fewer things than getters wait for; and room for putters.
        for _ in range(3):
            self.put(-1, 0)
        for _ in range(2):
            thing = self.get(0)
            if thing is not None:
                self.taken.append(thing)

    def is_there(self, what):
        number = self.queue.qsize()
        return number > 0 if what == "things" else not self.size or number < 2

    def left(self):
        return [self.queue.get_nowait() for _ in range(self.queue.qsize())]


class LifoQueueArena(QueueArena):
    make = queues.LifoQueue


class PriorityQueueArena(QueueArena):
    make = queues.PriorityQueue


class SimpleQueueArena(QueueArena):
    make = queues.SimpleQueue
    size = ()


class EventArena(Arena):
    """All pass in each round, and nobody before it is opened."""

    make = locks.Event

    def setup(self):
        self.event = self.make()
        self.round = 0
        self.passed = set()

    def step(self, actor):
        if actor.number == 0:
            return self.lead(actor)
        mine = self.round
        if actor in self.passed:
            actor.pause()
            self.give_way(actor)
        elif self.wait_for_it(actor):
            # The leader goes on only when this one, too, has passed.
            assert mine == self.round
            assert self.event.is_set()
            self.passed.add(actor)
            self.advance()

    def wait_for_it(self, actor):
        with self.wait():
            return self.event.wait(actor.patience())

    def is_there(self, what):
        return self.event.is_set()

    def lead(self, actor):
        actor.pause()
        self.event.set()
        while len(self.passed) < len(self.actors) - 1 and self.open:
            self.give_way(actor)
        self.event.clear()
        self.round += 1
        self.passed.clear()

    def give_way(self, actor):
        if actor.plain:
            time.sleep(0.0001)
        else:
            sleep(0.0001)

    def release(self):
        self.event.set()

    def check(self):
        assert self.event.wait(0)


class BarrierArena(Arena):
    """All pass together, or it is broken for all."""

    def setup(self):
        self.passes = 0
        self.returns = []

    def started(self):
        self.barrier = locks.Barrier(len(self.actors), self.all_came)

    def all_came(self):
        self.passes += 1

    def step(self, actor):
        try:
            with self.wait():
                self.returns.append(self.barrier.wait(actor.patience()))
        except locks.BrokenBarrierError:
            if actor.number == 0 and self.open:
                self.barrier.reset()
            actor.pause()
        self.advance()
        if actor.number == 0 and self.barrier.broken and self.open:
            self.barrier.reset()

    def is_there(self, what):
        return self.barrier.n_waiting == len(self.actors) or self.barrier.broken

    def release(self):
        self.barrier.abort()

    def check(self):
        # Who was interrupted on the way out is missing.
        assert len(self.returns) <= self.passes * len(self.actors)
        assert self.barrier.n_waiting == 0


ARENAS = [
    LockArena,
    RLockArena,
    SemaphoreArena,
    BoundedSemaphoreArena,
    ConditionArena,
    ConditionOverLockArena,
    ConditionOverThreadingsArena,
    EventArena,
    BarrierArena,
    QueueArena,
    LifoQueueArena,
    PriorityQueueArena,
    SimpleQueueArena,
]

every_arena = pytest.mark.parametrize("arena", ARENAS, ids=lambda cls: cls.__name__)


class Trouble:
    """Interrupts the tasklets of an arena while it goes on, and tells when it does not.

    It does nothing while nothing goes on: it might wake forgotten waiters.
    """

    def __init__(self, arena, tasks, clock=None):
        self.arena = arena
        self.tasks = tasks  # those of other threads as well
        self.alone = clock is not None
        self.clock = clock.now if self.alone else time.monotonic
        self.stuck = STUCK_FAKE if self.alone else STUCK_REAL
        self.random = random.Random(f"{arena.seed} trouble")

    def live(self, ended):
        arena = self.arena
        seen, since = -1, self.clock()
        while not ended():
            sleep(self.random.random() * 0.001)
            if self.alone and getruncount() == 1:
                self.look()
            if not arena.open:
                arena.release()
            if arena.progress != seen:
                seen, since = arena.progress, self.clock()
                if arena.open:
                    self.interrupt(self.random.choice(self.tasks))
            elif self.clock() > since + self.stuck:
                arena.fail(AssertionError(f"nothing goes on after {seen} steps"))
                for task in self.tasks:
                    task.kill(pending=True)
                return

    def look(self):
        try:
            self.arena.look()
        except AssertionError as error:
            self.arena.fail(error)

    def interrupt(self, task):
        if not task.alive:
            return
        pending = task.thread_id != getcurrent().thread_id or self.random.random() < 0.5
        if self.random.random() < 0.5:
            task.kill(pending=pending)
        else:
            task.throw(Nuisance, pending=pending)


def finish(arena):
    """Check what is left when all actors have ended."""
    for error in arena.errors:
        raise error
    assert arena.progress >= COUNT
    arena.check()


def gather(arena, actors):
    arena.actors = actors
    if hasattr(arena, "started"):
        arena.started()


def start(func, *args):
    """Return a thread that has begun and that nobody needs to wait for."""
    thread = threading.Thread(target=func, args=args, daemon=True)
    thread.start()
    return thread


@every_arena
@pytest.mark.parametrize("seed", range(2))
def test_tasklets_of_one_thread(arena, seed):
    with fake_clock() as clock, seeded(seed):
        arena = arena(seed)
        actors = [Actor(arena, number) for number in range(TASKLETS)]
        gather(arena, actors)
        tasks = [spawn(actor.live) for actor in actors]
        schedule()
        trouble = Trouble(arena, tasks, clock)
        trouble.live(lambda: all(actor.ended for actor in actors))
        run()
    finish(arena)


@every_arena
def test_tasklets_of_two_threads_and_plain_threads(arena):
    arena = arena(0)
    actors = [Actor(arena, number) for number in range(2 * TASKLETS)]
    actors += [Actor(arena, len(actors) + number, True) for number in range(PLAIN)]
    gather(arena, actors)
    users = scheduler.statistics()["threads"]
    tasks, ready = [], threading.Barrier(3)

    def host(mine):
        tasks.extend([spawn(actor.live) for actor in mine])
        schedule()
        ready.wait()
        trouble = Trouble(arena, tasks)
        trouble.live(lambda: all(actor.ended for actor in mine))
        run()

    halves = actors[:TASKLETS], actors[TASKLETS : 2 * TASKLETS]
    threads = [
        threading.Thread(target=host, args=(half,), daemon=True) for half in halves
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    plain = [threading.Thread(target=a.live, daemon=True) for a in actors if a.plain]
    for thread in plain:
        thread.start()
    while any(thread.is_alive() for thread in plain):
        time.sleep(0.001)
        if not arena.open:
            arena.release()
        # A thread without tasklets has no scheduler; this one gets none for looking.
        assert scheduler.statistics()["threads"] <= users + len(threads)
    for thread in threads + plain:
        thread.join()
    tasks.clear()
    finish(arena)


@pytest.mark.parametrize("make", [locks.Lock, locks.RLock, locks.Semaphore])
@pytest.mark.parametrize("seed", range(3))
def test_tasklets_of_one_thread_get_it_in_the_order_they_came(make, seed):
    lock, waiting, served = make(), [], []

    def live(number):
        rnd = random.Random(f"{seed} {number}")
        for turn in range(30):
            waiting.append((number, turn))
            with lock:
                served.append((number, turn))
                if rnd.random() < 0.5:
                    schedule()
            if rnd.random() < 0.5:
                schedule()

    tasks = [spawn(live, number) for number in range(8)]
    with seeded(seed):
        run()
    assert all(task.done() for task in tasks)
    assert served == waiting


class Sometimes:
    """Makes a mistake now and then."""

    def mistake(self):
        self.calls = getattr(self, "calls", 0) + 1
        return self.calls % 60 == 0


class LetsTwoIn(Sometimes, locks.Lock):
    def acquire(self, *args, **kwargs):
        return self.mistake() or super().acquire(*args, **kwargs)


class StaysLocked(Sometimes, locks.Lock):
    def release(self):
        if not self.mistake():
            super().release()


class GivesOneTooMany(Sometimes, locks.Semaphore):
    def release(self):
        super().release(2 if self.mistake() else 1)


class Forgets(Sometimes, locks.Condition):
    def notify(self, n=1):
        if not self.mistake():
            super().notify(n)


class Loses(Sometimes, queues.Queue):
    def put(self, *args, **kwargs):
        if not self.mistake():
            super().put(*args, **kwargs)


class Doubles(Sometimes, queues.SimpleQueue):
    def put(self, *args, **kwargs):
        for _ in range(2 if self.mistake() else 1):
            super().put(*args, **kwargs)


class NeverOpens(Sometimes, locks.Event):
    def set(self):
        if not self.mistake():
            super().set()


MISTAKES = [
    (LockArena, LetsTwoIn),
    (LockArena, StaysLocked),
    (SemaphoreArena, lambda: GivesOneTooMany(3)),
    (ConditionArena, Forgets),
    (QueueArena, Loses),
    (SimpleQueueArena, Doubles),
    (EventArena, NeverOpens),
]


@pytest.mark.parametrize(("arena", "make"), MISTAKES)
def test_a_mistake_is_noticed(arena, make):
    faulty = type("Faulty", (arena,), {"make": staticmethod(make)})
    noticed = 0
    for seed in range(3):
        try:
            test_tasklets_of_one_thread(faulty, seed)
        except (AssertionError, RuntimeError):
            noticed += 1
    assert noticed
