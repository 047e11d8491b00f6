"""Run random programs whose frames are driven, kept and cleared by several tasklets.

usage: frame_programs.py SEED COUNT [NUMBER]     prints "ok" and how many programs ran

A program is drawn at random from SEED and its number; NUMBER runs only that one and
prints its steps. Tasklets drive shared generators, coroutines and async generators,
switch in the middle of them and of with blocks, and keep frames and exceptions longer
than the tasklets live, while the collector runs. The steps may fail; afterwards every
kept frame and traceback must still be readable, and the scheduler must be whole. The
program that runs is always in the file MISUSE_CASE.
"""

import _thread
import contextlib
import faulthandler
import gc
import inspect
import os
import random
import sys
import threading
import time
import types
import warnings
import weakref

from greenlet import getcurrent, greenlet

import tasklets
from tasklets import atomic, block_trap, channel, locks, no_switch, schedule, scheduler

HANG_SECONDS = 60
STEPS_MAX = 120  # of a program, so that it ends
DEPTH_MAX = 5  # nested actions of one tasklet
POOL_MAX = 8  # objects of one kind that the tasklets of a program share

verbose = False


class Thing:
    """Dies with its frame, and sometimes switches then."""

    def __init__(self, program, pauses=False):
        self.program = program
        self.pauses = pauses

    def __del__(self):
        if self.pauses and not self.program.over:
            with contextlib.suppress(BaseException):
                schedule()


class Error(Exception):
    pass


