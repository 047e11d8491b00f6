"""Let every allocation of small programs fail in turn.

    python no_memory.py [--seed N] [--most N] [--verbose] [scenario ...]

Each scenario is run again and again: its first allocation fails, then its second, and
so on, until none is left to fail. It may raise MemoryError, or what the scenario says
follows from one. It must not crash, hang, leave a tasklet behind, or return a wrong
result without any report. Afterwards it must work as before in the same process.

Only what tasklets._core and libuv allocate fails, also through the interpreter's C API.
With --all, what the interpreter allocates for Python code fails too. Not all of the
faults found that way are ours: several versions of CPython crash, or leak.

tests/c/no_memory.c lets the allocations fail. test_no_memory.py compiles it and sets
PYTHONPATH and LD_PRELOAD.
"""

import argparse
import faulthandler
import gc
import os
import queue
import random
import socket
import sys
import tempfile
import threading
import time
import traceback
import weakref
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from pathlib import Path

import _no_memory

import tasklets
from tasklets import (
    ChannelClosed,
    DeadlockError,
    GroupExit,
    QueueChannel,
    TaskGroup,
    TaskletExit,
    _core,
    channel,
    deadline,
    fs,
    net,
    recv,
    run,
    schedule,
    scheduler,
    select,
    send,
    sleep,
    spawn,
    tasklet,
    timeout,
    workers,
)
from tasklets.locks import (
    Barrier,
    BoundedSemaphore,
    BrokenBarrierError,
    Condition,
    Event,
    Lock,
    NLCondition,
    RLock,
    Semaphore,
)
from tasklets.queues import LifoQueue, PriorityQueue, Queue, SimpleQueue
from tasklets.testing import fake_clock

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


helper = None


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


# ---- births and ends


@scenario()
def spawns():
    return [spawn(pow, 2, i).result() for i in range(3)]


@scenario()
def runs_unnamed():
    log = []
    for i in range(3):
        tasklet(log.append)(i)
    run()
    return log


@scenario()
def binds_and_sets_up():
    log = []
    t = tasklet().bind(log.append, (1,))
    t.insert()
    run()
    t.bind(log.append)
    t.setup(2)
    run()
    t.bind(partial(log.append), (3,), {})
    t.run()
    return log


@scenario()
def ends_with_an_error():
    def fail():
        raise ValueError("expected")

    t = spawn(fail)
    caught = []
    try:
        t.result()
    except ValueError as error:
        caught.append(str(error))
    spawn(fail)
    try:
        run()
    except ValueError as error:
        caught.append(str(error))
    return caught, repr(t.exception())


@scenario()
def kills():
    log = []

    def work(name):
        try:
            while True:
                schedule()
        except TaskletExit:
            log.append(name)
            raise

    made = [spawn(work, i) for i in range(3)]
    schedule()
    made[0].kill()
    made[1].kill(pending=True)
    spawn(work, 3).kill()
    schedule()
    made[2].kill()
    return log, [t.cancelled() for t in made]


@scenario(RuntimeError)
def throws():
    log = []

    def work():
        for _ in range(4):
            try:
                schedule_or_receive()
            except LookupError as error:
                log.append(type(error))
        return "end"

    ch = channel()

    def schedule_or_receive():
        if len(log) % 2:
            ch.receive()
        else:
            schedule()

    t = spawn(work)
    schedule()
    t.throw(KeyError)
    t.throw(IndexError("a"), pending=True)
    schedule()
    t.raise_exception(KeyError, "b")
    t.throw(LookupError, LookupError("c"), None)
    return log, t.result()


@scenario()
def done_callbacks():
    log = []
    t = spawn(int, "7", name="seven")
    for i in range(3):
        t.add_done_callback(lambda t, i=i: log.append((i, t.result())))
    assert t.remove_done_callback(log.append) == 0
    run()
    t.add_done_callback(lambda t: log.append("late"))
    return log


