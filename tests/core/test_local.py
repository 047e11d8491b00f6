"""tasklets.local: attributes of which each tasklet has its own."""

import copy
import gc
import importlib
import pickle
import sys
import threading
import unittest
import weakref
from functools import partial

import greenlet
import pytest
from children import run_program
from threads import in_thread

import tasklets
from tasklets import (
    channel,
    getcurrent,
    getmain,
    local,
    run,
    schedule,
    spawn,
    tasklet,
)
from tasklets.workers import call_on_worker


class Thing:
    """Something with weak references."""


MINE = local()  # pytest would keep one of a test for too long


@pytest.fixture
def mine():
    """Return a local, and clear it at the end."""
    yield MINE
    vars(MINE).clear()


def test_each_tasklet_has_its_own_attributes(mine):
    def work(name):
        assert not hasattr(mine, "name")
        mine.name = name
        schedule()
        seen.append((mine.name, mine.__dict__))

    seen = []
    mine.name = "main"
    for name in "ab":
        spawn(work, name)
    run()
    assert seen == [("a", {"name": "a"}), ("b", {"name": "b"})]
    assert mine.name == "main"
    assert vars(mine) == {"name": "main"}
    assert "name" in dir(mine)


def test_attributes_come_and_go(mine):
    with pytest.raises(AttributeError, match="name"):
        mine.name  # noqa: B018
    with pytest.raises(AttributeError, match="name"):
        del mine.name
    mine.name = 1
    del mine.name
    assert not hasattr(mine, "name")
    setattr(mine, "any name", 2)
    assert getattr(mine, "any name") == 2
    mine.__dict__["name"] = 3
    assert mine.name == 3
    for change in (
        lambda: setattr(mine, "__dict__", {}),
        lambda: delattr(mine, "__dict__"),
    ):
        with pytest.raises(AttributeError, match="__dict__"):
            change()
    with pytest.raises(TypeError):
        getattr(mine, 1)
    assert mine.__class__ is local


def test_a_thread_without_tasklets_does_not_get_any(mine):
    def work():
        mine.x = 1
        done.set()
        assert looked.wait(30)
        return mine.x

    mine.x, done, looked = "main", threading.Event(), threading.Event()
    before = tasklets._core.live_counts()
    waiter = spawn(call_on_worker, in_thread, work)
    while not done.is_set():
        schedule()
    now = tasklets._core.live_counts()
    assert now["scheduler"] == before["scheduler"]
    looked.set()
    assert waiter.result() == 1
    assert mine.x == "main"


def test_the_main_tasklet_has_what_the_thread_has(mine):
    def work():
        mine.x = "thread"
        assert getcurrent() is getmain()
        t = spawn(lambda: hasattr(mine, "x"))
        run()
        return mine.x, t.result()

    assert in_thread(work) == ("thread", False)


def test_a_greenlet_has_what_its_tasklet_has(mine):
    def work():
        mine.x = 5
        inner = greenlet.greenlet(lambda: (mine.x, setattr(mine, "x", 6)))
        value, _ = inner.switch()
        return value, mine.x

    assert spawn(work).result() == (5, 6)
    assert not hasattr(mine, "x")


def test_a_subclass_is_set_up_in_each_tasklet():
    class Counter(local):
        start = 0

        def __init__(self, start, *, step=1):
            calls.append(getcurrent())
            self.start = start
            self.step = step

        def next(self):
            self.start += self.step
            return self.start

    calls = []
    counter = Counter(10, step=2)
    assert calls == [getmain()]
    assert counter.next() == 12
    others = [spawn(lambda: (counter.next(), counter.next())) for _ in range(2)]
    run()
    assert [t.result() for t in others] == [(12, 14)] * 2
    assert counter.next() == 14
    assert calls == [getmain(), *others]
    assert in_thread(counter.next) == 12
    calls.clear()


def test_a_set_up_that_fails_is_tried_again():
    class Moody(local):
        def __init__(self):
            self.half = True
            if moods.pop():
                raise KeyError

    def work():
        for access in (
            lambda: mine.half,
            lambda: setattr(mine, "half", 1),
            lambda: mine.__dict__,
        ):
            with pytest.raises(KeyError):
                access()
        return mine.half

    moods = [False, True, True, True, False]
    mine = Moody()
    assert spawn(work).result()
    moods.append(True)
    with pytest.raises(KeyError):
        Moody()


