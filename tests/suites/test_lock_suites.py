"""Our locks pass the interpreter's own tests of locks, with all kinds of threads.

Its lock_tests are loaded once for each kind of threads: OS threads, tasklets of one
thread, and both of them mixed.
"""

import threading

from crowds import CROWDS, Crowd, load

from tasklets import locks

# For each: the class of tests, the attribute they take the type from, and the type.
SUITES = {
    "Lock": ("LockTests", "locktype", locks.Lock),
    "RLock": ("RLockTests", "locktype", locks.RLock),
    "ConditionAsRLock": ("RLockTests", "locktype", locks.Condition),
    "Event": ("EventTests", "eventtype", locks.Event),
    "Condition": ("ConditionTests", "condtype", locks.Condition),
    "Semaphore": ("SemaphoreTests", "semtype", locks.Semaphore),
    "BoundedSemaphore": (
        "BoundedSemaphoreTests",
        "semtype",
        locks.BoundedSemaphore,
    ),
    "Barrier": ("BarrierTests", "barriertype", locks.Barrier),
}

# What a Condition does not offer that passes for an RLock: the interpreter's neither.
UNLIKE_RLOCK = {"test_constructor_noargs", "test_recursion_count"}


class OverThreading:
    """Types of threading over a lock of ours, and ours over a lock of threading."""

    @staticmethod
    def threadings_condition(lock=None):
        return threading.Condition(locks.RLock() if lock is None else lock)

    @staticmethod
    def condition_over_theirs(lock=None):
        return locks.Condition(threading.RLock() if lock is None else lock)


def suite(crowd, module, title, tests, attribute, made):
    """Return the class of one suite for one crowd."""
    base = getattr(module, tests)
    members = {attribute: staticmethod(made), "crowd": crowd, "__module__": __name__}
    if title == "ConditionAsRLock":
        members |= {name: None for name in UNLIKE_RLOCK if hasattr(base, name)}
    name = f"{title}Among{crowd.name.title()}"
    return type(base)(name, (base,), members | {"__qualname__": name})


def suites():
    """Yield every suite for every crowd."""
    ours = {name: getattr(locks, name) for name in locks.__all__}
    for crowd in CROWDS:
        module = load("lock_tests", crowd, ours)
        for title, row in SUITES.items():
            yield suite(crowd, module, title, *row)
        if crowd is not Crowd:
            continue
        for title in ("threadings_condition", "condition_over_theirs"):
            row = "ConditionTests", "condtype", getattr(OverThreading, title)
            yield suite(crowd, module, title.title().replace("_", ""), *row)


globals().update({cls.__name__: cls for cls in suites()})