@scenario(DeadlockError)
def joins():
    log = []

    def wait(t):
        log.append(t.join())

    slow = spawn(lambda: [schedule() for _ in range(3)])
    made = [spawn(wait, slow) for _ in range(3)]
    log.append(slow.join(timeout=5))
    for t in made:
        t.join()
    late = spawn(wait, tasklet())
    try:
        late.join(timeout=0.001)
        log.append(late.join(timeout=0))
        if late.done():
            late.result()
    finally:
        persist(late.kill)
    return log


@scenario()
def deep_crowd():
    """More stacks than fit in the first rooms of the lists."""
    ch = channel()
    made = [spawn(ch.receive) for _ in range(40)]
    schedule()
    for i in range(40):
        ch.send(i)
    return [t.result() for t in made]


@scenario(RuntimeError)
def switches():
    log = []

    def work():
        log.append("in")
        main.switch()
        log.append("again")
        main.insert()

    main = tasklets.getcurrent()
    t = spawn(work)
    try:
        t.switch()
        t.switch()
    finally:
        if main.paused:
            persist(main.insert)
    return log


@scenario()
def names_and_reprs():
    ch = channel()
    t = spawn(ch.receive, name="reader")
    schedule()
    group = TaskGroup(3)
    objects = [
        t, ch, QueueChannel(), tasklets.bomb(ValueError), Lock(), RLock(), Condition(),
        Event(), Semaphore(), Barrier(2), Queue(), SimpleQueue(), group,
        tasklets.local(), timeout(1), recv(ch), send(ch, 1),
        scheduler.call_later(1, int), tasklet(), tasklets.getmain(), NLCondition(),
        tasklets.atomic(),
    ]  # fmt: skip
    texts = [repr(one).split(" at ")[0].split(" in ")[0] for one in objects]
    objects[-5].cancel()
    t.name = "other"
    first = t.name, t.frame is not None
    ch.send(0)
    return texts, first


@scenario()
def statistics_and_lists():
    ch = channel()
    made = [spawn(ch.receive) for _ in range(2)]
    schedule()
    counts = scheduler.statistics()
    info = tasklets.get_thread_info()
    threads = tasklets.getthreads()
    many = scheduler.getuncollectables()
    for t in made:
        t.kill()
    return counts["blocked"], info[2], threading.get_ident() in threads, len(many) >= 2


# ---- channels


@scenario(DeadlockError)
def sends_and_receives():
    ch = channel()
    back = channel()

    def echo():
        for _ in range(5):
            back.send(ch.receive() * 2)

    spawn(echo)
    got = []
    for i in range(5):
        ch.send(i + 1000)
        got.append(back.receive())
    return got


@scenario(DeadlockError)
def sends_exceptions():
    ch = channel()
    log = []

    def work():
        for _ in range(3):
            try:
                ch.receive()
            except LookupError as error:
                log.append(repr(error))

    t = spawn(work)
    ch.send_exception(KeyError, 1)
    ch.send_throw(IndexError("x"))
    ch.send(tasklets.bomb(LookupError, LookupError("y")))
    t.result()
    return log


@scenario(DeadlockError)
def iterates_and_closes():
    ch = channel()
    log = []

    def work():
        log.extend(ch)

    t = spawn(work)
    other = spawn(work)
    sent = ch.send_sequence(range(4))
    ch.close(wake=True)
    t.result()
    other.result()
    return sorted(log), sent, ch.closed


@scenario(DeadlockError)
def queue_channels():
    ch = QueueChannel(2)
    log = []

    def produce():
        for i in range(6):
            ch.send(i)
        ch.close(wake=True)

    t = spawn(produce)
    for i in ch:
        log.append(i)
    t.result()
    free = QueueChannel()
    for i in range(40):
        free.send(i)
    return log, [free.receive() for _ in range(40)]


@scenario()
def channel_times_out():
    ch = channel()
    log = []
    with fake_clock():
        for call in (ch.receive, partial(ch.send, 1)):
            try:
                call(timeout=1)
            except TimeoutError as error:
                log.append(str(error)[:5])
        log.append(ch.try_send(1))
        log.append(ch.try_receive(5))
    return log, ch.balance


@scenario()
def deadlocks():
    log = []
    ch = channel()
    t = spawn(ch.receive, name="first")
    try:
        run()
        ch2 = channel()
        ch2.receive()
    except DeadlockError as error:
        log.append("first" in str(error))
    spawn(channel().receive).remove()
    t.kill()
    return log


