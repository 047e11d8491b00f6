"""Random tasklets that share locks, queues and channels, and are interrupted.

usage: interruption_traffic.py MODE FIRST LAST     try these seeds, stop at a failure

MODE: clock (one thread, a fake clock), threads (two threads with tasklets, real time,
the requests come from a third) or signals (a handler raises in main). Nothing predicts
what happens. The script checks what must hold in any order: no value is lost or
doubled, a lock has one owner, everything is free at the end, killed workers have
ended, blocks end in time.
"""

import collections
import contextlib
import faulthandler
import gc
import os
import random
import signal
import sys
import threading

import tasklets
from tasklets import (
    QueueChannel,
    TaskGroup,
    TaskletExit,
    _core,
    channel,
    shield,
    sleep,
    spawn,
    timeout,
)
from tasklets.locks import BoundedSemaphore, Condition, Lock, RLock
from tasklets.queues import Queue
from tasklets.testing import fake_clock

HANG_SECONDS = 120
LATE = 1000.0
# A clean-up may take this long: several tasklets wait for one lock in turn.
SLACK = 3.0
QUIET = 30.0
WORKERS_MAX = 7


class Boom(Exception):
    """Thrown at workers."""


class Failure(Exception):
    """What must hold did not."""


def check(condition, *what):
    if not condition:
        raise Failure(*what)


class Account:
    """The values of one channel or queue."""

    def __init__(self, name, put, get, take_rest):
        self.name = name
        self.put = put
        self.get = get
        self.take_rest = take_rest
        self.sent = []
        self.uncertain = []  # the sender was interrupted
        self.received = []
        self.putting = self.getting = 0

    def give(self, value):
        self.putting += 1
        try:
            self.put(value)
        except BaseException:
            self.uncertain.append(value)
            raise
        else:
            self.sent.append(value)
        finally:
            self.putting -= 1

    def take(self):
        self.getting += 1
        try:
            self.received.append(self.get())
        finally:
            self.getting -= 1

    def balance(self):
        self.received += self.take_rest()
        counts = collections.Counter(self.received)
        check(max(counts.values(), default=1) == 1, "doubled", counts, self.name)
        lost = set(self.sent) - set(self.received)
        check(not lost, "lost", lost, self.name, self.sent, self.received)
        more = set(self.received) - {*self.sent, *self.uncertain}
        check(not more, "of nobody", more, self.name)


def rest_of_channel(ch):
    def take():
        values = []
        while (value := ch.try_receive(None)) is not None:
            values.append(value)
        return values

    return take


def rest_of_queue(queue):
    return lambda: [queue.get_nowait() for _ in range(queue.qsize())]


