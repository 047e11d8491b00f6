"""Call everything on locks, queues and the like, from every kind of place.

usage: misuse_objects.py SEED COUNT [NUMBER]     prints "ok" and the number of cases

A case is drawn at random from SEED and its number: an object, what happens to it first,
the place of a call, and the call. NUMBER tries only that one. Calls that may wait have
a short timeout, and another thread ends the waits that still go on after a while. The
case that is being tried is always in the file MISUSE_CASE.
"""

import contextlib
import faulthandler
import gc
import logging
import os
import random
import sys
import tempfile
import threading
import time
import warnings

import misuse
import misuse_kinds
from misuse import Places, Watched, failing, main, nothing

import tasklets
from tasklets import fs, locks, net, queues, workers

HANG_SECONDS = 100
RESCUE_SECONDS = 0.25
MEDDLINGS_MOST = 6

SHORT = 0.001
FOLDER = tempfile.mkdtemp()
pipe = os.pipe()


class Case:
    """What the parts of the case that is being tried share."""

    def __init__(self, seed, number):
        self.number = number
        self.random = random.Random(f"{seed} {number}")
        self.target = None
        self.locks = []  # of the target, when nobody holds that
        self.threads = []
        self.meddlings = 0
        self.began = time.monotonic()


case = Case(0, 0)


def meddle(what=None):
    """Be code that is called from where one would not expect it."""
    if case.meddlings >= MEDDLINGS_MOST:
        return
    case.meddlings += 1
    target = case.target
    draw = case.random.randrange(8)
    if draw == 0:
        raise KeyError("meddled")
    if draw == 1:
        tasklets.schedule()
    elif draw == 2:
        gc.collect(0)
    elif draw == 3 and isinstance(target, queues.Queue):
        target.mutex.release()
    elif target is not None:
        bounded_call(target)


# ---- values that call back


class Item:
    """Meddles when it is compared, converted or dropped."""

    def __lt__(self, other):
        meddle()
        return id(self) < id(other)

    def __eq__(self, other):
        meddle()
        return self is other

    def __hash__(self):
        meddle()
        return 1

    def __del__(self):
        meddle()