@scenario()
def callbacks_of_channels():
    log = []
    tasklets.set_channel_callback(lambda *args: log.append(args[2:]))
    tasklets.set_schedule_callback(lambda a, b: log.append(None))
    try:
        ch = channel()
        t = spawn(ch.receive)
        ch.send(3)
        t.result()
    finally:
        persist(tasklets.set_channel_callback, None)
        persist(tasklets.set_schedule_callback, None)
    return log.count(None) > 2, [one for one in log if one]


@scenario()
def error_handlers():
    log = []

    def handle(kind, value, tb):
        log.append(kind)
        if kind is MemoryError:
            raise value

    tasklets.set_error_handler(handle)
    try:
        tasklet(lambda: 1 / 0)()
        run()
    finally:
        persist(tasklets.set_error_handler, None)
    return log


# ---- select


@scenario(DeadlockError)
def selects():
    a, b, q = channel(), channel(), QueueChannel()
    log = []

    def work():
        a.send("a")
        log.append(b.receive())
        q.send("q")

    t = spawn(work)
    for _ in range(3):
        _case, value = select(recv(a), send(b, "b"), recv(q))
        log.append(value)
    log.append(select(recv(a), default=0)[1])
    with fake_clock():
        try:
            select(recv(a), timeout=1)
        except TimeoutError:
            log.append("late")
    t.result()
    return log


@scenario(DeadlockError)
def selects_what_ends():
    ch = channel()
    event = Event()
    t = spawn(int, "5")
    log = [select(t, recv(ch), event)[0] is t]
    spawn(event.set)
    log.append(select(recv(ch), event)[0] is event)
    a, b = socket.socketpair()
    with a, b:
        b.send(b"x")
        log.append(type(select(tasklets.readable(a), recv(ch))[0]).__name__)
        spawn(a.recv, 1)
        schedule()
        spawn(b.send, b"y")
        log.append(type(select(tasklets.readable(a), recv(ch))[0]).__name__)
    return log


# ---- time


@scenario()
def sleeps():
    log = []

    def work(seconds):
        sleep(seconds)
        log.append(seconds)

    with fake_clock() as clock:
        made = [spawn(work, seconds / 4) for seconds in range(6, 0, -1)]
        sleep(2)
        log.append("half")
        clock.advance(10)
        for t in made:
            t.result()
    return log


@scenario()
def timeouts():
    log = []
    with fake_clock():
        with timeout(5):
            sleep(1)
        try:
            with timeout(1):
                sleep(5)
        except TimeoutError:
            log.append("outer")
        try:
            with timeout(3), timeout(2, ValueError):
                try:
                    channel().receive()
                finally:
                    log.append("finally")
        except ValueError:
            log.append("value")
        with suppress(TimeoutError), timeout(2) as block:
            sleep(3)
        log.append(block.expired)
        with deadline(None) as block:
            block.reschedule(1)
            log.append(block.when is not None)
        with suppress(TimeoutError), deadline(_core.now() + 1):
            sleep(2)
    return log


@scenario()
def timeouts_in_tasklets():
    log = []

    def work(i):
        with suppress(TimeoutError), timeout(i):
            channel().receive()
        log.append(i)

    with fake_clock():
        made = [spawn(work, i) for i in range(1, 6)]
        for t in made:
            t.result()
    return log


@scenario()
def calls_later():
    log = []
    with fake_clock() as clock:
        scheduler.call_soon(log.append, 1)
        late = scheduler.call_later(1, log.append, 2)
        never = scheduler.call_later(2, log.append, 3)
        scheduler.call_soon_threadsafe(log.append, 4)
        run()
        clock.advance(1)
        never.cancel()
        clock.advance(5)
    return log, late.cancelled(), never.cancelled()


@scenario()
def many_timers():
    with fake_clock():
        made = [scheduler.call_later(i, int) for i in range(70)]
        for one in made:
            one.cancel()
        return scheduler.next_deadline()


# ---- groups


