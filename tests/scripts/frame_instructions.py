"""Compare what a tasklet shows the collector with the references that there are.

usage: frame_instructions.py [NAME]     prints "ok" and how many pauses were looked at

A row of BODIES is a function's body. It pauses inside an instruction, or a few: in a
special method, or in the destructor of an object that the instruction drops. At each
pause the collector must not find more references to an object than the object has.
Each row runs cold, and then warm: specialized by the interpreter. With NAME only that
row runs. The row that runs is always in the file MISUSE_CASE.
"""

import collections
import faulthandler
import functools
import gc
import os
import sys
import textwrap
import types
import warnings

import greenlet
from frame_bodies import BODIES

import tasklets

WARM_ROUNDS = 60  # every version has specialized an instruction by then
PAUSES_MAX = 200  # of one run: then it does not end

pauses = False


def pause():
    if pauses:
        tasklets.schedule_remove(None)


class Live:
    """An operand that nothing happens to."""

    def __init__(self, *args, **kwargs):
        pass


class Dies:
    """Pauses when it dies."""

    attribute = None

    def __del__(self):
        pause()

    def __add__(self, other):
        return Live()

    def __iter__(self):
        return iter((Live(), Live()))

    def __enter__(self):
        return Live()

    def __exit__(self, *args):
        return True

    def __getitem__(self, key):
        return Live()

    def __setitem__(self, key, value):
        pass

    def __call__(self, *args, **kwargs):
        return Live()

    def method(self, *args, **kwargs):
        return Live()


class DiesBare(Dies):
    """Pauses without a Python function when it dies."""

    @staticmethod
    def bare():
        return tasklets.schedule_remove(None) if pauses else None

    __del__ = bare


def pausing(result):
    def method(self, *args):
        pause()
        return result(*args) if callable(result) else result

    return method


class Meta(type):
    def __instancecheck__(cls, instance):
        pause()
        return True

    def __subclasscheck__(cls, other):
        pause()
        return False

    def __call__(cls, *args, **kwargs):
        pause()
        return super().__call__(*args, **kwargs)

    def __prepare__(name, bases, **kwargs):
        pause()
        return {}

    def __getattr__(cls, name):
        pause()
        return Live()


def paused_names():
    yield "first"
    pause()
    yield "second"


class Ops:
    """Pauses in every special method."""

    __match_args__ = ("some", "other")
    attribute = property(lambda self: pause() or Live(), lambda self, value: pause())

    def __getattr__(self, name):
        pause()
        if name[:2] == "__":
            raise AttributeError(name)
        return Live()

    def __setattr__(self, name, value):
        pause()

    def __delattr__(self, name):
        pause()

    def __init_subclass__(cls, **kwargs):
        pause()

    def __set_name__(self, owner, name):
        pause()

    def __call__(self, *args, **kwargs):
        pause()
        return Live()

    def __iter__(self):
        pause()
        for _ in range(2):
            value = Live()
            pause()
            yield value

    def __next__(self):
        pause()
        raise StopIteration

    def keys(self):
        pause()
        return paused_names()

    def __format__(self, spec):
        pause()
        return "text"

    __getitem__ = __enter__ = pausing(lambda *args: Live())
    __setitem__ = __delitem__ = pausing(None)
    __exit__ = __bool__ = __contains__ = pausing(True)
    __len__ = __index__ = __hash__ = __int__ = pausing(2)
    __str__ = __repr__ = pausing("text")
    __neg__ = __pos__ = __invert__ = pausing(lambda *args: Live())
    __add__ = __radd__ = __iadd__ = __sub__ = __mul__ = __pow__ = __or__ = __add__ = (
        __matmul__
    ) = __rsub__ = __rmul__ = __getitem__
    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __getitem__
    __mod__ = __rmod__ = __and__ = __floordiv__ = __getitem__