class Program:
    """What its tasklets share, and the actions that they take."""

    def __init__(self, seed, number):
        self.random = random.Random(f"{seed} {number}")
        self.left = self.random.randrange(10, STEPS_MAX)
        self.over = False
        self.driven = []  # generators, coroutines, async generators
        self.tasks = []
        self.frames = []
        self.errors = []
        self.greenlets = []
        self.refs = []
        self.channel = channel()
        self.lock = locks.RLock()

    # ---- what is drawn

    def keep(self, pool, value):
        if len(pool) >= POOL_MAX:
            pool.pop(self.random.randrange(len(pool)))
        pool.append(value)
        return value

    def some(self, pool):
        return self.random.choice(pool) if pool else None

    def act(self, depth=0):
        """Take some actions: the body of all functions."""
        for _ in range(self.random.randrange(1, 5)):
            if self.left <= 0 or self.over:
                return
            self.left -= 1
            name = self.random.choice(ACTIONS)
            if verbose:
                task = tasklets.getcurrent()
                print(f"{id(task) & 0xFFFF:x}", "  " * depth, name, flush=True)
            try:
                getattr(self, name)(depth + 1)
            except Error as error:
                self.keep(self.errors, error)
            except tasklets.TaskletExit:
                if self.random.random() < 0.8:
                    raise
            except (GeneratorExit, StopIteration, StopAsyncIteration) as error:
                self.keep(self.errors, error)
            except Exception as error:
                if self.random.random() < 0.5:
                    self.keep(self.errors, error)
                if self.random.random() < 0.1:
                    raise

    def nested(self, depth):
        if depth < DEPTH_MAX:
            self.act(depth)

    # ---- functions whose frames are driven

    def generator(self, depth):
        things = Thing(self, self.random.random() < 0.2), sys._getframe()
        if self.random.random() < 0.2:
            self.keep(self.frames, things[1])
        del things
        thing = Thing(self, self.random.random() < 0.2)
        self.refs.append(weakref.ref(thing))
        try:
            self.nested(depth)
            yield 1
            with self.some_block():
                self.nested(depth)
                yield 2
            if self.random.random() < 0.5:
                yield from self.generator(depth + 1)
        finally:
            if self.random.random() < 0.5:
                self.nested(depth)
            if self.random.random() < 0.2:
                yield 3
        yield [x for x in self.inner(depth)]  # noqa: C416 - a comprehension's frame

    def inner(self, depth):
        for i in range(2):
            self.nested(depth)
            yield i

    @types.coroutine
    def passes(self):
        got = yield "passes"
        return got

    async def coroutine(self, depth):
        thing = Thing(self, self.random.random() < 0.2)
        try:
            await self.passes()
            self.nested(depth)
            async with self:
                await self.passes()
            if self.random.random() < 0.5:
                async for _ in self.async_generator(depth + 1):
                    self.nested(depth)
            if self.random.random() < 0.3:
                await self.coroutine(depth + 1)
        finally:
            self.nested(depth)
            if self.random.random() < 0.2:
                await self.passes()
        return thing

    async def __aenter__(self):
        await self.passes()

    async def __aexit__(self, *args):
        await self.passes()

    async def async_generator(self, depth):
        try:
            yield 1
            self.nested(depth)
            await self.passes()
            yield 2
        finally:
            self.nested(depth)
            if self.random.random() < 0.3:
                await self.passes()

    def some_block(self):
        kind = self.random.randrange(7)
        if kind == 0:
            return tasklets.timeout(self.random.choice([0, 0.0002, 0.001, None]))
        if kind == 1:
            return atomic()
        if kind == 2:
            return block_trap(self.random.random() < 0.5)
        if kind == 3:
            return no_switch()
        if kind == 4:
            return self.locked()
        return contextlib.suppress(
            *self.random.sample([Error, ValueError, KeyError], 2)
        )

    @contextlib.contextmanager
    def locked(self):
        # The owner may be a suspended generator: nobody waits long.
        if self.lock.acquire(timeout=0.0005):
            try:
                yield
            finally:
                self.lock.release()
        else:
            yield

    # ---- actions

    def make(self, depth):
        kind = self.random.randrange(6)
        if kind < 3:
            made = self.generator(depth)
        elif kind == 3:
            made = self.coroutine(depth)
        else:
            made = self.async_generator(depth)
        self.keep(self.driven, made)
        if self.random.random() < 0.7:
            self.drive(depth)

    def drive(self, depth):
        made = self.some(self.driven)
        if made is None:
            return
        if isinstance(made, types.AsyncGeneratorType):
            made = self.random.choice(
                [
                    made.__anext__,
                    lambda: made.asend(None),
                    lambda: made.athrow(Error()),
                    made.aclose,
                ]
            )()
            if self.random.random() < 0.5:
                self.keep(self.driven, made)
        how = self.random.randrange(8)
        if how < 5:
            made.send(None)
        elif how == 5 and may_throw(made):
            made.throw(self.some(self.errors) or Error())
        elif how == 6:
            made.close()
        else:
            for _ in iter(lambda: made.send(None), 0):
                schedule()

    def forget(self, depth):
        pool = getattr(self, self.random.choice(POOLS))
        if pool:
            del pool[self.random.randrange(len(pool))]

    def spawn(self, depth):
        kind = self.random.randrange(4)
        if kind == 0:
            self.keep(self.tasks, tasklets.spawn(self.act))
        elif kind == 1:
            self.keep(self.tasks, tasklets.tasklet(self.run_driven)(depth))
        else:
            self.keep(self.tasks, tasklets.tasklet(self.work)())

    def run_driven(self, depth):
        for _ in range(3):
            self.drive(depth)

    def work(self, depth=0):
        me = sys._getframe()
        thing = Thing(self, self.random.random() < 0.3)
        self.refs.append(weakref.ref(thing))
        if self.random.random() < 0.5:
            self.keep(self.frames, me)
        if self.random.random() < 0.5:
            me = None
        with self.some_block():
            self.act(depth)
        thing = None
        self.act(depth)

    def switch(self, depth):
        task = self.some(self.tasks)
        how = self.random.randrange(12)
        if self.random.random() < 0.2:
            # A suspended generator may be inside no_switch().
            tasklets.switch_trap(-tasklets.switch_trap(0))
        if how < 3 or task is None:
            schedule()
        elif how == 3:
            tasklets.run()
        elif how == 4:
            task.run()
        elif how == 5:
            task.switch()
        elif how == 6:
            task.kill(pending=self.random.random() < 0.3)
        elif how == 7:
            task.throw(
                self.some(self.errors) or Error(), pending=self.random.random() < 0.3
            )
        elif how == 8:
            task.insert()
        elif how == 9:
            task.remove()
        elif how == 10:
            tasklets.schedule_remove(self.random.choice([None, 1, Thing(self)]))
        else:
            task.raise_exception(Error)

    def wait(self, depth):
        how = self.random.randrange(5)
        with tasklets.timeout(self.random.choice([0, 0.0003, 0.001])):
            if how == 0:
                self.channel.receive()
            elif how == 1:
                self.channel.send(Thing(self))
            elif how == 2:
                tasklets.sleep(0.0002)
            elif how == 3:
                with self.lock:  # the timeout ends this, too
                    schedule()
            elif self.tasks:
                self.some(self.tasks).join()

    def block(self, depth):
        with self.some_block():
            if self.random.random() < 0.5:
                schedule()
            self.nested(depth)

    def call(self, depth):
        how = self.random.randrange(5)
        if how == 0:
            sorted([1, 2], key=lambda x: self.nested(depth) or x)
        elif how == 1:
            [self.nested(depth) for _ in range(2)]
        elif how == 2:
            list(map(self.nested, [depth]))
        elif how == 3:
            self.nested(depth + 1)
        else:
            list(self.inner(depth))

    def budget(self, depth):
        how = self.random.randrange(4)
        soft = self.random.random() < 0.3
        if how == 0:
            stopped = scheduler.run(switches=self.random.randrange(1, 6), soft=soft)
        elif how == 1:
            stopped = scheduler.run(ticks=self.random.randrange(1, 200), soft=soft)
        elif how == 2:
            stopped = scheduler.run(seconds=0.0005, soft=soft)
        else:
            stopped = scheduler.run(
                slice_ticks=self.random.randrange(20, 200), switches=9
            )
        if stopped is not None:
            self.keep(self.tasks, stopped)

    def raises(self, depth):
        try:
            self.nested(depth)
            raise self.random.choice([Error, KeyError, ValueError])
        except (KeyError, ValueError) as error:
            self.keep(self.errors, error)
            raise Error from error
        finally:
            self.nested(depth)

    def keep_frame(self, depth):
        how = self.random.randrange(5)
        frame = None
        if how == 0:
            frame = sys._getframe(self.random.randrange(3))
        elif how == 1 and self.driven:
            made = self.some(self.driven)
            for name in ("gi_frame", "cr_frame", "ag_frame"):
                frame = getattr(made, name, frame)
        elif how == 2 and self.tasks:
            frame = self.some(self.tasks).frame
        elif how == 3 and self.errors:
            tb = self.some(self.errors).__traceback__
            while tb is not None:
                frame = tb.tb_frame
                tb = tb.tb_next
        elif self.frames:
            frame = self.some(self.frames).f_back
        if frame is not None:
            self.keep(self.frames, frame)

    def use_frame(self, depth):
        frame = self.some(self.frames)
        how = self.random.randrange(6)
        if frame is None:
            return
        if how == 0:
            clear(frame)
        elif how == 1 and has_locals(frame):
            dict(frame.f_locals)
        elif how == 2 and has_locals(frame):
            frame.f_locals["thing"] = Thing(self)
            frame.f_locals["more"] = 1
        elif how == 3:
            read(frame)
        elif how == 4:
            frame.f_trace = None
            frame.f_lineno  # noqa: B018 - it is read
        else:
            gc.get_referents(frame)

    def collect(self, depth):
        gc.collect(self.random.randrange(3))

    def greenlet(self, depth):
        # A tasklet drives its own greenlets only. When a thread ends, greenlet frees
        # the frames of the remaining tasklets, but frame objects may be kept. On Python
        # 3.15 it shows the collector references that are not there.
        in_main = tasklets.getmain() is main
        if not in_main or sys.version_info >= (3, 15):
            return
        task = tasklets.getcurrent()
        mine = [made for owner, made in self.greenlets if owner is task]
        how = self.random.random()
        if how < 0.5 or not mine:
            made = greenlet(self.nested)
            self.keep(self.greenlets, (task, made))
            made.switch(depth)
        elif how < 0.8:
            self.some(mine).switch()
        else:
            self.some(mine).throw(Error)

    def leave_greenlet(self, depth):
        task = tasklets.getcurrent()
        if (task, getcurrent()) in self.greenlets:
            getcurrent().parent.switch()

    def trace(self, depth):
        def trace(frame, event, arg):
            # Before Python 3.13 the locals are copied back after the trace function. A
            # switch in the middle of that, in a destructor, has crashed 3.11.
            writes = sys.version_info >= (3, 13) and has_locals(frame)
            if self.random.random() < 0.1 and writes:
                frame.f_locals["thing"] = None
            if self.random.random() < 0.02 and may_resume(frame, event):
                schedule()
            return trace

        if sys.version_info < (3, 15):  # this crashes there, see test_tracing.py
            sys.settrace(trace)
            try:
                self.nested(depth)
            finally:
                sys.settrace(None)