@scenario(BaseExceptionGroup)
def groups():
    with TaskGroup() as group:
        made = [group.spawn(pow, 2, i) for i in range(4)]
        spawn(group.spawn, int)
    return [t.result() for t in made]


@scenario(BaseExceptionGroup)
def groups_that_wait():
    log = []

    def work(i):
        for _ in range(i):
            schedule()
        log.append(i)

    with TaskGroup() as group:
        for i in range(4):
            group.spawn(work, i)
    return log


@scenario(BaseExceptionGroup, DeadlockError)
def groups_with_errors():
    log = []

    def fail():
        schedule()
        raise KeyError(1)

    def wait():
        try:
            channel().receive()
        except TaskletExit:
            log.append("killed")
            raise

    try:
        with TaskGroup() as group:
            group.spawn(fail)
            group.spawn(wait)
            group.spawn(wait)
            channel().receive()
    except* KeyError as errors:
        log.append(len(errors.exceptions))
    return log


@scenario(BaseExceptionGroup, DeadlockError, GroupExit)
def groups_cancelled():
    log = []

    def wait():
        try:
            sleep(100)
        finally:
            log.append("end")

    with TaskGroup() as group:
        for _ in range(3):
            group.spawn(wait)
        schedule()
        group.cancel()
        schedule()
        log.append("not reached")
    with fake_clock(), suppress(TimeoutError), timeout(1), TaskGroup() as group:
        group.spawn(wait)
    return log


@scenario(BaseExceptionGroup, DeadlockError)
def groups_with_a_limit():
    log = []

    def work(i):
        schedule()
        log.append(i)

    with TaskGroup(2) as group:
        for i in range(6):
            group.spawn(work, i)
    return sorted(log)


@scenario(DeadlockError)
def waits_for_several():
    event = Event()
    made = [spawn(lambda i=i: [schedule() for _ in range(i)]) for i in range(3)]
    spawn(event.set)
    finished = tasklets.wait([*made, event])
    some = tasklets.wait([spawn(int), spawn(sleep, 0)], count=1)
    with fake_clock():
        none = tasklets.wait([Event()], timeout=1)
    for t in made:
        t.result()
    return len(finished), len(some) >= 1, none


@scenario(DeadlockError)
def as_they_complete():
    made = [spawn(lambda i=i: [schedule() for _ in range(i)]) for i in (3, 1, 2)]
    order = [made.index(t) for t in tasklets.as_completed(made)]
    for t in made:
        t.result()
    return order


# ---- locks and queues


def contend(lock, log, count=3):
    """Let tasklets take a lock in turn; return when all have had it."""

    def work(i):
        with lock:
            schedule()
            log.append(i)

    made = [spawn(work, i) for i in range(count)]
    schedule()
    for t in made:
        t.result()
    with lock:
        log.append("free")


@scenario(DeadlockError)
def locks():
    log = []
    for kind in (Lock, RLock, Semaphore, partial(BoundedSemaphore, 2), Condition):
        contend(kind(), log)
    return log


@scenario()
def locks_out_of_time():
    log = []
    with fake_clock():
        for kind in (Lock, RLock, Semaphore):
            lock = kind()
            lock.acquire()
            t = spawn(lock.acquire, timeout=1)
            log.append(t.result())
            lock.release()
            log.append(lock.acquire(timeout=1))
            lock.release()
        condition = Condition()
        with condition:
            log.append(condition.wait(timeout=1))
        log.append(Event().wait(1))
    return log


@scenario(DeadlockError)
def conditions():
    condition = Condition()
    log = []

    def wait(i):
        with condition:
            condition.wait_for(lambda: ready)
            log.append(i)

    ready = []
    made = [spawn(wait, i) for i in range(3)]
    schedule()
    with condition:
        condition.notify()
    schedule()
    with condition:
        ready.append(True)
        condition.notify_all()
    for t in made:
        t.result()
    other = NLCondition()
    t = spawn(other.wait)
    schedule()
    other.notify_all()
    t.result()
    return log