def test_a_set_up_may_switch():
    class Slow(local):
        def __init__(self):
            self.who = getcurrent()
            schedule()

    mine = Slow()
    t = [spawn(lambda: mine.who) for _ in range(5)]
    run()
    assert [each.result() for each in t] == t
    mine.who = None


def test_a_set_up_may_be_killed():
    class Blocking(local):
        def __init__(self, *channels):
            for each in channels:
                each.receive()

    ch = channel()
    spawn(ch.send, None)
    mine = Blocking(ch)
    victim = spawn(lambda: mine.x)
    run()
    assert victim.blocked
    victim.kill()
    assert mine.__dict__ == {}


def test_only_a_set_up_takes_arguments():
    for args, kwargs in (((1,), {}), ((), {"x": 1})):
        with pytest.raises(TypeError, match="no arguments"):
            local(*args, **kwargs)


def test_descriptors_and_slots_of_a_subclass():
    class Fancy(local):
        __slots__ = ("shared",)
        shown = property(lambda self: self.hidden * 2)

        def __getattr__(self, name):
            return f"no {name}"

    mine = Fancy()
    mine.hidden, mine.shared = 4, "shared"
    assert mine.shown == 8
    assert spawn(lambda: (mine.hidden, mine.shared)).result() == ("no hidden", "shared")
    with pytest.raises(AttributeError):
        mine.shown = 1


def test_what_a_tasklet_has_goes_when_it_ends(mine):
    def work():
        thing = Thing()
        mine.thing = thing
        alive.append(weakref.ref(thing))
        del thing
        schedule()
        assert alive[0]() is mine.thing

    alive = []
    t = spawn(work)
    run()
    assert t.done()
    assert alive[0]() is None
    t.bind(lambda: alive.append(hasattr(mine, "thing")))()
    run()
    assert alive[1] is False


def test_what_a_killed_tasklet_has_goes(mine):
    def work():
        mine.thing = Thing()
        alive.append(weakref.ref(mine.thing))
        channel().receive()

    alive = []
    t = spawn(work)
    run()
    assert alive[0]() is not None
    t.kill()
    assert alive[0]() is None


def test_done_callbacks_still_see_it(mine):
    def work():
        mine.x = 5

    t = spawn(work)
    seen = []
    t.add_done_callback(lambda _: seen.append(mine.x))
    run()
    assert seen == [5]


def test_what_a_thread_has_goes_when_it_ends(mine):
    def work():
        mine.thing = Thing()
        return weakref.ref(mine.thing)

    assert in_thread(work)() is None
    assert in_thread(lambda: (spawn(work).result(), work())[1])() is None


def test_what_all_have_goes_with_the_object():
    def work():
        mine[0].thing = Thing()
        alive.append(weakref.ref(mine[0].thing))
        gate.receive()

    mine, alive, gate = [local()], [], channel()
    for _ in range(3):
        spawn(work)
    run()
    thread_has, thread_ends = threading.Event(), threading.Event()

    def other():
        mine[0].thing = Thing()
        alive.append(weakref.ref(mine[0].thing))
        thread_has.set()
        thread_ends.wait()

    thread = threading.Thread(target=other)
    thread.start()
    thread_has.wait()
    whole = weakref.ref(mine[0])
    mine.clear()
    assert whole() is None
    assert [each() for each in alive] == [None] * 4
    thread_ends.set()
    thread.join()
    for _ in range(3):
        gate.send(None)
    run()


def test_cycles_are_collected():
    def work(mine):
        mine.me, mine.other = mine, Thing()
        refs.append(weakref.ref(mine.other))
        ch.receive()

    mine, refs, ch = local(), [], channel()
    mine.me, mine.thing = mine, Thing()
    refs += weakref.ref(mine), weakref.ref(mine.thing)
    in_thread(partial(setattr, mine, "again", mine))
    t = spawn(work, mine)
    run()
    ch.send(None)
    run()
    del mine, t
    gc.collect()
    assert [each() for each in refs] == [None] * 3


