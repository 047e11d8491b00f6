"""Make random calls in a row, from every kind of place, on objects that live on.

usage: misuse_sequences.py MODE SEED COUNT [NUMBER]     prints "ok" and how many cases

MODE: plain, handlers (the calls are made in signal handlers) or threads (two make calls
on the same objects). A case is drawn at random from SEED and its number; NUMBER tries
only that one, and prints what it does. What the calls do is not looked at. After a case
the scheduler must be whole. The case that is being tried is always in the file
MISUSE_CASE.
"""

import contextlib
import faulthandler
import gc
import os
import random
import sys
import threading
import time
import warnings

import misuse
from misuse import Kinds, Places, Signals, Watched, main, nothing, sensible_calls

import tasklets
from tasklets import TaskGroup, channel, locks, scheduler, workers

HANG_SECONDS = 100
STEPS_MOST = 9
DEPTH_MOST = 3

verbose = False


class LivingKinds(Kinds):
    """All kinds, and some whose time comes while the case goes on."""

    def timeout(self):
        return tasklets.timeout(0.005)

    def timeout_that_is_over(self):
        return tasklets.timeout(0)

    def outlived_group(self):
        group = TaskGroup()
        tasklets.spawn(group.__enter__).join()
        return group

    def entered_group(self):
        return TaskGroup().__enter__()

    def generator_in_a_timeout(self):
        def limited():
            with tasklets.timeout(0.001):
                while True:
                    yield

        made = limited()
        tasklets.spawn(next, made).join()
        return made

    def local(self):
        return tasklets.local()


class LivingPlaces(Places):
    """All places, and some more."""

    def group(self, call):
        with TaskGroup() as group:
            group.spawn(call)

    def call_soon(self, call):
        scheduler.call_soon(call)
        tasklets.schedule()

    def call_later(self, call):
        scheduler.call_later(0.001, call)
        tasklets.sleep(0.0015)

    def in_a_timeout(self, call):
        with tasklets.timeout(0.001):
            call()

    def generator(self, call):
        def work():
            with tasklets.atomic(), tasklets.timeout(0.001):
                call()
                yield

        next(work())

    def select(self, call):
        ch = channel()
        Watched(lambda: (call(), ch.send(1)))()
        tasklets.select(tasklets.recv(ch), timeout=0.002)

    def lock(self, call):
        with locks.RLock():
            call()

    def worker(self, call):
        pool.call(call)

    def scheduler_of_the_main_thread(self, call):
        ident = threading.main_thread().ident
        workers.call_in_scheduler(ident, call, timeout=0.005)


pool = workers.WorkerPool(2)
KINDS = [name for name in dir(LivingKinds) if name[0] != "_" and name != "started"]
NAMES = [name for name in dir(LivingPlaces) if name[0] != "_"]
HANDLERS = [name for name in NAMES if "signal" in name]
ELSEWHERE = ["worker", "scheduler_of_the_main_thread"]  # on another thread
PLACES = [name for name in NAMES if name not in HANDLERS + ELSEWHERE]