@scenario(DeadlockError, BrokenBarrierError)
def events_and_barriers():
    event = Event()
    made = [spawn(event.wait) for _ in range(3)]
    schedule()
    event.add_done_callback(lambda e: log.append("set"))
    log = []
    event.set()
    log += [t.result() for t in made]
    barrier = Barrier(3, action=lambda: log.append("action"))
    made = [spawn(barrier.wait) for _ in range(2)]
    log.append(barrier.wait())
    log += [t.result() for t in made]
    t = spawn(barrier.wait)
    schedule()
    barrier.abort()
    try:
        t.result()
    except BrokenBarrierError:
        log.append("broken")
    return log


@scenario(DeadlockError)
def queues():
    log = []
    for kind in (Queue, LifoQueue, PriorityQueue):
        q = kind(2)

        def produce(q=q):
            for i in range(4):
                q.put(i)

        t = spawn(produce)
        log += [q.get() for _ in range(4)]
        for _ in range(4):
            q.task_done()
        q.join()
        t.result()
    return log


@scenario(DeadlockError)
def simple_queues():
    q = SimpleQueue()
    made = [spawn(q.get) for _ in range(3)]
    schedule()
    for i in range(40):
        q.put(i)
    first = [t.result() for t in made]
    return first, [q.get() for _ in range(37)]


@scenario(queue.Empty, queue.Full)
def queues_out_of_time():
    log = []
    with fake_clock():
        for q in (Queue(1), SimpleQueue()):
            try:
                q.get(timeout=1)
            except queue.Empty:
                log.append("empty")
        q = Queue(1)
        q.put(1)
        try:
            q.put(2, timeout=1)
        except queue.Full:
            log.append("full")
    return log, q.get_nowait()


# ---- what surrounds


@scenario()
def locals_():
    class Named(tasklets.local):
        def __init__(self, start=0):
            self.start = start

    one, other = tasklets.local(), Named(3)
    one.x = 1

    def work():
        one.x = 2
        schedule()
        return one.x, other.start, hasattr(one, "y")

    made = [spawn(work) for _ in range(3)]
    return [t.result() for t in made], one.x, other.start


@scenario()
def many_locals():
    made = [tasklets.local() for _ in range(20)]
    for i, one in enumerate(made):
        one.x = i
    return sum(one.x for one in made)


@scenario()
def atomic_sections():
    log = []

    def work():
        with tasklets.atomic(), tasklets.atomic():
            schedule()
            log.append(tasklets.getcurrent().atomic)

    t = spawn(work)
    with tasklets.atomic():
        t.result()
    return log, tasklets.getcurrent().atomic


@scenario()
def budgets():
    log = []

    def work():
        for i in range(2000):
            log.append(i)

    made = [spawn(work) for _ in range(2)]
    rounds = 0
    while tasklets.getruncount() > 1 and rounds < 1000:
        stopped = scheduler.run(ticks=500)
        if stopped is not None:
            stopped.insert()
        rounds += 1
    for t in made:
        t.result()
    return len(log), rounds > 2


@scenario()
def budgets_of_switches():
    def work():
        for _ in range(10):
            schedule()

    made = [spawn(work) for _ in range(2)]
    scheduler.run(switches=5)
    first = scheduler.last_run().reason
    scheduler.run(slice_ticks=100, seconds=5)
    return first, scheduler.last_run().reason, [t.done() for t in made]


@scenario()
def nested_runs():
    log = []

    def inner():
        tasklet(log.append)(1)
        scheduler.run()
        log.append(2)

    def middle():
        spawn(inner)
        scheduler.run()
        log.append(3)

    spawn(middle)
    run()
    return log


@scenario()
def trace_functions():
    seen = []

    def trace(frame, event, arg):
        if frame.f_code is work.__code__:
            seen.append(event)
        return trace

    def work():
        schedule()

    t = spawn(work)
    t.trace_function = trace
    t.run()
    t.trace_function = None
    t.result()
    other = spawn(work)
    other.profile_function = lambda *args: None
    other.result()
    return "call" in seen


@scenario()
def contexts():
    from contextvars import ContextVar, copy_context

    var = ContextVar("var", default=0)
    var.set(1)

    def work():
        before = var.get()
        var.set(2)
        schedule()
        return before, var.get()

    t = spawn(work)
    other = tasklet(work).set_context(copy_context())
    other.setup()
    third = spawn(work)
    found = third.context_run(var.get)
    log = [t.result(), third.result(), found, var.get()]
    other.kill()
    return log