class Traffic:
    """The shared objects, and the workers that use them."""

    def __init__(self, seed, scale, slack, rounds_after_kill):
        self.rnd = random.Random(seed)
        self.scale = scale
        self.slack = slack
        self.numbers = iter(range(1, 10**6))
        chan, stored = channel(), QueueChannel(self.rnd.choice([0, 1, 2]))
        chan.preference = self.rnd.choice([-1, 0, 1])
        self.queue = Queue(self.rnd.choice([0, 1, 2]))
        self.stored = stored
        queue = self.queue
        accounts = [
            Account("channel", chan.send, chan.receive, rest_of_channel(chan)),
            Account("stored", stored.send, stored.receive, rest_of_channel(stored)),
            Account("queue", queue.put, queue.get, rest_of_queue(queue)),
        ]
        self.accounts = {account.name: account for account in accounts}
        self.locks = [Lock(), RLock()]
        self.inside = [0, 0, 0]
        self.permits = BoundedSemaphore(2)
        self.cond = Condition(self.rnd.choice([Lock, RLock])())
        self.items = collections.deque()
        self.items_made = []
        self.items_taken = []
        self.consuming = 0
        self.killed = {}
        self.rounds = collections.Counter()
        self.rounds_before = {}
        self.rounds_after_kill = rounds_after_kill
        self.ended = {}
        self.stubborn = set()
        self.thrown_at = set()
        self.failures = []
        # Few kinds, so that they meet.
        ops = sorted(n for n in dir(self) if n.startswith("op_"))
        self.ops = self.rnd.sample(ops, self.rnd.randint(2, len(ops)))

    def time(self, rnd, most_ms):
        return rnd.uniform(0.01, most_ms) * self.scale / 1000

    # Operations.

    def op_sleep(self, rnd):
        sleep(self.time(rnd, 20))

    def op_give(self, rnd):
        account = self.accounts[rnd.choice(list(self.accounts))]
        for _ in range(rnd.choice([1, 1, 3])):
            account.give(next(self.numbers))

    def op_take(self, rnd):
        account = self.accounts[rnd.choice(list(self.accounts))]
        for _ in range(rnd.choice([1, 1, 3])):
            account.take()

    def op_lock(self, rnd):
        number = rnd.randrange(2)
        with self.locks[number]:
            self.be_inside(rnd, number, 1)

    def op_permit(self, rnd):
        with self.permits:
            self.be_inside(rnd, 2, 2)

    def be_inside(self, rnd, number, most):
        self.inside[number] += 1
        try:
            check(self.inside[number] <= most, "two owners of", number)
            sleep(self.time(rnd, 15))
        finally:
            self.inside[number] -= 1

    def op_produce(self, rnd):
        with self.cond:
            value = next(self.numbers)
            self.items.append(value)
            self.items_made.append(value)
            self.cond.notify()
            if rnd.random() < 0.5:
                sleep(self.time(rnd, 10))

    def op_consume(self, rnd):
        with self.cond:
            while not self.items:
                self.consuming += 1
                try:
                    self.cond.wait()
                finally:
                    self.consuming -= 1
                    check(self.cond._is_owned(), "wait() returned without the lock")
            self.items_taken.append(self.items.popleft())

    # What is round them.

    def in_plain(self, rnd, op):
        op(rnd)

    def in_timeout(self, rnd, op):
        limit = self.time(rnd, 40)
        start = _core.now()
        try:
            with timeout(limit):
                op(rnd)
        finally:
            taken = _core.now() - start
            check(taken <= limit + self.slack, "a timeout took", taken)

    def in_two_timeouts(self, rnd, op):
        with contextlib.suppress(TimeoutError):
            self.in_timeout(rnd, lambda rnd: self.in_timeout(rnd, op))

    def in_shield(self, rnd, op):
        with timeout(self.time(rnd, 40)), shield(self.time(rnd, 30)):
            op(rnd)

    def in_clean_up(self, rnd, op):
        with timeout(self.time(rnd, 30)):
            try:
                op(rnd)
            finally:
                sleep(self.time(rnd, 20))

    def in_shielded_clean_up(self, rnd, op):
        try:
            with timeout(self.time(rnd, 30)):
                sleep(self.time(rnd, 40))
        finally:
            # The shield holds off outer blocks only. A kill that was raised is not
            # raised again when its limit is over.
            with shield(self.time(rnd, 20)), contextlib.suppress(TimeoutError):
                with timeout(self.time(rnd, 30)):
                    op(rnd)

    def in_group(self, rnd, op):
        with contextlib.suppress(ExceptionGroup), TaskGroup() as group:
            group.spawn(op, random.Random(rnd.random()))
            if rnd.random() < 0.3:
                group.spawn(self.fail, rnd)
            with timeout(self.time(rnd, 30)):
                sleep(self.time(rnd, 50))
            group.cancel()

    def fail(self, rnd):
        sleep(self.time(rnd, 20))
        raise Boom

    def worker(self, name, seed):
        rnd = random.Random(seed)
        ops = [getattr(self, name) for name in self.ops]
        ways = [getattr(self, n) for n in dir(self) if n.startswith("in_")]
        try:
            for _ in range(rnd.randint(2, 7)):
                self.rounds[name] += 1
                allowed = (TimeoutError, Boom)
                if name in self.stubborn:
                    allowed += (TaskletExit,)
                with contextlib.suppress(*allowed):
                    rnd.choice(ways)(rnd, rnd.choice(ops))
            with contextlib.suppress(Boom):
                sleep(0)
        except TaskletExit:
            raise
        except BaseException as error:
            self.failures.append((name, error))
        finally:
            self.ended[name] = _core.now()

    # Requests, and what must hold.

    def start(self):
        made = {}
        for number in range(self.rnd.randint(2, WORKERS_MAX)):
            name = f"{threading.get_ident()}-{number}"
            if self.rnd.random() < 0.2:
                self.stubborn.add(name)
            made[name] = spawn(self.worker, name, self.rnd.random())
        return made

    def request(self, name, task):
        if not task.alive:
            return
        what = self.rnd.choice(["kill", "kill", "throw"])
        pending = self.rnd.random() < 0.5
        with contextlib.suppress(RuntimeError):  # it may have ended
            if what == "kill":
                self.killed.setdefault(name, _core.now())
                self.rounds_before.setdefault(name, self.rounds[name])
                task.kill(pending=pending)
            else:
                self.thrown_at.add(name)
                task.throw(Boom, pending=pending)

    def is_certain(self, name):
        """Tell whether the worker cannot survive a kill. A throw may replace it."""
        return name not in self.stubborn and name not in self.thrown_at

    def check_quiet(self):
        """Nobody waits for what is there."""
        check(not (self.items and self.consuming), "a notification is lost")
        queue = self.accounts["queue"]
        check(not (self.queue.qsize() and queue.getting), "a getter sleeps on")
        free = self.queue.maxsize and self.queue.qsize() < self.queue.maxsize
        check(not (free and queue.putting), "a putter sleeps on")
        for name in ("channel", "stored"):
            account = self.accounts[name]
            check(not (account.putting and account.getting), "both wait", name)

    def check_killed(self, tasks):
        for name, when in self.killed.items():
            if name in tasks and self.is_certain(name):
                # With threads it may have been about to end.
                went_on = self.rounds[name] - self.rounds_before[name]
                check(
                    tasks[name].cancelled() or went_on <= self.rounds_after_kill,
                    "killed, and not cancelled", name, went_on,
                )  # fmt: skip
                late = self.ended.get(name, when) - when
                check(late <= self.slack, "ended late", name, late)

    def end(self, tasks):
        """Kill all that is left, and look that it ends."""
        for _ in range(12):
            for task in tasks.values():
                task.kill()
            sleep(QUIET * self.scale)
            if not any(task.alive for task in tasks.values()):
                return
        raise Failure("a worker does not end")

    def check_accounts(self):
        check(not self.failures, *self.failures)
        for account in self.accounts.values():
            account.balance()
        check(
            sorted(self.items_taken + list(self.items)) == sorted(self.items_made),
            "an item is lost",
        )
        for lock in (*self.locks, self.cond):
            check(lock.acquire(blocking=False), "still held", lock)
            lock.release()
        check(self.permits._value == 2, "permits", self.permits._value)
        check(self.inside == [0, 0, 0], "inside", self.inside)