def test_an_attribute_set_during_a_collection_stays(mine):
    """In a thread whose first access it interrupts, wherever it does."""

    def collected(phase, info):
        gc.callbacks.remove(collected)
        gc.set_threshold(0)
        mine.by_collector = True

    def work(after):
        some = [{} for _ in range(200)]  # none is left that needs no memory
        gc.callbacks.append(collected)
        gc.set_threshold(gc.get_count()[0] + after)
        mine.by_work = len(some)
        gc.set_threshold(0)
        came = collected not in gc.callbacks
        if not came:
            gc.callbacks.remove(collected)
        return vars(mine) == {"by_work": 200} | ({"by_collector": True} if came else {})

    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        assert all(in_thread(partial(work, after)) for after in range(10))
    finally:
        gc.set_threshold(*before)


def test_finalizers_may_use_it(mine):
    """A thread's own run too late for that."""

    class Rude:
        def __del__(self):
            try:
                seen.append(dict(vars(mine)))
                mine.late = Thing()
            except RuntimeError as error:
                seen.append(str(error))

    def work():
        mine.rude = Rude()

    seen = []
    spawn(work)
    run()
    assert seen == [{}]
    in_thread(work)
    assert "thread is ending" in seen[1]
    del Rude.__del__


def test_many_objects_and_many_tasklets():
    def work(n):
        for i, one in enumerate(many):
            one.value = n * 1000 + i
        schedule()
        return [one.value for one in many]

    many = [local() for _ in range(50)]
    some = [spawn(work, n) for n in range(50)]
    run()
    assert [t.result() for t in some] == [
        [n * 1000 + i for i in range(50)] for n in range(50)
    ]
    del many[::2]
    many += [local() for _ in range(10)]  # in places that are free again
    assert not any(vars(one) for one in many)
    assert spawn(work, 7).result() == [7000 + i for i in range(len(many))]


def test_a_worker_keeps_it_from_call_to_call(mine):
    def count():
        mine.count = getattr(mine, "count", 0) + 1
        return mine.count

    with tasklets.workers.WorkerPool(1) as pool:
        assert [pool.call(count) for _ in range(3)] == [1, 2, 3]
    assert call_on_worker(lambda: hasattr(mine, "count")) is False


def test_it_cannot_be_copied(mine):
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot pickle"):
            attempt(mine)


def test_a_local_leaks_nothing(no_leak):
    def work():
        mine.x = mine

    def one_round():
        tasklet(work)().run()
        other = local()
        other.x = other.y = mine
        del other.x

    mine = local()
    no_leak(one_round)


def test_threads_leak_nothing(growth):
    def work():
        mine.x = Thing()

    mine = local()
    assert growth(lambda: in_thread(work), calls=50) < 1


AT_THE_END = """
import os, threading
from tasklets import local, spawn, channel, run

class Late:
    def __del__(self):
        try:
            mine.again = 1
        except RuntimeError:
            pass
        print("gone", flush=True)

mine = local()

def work():
    mine.late = Late()
    channel().receive()

if os.fork() == 0:
    mine.x = 1
    os._exit(0)
os.wait()
thread = threading.Thread(target=lambda: setattr(mine, "late", Late()))
thread.start()
thread.join()
spawn(work)
run()
mine.late = Late()
"""


def test_the_end_of_a_program():
    assert run_program(AT_THE_END) == (0, "gone\n" * 3, [])


# What the interpreter's own tests say of threading.local


def test_as_the_interpreters_own_tests_want_it():
    """In threads: some of these block theirs, which no tasklet may."""
    try:
        tests = importlib.import_module("test.test_threading_local")
    except ImportError:
        pytest.skip("needs the interpreter's own tests, which are not installed")
    bases = (unittest.TestCase, tests.BaseLocalTest)
    # A name that is no str, but says that it equals "__dict__", is a TypeError here.
    case = type("LocalTest", bases, {"_local": local, "test_error": None})
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    assert suite.countTestCases() >= 8
    result = unittest.TestResult()
    suite.run(result)
    assert not result.failures, result.failures[0][1]
    assert not result.errors, result.errors[0][1]
    sys.modules.pop("test.test_threading_local")