@scenario()
def garbage():
    """Leave cycles through an ended tasklet to the collector."""
    log = []

    def work():
        mine = channel()
        held = [mine]
        held.append(held)
        try:
            mine.receive()
        finally:
            log.append("end")

    t = spawn(work)
    schedule()
    ref = weakref.ref(t)
    t.kill()
    del t
    gc.collect()
    schedule()
    return log, ref() is None


@scenario()
def generators_and_greenlets():
    import greenlet

    log = []

    def inner():
        schedule()
        log.append("inner")

    def work():
        g = greenlet.greenlet(inner)
        g.switch()
        log.append("outer")

    spawn(work)
    run()
    return log


# ---- the system


@scenario(OSError)
def files():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a")
        fs.write_bytes(path, b"x" * 100)
        data = fs.read_bytes(path)
        fd = fs.open(path, os.O_RDWR)
        try:
            got = fs.read(fd, 10), fs.write(fd, b"yy"), fs.fstat(fd).st_size
            fs.fsync(fd)
        finally:
            persist(fs.close, fd)
        fs.rename(path, path + "b")
        fs.mkdir(os.path.join(folder, "d"))
        names = sorted(fs.listdir(folder))
        kinds = sorted((e.name, e.is_dir()) for e in fs.scandir(folder))
        fs.unlink(path + "b")
        fs.rmdir(os.path.join(folder, "d"))
        try:
            fs.stat(path)
        except FileNotFoundError as error:
            names.append(error.filename == path)
    return len(data), got, names, kinds


@scenario(OSError)
def addresses():
    found = net.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    try:
        net.getaddrinfo("127.0.0.1", "no such service")
    except socket.gaierror as error:
        return found, error.errno
    return found, None


@scenario(DeadlockError)
def descriptors():
    log = []
    a, b = socket.socketpair()
    with a, b:

        def wait():
            scheduler.wait_readable(a, timeout=5)
            log.append(a.recv(1))

        t = spawn(wait)
        schedule()
        scheduler.wait_writable(b)
        b.send(b"z")
        t.result()
        with fake_clock():
            try:
                scheduler.wait_readable(a, timeout=1)
            except TimeoutError:
                log.append("late")
    return log


def on_worker(number):
    _no_memory.watch(True)  # what the worker does when the call is over, too
    return number * 2


@scenario(CancelledError)
def worker_calls():
    made = [spawn(workers.call_on_worker, on_worker, i) for i in range(3)]
    found = [t.result() for t in made]
    try:
        workers.call_on_worker(int, "x")
    except ValueError as error:
        found.append(type(error))
    return found


pool = None


@scenario(CancelledError)
def worker_futures():
    made = [pool.submit(on_worker, i) for i in range(3)]
    found = [one.result() for one in made]
    with suppress(ValueError):
        pool.submit(int, "x").result()
    return found, [one in made for one in tasklets.wait(made)]


# Where a thread cannot be started, the interpreter raises RuntimeError.
@scenario(CancelledError, RuntimeError)
def fresh_pools():
    with workers.WorkerPool(1) as fresh:
        return fresh.call(pow, 2, 5)


# ---- threads


def with_helper(work, mine):
    """Run work on the helper and mine here; return what mine returned."""
    helper.do(work)
    try:
        return mine()
    finally:
        persist(helper.wait)


@scenario(ChannelClosed, DeadlockError, threads=True)
def threads_and_channels():
    there, back = channel(), channel()

    def echo():
        try:
            for _ in range(4):
                back.send(there.receive() + 1)
        finally:
            end()

    def end():
        for ch in (there, back):
            persist(partial(ch.close, wake=True))

    def mine():
        try:
            got = []
            for i in range(4):
                there.send(i)
                got.append(back.receive())
            return got
        finally:
            end()

    return with_helper(echo, mine)


