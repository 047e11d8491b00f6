"""No Ctrl-C is lost, and none lands in our own code.

STORM_SIGNALS=100000 sends that many to each kind of program, in place of some hundreds.
"""

import os
import sys
import textwrap
import threading
from concurrent.futures import Future

import pytest
import signal_storm
from children import run_program, start

from tasklets import spawn, wait
from tasklets.testing import settle
from tasklets.workers import WorkerPool

COUNT = int(os.environ.get("STORM_SIGNALS", "400"))
SEED = int(os.environ.get("STORM_SEED", "1"))
SECONDS = 120 + COUNT // 20  # until something is badly wrong
GROUPS = {"Grouped", "Limited"}


def outcome(kind):
    """Return what a storm says, with all that went wrong."""
    child = start(
        "-X", "faulthandler", signal_storm.__file__, kind, COUNT, SEED,
        stdout=-1, stderr=-1,
    )  # fmt: skip
    try:
        output, errors = child.communicate(timeout=SECONDS)
    finally:
        child.kill()
    return output if child.returncode == 0 else output + errors


@pytest.mark.parametrize("kind", sorted(signal_storm.KINDS.keys() - GROUPS))
def test_each_signal_is_seen_once(kind):
    assert outcome(kind) == f"seen {COUNT}, ignored [], left {{}}\n"


@pytest.mark.parametrize("kind", sorted(GROUPS))
def test_each_signal_is_seen_once_in_a_group(kind):
    assert outcome(kind) == f"seen {COUNT}, ignored [], left {{}}\n"


# What the storm avoids, because CPython and its library lose it without us.

CHAIN = """
import _thread, operator, signal, sys
from functools import partial

def chain(*calls):
    '''Return a function that makes these calls; no signal is handled in between.'''
    return partial(list, map(operator.methodcaller("__call__"), calls))

ignored = []
sys.unraisablehook = lambda report: ignored.append(report.exc_type.__name__)
def interrupt():
    signal.raise_signal(signal.SIGINT)
"""

STOCK = {
    "a finalizer": (
        """
        class Dying:
            def __del__(self):
                interrupt()
        Dying()
        print(ignored)
        """,
        "['KeyboardInterrupt']\n",
    ),
    "a callback of a weak reference": (
        # WeakSet, WeakKeyDictionary, the locks of imports and threading have such.
        """
        import weakref
        class Dying: pass
        dying = Dying()
        ref = weakref.ref(dying, lambda _: interrupt())
        del dying
        print(ignored)
        """,
        "['KeyboardInterrupt']\n",
    ),
    "a callback of the collector": (
        """
        import gc
        gc.callbacks.append(lambda phase, _: phase == "stop" and interrupt())
        gc.collect()
        gc.callbacks.clear()
        print(ignored)
        """,
        "['KeyboardInterrupt']\n",
    ),
    "a generator that nobody has any more": (
        """
        def generator():
            try:
                yield
            finally:
                interrupt()
        made = generator()
        next(made)
        del made
        print(ignored)
        """,
        "['KeyboardInterrupt']\n",
    ),
    "the callbacks behind an interrupted one of a future": (
        """
        from concurrent.futures import Future
        future, called = Future(), []
        future.add_done_callback(lambda _: interrupt())
        future.add_done_callback(called.append)
        try:
            future.set_result(1)
        except KeyboardInterrupt:
            print(future.done(), called)
        """,
        "True []\n",
    ),
    "the release of a lock that is acquired in Python code": (
        # Condition, and so Event, Future and Thread.start(), have such an __enter__().
        """
        import threading
        class Lock:
            def __init__(self):
                self.inner = _thread.allocate_lock()
                self.acquire, self.release = self.inner.acquire, self.inner.release
                self.locked = self.inner.locked
                self.__enter__ = chain(self.acquire, _thread.interrupt_main)
        lock = Lock()
        try:
            with threading.Condition(lock):
                pass
        except KeyboardInterrupt:
            print(lock.inner.locked())
        """,
        "True\n",
    ),
    "the value of a call that has returned": (
        """
        import queue
        values = queue.SimpleQueue()
        values.put("value")
        class Values:
            get = staticmethod(chain(values.get, _thread.interrupt_main))
        got = None
        try:
            got = Values.get()
        except KeyboardInterrupt:
            print(got, values.qsize())
        """,
        "None 0\n",
    ),
    "the end of a with block that has not begun": (
        # Only on 3.14: other versions handle no signal between the two.
        """
        lock = _thread.allocate_lock()
        class Block:
            __enter__ = staticmethod(chain(lock.acquire, _thread.interrupt_main))
            __exit__ = staticmethod(lock.__exit__)
        try:
            with Block():
                int()
        except KeyboardInterrupt:
            print(lock.locked())
        """,
        f"{sys.version_info[:2] == (3, 14)}\n",
    ),
    "what a contextmanager has begun": (
        """
        from contextlib import contextmanager
        log = []
        @contextmanager
        def block():
            begin()
            try:
                yield
            finally:
                log.append("end")
        begin = chain(partial(log.append, "begin"), _thread.interrupt_main)
        try:
            with block():
                pass
        except KeyboardInterrupt:
            print(log)
        """,
        "['begin']\n",
    ),
}


@pytest.mark.parametrize("case", STOCK)
def test_cpython_loses_it_without_us(case):
    source, output = STOCK[case]
    assert run_program(CHAIN + textwrap.dedent(source)) == (0, output, [])


# A signal that arrives in a callback.

