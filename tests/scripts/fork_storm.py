"""Fork at random from every kind of place while several threads are busy.

usage: fork_storm.py SEED COUNT [NAME...]     prints "ok" and how many forks there were

SEED decides what the threads do and from where the forks come; with NAMEs the threads
only do such pieces of work, see busy.py. Each child uses every part of the runtime
once, some fork again, and all must end with a status of their own. FORK_STORM_KEEP
makes a child that hangs stay, for a debugger; FORK_STORM_PLACES names the places to
fork from.
"""

import faulthandler
import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress

from busy import Busy, compute, run_somehow

import tasklets
from tasklets import TaskGroup, channel, fs, locks, net, queues, scheduler, sleep, spawn
from tasklets.workers import WorkerPool, call_on_worker

# A child does its work in milliseconds. A busy machine may take much longer.
HANG_SECONDS = 60
STATUS = 17
DEPTH_MOST = 2


def say(*words):
    """Print without buffers, whose locks a fork may copy."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


# ---- what a child does


def use_channel():
    ch = channel()
    spawn(ch.send, 1)
    assert ch.receive() == 1


def use_locks():
    lock, ready = locks.Lock(), locks.Condition()
    with lock, ready:
        spawn(lock.acquire).kill()
        ready.wait(0.001)
    event = locks.Event()
    spawn(event.set)
    assert event.wait(HANG_SECONDS)


def use_queue():
    items = queues.Queue(1)
    spawn(items.put, 1)
    assert items.get() == 1


def use_worker():
    assert call_on_worker(int, "3") == 3
    with WorkerPool(1) as pool:
        assert pool.submit(int, "4").result() == 4


def use_file():
    assert fs.stat("/").st_ino == os.stat("/").st_ino


def use_address():
    assert net.getaddrinfo("127.0.0.1", 80)
    assert net.getaddrinfo("localhost", 80)


def use_descriptors():
    reads, writes = os.pipe()
    spawn(os.write, writes, b"x")
    scheduler.wait_readable(reads)
    os.close(reads)
    os.close(writes)


def use_timers():
    done = []
    scheduler.call_later(0.0005, done.append, 1)
    sleep(0.002)
    assert done == [1]


def use_budgets():
    t = spawn(compute)
    rng = random.Random(1)
    for _ in range(10):
        run_somehow(rng)
    t.join()


def use_atomic():
    with tasklets.atomic():
        tasklets.schedule()
    assert not tasklets.getcurrent().atomic


def use_thread():
    lock, ch = locks.Lock(), channel()

    def talk():
        with lock:
            ch.send("hello")

    thread = threading.Thread(target=talk)
    thread.start()
    assert ch.receive() == "hello"
    with lock:
        pass
    thread.join()


def use_group():
    with TaskGroup() as group:
        group.spawn(sleep, 0.0005)


USES = [
    use_channel, use_locks, use_queue, use_worker, use_file, use_address,
    use_descriptors, use_timers, use_budgets, use_atomic, use_thread, use_group,
]  # fmt: skip


# ---- from where the forks come
#
# Each place forks once and returns the child's number, or 0 in the child, where
# tasklets may switch again. Some finish the child there, as there is no way back.

PLACES = {}


def place(func):
    """Register a place."""
    PLACES[func.__name__] = func
    return func


@place
def in_main(storm):
    return os.fork()


@place
def in_a_tasklet(storm):
    return spawn(os.fork).result()


@place
def in_a_section(storm):
    with tasklets.atomic():
        return os.fork()


@place
def in_a_section_of_a_tasklet(storm):
    def fork():
        with tasklets.atomic():
            tasklets.schedule()
            return os.fork()

    return spawn(fork).result()


@place
def in_a_done_callback(storm):
    pids = []
    t = spawn(int)
    t.add_done_callback(lambda t: pids.append(os.fork()))
    t.join()
    return pids[0]


@place
def in_a_signal_handler(storm):
    pids = []
    signal.signal(signal.SIGUSR2, lambda *args: pids.append(os.fork()))
    os.kill(os.getpid(), signal.SIGUSR2)
    while not pids:
        tasklets.schedule()
    return pids[0]


@place
def in_a_finalizer(storm):
    pids = []

    class Dropped:
        def __del__(self):
            pids.append(os.fork())

    Dropped()
    return pids[0]


@place
def in_the_collector(storm):
    pids = []
    mine = threading.get_ident()

    def called(phase, info):
        # Any thread may collect.
        if not pids and phase == "start" and threading.get_ident() == mine:
            pids.append(os.fork())

    gc.callbacks.append(called)
    gc.collect()
    gc.callbacks.remove(called)
    return pids[0] if pids else os.fork()


@place
def in_a_scheduled_call(storm):
    pids = []
    scheduler.call_soon(lambda: pids.append(os.fork()))
    while not pids:
        sleep(0.0001)
    return pids[0]


@place
def in_a_callback_of_the_scheduler(storm):
    pids = []
    mine = threading.get_ident()

    def called(before, after):
        if not pids and threading.get_ident() == mine:
            pids.append(os.fork())

    tasklets.set_schedule_callback(called)
    while not pids:
        sleep(0.0001)
    tasklets.set_schedule_callback(None)
    return pids[0]


@place
def in_a_timeout(storm):
    with tasklets.timeout(HANG_SECONDS):
        sleep(0.0005)
        return os.fork()


@place
def in_a_group(storm):
    with TaskGroup() as group:
        member = group.spawn(os.fork)
    return member.result()


@place
def under_a_budget(storm):
    def fork():
        compute()
        return os.fork()

    t = spawn(fork)
    run_somehow(storm.rng)
    return t.result()


@place
def with_calls_in_flight(storm):
    def wait(func, *args):
        with suppress(RuntimeError):  # lost in the child
            func(*args)

    for _ in range(20):
        spawn(wait, net.getaddrinfo, "localhost", 80)
        spawn(wait, fs.stat, "/")
        spawn(wait, call_on_worker, time.sleep, 0.001)
    sleep(storm.rng.random() * 0.002)
    return os.fork()


@place
def on_a_worker(storm):
    return call_on_worker(storm.fork_and_finish)


def run_thread(main):
    """Return what main returns in a thread of its own."""
    result = []
    thread = threading.Thread(target=lambda: result.append(main()), daemon=True)
    thread.start()
    while thread.is_alive():
        sleep(0.001)
    return result[0]


@place
def in_a_plain_thread(storm):
    return run_thread(storm.fork_and_finish)


@place
def in_a_tasklet_of_another_thread(storm):
    return run_thread(lambda: spawn(storm.fork_and_finish).result())


@place
def by_multiprocessing(storm):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=storm.finish_child)
    process.start()
    return process.pid


@place
def by_a_subprocess(storm):
    # The function must not wait: another tasklet's call of libuv would be in flight
    # while all descriptors are closed before the exec, and libuv aborts then.
    subprocess.run(["/bin/true"], preexec_fn=compute, check=True)
    return os.fork()


@place
def by_c_code(storm):
    # No hook of Python's runs in this child, only those of the C library.
    subprocess._USE_VFORK = False
    subprocess.run(["/bin/true"], check=True)
    return os.fork()


class Storm:
    """One busy process, which forks."""

    def __init__(self, seed, names):
        self.rng = random.Random(seed)
        self.places = os.environ.get("FORK_STORM_PLACES", "").split() or sorted(PLACES)
        self.busy = Busy(self.rng, names=names)
        self.depth = 0
        self.doing = "nothing"

    def go(self, number):
        """Fork once, and see how the child ends."""
        name = self.rng.choice(self.places)
        # What the child does must not depend on the parent's own draws.
        self.seed = self.rng.getrandbits(32)
        self.busy.spawn_some(self.rng)
        self.note = f"{number} {name}"
        faulthandler.dump_traceback_later(2 * HANG_SECONDS, exit=True)
        pid = PLACES[name](self)
        if pid == 0:
            self.finish_child()
        self.wait_for(pid)

    # ---- in the child

    def fork_and_finish(self):
        pid = os.fork()
        if pid == 0:
            self.finish_child()
        return pid

    def finish_child(self):
        """Use everything once, in random order; some fork again. Then end."""
        rng = random.Random(self.seed)
        self.depth += 1
        status = 1
        try:
            for use in rng.sample(USES, len(USES)):
                self.doing = use.__name__
                use()
            self.doing = "the end"
            if self.depth < DEPTH_MOST and rng.random() < 0.2:
                self.seed = rng.getrandbits(32)
                self.wait_for(self.fork_and_finish())
            status = STATUS
        except BaseException as error:
            say("in the child of", self.note, "at", self.doing, repr(error))
            traceback.print_exc()
        finally:
            os._exit(status)

    # ---- in the parent

    def wait_for(self, pid):
        """Wait until a child has ended, while tasklets run. It must end well."""
        end = time.monotonic() + HANG_SECONDS
        found = status = 0
        while not found:
            if time.monotonic() > end:
                self.report_hang(pid)
            sleep(0.001)
            found, status = os.waitpid(pid, os.WNOHANG)
        status = os.waitstatus_to_exitcode(status)
        if status != STATUS:
            say("the child of", self.note, "ended with", status)
            os._exit(1)

    def describe(self, *args):
        """Print what this process is doing."""
        say(os.getpid(), "child of", self.note, "at", self.doing)
        for t in [tasklets.getmain(), *scheduler.getuncollectables()]:
            frame = t.frame
            say(repr(t), *traceback.format_stack(frame)[-3:] if frame else "")

    def report_hang(self, pid):
        say("the child of", self.note, "hangs:", pid)
        os.kill(pid, signal.SIGUSR1)
        time.sleep(1)
        while "FORK_STORM_KEEP" in os.environ:
            time.sleep(1)
        os.kill(pid, signal.SIGKILL)
        os._exit(1)


def main(seed, count, *names):
    """Make the forks of a seed."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
    faulthandler.enable()
    # The interpreter does not renew the lock of a module that another thread imports at
    # the moment of a fork: the child would wait for it. What may be imported late is
    # imported now.
    "name".encode("idna")
    storm = Storm(int(seed), names)
    signal.signal(signal.SIGUSR1, storm.describe)
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
    for number in range(int(count)):
        storm.go(number)
    say("ok", count)
    os._exit(0)  # how a busy process ends is another storm's business


if __name__ == "__main__":
    main(*sys.argv[1:])