@scenario(threads=True)
def threads_and_locks():
    lock = Lock()
    event = Event()
    log = []

    def work():
        with lock:
            persist(event.set)
            log.append(1)

    def mine():
        try:
            with lock:
                event.wait()
                log.append(2)
        finally:
            persist(event.set)
        with lock:
            log.append(3)

    def first():
        try:
            lock.acquire(timeout=0)
        finally:
            persist(event.set)
        lock.release()

    with_helper(first, lambda: event.wait(10))
    with_helper(work, lambda: event.wait(10))
    with lock:
        return sorted(log)


@scenario(ChannelClosed, threads=True)
def threads_and_queues():
    q, answers = Queue(2), SimpleQueue()

    def work():
        try:
            for _ in range(4):
                answers.put(q.get(timeout=10) * 2)
        except BaseException:
            persist(answers.put, None)
            raise

    def mine():
        got = []
        try:
            for i in range(4):
                q.put_nowait(i)
                one = answers.get(timeout=10)
                if one is None:
                    raise ChannelClosed
                got.append(one)
            return got
        except BaseException:
            for _ in range(4):
                with suppress(queue.Full):
                    persist(q.put_nowait, 0)
                persist(partial(answers.get, timeout=0)) if answers.qsize() else None
            raise

    return with_helper(work, mine)


@scenario(ValueError, CancelledError, threads=True)
def calls_in_another_scheduler():
    stop = Event()

    def mine():
        try:
            return workers.call_in_scheduler(helper.thread, pow, 2, 7)
        finally:
            persist(stop.set)

    return with_helper(lambda: persist(stop.wait), mine)


@scenario(CancelledError, threads=True)
def kills_in_another_thread():
    log = []
    born = Event()
    made = []

    def work():
        def wait():
            try:
                channel().receive()
            finally:
                log.append("end")

        try:
            t = spawn(wait)
            schedule()
            made.append(t)
        finally:
            persist(born.set)
        t.result()

    def mine():
        born.wait()
        for t in made:
            persist(t.kill)
        return made[0].join(10) if made else None

    result = with_helper(work, mine)
    if not made:
        raise CancelledError
    made.clear()
    return result, log


@scenario()
def fresh_threads():
    """Begin with tasklets in a new thread, and end it."""
    log = []

    def work():
        _no_memory.watch(True)
        try:
            spawn(log.append, 1)
            run()
        except MemoryError:
            failed.append(True)

    failed = []
    thread = threading.Thread(target=work)
    thread.start()
    try:
        persist(thread.join)
    finally:
        persist(thread.join)
    if failed:
        raise MemoryError
    return log


# ---- the driver


class Fault(Exception):
    """Something went wrong that must not."""


def is_the_interpreters(error):
    """Whether the interpreter itself lost an exception.

    It clears the one that is under way when it cannot make a frame object for a
    function that is being left (_PyFrame_Clear).
    """
    return isinstance(error, SystemError) and str(error).startswith(
        ("error return without exception set", "<function ")
    )


def is_allowed(error, allowed):
    if is_the_interpreters(error):
        return True
    if isinstance(error, BaseExceptionGroup):
        return BaseExceptionGroup in allowed and all(
            is_allowed(one, allowed) for one in error.exceptions
        )
    return isinstance(error, (MemoryError, *allowed))


def failing(func, number, count, core):
    """Run func while some allocations fail. Returns what happened."""
    result = error = None
    stderr, sys.stderr = sys.stderr, None
    _no_memory.arm(number, count, core)
    try:
        result = func()
    except BaseException as caught:
        error = caught
    finally:
        counts = _no_memory.disarm()
        sys.stderr = stderr
    return result, error, counts


def clean():
    """Leave nothing of a scenario; the threads it started come to their end."""
    clean_thread()
    if helper is not None:
        helper.wait()
    gc.collect()
    clean_thread()
    persist(_core.fake_clock, None)  # its block cannot undo it without memory


def settled_counts(base):
    """Return the living objects that are more than at first."""
    deadline = time.monotonic() + 60  # workers may still drop what they had
    while True:
        counts = _core.live_counts()
        grown = {
            k: (base.get(k, 0), n) for k, n in counts.items() if n > base.get(k, 0)
        }
        if not grown or time.monotonic() > deadline:
            return grown
        gc.collect()
        sleep(0.005)


