"""Programs to be stopped: by what they have done, and by what they compute."""

import contextlib
import functools
import random

from greenlet import greenlet

from tasklets import channel, run, schedule, scheduler, spawn, tasklet


def busy(rounds):
    total = 0
    for number in range(rounds):
        total += number
    return total


def mixed(trace):
    """Do some of all that Python code can; trace tells how far it has come."""

    def generate(limit):
        for number in range(limit):
            trace.append(number)
            yield number

    while True:
        total = sum(generate(7))
        with contextlib.suppress(KeyError):
            raise KeyError(total)
        total += max([5, 3, 9], key=lambda item: -item)
        total += functools.reduce(lambda a, b: a + b, range(5))
        trace.append({str(n): n for n in range(total % 11)})
        trace.append([n + 1 for n in range(4)])


def places(budgets):
    """Return where a tasklet is when each of the budgets is over."""
    trace, found = [], []
    victim = tasklet(mixed)(trace)
    for ticks in budgets:
        assert scheduler.run(ticks) is victim
        frame = victim.frame
        found.append((len(trace), frame.f_code.co_name, frame.f_lineno, frame.f_lasti))
        victim.insert()
    victim.remove().kill()
    return found


class Program:
    """Tasklets that compute, in every way, and talk; the seed says which."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.jobs = [self.job() for _ in range(self.random.randrange(2, 6))]

    def job(self):
        kinds = [
            self.loops, self.generators, self.errors, self.recursion, self.sorts,
            self.coroutines, self.blocks, self.strings, self.classes, self.stacks,
        ]  # fmt: skip
        return [
            (self.random.choice(kinds), self.random.randrange(1, 40))
            for _ in range(self.random.randrange(1, 8))
        ]

    def results(self, drive):
        """Return what all tasklets computed; drive(tasklets) runs them."""
        workers, pairs = [], []
        for job in self.jobs:
            ch = channel()
            workers.append(spawn(self.produce, job, ch))
            pairs.append(spawn(self.consume, ch))
        drive(workers + pairs)
        return [each.result() for each in workers + pairs]

    def produce(self, job, ch):
        found = []
        for kind, size in job:
            found.append(kind(size))
            ch.send(found[-1])
            if size % 3 == 0:
                schedule()
        ch.send(None)
        return found

    def consume(self, ch):
        found = []
        while (value := ch.receive()) is not None:
            found.append(value)
        return found

    def loops(self, size):
        total = 0
        for a in range(size):
            b = 0
            while b < a:
                total += a * b
                b += 1
                if b % 7 == 6:
                    continue
        return total

    def generators(self, size):
        def numbers(n):
            try:
                for i in range(n):
                    got = yield i
                    if got:
                        yield got * 2
            finally:
                ends.append(n)

        def delegate(n):
            result = yield from numbers(n)
            return result

        ends = []
        total = sum(delegate(size)) + sum(i * i for i in numbers(size))
        it = numbers(size)
        next(it)
        with contextlib.suppress(StopIteration):
            total += it.send(3)
        it.close()
        return total, ends

    def errors(self, size):
        found = []
        for i in range(size):
            try:
                try:
                    if i % 2:
                        raise KeyError(i)
                    found.append(i)
                except KeyError as error:
                    if i % 3:
                        raise ValueError(i) from error
                    found.append(-i)
                finally:
                    found.append("f")
            except ValueError as error:
                found.append(error.__cause__.args)
        return found

    def recursion(self, size):
        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)

        return fib(size % 12)

    def sorts(self, size):
        items = [(i * 7919) % 101 for i in range(size)]
        by_key = sorted(items, key=lambda i: -i)
        by_order = sorted(items, key=functools.cmp_to_key(lambda a, b: a - b))
        return by_key == by_order[::-1], functools.reduce(lambda a, b: a * 3 + b, items)

    def coroutines(self, size):
        class Step:
            def __init__(self, value):
                self.value = value

            def __await__(self):
                return (yield self.value)

        async def inner(n):
            return await Step(n) + 1

        async def numbers(n):
            for i in range(n):
                yield await inner(i)

        async def work():
            return [i async for i in numbers(size)]

        coroutine, value = work(), None
        try:
            while True:
                value = coroutine.send(value)
        except StopIteration as end:
            return end.value

    def blocks(self, size):
        class Block:
            def __init__(self, i):
                self.i = i

            def __enter__(self):
                found.append(self.i)
                return self

            def __exit__(self, kind, *_):
                found.append((self.i, kind and kind.__name__))
                return kind is KeyError

        found = []
        for i in range(size):
            with Block(i), Block(-i):
                if i % 3 == 0:
                    raise KeyError
        return found

    def strings(self, size):
        names = {}
        exec("total = 0\nfor i in range(size): total += i", {"size": size}, names)
        return names["total"], eval("[c.upper() for c in text]", {"text": "ab" * size})

    def classes(self, size):
        class Thing:
            made = 0

            def __init__(self, value):
                self.value = value
                type(self).made += 1

            @property
            def double(self):
                return self.value * 2

            def __lt__(self, other):
                return self.value < other.value

            def __eq__(self, other):
                return self.value == other.value

            __hash__ = None

        things = [Thing(i % 5) for i in range(size)]
        low, high = min(things), max(things)
        return low.double, high.double, Thing.made, things.count(high)

    def stacks(self, size):
        def inner(value):
            while True:
                value = outer.switch(value + busy(5))

        from greenlet import getcurrent as here

        outer = here()
        stack = greenlet(inner)
        return [stack.switch(i) for i in range(size)]


def unstopped(tasklets_):
    run()


LOTS = 10**6  # of ticks: more than any short tasklet here has


def reason():
    return scheduler.last_run().reason


# A tasklet is suspended inside one of these before any run() has a budget. In each an
# endless loop goes on when the tasklet does.
SUSPENDED = {
    "loop": """
def work():
    out.append(loop(schedule_remove))
""",
    "generator": """
def generator():
    count = 0
    while going:
        count += 1
        if count == 5:
            yield None
    yield count

def work():
    it = generator()
    next(it)
    schedule_remove(None)
    out.append(next(it))
""",
    "greenlet": """
def work():
    inner = greenlet(loop)
    inner.switch(here().switch)
    schedule_remove(None)
    out.append(inner.switch())
""",
    "outer frame": """
def inner():
    schedule_remove(None)

def pause():
    inner()

def outer():
    # The loop is further out than what is suspended.
    return loop(pause)

def work():
    out.append(outer())
""",
}


def suspended(where, budget):
    """Return a program that suspends a tasklet, then stops it three times."""
    begin = """
from greenlet import getcurrent as here, greenlet

def loop(pause):
    count = 0
    while going:
        count += 1
        if count == 5:
            pause()
    return count
"""
    end = f"""
going, out = True, []
victim = tasklet(work)()
run()
assert victim.paused and not out
for _ in range(3):
    victim.insert()
    assert scheduler.run({budget}) is victim
going = False
victim.insert()
assert scheduler.run() is None
assert out[0] > 100
"""
    return begin + SUSPENDED[where] + end
