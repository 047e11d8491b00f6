"""Random programs of nested groups, timeouts and kills, in random orders."""

import contextlib
import random

import pytest

from tasklets import (
    TaskGroup,
    TaskletExit,
    TimeoutExit,
    channel,
    schedule,
    scheduler,
    sleep,
    spawn,
    timeout,
)
from tasklets.testing import seeded, settle

pytestmark = pytest.mark.usefixtures("clock")


class Model:
    """A random program of nested groups, and what must be true of it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.alive = 0
        self.raised = 0
        self.errors = set()  # numbers of the errors that left a tasklet or a body
        self.open = 0

    def number(self):
        return self.random.randrange(4)

    def nap(self):
        how = self.random.randrange(3)
        if how == 0:
            schedule()
        elif how == 1:
            sleep(self.number() / 2)
        else:
            with contextlib.suppress(TimeoutError):
                channel().receive(timeout=self.number())

    def error(self):
        self.raised += 1
        return KeyError(self.raised)

    def leaf(self):
        self.alive += 1
        try:
            self.act()
        except KeyError as error:
            self.errors.add(error.args[0])
            raise
        finally:
            self.alive -= 1

    def act(self):
        try:
            for _ in range(self.number()):
                self.nap()
            if self.random.random() < 0.1:
                raise self.error()
        except TaskletExit:
            how = self.random.randrange(10)
            if how == 0:
                return  # swallowed
            if how == 1:
                self.nap()
                raise self.error() from None
            raise
        finally:
            if self.random.random() < 0.5:
                self.nap()

    def group(self, depth):
        """Return after a group, in which anything may have happened."""
        random = self.random
        limit = random.choice([None, None, 1, 2, 3])
        self.open += 1
        members = []
        try:
            with TaskGroup(limit) as group:
                for _ in range(random.randrange(2 * depth + 3)):
                    how = random.randrange(8)
                    if how < 4:
                        members.append(group.spawn(self.leaf))
                    elif how < 6 and depth > 0:
                        members.append(group.spawn(self.node, depth - 1))
                    elif how == 6:
                        self.nap()
                    elif members:
                        random.choice(members).kill(pending=True)
                if random.random() < 0.1:
                    group.cancel()
                if random.random() < 0.2:
                    self.nap()
                if random.random() < 0.1:
                    self.errors.add(self.raised + 1)
                    raise self.error()
        finally:
            self.open -= 1
            assert all(member.done() for member in members)
            assert "over, 0 " in repr(group)

    def node(self, depth):
        limit = self.random.choice([None, None, 0, 1, 2, 4])
        expired = None
        try:
            with timeout(limit) as expired:
                self.group(depth)
        except TimeoutError:
            assert expired.expired
        except TimeoutExit:
            assert not expired.expired
            raise

    def check(self, error):
        """Return the numbers of all errors in a group."""
        if isinstance(error, BaseExceptionGroup):
            assert isinstance(error, ExceptionGroup)
            return [n for each in error.exceptions for n in self.check(each)]
        assert isinstance(error, KeyError), repr(error)
        return [error.args[0]]


def run_model(seed):
    model = Model(seed)
    top = spawn(model.node, 4)
    killer = spawn(lambda: (sleep(model.number()), top.kill(pending=True)))
    if seed % 3:
        killer.remove()
        killer.kill(pending=True)
    top.join()
    killer.kill(pending=True)
    error = None if top.cancelled() else top.exception()
    found = [] if error is None else model.check(error)
    assert len(found) == len(set(found)), found
    lost = model.errors - set(found)
    assert not lost, f"seed {seed} loses {lost}"
    assert set(found) <= model.errors
    settle()
    assert model.alive == 0
    assert model.open == 0
    assert scheduler.pending() == 0


@pytest.mark.parametrize("start", range(0, 2000, 250))
def test_groups_keep_their_promises_in_any_order(start):
    for seed in range(start, start + 250):
        with seeded(seed):
            run_model(seed)


@pytest.mark.parametrize("ticks", [1, 2, 3, 7, 20])
def test_budgets_that_end_anywhere_do_no_harm(ticks):
    """A stopped tasklet goes on, be it in the group's own code, when others have."""

    def leaf(number):
        for _ in range(random.randrange(4)):
            sleep(random.randrange(3))
        if random.randrange(4) == 0:
            raise KeyError(number)

    def parent():
        with TaskGroup(random.choice([None, 1, 3])) as group:
            for number in range(6):
                members.append(group.spawn(leaf, number))
                sleep(random.randrange(2))
            sleep(1)
        return group

    for seed in range(60):
        random.seed(seed)
        members = []
        with seeded(seed):
            top = spawn(parent)
            top.add_done_callback(lambda _: None)  # a callback hears its error
            while not top.done():
                stopped = scheduler.run(ticks, wait=True)
                if stopped is not None:
                    stopped.insert()
            assert all(one.done() for one in members)
            settle()
        errors = [one.exception() for one in members if not one.cancelled()]
        errors = {error for error in errors if error is not None}
        group = top.exception()
        assert errors == set(group.exceptions if group else ())
