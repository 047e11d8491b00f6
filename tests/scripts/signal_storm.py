"""A program that waits in one of many ways while Ctrl-C arrives at random moments.

usage: signal_storm.py KIND COUNT SEED

A child process sends COUNT SIGINTs, each after the program has acknowledged the last
one, so that no two are merged. Each must be raised once, as a KeyboardInterrupt in the
loop of the main tasklet. Prints how many were seen; fails if one was lost, or if
anything is left over.

What CPython itself loses is avoided here. test_signal_storm.py has programs without
tasklets that show each case.
"""

import faulthandler
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from operator import methodcaller

import tasklets
from tasklets import (
    QueueChannel,
    TaskGroup,
    as_completed,
    channel,
    getcurrent,
    readable,
    recv,
    schedule,
    scheduler,
    select,
    send,
    sleep,
    spawn,
    timeout,
    wait,
    writable,
)
from tasklets.locks import Barrier, Condition, Event, Lock, NLCondition, Semaphore
from tasklets.queues import Queue
from tasklets.workers import WorkerPool, call_on_worker

LATE = 60  # seconds after which a signal counts as lost

# On 3.14 a signal can be handled between __enter__() and the block, which is not left
# then.
WITH_IS_WHOLE = sys.version_info[:2] != (3, 14)

# argv: pid, count, seed, seconds. Waits for a byte on stdin, which acknowledges the
# last signal. Then it sends the next one, at a random moment.
SENDER = """
import os, random, select, signal, sys, time

pid, count, seed, seconds = map(int, sys.argv[1:])
rng = random.Random(seed)
for number in range(count + 1):
    for wait in (1, seconds):
        if select.select([0], [], [], wait)[0]:
            break
        # Before Python 3.13 the interpreter may forget that a signal is pending, until
        # the next one: it is noted in a word that the main thread writes, too.
        if sys.version_info < (3, 13):
            os.kill(pid, signal.SIGUSR2)
    else:
        print(f"signal {number} was lost", flush=True)
        os.kill(pid, signal.SIGABRT)
        sys.exit(1)
    if not os.read(0, 1):
        sys.exit(f"the program ended after {number} signals")
    if number < count:
        time.sleep(rng.choice((0, 0, 1e-5, 1e-4, 3e-4)) * rng.random())
        os.kill(pid, signal.SIGINT)
print(count, flush=True)
"""


def nothing():
    """End at once, in Python code."""


def lazy():
    """End after a few turns."""
    for _ in range(3):
        schedule()


def started_pool():
    """Return a pool whose threads run already.

    The storm is to hit the calls, not the starts alone.
    """
    pool, gate = WorkerPool(2), threading.Barrier(3)
    futures = [pool.submit(gate.wait) for _ in range(2)]
    gate.wait()
    wait(futures)
    return pool


class Kind:
    """One way to wait. Its work is interrupted anywhere and called again."""

    one_sided = False  # tasklets may be left that wait for an interrupted main tasklet

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.begun = []
        self.rounds = 0

    def start(self, func, *args):
        """Spawn a tasklet that must come to its end."""
        call = partial(spawn, func, *args)
        # No signal is handled between the spawn and the note of it.
        self.begun.extend(map(methodcaller("__call__"), [call]))
        return self.begun[-1]

    def some(self, func, most=5):
        """Spawn some tasklets."""
        return [self.start(func) for _ in range(self.rng.randrange(1, most))]

    def finish(self):
        """See all tasklets end that an interrupted call has left."""
        while self.begun:
            made = self.begun[-1]
            if self.one_sided:
                made.kill(pending=True)
            assert made.join(LATE), made
            assert made.done()
            self.begun.pop()

    def work(self):
        """Wait, once or a few times."""
        raise NotImplementedError

    def check(self):
        """See that nothing is left when all is over."""


class Spawning(Kind):
    """Trivial tasklets, each awaited."""

    def work(self):
        made = self.start(nothing)
        assert made.join()
        assert made.exception() is None


class Results(Kind):
    """result() of tasklets that take turns."""

    def work(self):
        made = self.start(lambda: (schedule(), 7))
        assert made.result() == (made, 7)


class Waiting(Kind):
    """wait() for all or some of many tasklets."""

    def work(self):
        some = self.some(self.rng.choice((nothing, lazy)), 12)
        count = self.rng.choice((None, 1))
        found = wait(some, count=count)
        assert len(found) == len(set(found))
        if count is None:
            assert set(found) == set(some)
        assert wait(some, timeout=LATE) is not None
        assert all(one.done() for one in some)


class WaitingForEvents(Kind):
    """wait() for events that tasklets set."""

    def __init__(self, seed):
        super().__init__(seed)
        self.lasting = Event()

    def work(self):
        events = [Event() for _ in range(3)]

        def work():
            for event in events:
                event.set()
                schedule()

        made = self.start(work)
        found = wait([self.lasting, *events, made], count=4)
        # Interrupted in the middle, work() sets no more; then this is not reached.
        assert set(found) == {*events, made}

    def check(self):
        # Nobody listens to it any more.
        self.lasting.set()
        assert wait([self.lasting]) == [self.lasting]