class Case:
    """A row of steps; drawing decides all of them."""

    def __init__(self, mode, seed, number, objects):
        self.random = random.Random(f"{seed} {number}")
        self.objects = objects
        self.left = self.random.randrange(2, STEPS_MOST)
        self.in_handlers = mode == "handlers"
        self.alone = mode == "plain"
        self.places = PLACES + ELSEWHERE if mode == "threads" else PLACES
        self.over = False

    def steps(self, depth=0):
        while self.left > 0:
            self.left -= 1
            name, step = self.draw()
            place = self.random.choice(self.places)
            if self.in_handlers and depth == 0:
                if name in KINDS:
                    with contextlib.suppress(BaseException):
                        step()
                    continue
                place = self.random.choice(HANDLERS)
            if verbose:
                print("  " * depth, name, "in", place, flush=True)
            with contextlib.suppress(BaseException), self.limit():
                getattr(LivingPlaces(), place)(lambda step=step: self.go(step, depth))

    def limit(self):
        """Return what bounds a wait that another thread could end, but will not."""
        return tasklets.timeout(None if self.alone else 0.005)

    def go(self, step, depth):
        if self.over:
            return  # a place that calls late
        misuse.watch(tasklets.getcurrent())
        nested = depth < DEPTH_MOST and self.random.random() < 0.3
        if nested and self.random.random() < 0.5:
            self.steps(depth + 1)
        with self.limit():
            step()
        if nested:
            self.steps(depth + 1)

    def draw(self):
        """Return what to do next: its name, and a function."""
        kind = self.random.random()
        if kind < 0.35 or not self.objects:
            name = self.random.choice(KINDS)
            return name, lambda: self.objects.append(getattr(LivingKinds(), name)())
        if kind < 0.45:
            name, call = self.random.choice(misuse.sensible_functions())
            return name, lambda: call(main)
        if kind < 0.6:
            name, call = self.random.choice(PASS)
            return name, call
        if kind < 0.65:
            with contextlib.suppress(IndexError):  # the other thread may be first
                self.objects.pop()
            return "del", nothing
        target = self.random.choice([main, *self.objects])
        calls = list(sensible_calls(target))
        if not calls:
            return "nothing", nothing
        name, call = self.random.choice(calls)
        return f"{type(target).__name__}{name}", lambda: call(target)


def wait_a_while():
    # In a tasklet, an error could reach the run() of a later check.
    with contextlib.suppress(TimeoutError), tasklets.timeout(0.002):
        channel().receive()


# What lets time pass, or others run.
PASS = [
    ("time.sleep", lambda: time.sleep(0.0015)),
    ("sleep", lambda: tasklets.sleep(0.0015)),
    ("wait", wait_a_while),
    ("schedule", tasklets.schedule),
    ("run", tasklets.run),
    ("run(wait)", lambda: scheduler.run(wait=True, seconds=0.002, soft=True)),
    ("collect", gc.collect),
    ("set_atomic", lambda: tasklets.getcurrent().set_atomic(True)),
    ("work", lambda: Watched(wait_a_while)()),
    ("rebind", lambda: tasklets.getcurrent().bind(nothing, ())),
]


def inside_run():
    """Return the callers of run(), no weak reference to which may be left."""
    watches = tasklets.get_thread_info(-1, 1 << 31)[3]
    return [t for t in watches or () if t is not None]


class Beside(threading.Thread):
    """Makes calls on the same objects."""

    def __init__(self, seed, number, objects):
        super().__init__(daemon=True)
        self.case = Case("threads", f"{seed} beside", number, objects)

    def run(self):
        self.case.objects.append(tasklets.getmain())
        self.case.steps()
        self.case.over = True
        misuse.tidy_thread()


def main_program(mode, seed, count, only=None):
    global verbose
    verbose = only is not None or "VERBOSE" in os.environ
    sys.unraisablehook = threading.excepthook = lambda args: None
    warnings.simplefilter("ignore")
    if mode == "handlers":
        misuse.signals = Signals()
    note = os.open(os.environ["MISUSE_CASE"], os.O_WRONLY | os.O_CREAT)
    gc.collect()
    gc.freeze()
    for number in range(count) if only is None else [only]:
        os.pwrite(note, f"{seed} {number}".encode().ljust(40), 0)
        if number % 50 == 0 or verbose:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        objects = []
        case = Case(mode, seed, number, objects)
        beside = Beside(seed, number, objects) if mode == "threads" else None
        if beside:
            beside.start()
        case.steps()
        case.over = True
        if beside:
            beside.join(HANG_SECONDS)
            assert not beside.is_alive(), "the other thread has not ended"
        del main.trace_function, main.profile_function
        objects.clear()
        for _ in range(3):  # some begin only now, or are found by the collector
            misuse.everyone.update(inside_run())
            misuse.tidy()
            gc.collect()
            with contextlib.suppress(BaseException):
                tasklets.run()
        misuse.check_health()
    faulthandler.cancel_dump_traceback_later()
    os.pwrite(note, b"at exit".ljust(40), 0)
    print("ok", count)


if __name__ == "__main__":
    faulthandler.enable()
    main_program(sys.argv[1], *(int(arg) for arg in sys.argv[2:]))
