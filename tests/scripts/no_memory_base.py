"""What the scenarios of no_memory.py and its driver share."""

import gc
import queue
import threading
from contextlib import suppress
from types import SimpleNamespace

import _no_memory

import tasklets
from tasklets import TaskletExit, run, scheduler, tasklet

SCENARIOS = {}

# How many allocations fail in a row.
RUNS = (1, 2, 5, 20)


def scenario(*allowed, runs=RUNS, threads=False):
    """Register a scenario.

    allowed: what may be raised in place of MemoryError. threads: it needs the helper;
    while that is there, no tasklet of another thread is ever in a deadlock.
    """

    def register(func):
        func.allowed = allowed
        func.runs = runs
        func.threads = threads
        SCENARIOS[func.__name__] = func
        return func

    return register


# ---- what the scenarios share


def persist(func, *args):
    """Call func until it does not run out of memory."""
    while True:
        with suppress(MemoryError):
            return func(*args)


class Helper:
    """A thread that runs functions, and uses tasklets."""

    def __init__(self):
        self.calls = queue.SimpleQueue()
        self.idle = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        self.ident = None
        self.do(tasklets.getmain)
        self.wait()

    def work(self):
        self.ident = threading.get_ident()
        while True:
            func = self.calls.get()
            try:
                _no_memory.watch(True)
                func()
            except BaseException as error:
                error.__traceback__ = None
                del error
            finally:
                _no_memory.watch(False)
            del func
            clean_thread()
            self.idle.set()

    def do(self, func):
        self.idle.clear()
        self.calls.put(func)

    def wait(self):
        assert self.idle.wait(60), "the helper hangs"


# What scenarios use: a Helper, if one needs it, and a pool of workers.
shared = SimpleNamespace(helper=None, pool=None)


def is_mine(t):
    return t.alive and not t.is_main and t.thread_id == threading.get_ident()


def clean_thread():
    """End the calling thread's tasklets."""
    for _ in range(3):
        me = tasklets.getcurrent()
        for one in gc.get_objects():
            if isinstance(one, scheduler.Handle):
                one.cancel()
            elif isinstance(one, tasklet) and is_mine(one) and one is not me:
                with suppress(Exception, TaskletExit):
                    one.kill()
        with suppress(Exception):
            run()