POOLS = ["driven", "tasks", "frames", "errors", "greenlets"]
ACTIONS = (
    ["switch"] * 6 + ["make"] * 3 + ["drive"] * 5 + ["spawn"] * 3 + ["block"] * 3
    + ["keep_frame"] * 4 + ["use_frame"] * 4 + ["raises"] * 2 + ["wait"] * 2
    + ["call"] * 2 + ["budget"] * 2 + ["collect"] * 2 + ["forget", "trace"]
    + ["greenlet", "leave_greenlet"]
)  # fmt: skip


def clear(frame):
    # Before Python 3.13 this closes a suspended generator, and the interpreter crashes
    # if the last other reference to it goes during that.
    owners = gc.get_referrers(frame) if sys.version_info < (3, 13) else []
    frame.clear()
    del owners


def may_throw(made):
    # Before Python 3.13 a throw() into a running generator that delegates to another
    # one is refused only after it has damaged the frame.
    running = (getattr(made, name, False) for name in ("gi_running", "cr_running"))
    return sys.version_info >= (3, 13) or not any(running)


def is_driven(frame):
    driven = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
    return frame.f_code.co_flags & driven


def may_resume(frame, event):
    # Before Python 3.14 a generator counts as suspended before the trace function has
    # seen it yield. Resumed in there, it takes away the exception state of the thread.
    return sys.version_info >= (3, 14) or event != "return" or not is_driven(frame)