class Completing(Kind):
    """as_completed() of tasklets."""

    def work(self):
        some = self.some(lazy, 8)
        found = list(as_completed(some, timeout=LATE))
        assert len(found) == len(some)
        assert set(found) == set(some)


class Selecting(Kind):
    """select() with tasklets, events, descriptors and channels."""

    one_sided = True

    def __init__(self, seed):
        super().__init__(seed)
        self.read, self.write = os.pipe()
        self.idle, self.open = os.pipe()
        self.never = Event()
        self.closed = channel()

    def work(self):
        ch, queue, event = channel(), QueueChannel(), Event()
        way = self.rng.randrange(6)
        if way == 0:
            made = self.start(lazy)
            chosen = select(self.never, made, readable(self.idle), recv(ch))
            assert chosen == (made, None)
        elif way == 1:
            self.start(lambda: (schedule(), event.set()))
            assert select(event, self.never, recv(ch)) == (event, None)
        elif way == 2:
            case = writable(self.write)
            assert select(recv(ch), case, self.never) == (case, None)
        elif way == 3:
            self.start(lambda: (lazy(), queue.send("value")))
            case = recv(queue)
            assert select(case, self.never, readable(self.idle)) == (case, "value")
        elif way == 4:
            made = self.start(ch.receive)
            case = send(ch, "value")
            assert select(self.never, case) == (case, None)
            assert made.result() == "value"
        else:
            case = readable(self.read)
            with_data = self.start(lambda: (lazy(), os.write(self.write, b"x")))
            chosen = select(case, self.never, recv(ch), timeout=LATE)
            assert chosen == (case, None)
            os.read(self.read, 1)
            with_data.join()

    def finish(self):
        super().finish()
        while select(readable(self.read), default=None) != (None, None):
            os.read(self.read, 1)

    def check(self):
        for each in (self.read, self.write, self.idle, self.open):
            os.close(each)


class Sleeping(Kind):
    """sleep(), timeouts, and turns."""

    def work(self):
        made = self.start(sleep, 1e-5)
        sleep(0)
        sleep(1e-5)
        if WITH_IS_WHOLE:
            self.be_late()
        assert made.join(LATE)

    def be_late(self):
        """Let the time of a block be up.

        Nothing may follow here. Where code does, 3.12 jumps back to it from the end of
        the statement. If a signal arrives at that jump, it takes the handler of the
        loop, and calls what is not __exit__().
        """
        with suppress(TimeoutError), timeout(1e-5):
            while True:
                schedule()


class Locking(Kind):
    """Locks and conditions."""

    one_sided = True

    def __init__(self, seed):
        super().__init__(seed)
        self.pool = started_pool()

    def notify(self, cond):
        """Notify the waiters: on a worker."""
        with cond:
            cond.notify_all()

    def work(self):
        # No tasklet may hold a lock while it runs Python code: interrupted between
        # acquire() and try it never releases it, and Condition.wait() needs it back.
        lock, gate, cond = Lock(), Semaphore(0), NLCondition()
        assert lock.acquire()
        made = self.start(lock.acquire)
        schedule()
        lock.release()
        assert made.join(LATE)
        self.start(lock.release)
        assert lock.acquire(timeout=LATE)
        self.start(gate.release)
        assert gate.acquire(timeout=LATE)
        self.start(cond.notify_all)
        assert cond.wait(LATE)
        event, barrier = Event(), Barrier(2)
        self.start(event.set)
        assert event.wait(LATE)
        self.start(barrier.wait)
        barrier.wait()
        # The other side is a thread, where no signal is handled. Without a with
        # statement: see WITH_IS_WHOLE.
        cond = Condition(Lock())
        cond.acquire()
        self.pool.submit(self.notify, cond)
        assert cond.wait(LATE)
        cond.release()


class Queueing(Kind):
    """Queues and channels."""

    one_sided = True

    def work(self):
        queue, ch = Queue(1), channel()

        def produce():
            for number in range(4):
                queue.put(number)

        def talk():
            for number in range(4):
                ch.send(number)

        self.start(produce)
        self.start(talk)
        assert [queue.get(timeout=LATE) for _ in range(4)] == list(range(4))
        assert [ch.receive() for _ in range(4)] == list(range(4))


class Working(Kind):
    """Calls for workers, and their futures."""

    def __init__(self, seed):
        super().__init__(seed)
        self.pool = started_pool()
        self.never = Future()
        call_on_worker(int)

    def work(self):
        way = self.rng.randrange(5)
        if way == 0:
            assert call_on_worker(abs, -1) == 1
        elif way == 1:
            assert self.pool.call(abs, -2) == 2
        elif way == 2:
            assert self.pool.submit(abs, -3).result() == 3
        elif way == 3:
            futures = [self.pool.submit(abs, -n) for n in range(3)]
            assert set(wait([self.never, *futures], count=3)) == set(futures)
        else:
            future = self.pool.submit(abs, -4)
            assert select(self.never, future) == (future, None)
            assert future.result() == 4

    def check(self):
        assert not self.never._done_callbacks
        self.pool.shutdown()