class SameName(str):
    """A keyword that is compared by Python code."""

    __slots__ = ()

    def __eq__(self, other):
        pause()
        return str.__eq__(self, other)

    def __hash__(self):
        pause()
        return str.__hash__(self)


class Getattribute:
    def __getattribute__(self, name):
        pause()
        return Live()


class Iterates:
    """An iterator in Python."""

    def __init__(self):
        self.left = 3

    def __iter__(self):
        return self

    def __next__(self):
        pause()
        self.left -= 1
        if not self.left:
            raise StopIteration
        return Live()


class Group(ExceptionGroup):
    def derive(self, excs):
        pause()
        return Group(self.message, excs)


class Finds:
    """An import hook that pauses."""

    def find_spec(self, name, path=None, target=None):
        pause()


def takes(first, second=None, *, named=None):
    return Live()


def drops(*args):
    """Drop the arguments when it returns."""
    value = Live()
    return value


def holds():
    dies = Dies()
    value = Live()
    pause()
    return [value, dies.method()]


class Check(metaclass=Meta):
    def __init__(self, *args):
        pass


class Mapping(dict):
    def __init__(self):
        super().__init__(first=Live(), second=Live())

    def keys(self):
        pause()
        return super().keys()

    def get(self, key, default=None):
        pause()
        return super().get(key, default)


collections.abc.Mapping.register(Mapping)


def compiled(body):
    body = textwrap.indent(textwrap.dedent(body).strip(), " ")
    names = {**globals(), "functools": functools, "types": types}
    names["greenlet"] = greenlet
    exec(f"def work(box):\n{body}\n", names)
    return names["work"]


def count(container, wanted):
    return sum(1 for found in gc.get_referents(container) if found is wanted)


def known_references(wanted, containers):
    return sum(count(container, wanted) for container in containers)


# How much more getrefcount() says of an object that is in one list.
PROBE = [object()]


def references(pool, index):
    return sys.getrefcount(pool[index]) - sys.getrefcount(PROBE[0]) + 1


def excess(task):
    """Return what is visited more often than it is referenced."""
    pool = []
    for found in gc.get_referents(task):
        if gc.is_tracked(found) and not any(found is other for other in pool):
            pool.append(found)
    found = None
    containers = [c for c in gc.get_objects() if c is not pool]
    bad = []
    for index in range(len(pool)):
        visits = known_references(pool[index], containers)
        # The pool's own reference and that of the list of containers are no one else's.
        others = 1 + sum(c is pool[index] for c in containers)
        others += pool[index] is task  # the argument
        if visits > references(pool, index) - others:
            bad.append(repr(type(pool[index])))
    return bad


def look(name, work, after):
    """Run work in a tasklet, and compare at each pause. Return how many there were."""
    global pauses
    pauses = True
    task = tasklets.tasklet(work)([Live()])
    looked = 0
    while True:
        tasklets.run()
        if not task.alive:
            break
        looked += 1
        assert looked < PAUSES_MAX, f"{name} does not end"
        bad = excess(task)
        assert not bad, f"{name}, {after}, pause {looked}: too often visited: {bad}"
        gc.collect()
        task.insert()
    pauses = False
    return looked


def main(only=None):
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda args: None  # the tasklets that failed are killed
    note = os.open(os.environ["MISUSE_CASE"], os.O_WRONLY | os.O_CREAT)
    total = 0
    failed = 0
    gc.disable()
    for name, body in BODIES.items():
        if only not in (None, name):
            continue
        os.pwrite(note, name.encode().ljust(60), 0)
        work = compiled(body)
        for after in ("cold", "warm"):
            gc.collect()
            gc.freeze()
            try:
                looked = look(name, work, after)
                assert looked, f"{name} has not paused"
                total += looked
            except AssertionError as error:
                failed += 1
                print(error, flush=True)
            gc.unfreeze()
            for _ in range(WARM_ROUNDS):
                work([Live()])
    assert not failed
    print("ok", total)


if __name__ == "__main__":
    faulthandler.enable()
    main(*sys.argv[1:])
