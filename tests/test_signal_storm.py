"""No Ctrl-C is lost, and none lands in our own code.

STORM_SIGNALS=100000 sends that many to each kind of program, in place of some hundreds.
"""

import os
import sys
import textwrap

import pytest
import signal_storm
from children import run_program, start

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