def check_whole(name, base, expected, core):
    clean()
    # The interpreter, too, leaks when it is out of memory.
    grown = settled_counts(base) if core else None
    if grown:
        raise Fault(f"still alive: {grown}")
    if tasklets.getruncount() != 1 or not tasklets.getcurrent().is_main:
        raise Fault(f"{tasklets.getruncount()} tasklets in the ring")
    if tasklets.switch_trap() != 0 or tasklets.getcurrent().atomic:
        raise Fault("a trap or an atomic section was left behind")
    if _core.statistics()["timers"]:
        raise Fault("a timer was left behind")
    result = SCENARIOS[name]()
    if result != expected:
        raise Fault(f"afterwards {result!r}, not {expected!r}")


def check(name, number, count, base, expected, core):
    """Let allocations fail in a scenario. Returns how many it had."""
    func = SCENARIOS[name]
    result, error, counts = failing(func, number, count, core)
    seen, failed, noted, worst = counts
    if worst is not None and not is_the_interpreters(worst):
        raise Fault(f"{worst!r} was reported")
    if error is not None and not (failed and is_allowed(error, func.allowed)):
        raise Fault(f"raised {error!r}") from error
    # Of several failures in a row even the report may fail.
    if error is None and not noted and failed < 2 and result != expected:
        raise Fault(f"returned {result!r}, not {expected!r}, without a word")
    del error, result, counts, worst
    check_whole(name, base, expected, core)
    return seen


def note(text):
    path = os.environ.get("MISUSE_CASE")
    if path:
        Path(path).write_text(text)


def numbers(options, chooser, total):
    """Return which allocations shall fail."""
    chosen = range(options.first, total)
    if options.most is not None and len(chosen) > options.most:
        chosen = sorted(chooser.sample(chosen, options.most))
    return chosen


def check_scenario(name, options):
    """Return how many faults were found in a scenario."""
    global helper
    chooser = random.Random(f"{options.seed} {name}")
    func = SCENARIOS[name]
    if func.threads and helper is None:
        helper = Helper()
    for _ in range(3):
        expected = func()
    clean()
    gc.freeze()  # what is imported is not looked through each time
    base = _core.live_counts()
    faults = total = 0
    for count in [options.count] if options.count else func.runs:
        result, error, counts = failing(func, 0, 0, not options.all)
        clean()
        total = counts[0]
        if error is not None or result != expected:
            print(f"{name}: {result!r} {error!r}, not {expected!r}")
            return 1
        for number in numbers(options, chooser, total + 2):
            case = f"{name} --first {number} --count {count}"
            note(case)
            faulthandler.dump_traceback_later(60, exit=True)
            try:
                check(name, number, count, base, expected, not options.all)
            except Fault as fault:
                faults += 1
                print(f"{case}: {fault}", flush=True)
                if options.verbose:
                    traceback.print_exception(fault, file=sys.stdout)
                    print(*_no_memory.where(), sep="\n")
                fault.__cause__ = None
                clean()
                base = _core.live_counts()
            finally:
                faulthandler.cancel_dump_traceback_later()
    if options.verbose:
        print(f"{name}: {total} allocations, {faults} faults", flush=True)
    return faults


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="not our own ones only")
    parser.add_argument("--count", type=int, help="how many fail in a row")
    parser.add_argument("--first", type=int, default=0, help="the first to fail")
    parser.add_argument("--most", type=int, help="how many to try at most, by --seed")
    parser.add_argument("--part", type=int, nargs=2, default=[0, 1], metavar=("I", "N"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("scenarios", nargs="*")
    return parser.parse_args()


def main():
    global pool
    options = parse_args()
    faulthandler.enable()
    _no_memory.install()
    sys.unraisablehook = _no_memory.note
    _no_memory.watch(True)
    part, parts = options.part
    faults = 0
    with workers.WorkerPool(2) as pool:
        for name in options.scenarios or list(SCENARIOS)[part::parts]:
            faults += check_scenario(name, options)
    print("faults:", faults)
    return faults > 0


if __name__ == "__main__":
    sys.exit(main())
