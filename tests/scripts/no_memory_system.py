"""Scenarios of no_memory.py: what surrounds a tasklet, the system, threads."""

import gc
import os
import queue
import socket
import tempfile
import threading
import weakref
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial

import _no_memory
from no_memory_base import persist, scenario, shared

import tasklets
from tasklets import (
    ChannelClosed,
    DeadlockError,
    channel,
    fs,
    net,
    run,
    schedule,
    scheduler,
    spawn,
    tasklet,
    workers,
)
from tasklets.locks import Event, Lock
from tasklets.queues import Queue, SimpleQueue
from tasklets.testing import fake_clock

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


@scenario(CancelledError)
def worker_futures():
    made = [shared.pool.submit(on_worker, i) for i in range(3)]
    found = [one.result() for one in made]
    with suppress(ValueError):
        shared.pool.submit(int, "x").result()
    return found, [one in made for one in tasklets.wait(made)]


# Where a thread cannot be started, the interpreter raises RuntimeError.
@scenario(CancelledError, RuntimeError)
def fresh_pools():
    with workers.WorkerPool(1) as fresh:
        return fresh.call(pow, 2, 5)


# ---- threads


def with_helper(work, mine):
    """Run work on the helper and mine here; return what mine returned."""
    shared.helper.do(work)
    try:
        return mine()
    finally:
        persist(shared.helper.wait)


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
            return workers.call_in_scheduler(shared.helper.thread, pow, 2, 7)
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
