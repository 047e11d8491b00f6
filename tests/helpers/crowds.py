"""Run the interpreter's own tests of threads with something else as their threads.

A test module of the interpreter is loaded once for each kind of crowd: what it imports
to start threads, to tell them apart and to let time pass is the crowd's. A member of a
crowd is an OS thread, a tasklet of the test's own thread, or a tasklet of another one.
"""

import builtins
import contextlib
import importlib.util
import itertools
import os
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import tasklets
from tasklets import getcurrent, getcurrentid, getmain, scheduler, spawn
from tasklets.testing import fake_clock

# For what must happen: no wait takes that long.
LONG = 30

# Tests of threads may have loops that wait for others without giving way: a tasklet
# has that many ticks in turn.
SLICE = 20_000


class Overlay(ModuleType):
    """A module some of whose names stand for something else."""

    def __init__(self, module, **names):
        super().__init__(module.__name__)
        self._module = module
        vars(self).update(names)

    def __getattr__(self, name):
        return getattr(self._module, name)


class Thread:
    """Stands for threading.Thread: a member of the crowd."""

    def __init__(self, group=None, target=None, name=None, args=(), kwargs=None):
        self.call = target, args, kwargs or {}
        self.state = "new"

    def start(self):
        assert self.state == "new"
        self.state = "alive"
        CURRENT.start(self.live)

    def live(self):
        try:
            self.run()
        finally:
            self.state = "ended"

    def run(self):
        target, args, kwargs = self.call
        target(*args, **kwargs)

    def join(self, timeout=None):
        for _ in CURRENT.retry(LONG if timeout is None else timeout, error=False):
            if not self.is_alive():
                break

    def is_alive(self):
        return self.state == "alive"


def run_until(rung):
    """Run the tasklets of this thread, those too that do not give way.

    rung: becomes true right before scheduler.stop() is called.
    """
    while not rung:
        stopped = scheduler.run(slice_ticks=SLICE, wait=True)
        if stopped is not None:
            stopped.insert()