INTERRUPTED = """
import gc, signal, sys, tasklets, warnings
from tasklets import *
from tasklets.locks import Event

warnings.simplefilter("ignore", RuntimeWarning)  # of tasklets that never ran
ignored = []
sys.unraisablehook = lambda report: ignored.append(report.exc_type.__name__)

def interrupt(*_):
    signal.raise_signal(signal.SIGINT)

def once(*_):
    if calls:
        calls.pop()
        interrupt()

calls = [1]

def attempt(func, *args):
    try:
        func(*args)
    except KeyboardInterrupt:
        print("interrupted", ignored)
    else:
        print("not interrupted", ignored)
"""

CALLBACKS = {
    "a done callback while main waits for the tasklet": """
        made = spawn(int)
        made.add_done_callback(interrupt)
        attempt(made.join)
        print(made.result())
        """,
    "a done callback while main waits for another one": """
        made, other = spawn(int), spawn(schedule)
        made.add_done_callback(interrupt)
        attempt(wait, [other])
        print(len(wait([other])) - 1)
        """,
    "a done callback of a tasklet that main kills": """
        made = spawn(channel().receive)
        made.add_done_callback(interrupt)
        run()
        attempt(made.kill)
        print(wait([made]).index(made))
        """,
    "a done callback that is called at once": """
        made = spawn(int)
        made.join()
        attempt(made.add_done_callback, interrupt)
        print(made.result())
        """,
    "a done callback between others": """
        made, log = spawn(int), []
        for callback in (log.append, interrupt, log.append):
            made.add_done_callback(callback)
        attempt(run)
        print(len(log) - 2)
        """,
    "a schedule callback": """
        made = spawn(int)
        tasklets.set_schedule_callback(once)
        attempt(made.join)
        print(made.result())
        """,
    "a schedule callback that is told of a new main tasklet": """
        tasklets.set_schedule_callback(once)
        attempt(spawn, int)
        print(tasklets.getruncount() - 2)
        """,
    "a schedule callback of an end": """
        made, other = spawn(int), spawn(schedule)
        made.add_done_callback(lambda _: tasklets.set_schedule_callback(once))
        attempt(wait, [made, other])
        print(len(wait([made, other])) - 2)
        """,
    "a channel callback that is told of what is done": """
        made, event = spawn(int), Event()
        made.add_done_callback(lambda _: tasklets.set_channel_callback(once))
        attempt(wait, [made])
        print(wait([made]).index(made))
        """,
    "the end of a tasklet that nobody can reach": """
        def stay():
            try:
                schedule_remove()
            finally:
                interrupt()
        spawn(stay)
        run()
        gc.collect()
        def look():
            for each in tasklets.scheduler.getuncollectables():
                each.kill()
            run()
        attempt(look)
        print(tasklets.getruncount() - 1)
        """,
    "a second callback of an event": """
        event, log = Event(), []
        for callback in (interrupt, log.append):
            event.add_done_callback(callback)
        attempt(event.set)
        print(len(log) - 1)
        """,
}


@pytest.mark.parametrize("case", CALLBACKS)
def test_an_interrupt_in_a_callback_reaches_main(case):
    source = INTERRUPTED + textwrap.dedent(CALLBACKS[case])
    assert run_program(source) == (0, "interrupted []\n0\n", [])


def test_the_exit_in_a_callback_ends_the_program():
    source = """
        from tasklets import *
        made = spawn(int)
        made.add_done_callback(lambda _: exit(5))
        schedule()
        schedule()
        print("not reached")
        """
    assert run_program(source) == (5, "", [])


def test_main_is_interrupted_while_it_runs_on():
    """A finalizer has nobody to raise in; main does not wait for anything of ours."""
    source = INTERRUPTED + textwrap.dedent(
        """
        def stay():
            try:
                schedule_remove(None)
            finally:
                interrupt()
        made = spawn(stay)
        run()
        def work():
            global made
            del made
            for _ in range(10**6):
                pass
        attempt(work)
        print(0)
        """
    )
    assert run_program(source) == (0, "interrupted []\n0\n", [])


def test_errors_in_callbacks_are_reported_as_before():
    source = INTERRUPTED + textwrap.dedent(
        """
        made = spawn(int)
        made.add_done_callback(lambda _: 1 / 0)
        attempt(made.join)
        """
    )
    assert run_program(source) == (0, "not interrupted ['ZeroDivisionError']\n", [])


# Futures.


def test_a_waiter_that_leaves_does_not_keep_others_from_being_told():
    """The callbacks of a future that is done may be being called: none is removed."""

    class Meddler:
        """Let the first waiter go on between two callbacks."""

        def __call__(self, _):
            settle()

    future = Future()
    first = spawn(wait, [future])
    settle()
    future.add_done_callback(Meddler())
    second = spawn(wait, [future])
    settle()
    future.set_result(None)
    assert first.result() == second.result(timeout=30) == [future]


def test_the_future_of_a_call_needs_no_lock():
    """A waiter may have been interrupted behind its acquisition."""
    gate = threading.Event()
    with WorkerPool(1) as pool:
        first, second = pool.submit(gate.wait), pool.submit(int)
        log = []
        with second._condition:
            other = threading.Thread(target=lambda: log.append(use(second)))
            other.start()
            other.join(30)
            assert not other.is_alive()
        gate.set()
        assert log == [(False, False, False, "late")]
        assert second.result(timeout=30) == 0
        assert first.result(timeout=30) is True


def use(future):
    """Return what a future says that is not done."""
    try:
        future.result(timeout=0)
    except TimeoutError:
        late = "late"
    return future.done(), future.running(), future.cancelled(), late