def one_clock(seed):
    traffic = Traffic(seed, scale=1, slack=SLACK, rounds_after_kill=-1)
    with fake_clock():
        tasks = traffic.start()
        sleep(0)
        for _ in range(traffic.rnd.randint(0, 8)):
            if traffic.rnd.random() < 0.7:
                sleep(traffic.time(traffic.rnd, 40))
            name = traffic.rnd.choice(list(tasks))
            traffic.request(name, tasks[name])
        sleep(LATE)
        traffic.check_quiet()
        traffic.check_killed(tasks)
        traffic.end(tasks)
    traffic.check_accounts()


def one_of_threads(seed):
    # On a busy machine nothing is late.
    traffic = Traffic(seed, scale=0.2, slack=HANG_SECONDS, rounds_after_kill=2)
    ready, over = threading.Barrier(3), threading.Event()
    groups, errors = [], []

    def run():
        try:
            tasks = traffic.start()
            sleep(0)  # they begin: a throw before that would reach this tasklet
            groups.append(tasks)
            ready.wait(HANG_SECONDS)
            while not over.is_set():
                sleep(0.001)
            for _ in range(100):
                for task in tasks.values():
                    task.kill()
                sleep(0.002)
                if not any(task.alive for task in tasks.values()):
                    return
            raise Failure("a worker does not end")
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait(HANG_SECONDS)
    for _ in range(traffic.rnd.randint(0, 10)):
        sleep(traffic.time(traffic.rnd, 10))
        tasks = traffic.rnd.choice(groups)
        name = traffic.rnd.choice(list(tasks))
        traffic.request(name, tasks[name])
    sleep(0.01)
    over.set()
    for thread in threads:
        thread.join(HANG_SECONDS)
        check(not thread.is_alive(), "a thread does not end")
    check(not errors, *errors)
    for tasks in groups:
        traffic.check_killed(tasks)
    traffic.check_accounts()