class Neighbour:
    """Another OS thread, which runs tasklets."""

    def __init__(self):
        self.stopped = []
        ready = threading.Event()
        self.thread = threading.Thread(target=self.serve, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(LONG)

    def serve(self, ready):
        scheduler.call_soon(ready.set)
        hold = scheduler.call_later(1e6, ready.set)
        run_until(self.stopped)
        hold.cancel()

    def start(self, func):
        scheduler.call_soon_threadsafe(func, thread=self.thread)

    def stop(self):
        self.stopped.append(True)
        scheduler.stop(self.thread)
        self.thread.join(LONG)
        assert not self.thread.is_alive()


class Crowd:
    """The members that a test has started, and the time in which they live."""

    name = "threads"
    # What starts one member after the other, over and over.
    kinds = ("start_on_thread",)
    fake = False

    def __init__(self):
        self.main = threading.get_ident()
        self.kind = itertools.cycle(self.kinds)
        self.neighbour = None
        self.threads = []
        self.tasks = []
        # Each gets an entry at its start and at its end.
        self.started = []
        self.ended = []

    def __enter__(self):
        self.users = scheduler.statistics()["threads"]
        self.stack = contextlib.ExitStack()
        if self.fake:
            self.clock = self.stack.enter_context(fake_clock())
        if "start_on_neighbour" in self.kinds:
            self.neighbour = Neighbour()
            self.users += 1
        return self

    def __exit__(self, *error):
        with self.stack:
            if error[0] is None:
                self.await_members(0)
                # Nobody has been given a scheduler who did not ask for one.
                assert scheduler.statistics()["threads"] == self.users
            for thread in self.threads:
                thread.join(LONG if error[0] is None else 0)
            # The fixture's value is kept for a while.
            while self.tasks:
                self.tasks.pop().kill()
            if self.neighbour is not None:
                self.neighbour.stop()

    def start(self, func):
        """Have func run by the next member."""

        def run():
            try:
                func()
            finally:
                self.ended.append(None)

        self.started.append(None)
        getattr(self, next(self.kind))(run)

    def start_on_thread(self, run):
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def start_here(self, run):
        self.tasks.append(spawn(run))

    def start_on_neighbour(self, run):
        self.neighbour.start(run)

    def runs_tasklets(self):
        """Return whether the calling thread has members that are tasklets."""
        if threading.get_ident() == self.main:
            return self.kinds != Crowd.kinds
        return (
            self.neighbour is not None
            and threading.get_ident() == self.neighbour.thread.ident
        )

    def get_ident(self):
        return getcurrentid() if self.runs_tasklets() else threading.get_ident()

    def sleep(self, seconds):
        if not self.runs_tasklets():
            time.sleep(seconds)
        elif getcurrent() is getmain():
            rung = []

            def ring():
                rung.append(True)
                scheduler.stop()

            scheduler.call_later(seconds, ring)
            run_until(rung)
        else:
            tasklets.sleep(seconds)

    def monotonic(self):
        return self.clock.now() if self.fake else time.monotonic()

    def retry(self, timeout, *_, error=True, **options):
        """Give a turn every few milliseconds until the time is up."""
        end = self.monotonic() + timeout
        while True:
            yield
            if self.monotonic() > end:
                break
            self.sleep(0.005)
        assert not error, f"it did not happen in {timeout} seconds"

    def alive(self):
        return len(self.started) - len(self.ended)

    def await_members(self, left):
        for _ in self.retry(LONG):
            if self.alive() <= left:
                return

    @contextlib.contextmanager
    def all_end(self, timeout=None):
        """Wait at the end for who was started in the block."""
        before = self.alive()
        try:
            yield
        finally:
            self.await_members(before)

    @contextlib.contextmanager
    def all_started(self, threads, unlock=None):
        """Start them, and wait at the end until they are over."""
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            if unlock:
                unlock()
            for thread in threads:
                thread.join(LONG)
                assert not thread.is_alive()


class TaskletCrowd(Crowd):
    """Tasklets of the thread that runs the test; nobody waits for the time."""

    name = "tasklets"
    kinds = ("start_here",)
    fake = True


class MixedCrowd(Crowd):
    """Half of them tasklets, of two threads, the others OS threads."""

    name = "mixed"
    kinds = ("start_here", "start_on_thread", "start_on_neighbour", "start_on_thread")


CROWDS = (Crowd, TaskletCrowd, MixedCrowd)

# The crowd of the test that runs.
CURRENT = None


def live_in(crowd):
    """Have a test live in a crowd: the body of a fixture."""
    global CURRENT
    with crowd() as CURRENT:
        yield CURRENT
    CURRENT = None


def at_rest():
    """Return whether no other thread runs, or will be run by the system."""
    try:
        tasks = os.listdir("/proc/self/task")
    except FileNotFoundError:
        return True
    others = [task for task in tasks if int(task) != threading.get_native_id()]
    for task in others:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state = Path(f"/proc/self/task/{task}/stat").read_text().rpartition(")")[2]
            if state.split()[0] == "R":
                return False
    return True


def wait_until_blocked(number):
    """Sleep as long as the tests do for that many threads, and until they do block."""
    CURRENT.sleep(0.01 * number)
    calm = 0
    for _ in CURRENT.retry(LONG):
        calm = calm + 1 if at_rest() else 0
        if calm == 3:
            break


def whatever_the_memory(*args, **kwargs):
    """Stand for bigmemtest(), which counts the stacks of threads as memory."""
    return lambda test: lambda self: test(self, kwargs["size"])


def without_leftovers(case):
    """Empty a test case that is over: pytest keeps it until the next begins."""
    for name in [name for name in vars(case) if not name.startswith("_")]:
        delattr(case, name)


def current(name):
    """Return a function that calls the method of the crowd that is there then."""
    return lambda *args, **kwargs: getattr(CURRENT, name)(*args, **kwargs)


def overlays(locks):
    """Return the modules that a test module will import."""
    from test import support
    from test.support import threading_helper

    thread = Overlay(
        threading,
        get_ident=current("get_ident"),
        Thread=Thread,
        **locks,
    )
    helper = Overlay(
        threading_helper,
        threading_setup=tuple,
        threading_cleanup=lambda: None,
        wait_threads_exit=current("all_end"),
        start_threads=current("all_started"),
        join_thread=lambda thread, timeout=None: thread.join(timeout),
    )
    return {
        "threading": thread,
        "_thread": Overlay(
            sys.modules["_thread"],
            start_new_thread=lambda func, args: CURRENT.start(lambda: func(*args)),
        ),
        "time": Overlay(time, sleep=current("sleep"), monotonic=current("monotonic")),
        "test": SimpleNamespace(
            support=Overlay(
                support, sleeping_retry=current("retry"), threading_helper=helper
            )
        ),
        "test.support": Overlay(
            support, threading_helper=helper, bigmemtest=whatever_the_memory
        ),
    }


def load(name, crowd, locks):
    """Return the interpreter's test module, made for a crowd.

    locks: the names of threading that must be something else for the tests
    themselves. Skips the caller where the interpreter came without its tests.
    """
    missing = f"this interpreter came without test.{name}"
    pytest.importorskip("test.support", reason=missing)
    spec = importlib.util.find_spec(f"test.{name}")
    if spec is None:
        pytest.skip(missing, allow_module_level=True)
    others = overlays(locks)
    if crowd is Crowd:
        # OS threads are what it is made for.
        from test import support

        plain = Overlay(support, bigmemtest=whatever_the_memory)
        others = {"test.support": plain}

    def import_other(name, globals=None, locals=None, fromlist=(), level=0):
        found = builtins.__import__(name, globals, locals, fromlist, level)
        return others.get(name, found)

    module = ModuleType(f"{name}_{crowd.name}")
    module.__builtins__ = vars(builtins) | {"__import__": import_other}
    # Not by the loader: pytest's own stands in for it, and knows no code.
    # Our types show the whole path of their module, which has a dot in it.
    source = Path(spec.origin).read_text().replace(r"<\w+\.", r"<[\w.]+\.")
    code = compile(source, spec.origin, "exec")
    exec(code, vars(module))
    if hasattr(module, "wait_threads_blocked"):
        # Where that is only a time, a machine may be too busy for it.
        module.wait_threads_blocked = wait_until_blocked
    return module