class Number:
    """Meddles when it is converted to a number."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        meddle()
        return int(self.value)

    def __float__(self):
        meddle()
        return float(self.value)

    def __bool__(self):
        meddle()
        return bool(self.value)


class Name(str):
    __slots__ = ()

    def __eq__(self, other):
        meddle()
        return str.__eq__(self, other)

    def __hash__(self):
        meddle()
        return str.__hash__(self)


class AnyLock:
    """A lock whose methods meddle, and of which some are not there."""

    def __init__(self):
        self.lock = case.random.choice([locks.Lock, locks.RLock, threading.Lock])()
        self.hidden = case.random.sample(
            ["_is_owned", "_release_save", "_acquire_restore"], case.random.randrange(4)
        )

    def __getattr__(self, name):
        meddle()
        if name in self.hidden:
            raise AttributeError(name)
        return getattr(self.lock, name)

    def acquire(self, *args):
        meddle()
        return self.lock.acquire(*(args or (True, SHORT)))

    def release(self):
        meddle()
        self.lock.release()


# ---- objects


def hooked(base):
    class Hooked(base):
        def _init(self, maxsize):
            meddle()
            super()._init(maxsize)

        def _put(self, item):
            meddle()
            super()._put(item)

        def _get(self):
            meddle()
            return super()._get()

        def _qsize(self):
            meddle()
            return case.random.choice([super()._qsize(), 0, 1, -1, None])

    return Hooked


def initialised(base):
    class Initialised(base):
        def __init__(self, *args, **kwargs):
            meddle()
            super().__init__(*args, **kwargs)

        def __repr__(self):
            meddle()
            return super().__repr__()

        def __del__(self):
            meddle()

    return Initialised


QUEUES = [queues.Queue, queues.LifoQueue, queues.PriorityQueue]
TYPES = [
    *(getattr(locks, name) for name in locks.__all__ if name != "BrokenBarrierError"),
    *QUEUES,
    queues.SimpleQueue,
    tasklets.local,
]
TYPES += [hooked(cls) for cls in QUEUES]
TYPES += [initialised(cls) for cls in TYPES]
CONDITIONS = [cls for cls in TYPES if issubclass(cls, locks.Condition)]


def init_arguments(cls):
    """Return sensible arguments for the constructor, most of the time."""
    draw = case.random.choice
    if case.random.random() < 0.1:
        return draw([(), (value(),), (value(), value())])
    if issubclass(cls, locks.Condition):
        lock = draw([None, locks.Lock, locks.RLock, threading.Lock, AnyLock, AnyLock])
        return () if lock is None else (lock(),)
    if issubclass(cls, locks.Barrier):
        action = draw([None, meddle])
        return draw([1, 2, 3]), action, draw([None, Number(SHORT), SHORT])
    if issubclass(cls, locks.Semaphore):
        return draw([(), (0,), (2,), (Number(1),)])
    if issubclass(cls, queues.Queue):
        return draw([(), (1,), (2,), (Number(1),)])
    return ()


def make():
    cls = case.random.choice(TYPES + CONDITIONS)
    if case.random.random() < 0.1:
        return cls.__new__(cls)
    return cls(*init_arguments(cls))


def value():
    draw = case.random.choice
    return draw([
        None, 0, 1, -1, 2, True, "x", SHORT, 1e300, float("nan"), float("inf"), (), [],
        {}, 2**31, 2**70, -(2**70), nothing, failing, meddle, KeyError, case.target,
        Item, Item(), Number(SHORT), Number(1), Number(1e12), Name("x"), "\ud800",
        locks.Lock(), locks.RLock(), AnyLock(), tasklets.channel(), b"x",
    ])  # fmt: skip


# ---- calls

# What may wait, with arguments for a short wait.
TIMED = {
    "acquire": [(True, SHORT), (False,), (True, Number(SHORT))],
    "acquire_lock": [(True, SHORT), (False,)],
    "wait": [(SHORT,), (0,), (Number(SHORT),)],
    "wait_for": [(meddle, SHORT), (nothing, SHORT), (Number(0).__bool__, SHORT)],
    "get": [(True, SHORT), (False,), (True, Number(SHORT))],
    "put": [(1, True, SHORT), (1, False), (1, True, Number(SHORT))],
    "__enter__": [],
    "join": [],
    "_acquire_restore": [],
}
PLAIN = {
    "notify": [(), (2,), (Number(1),), (-1,)],
    "release": [(), (), (2,)],
    "shutdown": [(), (True,)],
    "reset": [()],
    "__exit__": [(None, None, None)],
    "put_nowait": [(1,)],
}
SKIPPED = misuse_kinds.SKIPPED | {
    "__class__",
    "__getattribute__",
    "__new__",
    "__dict__",
}
ASSIGNED = ["queue", "maxsize", "unfinished_tasks", "is_shutdown", "_get", "x", "get"]


def bounded_call(target):
    """Make some call that does not wait for long."""
    draw = case.random
    name = draw.choice([n for n in dir(type(target)) if n not in SKIPPED])
    if isinstance(target, tasklets.local):
        name = draw.choice(["x", "y", "__dict__", "__init__", Name("x")])
        if draw.random() < 0.3:
            setattr(target, name, value())
        elif draw.random() < 0.2:
            delattr(target, name)
        else:
            getattr(target, name)
    elif draw.random() < 0.1:
        change(target)
    elif name == "__init__" or draw.random() < 0.05:
        target.__init__(*init_arguments(type(target)))
    elif name in TIMED:
        if TIMED[name]:
            args = draw.choice(TIMED[name])
            if name == "put":
                args = (Item(), *args[1:])
            getattr(target, name)(*args)
    elif not callable(getattr(type(target), name, None)):
        getattr(target, name)
    elif name in PLAIN and draw.random() < 0.8:
        getattr(target, name)(*draw.choice(PLAIN[name]))
    else:
        args = [value() for _ in range(draw.choice([0, 0, 0, 1, 1, 2, 3]))]
        getattr(target, name)(*args)


def change(target):
    name = case.random.choice(ASSIGNED)
    if case.random.random() < 0.2:
        delattr(target, name)
    else:
        setattr(target, name, case.random.choice([value, Item, list])())


def any_call(target):
    """Make a call that may wait forever."""
    names = [name for name in TIMED if hasattr(target, name)]
    if not names or case.random.random() < 0.3:
        return bounded_call(target)
    args = [value() for _ in range(case.random.choice([0, 0, 1, 2]))]
    with tasklets.timeout(case.random.choice([SHORT, 2 * SHORT])):
        return getattr(target, case.random.choice(names))(*args)


# ---- functions


def path():
    name = case.random.choice(["a", "b", "c"])
    return os.path.join(FOLDER, name)


def call_function(target):
    """Call one of the functions that wait for something, in some way."""
    draw = case.random.choice
    function = draw([
        lambda *a, **k: fs.scandir(FOLDER, *a, **k),
        lambda *a, **k: fs.listdir(FOLDER, *a, **k),
        lambda *a, **k: fs.read_bytes(path(), *a, **k),
        lambda *a, **k: fs.write_bytes(path(), draw([b"x", value()]), **k),
        lambda *a, **k: fs.stat(path(), *a, **k),
        lambda *a, **k: fs.mkdir(path(), *a, **k),
        lambda *a, **k: fs.read(draw([pipe[1], -1, 2**70, FOLDER]), *a, **k),
        lambda *a, **k: fs.write(pipe[1], *a, **k),
        lambda *a, **k: fs.open(path(), *a, **k),
        lambda *a, **k: net.getaddrinfo("127.0.0.1", *a, **k),
        lambda *a, **k: net.getaddrinfo(None, *a, **k),
        lambda *a, **k: tasklets.select(*a, **k),
        lambda *a, **k: tasklets.select(tasklets.readable(pipe[0]), *a, **k),
        lambda *a, **k: tasklets.select(tasklets.recv(tasklets.channel()), *a, **k),
        lambda *a, **k: tasklets.wait(a, **k),
        lambda *a, **k: list(tasklets.as_completed(a, **k)),
        lambda *a, **k: workers.call_on_worker(nothing, *a),
        lambda *a, **k: workers.call_on_worker(meddle),
        lambda *a, **k: pool.submit(meddle).result(SHORT),
        lambda *a, **k: pool.submit(nothing).result(*a, **k),
        lambda *a, **k: pool.submit(nothing).exception(*a, **k),
        lambda *a, **k: pool.submit(nothing).add_done_callback(*a, **k),
        lambda *a, **k: pool.submit(time.sleep, SHORT).cancel(),
        lambda *a, **k: pool.call(nothing, *a, **k),
        lambda *a, **k: workers.WorkerPool(*a, **k).shutdown(),
    ])  # fmt: skip
    args = [value() for _ in range(draw([0, 0, 1, 1, 2, 3]))]
    options = draw([{}, {"timeout": draw([SHORT, 0, Number(SHORT)])}])
    with tasklets.timeout(2 * SHORT):
        function(*args, **options)


# ---- what happens before


def in_thread(work, wait=True):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    if wait:
        thread.join(SHORT if wait is not True else None)
    else:
        case.threads.append(thread)


def started(work):
    t = Watched(work)()
    tasklets.run()
    return t


def keep(target):
    if hasattr(target, "acquire"):
        target.acquire(True, SHORT) if not hasattr(target, "wait") else target.acquire()
    elif isinstance(target, queues.Queue):
        target.mutex.acquire(timeout=SHORT)
        target.queue.append(Item())


def keep_and_stay(target):
    keep(target)
    tasklets.schedule_remove()


def wait(target):
    names = [n for n in ("wait", "acquire", "get", "put", "join") if hasattr(target, n)]
    if isinstance(target, (locks.Condition, locks.NLCondition)):
        with target:
            return target.wait()
    if not names:
        return target.__dict__
    name = case.random.choice(names)
    return getattr(target, name)(*((Item(),) if name == "put" else ()))


def wait_shortly(target):
    for _ in range(3):
        with contextlib.suppress(Exception):
            bounded_call(target)


def wait_in_ended_thread(target):
    in_thread(lambda: started(lambda: wait(target)), wait=True)


BEFORE = [
    lambda target: started(lambda: keep(target)),
    lambda target: started(lambda: keep_and_stay(target)),
    lambda target: started(lambda: wait(target)),
    lambda target: started(lambda: wait(target)),
    lambda target: started(lambda: wait(target)),
    lambda target: Watched(lambda: bounded_call(target))(),
    lambda target: in_thread(lambda: wait_shortly(target), wait=False),
    lambda target: in_thread(lambda: bounded_call(target)),
    wait_in_ended_thread,
    bounded_call,
    change,
]


# ---- places


class MorePlaces(Places):
    def thread(self, call):
        in_thread(call)

    def atomic_block(self, call):
        with tasklets.atomic():
            call()

    def no_switch(self, call):
        with tasklets.no_switch():
            call()

    def block_trap(self, call):
        with tasklets.block_trap():
            call()

    def comparison(self, call):
        class Compared:
            def __lt__(self, other):
                call()
                return True

        q = queues.PriorityQueue()
        q.put(Compared())
        q.put(Compared())

    def hash_in_a_local(self, call):
        class Hashed(str):
            __slots__ = ()

            def __hash__(self):
                call()
                return 1

        setattr(tasklets.local(), Hashed("x"), 1)

    def value_of_a_local(self, call):
        def work():
            loc.x = misuse.Finalized(call)

        loc = tasklets.local()
        Watched(work)()
        tasklets.run()

    def item_of_a_dropped_queue(self, call):
        q = queues.SimpleQueue()
        q.put(misuse.Finalized(call))

    def maxlen(self, call):
        q = queues.Queue()
        q.queue = type(q.queue)(maxlen=1)
        q.put(misuse.Finalized(call))
        q.put(1)


# Where a call may keep away what the place waits for.
LIMITED = [name for name in vars(Places) if "receive" in name]
LIMIT = 0.2
FREE = ["main", "tasklet", "greenlet"]
FREE_FUNCTIONS = [*FREE, "finally_block", "signal_handler"]
ALL_PLACES = [
    name
    for cls in (Places, MorePlaces)
    for name in vars(cls)
    # The last needs a deadlock, which there is not while other threads are about.
    if not name.startswith("_") and name != "repr"
]


class Signals(misuse.Signals):
    """Limits the wait: a signal that comes to another thread may not end it."""

    def handle(self, call, wait):
        def limited():
            with tasklets.timeout(LIMIT):
                wait()

        super().handle(call, limited)


# ---- trying


def part(target, name):
    """Return an attribute, or None if even asking for it fails."""
    try:
        return getattr(target, name, None)
    except Exception:  # it is not initialised, or a hook has raised
        return None


def let_go(target):
    """Let all go that wait for the object."""
    parts = part(target, "mutex"), part(target, "_lock")
    for lock in (target, *parts, *case.locks):
        lock = part(lock, "lock") or lock
        with contextlib.suppress(Exception):
            if isinstance(lock, (locks.Lock, locks.RLock)):
                lock._at_fork_reinit()
            else:
                lock.release()
    for name in ("notify_all", "set", "abort", "shutdown", "release"):
        with contextlib.suppress(Exception):
            getattr(target, name)()
    if part(target, "task_done"):
        with contextlib.suppress(Exception):
            type(target).unfinished_tasks.__set__(target, 1)
            type(target).task_done(target)
    if part(target, "put_nowait"):
        with contextlib.suppress(Exception):
            target.put_nowait(None)


def rescue():
    while True:
        time.sleep(RESCUE_SECONDS / 5)
        if time.monotonic() - case.began > RESCUE_SECONDS:
            with contextlib.suppress(BaseException):
                let_go(case.target)


def attempt(seed, number, note):
    global case
    case = Case(seed, number)
    places = MorePlaces()
    draw = case.random
    text = f"seed {seed} number {number}"
    os.pwrite(note, text.encode().ljust(200), 0)
    main.block_trap = False
    with contextlib.suppress(BaseException):
        target = case.target = make()
        text += f": {type(target).__mro__[:2]}"
        for _ in range(draw.randrange(4)):
            before = draw.randrange(len(BEFORE))
            text += f", {before}"
            os.pwrite(note, text.encode().ljust(400), 0)
            with contextlib.suppress(BaseException):
                BEFORE[before](target)
        place = draw.choice(ALL_PLACES)
        call = bounded_call
        if draw.random() < 0.3:
            place, call = draw.choice(FREE), any_call
        elif draw.random() < 0.15:
            place, call = draw.choice(FREE_FUNCTIONS), call_function
        os.pwrite(note, f"{text}, {call.__name__} in {place}".encode().ljust(400), 0)
        box = [target]
        if draw.random() < 0.15:  # nobody else has it
            case.locks = [part(target, "mutex"), part(target, "_lock")]
            target = case.target = None
        limit = LIMIT if place in LIMITED else None
        with tasklets.timeout(limit):
            getattr(places, place)(lambda: call(box.pop() if box else case.target))
    del main.trace_function, main.profile_function
    end(case)


def end(case):
    case.meddlings = MEDDLINGS_MOST
    for _ in range(3):
        with contextlib.suppress(BaseException):
            let_go(case.target)
        with contextlib.suppress(BaseException):
            misuse.tidy()
    for thread in case.threads:
        while thread.is_alive():
            thread.join(0.01)
            let_go(case.target)
    with contextlib.suppress(BaseException):
        let_go(case.target)
    case.target = None
    misuse.tidy()
    misuse.check_health()


def run_cases(seed, numbers):
    global pool
    sys.unraisablehook = lambda args: None
    threading.excepthook = lambda args: None
    warnings.simplefilter("ignore")
    os.chdir(FOLDER)
    pool = workers.WorkerPool(2)
    misuse.signals = Signals()
    logging.disable()  # of callbacks of futures
    note = os.open(os.environ["MISUSE_CASE"], os.O_WRONLY | os.O_CREAT)
    threading.Thread(target=rescue, daemon=True).start()
    gc.collect()
    gc.freeze()
    count = 0
    for number in numbers:
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        attempt(seed, number, note)
        count += 1
    os.pwrite(note, b"at exit".ljust(400), 0)
    print("ok", count)


if __name__ == "__main__":
    faulthandler.enable()
    seed, count, *number = map(int, sys.argv[1:])
    run_cases(seed, number or range(count))
