"""A function with all that tools note, and budgets that stop it."""

import pytest

from tasklets import scheduler


def add(a, b):
    return a + b


def fail(number):
    raise KeyError(number)


def generate(limit):
    for number in range(limit):
        yield number + 1 - 1


def work(rounds=40):
    """Do some of all that is traced."""
    total = 0
    for number in generate(rounds):
        total = add(total, number)
        try:
            if number % 5 == 0:
                fail(number)
        except KeyError as error:
            total += len(error.args)
        total += sum([n + 1 for n in range(3)])
        while total % 7:
            total += 1
    return total


FILE = __file__
CODES = {f.__code__ for f in (add, fail, generate, work)}

BUDGETS = {
    "ticks": {"ticks": 17},
    "slice_ticks": {"slice_ticks": 23},
    "seconds": {"seconds": 1e-5},
    "slice_seconds": {"slice_seconds": 1e-5},
    "both": {"ticks": 50, "seconds": 1e-5},
    "not used up": {"ticks": 10**9, "seconds": 100, "slice_seconds": 50},
}

with_budgets = pytest.mark.parametrize("budgets", BUDGETS.values(), ids=BUDGETS)


def drive(victim, budgets):
    """Run it to its end; return how often it was stopped."""
    stops = 0
    while victim.alive:
        found = scheduler.run(**budgets)
        if found is not None:
            assert found is victim
            stops += 1
            found.insert()
    return stops