class Interrupt(KeyboardInterrupt):
    """Raised by the handler, with its number."""


def one_of_signals(seed):
    """Each KeyboardInterrupt of a handler reaches main, in whatever code it arises."""
    rnd = random.Random(seed)
    raised, seen, others = [], set(), []

    def handler(*_):
        raised.append(len(raised))
        raise Interrupt(raised[-1])

    def waits(depth):
        limit = rnd.uniform(0.0005, 0.004)
        with contextlib.suppress(TimeoutError), timeout(limit):
            try:
                if depth > 0 and rnd.random() < 0.4:
                    with TaskGroup() as group:
                        group.spawn(waits, depth - 1)
                        sleep(limit)
                elif depth > 0:
                    with shield(limit):
                        waits(depth - 1)
                else:
                    sleep(limit * 2)
            finally:
                sleep(limit)

    before = signal.signal(signal.SIGINT, handler)
    go_on, over = threading.Event(), threading.Event()

    def interrupt():
        while go_on.wait(HANG_SECONDS) and not over.is_set():
            go_on.clear()
            os.kill(os.getpid(), signal.SIGINT)

    def provoke():
        count = len(raised)
        others.append(spawn(waits, 1))
        go_on.set()
        while len(raised) == count:
            waits(2)

    def catch(func, *args):
        try:
            func(*args)
        except Interrupt as error:
            seen.add(error.args[0])

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        for number in range(4):
            catch(provoke)
            # Of two in one group only the first leaves it: none may be on its way yet.
            while any(other.alive for other in others):
                catch(sleep, 0.001)
            check(raised == [*range(number + 1)], "raised", raised)
            check(seen == {*raised}, "raised", raised, "and seen", seen)
    finally:
        over.set()
        go_on.set()
        thread.join()
        signal.signal(signal.SIGINT, before)


MODES = {"clock": one_clock, "threads": one_of_threads, "signals": one_of_signals}


def main(mode, first, last):
    before = _core.live_counts()
    for seed in range(int(first), int(last)):
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        try:
            MODES[mode](seed)
        except BaseException:
            print("seed", seed, flush=True)
            raise
    gc.collect()
    after = _core.live_counts()
    if mode == "clock":
        grown = {k: n for k, n in after.items() if n > before.get(k, 0)}
        check(not grown, "still alive", grown)
    faulthandler.cancel_dump_traceback_later()
    print("ok", int(last) - int(first))


if __name__ == "__main__":
    assert tasklets.getcurrent().is_main
    main(*sys.argv[1:])
