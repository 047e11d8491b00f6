"""Threads that use every part of the runtime, for the storms of forks and exits.

`Busy(rng)` starts them. Each wait has a timeout, so that a thread whose partner is gone
goes on, and `stop` ends all of them.
"""

import _thread
import os
import random
import threading
import time
from contextlib import suppress

import tasklets
from tasklets import TaskGroup, channel, fs, locks, net, queues, scheduler, sleep
from tasklets.workers import WorkerPool, call_on_worker

WAIT_SECONDS = 0.004


class Busy:
    """Objects that several threads share, and the threads.

    names: which kinds of work there are, all by default. daemon: whether the threads
    are daemons; None: each draws.
    """

    def __init__(self, rng, threads=3, names=None, daemon=True):
        self.names = names or sorted(WORK)
        self.stopped = False
        self.channel = channel()
        self.lock = locks.Lock()
        self.rlock = locks.RLock()
        self.condition = locks.Condition()
        self.event = locks.Event()
        self.semaphore = locks.Semaphore(2)
        self.queue = queues.Queue(2)
        self.simple = queues.SimpleQueue()
        self.pool = WorkerPool(2)
        self.pipe = os.pipe()
        for end in self.pipe:
            os.set_blocking(end, False)
        self.threads = []
        mains = [self.with_tasklets] * threads + [self.without_tasklets]
        for main in mains:
            seed = rng.getrandbits(32)
            flag = daemon if daemon is not None else rng.random() < 0.5
            thread = threading.Thread(target=main, args=(seed,), daemon=flag)
            self.threads.append(thread)
            thread.start()

    def stop(self):
        """Let all threads end."""
        self.stopped = True

    def with_tasklets(self, seed):
        """Run tasklets that work, under budgets of every kind, until stopped."""
        rng = random.Random(seed)
        while not self.stopped:
            self.spawn_some(rng)
            with suppress(Exception):
                run_somehow(rng)

    def spawn_some(self, rng):
        """Have tasklets of the calling thread that each do a few pieces of work."""
        for _ in range(rng.randrange(1, 6)):
            tasklets.spawn(self.work, rng.getrandbits(32))

    def work(self, seed, pieces=4):
        """Do a few pieces of work."""
        rng = random.Random(seed)
        for _ in range(pieces):
            if self.stopped:
                break
            with suppress(Exception):
                WORK[rng.choice(self.names)](self, rng)

    def without_tasklets(self, seed):
        """Use locks and queues in a thread that has no scheduler, until stopped."""
        rng = random.Random(seed)
        names = sorted(WITHOUT_TASKLETS.intersection(self.names)) or ["pause"]
        while not self.stopped:
            with suppress(Exception):
                WORK[rng.choice(names)](self, rng)
            time.sleep(0.0005)


def compute():
    """Take a while that a budget may cut short."""
    for i in range(200):
        divmod(i, 7)


# How a thread runs its tasklets.
RUNS = [
    tasklets.run,
    lambda: scheduler.run(seconds=0.01, wait=True),
    lambda: scheduler.run(slice_seconds=0.0008, seconds=0.02, wait=True),
    lambda: scheduler.run(ticks=200),
    lambda: scheduler.run(slice_ticks=50, seconds=0.01),
    lambda: scheduler.run(switches=20, wait=True),
    lambda: sleep(0.003),
]


def run_somehow(rng):
    """Run the tasklets of the calling thread, and let a stopped one go on later."""
    stopped = rng.choice(RUNS)()
    if stopped is not None:
        stopped.insert()


# ---- pieces of work

WORK = {}
WITHOUT_TASKLETS = set()


def work(func):
    """Register a piece of work."""
    WORK[func.__name__] = func
    return func


def plain_work(func):
    """Register a piece of work that a thread without tasklets can do, too."""
    WITHOUT_TASKLETS.add(func.__name__)
    return work(func)


@plain_work
def pause(busy, rng):
    time.sleep(rng.random() * 0.001)


@work
def send(busy, rng):
    busy.channel.send(rng.random(), timeout=WAIT_SECONDS)


@work
def receive(busy, rng):
    busy.channel.receive(timeout=WAIT_SECONDS)


@plain_work
def lock(busy, rng):
    held = rng.choice([busy.lock, busy.rlock, busy.semaphore])
    if held.acquire(timeout=WAIT_SECONDS):
        try:
            time.sleep(rng.choice([0, 0.0001]))
        finally:
            held.release()


@plain_work
def condition(busy, rng):
    # A tasklet of the main thread may own it when that has ended its tasklets.
    if not busy.condition.acquire(timeout=WAIT_SECONDS):
        return
    try:
        if rng.random() < 0.5:
            busy.condition.wait(WAIT_SECONDS)
        else:
            busy.condition.notify_all()
    finally:
        busy.condition.release()


@plain_work
def event(busy, rng):
    if rng.random() < 0.5:
        busy.event.wait(WAIT_SECONDS)
    else:
        busy.event.set()
        busy.event.clear()


@plain_work
def queue(busy, rng):
    if rng.random() < 0.5:
        busy.queue.put(1, timeout=WAIT_SECONDS)
    else:
        busy.queue.get(timeout=WAIT_SECONDS)


@plain_work
def simple_queue(busy, rng):
    busy.simple.put(1)
    busy.simple.get(timeout=WAIT_SECONDS)


@work
def worker(busy, rng):
    if rng.random() < 0.5:
        call_on_worker(compute)
    else:
        busy.pool.submit(time.sleep, 0.001).result(0.1)


@work
def file(busy, rng):
    fs.stat("/", timeout=WAIT_SECONDS)


@work
def address(busy, rng):
    net.getaddrinfo("localhost", 80, timeout=WAIT_SECONDS)


@work
def descriptors(busy, rng):
    reads, writes = busy.pipe
    if rng.random() < 0.5:
        scheduler.wait_writable(writes, timeout=WAIT_SECONDS)
        os.write(writes, b"x")
    else:
        scheduler.wait_readable(reads, timeout=WAIT_SECONDS)
        os.read(reads, 1)


@work
def timers(busy, rng):
    handle = scheduler.call_later(0.001, compute)
    with tasklets.timeout(0.002):
        sleep(rng.random() * 0.003)
    handle.cancel()


@work
def sections(busy, rng):
    with tasklets.atomic():
        compute()


@work
def group(busy, rng):
    with TaskGroup() as members:
        for _ in range(3):
            members.spawn(sleep, 0.0005)


@work
def computing(busy, rng):
    compute()


@work
def birth(busy, rng):
    # Not by threading: a budget could stop the tasklet while it holds the lock of that
    # module, for which the next tasklet of this thread would wait without giving way.
    _thread.start_new_thread(tasklets.schedule, ())