class Pools(Kind):
    """Pools that come and go, and their threads."""

    def work(self):
        pool = WorkerPool(1)
        future = pool.submit(abs, -1)
        other = pool.submit(abs, -2)
        assert future.result() == 1
        assert other.cancel() or other.result() == 2
        assert set(wait([future, other])) == {future, other}
        if self.rng.random() < 0.5:
            pool.shutdown()
        # else it is closed when it goes: no worker is left in the end

    def check(self):
        gc.collect()  # an interrupted call can be part of a cycle
        end = time.monotonic() + LATE
        while threading.active_count() > 1 and time.monotonic() < end:
            sleep(0.001)
        assert threading.active_count() == 1


class CallingBack(Kind):
    """Done callbacks in Python, of tasklets and events."""

    def __init__(self, seed):
        super().__init__(seed)
        self.called = 0

    def note(self, _):
        for _ in range(3):
            self.called += 0
        self.called += 1

    def work(self):
        made = self.start(nothing)
        event = Event()
        made.add_done_callback(self.note)
        event.add_done_callback(self.note)
        setter = self.start(event.set)
        assert set(wait([made, event, setter])) == {made, event, setter}
        assert made.done()


class Hooked(Kind):
    """Schedule and channel callbacks in Python."""

    def __init__(self, seed):
        super().__init__(seed)
        tasklets.set_schedule_callback(lambda before, after: [0] * 3)
        tasklets.set_channel_callback(lambda ch, who, sending, blocks: [0] * 3)

    def work(self):
        ch = QueueChannel()
        made = self.start(lambda: (ch.send(1), schedule()))
        assert ch.receive() == 1
        assert wait([made]) == [made]

    def check(self):
        tasklets.set_schedule_callback(None)
        tasklets.set_channel_callback(None)


class Running(Kind):
    """scheduler.run(), with and without budgets."""

    def work(self):
        self.some(lazy)
        scheduler.run(wait=True)
        self.some(lazy)
        stopped = scheduler.run(switches=2)
        assert stopped is None
        scheduler.run(wait=True)


class Trapped(Kind):
    """Blocks that forbid to wait, or to switch."""

    def work(self):
        if WITH_IS_WHOLE:
            with tasklets.block_trap(), tasklets.no_switch():
                nothing()
        assert tasklets.switch_trap(0) == 0
        assert not getcurrent().block_trap
        schedule()


class Grouped(Kind):
    """TaskGroup."""

    def work(self):
        with TaskGroup() as group:
            some = [group.spawn(lazy) for _ in range(self.rng.randrange(1, 5))]
        assert all(one.done() for one in some)

    def check(self):
        assert getcurrent().is_main


class Limited(Kind):
    """TaskGroup with a limit."""

    def work(self):
        with TaskGroup(limit=2) as group:
            some = [group.spawn(nothing) for _ in range(5)]
        assert all(one.done() for one in some)


KINDS = {
    kind.__name__: kind
    for kind in (
        Spawning, Results, Waiting, WaitingForEvents, Completing, Selecting, Sleeping,
        Locking, Queueing, Working, Pools, CallingBack, Hooked, Running, Trapped,
        Grouped, Limited,
    )
}  # fmt: skip


def storm(kind, count, seed):
    """Work until all signals have come; return how many were seen."""
    command = [sys.executable, "-c", SENDER, os.getpid(), count, seed, LATE]
    sender = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    into = sender.stdin.fileno()
    seen = 0
    while True:
        try:
            # Once to begin, and for each that was seen. The next comes in this block.
            os.write(into, b".")
            if seen == count:
                break
            work_on(kind)
        except KeyboardInterrupt:
            seen += 1
    assert sender.wait() == 0, sender.stdout.read()
    return seen


def work_on(kind):
    """Work until interrupted.

    In a function of its own: up to Python 3.13 a try statement does not guard the jump
    back of a loop that is in it.
    """
    while True:
        kind.finish()
        kind.work()
        kind.rounds += 1


def main(name, count, seed):
    """Run one storm, and look at what is left."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGUSR2, lambda number, frame: None)
    ignored = []

    def note_ignored(report):
        ignored.append(repr(report.exc_value))
        os.write(2, f"ignored: {report.exc_value!r} in {report.object!r}\n".encode())

    sys.unraisablehook = note_ignored
    kind = KINDS[name](seed)
    try:
        seen = storm(kind, count, seed)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        raise
    kind.finish()
    kind.check()
    scheduler.run(wait=True)
    left = scheduler.statistics()["blocked"]
    print(f"seen {seen}, ignored {ignored[:5]}, left {left}")
    print(f"{kind.rounds} rounds", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