def has_locals(frame):
    # In Python 3.13.0 close() leaves a generator's frame with dangling references.
    return sys.version_info[:2] != (3, 13) or not is_driven(frame)


def read(frame):
    """Read all of a frame and of its callers."""
    for _ in range(50):
        if frame is None:
            return
        repr(frame), frame.f_lasti, frame.f_lineno, frame.f_code, frame.f_globals
        if has_locals(frame):
            dict(frame.f_locals)
        frame = frame.f_back


def read_all(program):
    for frame in program.frames:
        read(frame)
    for error in program.errors:
        tb = error.__traceback__
        while tb is not None:
            read(tb.tb_frame)
            tb = tb.tb_next


def tidy():
    """End all tasklets of this thread."""
    for _ in range(20):
        alive = scheduler.getuncollectables()
        alive = [t for t in alive if t.thread_id == main.thread_id and t is not main]
        for t in alive:
            with contextlib.suppress(BaseException):
                t.kill()
        with contextlib.suppress(BaseException):
            tasklets.run()
        if not alive:
            return


def play(program):
    with contextlib.suppress(BaseException):
        program.work()
    for _ in range(3):
        with contextlib.suppress(BaseException):
            scheduler.run(switches=50)


def run_one(seed, number):
    program = Program(seed, number)
    if number % 4 == 3:
        # What arrives in threading's own code could leave a lock of it held.
        ident = _thread.start_new_thread(play, (program,))
        while ident in tasklets.getthreads():
            time.sleep(0.001)
    else:
        insist(insist, play, program)
    # An error may arrive in insist() itself, most likely at its start: a tasklet has
    # stopped the main one there.
    for _ in range(1000):
        try:
            return insist(insist, finish, program)
        except AssertionError:
            raise
        except BaseException:
            continue
    raise AssertionError(f"program {number} never ends")


def insist(func, *args):
    """Call func until nothing that the last tasklets raise arrives during it."""
    for _ in range(1000):
        try:
            return func(*args)
        except AssertionError:
            raise
        except BaseException as error:
            if verbose:
                print("arrived:", repr(error), flush=True)
    raise AssertionError(f"{func} never returns")


def check_scheduler():
    assert tasklets.getcurrent() is main
    tasklets.switch_trap(-tasklets.switch_trap(0))
    done = []
    tasklets.tasklet(done.append)(1)
    tasklets.run()
    if not done:
        raise Error


def finish(program):
    """End what is left, and look at what is kept."""
    order = program.random.randrange(3)
    if order == 0:
        insist(gc.collect)
        insist(read_all, program)
    program.over = order != 1
    insist(tidy)
    program.over = True
    main.block_trap = False
    main.set_atomic(False)
    for name in ["", "tasks", "greenlets", "driven", "frames", "errors"]:
        insist(read_all, program)
        insist(gc.collect)
        insist(read_all, program)
        insist(getattr(program, name, []).clear)
    insist(gc.collect)
    insist(check_scheduler)


main = tasklets.getmain()


def main_program(seed, count, only=None):
    global verbose
    verbose = only is not None
    sys.unraisablehook = threading.excepthook = lambda args: None
    warnings.simplefilter("ignore")
    note = os.open(os.environ["MISUSE_CASE"], os.O_WRONLY | os.O_CREAT)
    gc.collect()
    gc.freeze()
    # A destructor that switches while threading holds a lock of its own is a deadlock.
    gc.disable()
    for number in range(count) if only is None else [only]:
        os.pwrite(note, f"{seed} {number}".encode().ljust(40), 0)
        if number % 20 == 0 or verbose:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        run_one(seed, number)
    faulthandler.cancel_dump_traceback_later()
    os.pwrite(note, b"at exit".ljust(40), 0)
    left = Program(seed, -1)  # goes on until the interpreter ends
    tasklets.tasklet(left.work)()
    insist(insist, lambda: scheduler.run(switches=20))
    print("ok", count)


if __name__ == "__main__":
    faulthandler.enable()
    main_program(*(int(arg) for arg in sys.argv[1:]))
