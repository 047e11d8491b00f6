"""End a program in every way while several threads are busy.

usage: exit_storm.py SEED COUNT [NAME...]     prints "ok" and how many ends there were
       exit_storm.py SEED one [NAME...]       ends itself, and prints "status" and which

SEED decides what the threads do, whether they are daemons, and how the program ends;
with NAMEs the threads only do such pieces of work, see busy.py. With a COUNT each end
is that of a forked process, which saves the start of an interpreter. EXIT_STORM_KEEP
makes a process that hangs stay, for a debugger; EXIT_STORM_WAYS names the ways to end.
"""

import _thread
import atexit
import faulthandler
import os
import random
import signal
import socket  # noqa: F401 (see Storm.go())
import sys
import tempfile
import threading
import time
import warnings

from busy import Busy

import tasklets
from tasklets import TaskGroup, channel, fs, net, scheduler, sleep, spawn
from tasklets.workers import call_on_worker

HANG_SECONDS = 60
STATUS = 17


def say(*words):
    """Print without buffers."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


# ---- ways to end
#
# Each ends the program, or returns, and says with which status: that of Popen.

WAYS = {}
# Where a signal handler raises in what runs on the main thread at that moment. In a
# callback that would end nothing: the main thread has no other tasklets there.
INTERRUPTED = set()


def way(status, interrupts=False):
    """Register a way to end with a status."""

    def register(func):
        WAYS[func.__name__] = func, status
        if interrupts:
            INTERRUPTED.add(func.__name__)
        return func

    return register


@way(0)
def return_from_main():
    pass


@way(0)
def return_after_a_wait():
    sleep(0.003)


@way(STATUS)
def sys_exit():
    sys.exit(STATUS)


@way(STATUS)
def sys_exit_in_a_tasklet():
    spawn(sys.exit, STATUS)
    sleep(HANG_SECONDS)


@way(STATUS)
def sys_exit_in_a_section():
    with tasklets.atomic():
        sys.exit(STATUS)


@way(STATUS)
def sys_exit_in_a_group():
    with TaskGroup() as group:
        group.spawn(sleep, HANG_SECONDS)
        group.spawn(sleep, 0.001)
        sys.exit(STATUS)


@way(0)
def sys_exit_in_a_thread():
    thread = threading.Thread(target=lambda: (sleep(0.001), sys.exit(STATUS)))
    thread.start()
    thread.join()


@way(STATUS)
def sys_exit_in_a_call_on_a_worker():
    call_on_worker(sys.exit, STATUS)


@way(STATUS)
def sys_exit_in_a_run():
    spawn(sys.exit, STATUS)
    for seconds in (0.001, 0.01, HANG_SECONDS):
        scheduler.run(seconds=seconds, wait=True)


@way(STATUS)
def os_exit():
    os._exit(STATUS)


@way(STATUS)
def os_exit_in_a_tasklet():
    spawn(os._exit, STATUS).join()


@way(STATUS)
def os_exit_in_a_thread():
    threading.Thread(target=lambda: spawn(os._exit, STATUS).join()).start()
    sleep(HANG_SECONDS)


@way(1)
def an_error():
    raise LookupError("expected")


@way(1)
def an_error_in_a_tasklet():
    def fail():
        raise LookupError("expected")

    spawn(fail)
    sleep(HANG_SECONDS)


@way(-signal.SIGTERM)
def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(HANG_SECONDS)


def signal_soon(number):
    """Send this process a signal.

    Not by threading.Timer: its start() waits, and the handler of a signal would
    raise inside that module.
    """

    def send():
        time.sleep(0.002)
        os.kill(os.getpid(), number)

    _thread.start_new_thread(send, ())


@way(STATUS, interrupts=True)
def sigterm_with_a_handler():
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(STATUS))
    signal_soon(signal.SIGTERM)
    sleep(HANG_SECONDS)


@way(-signal.SIGINT, interrupts=True)
def sigint():
    signal_soon(signal.SIGINT)
    sleep(HANG_SECONDS)


@way(-signal.SIGINT, interrupts=True)
def sigint_while_main_waits_for_a_tasklet():
    signal_soon(signal.SIGINT)
    spawn(channel().receive, timeout=HANG_SECONDS).join()


@way(0)
def with_waiting_tasklets():
    """Leave tasklets that are told to end, and tidy up."""

    def wait(func, *args):
        try:
            func(*args)
        finally:
            tasklets.schedule()

    for _ in range(3):
        spawn(wait, sleep, HANG_SECONDS)
        spawn(wait, channel().receive)
        spawn(wait, call_on_worker, time.sleep, 0.01)
    tasklets.schedule()


@way(0)
def beside_a_fork():
    """End while other threads fork."""

    def fork():
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)

    threading.Thread(target=fork).start()
    threading.Thread(target=lambda: spawn(fork).join()).start()
    time.sleep(0.001)


@way(0)
def with_calls_in_flight():
    for _ in range(10):
        spawn(fs.stat, "/")
        spawn(net.getaddrinfo, "localhost", 80)
        spawn(call_on_worker, time.sleep, 0.001)
    tasklets.schedule()


@way(0)
def with_calls_in_flight_that_block():
    """Leave calls that never return. They hold up the end for half a second."""
    with tempfile.TemporaryDirectory() as folder:
        fifo = os.path.join(folder, "fifo")
        os.mkfifo(fifo)
        for _ in range(6):
            spawn(fs.open, fifo, os.O_RDONLY)
        tasklets.schedule()


@way(0)
def with_functions_that_are_called_at_the_end():
    """Use tasklets once more, before those of main are told to end."""

    def use():
        spawn(sleep, 0.001).join()
        scheduler.run(seconds=0.001)

    spawn(channel().receive)
    tasklets.schedule()
    atexit.register(use)


@way(0)
def with_an_error_in_a_thread():
    def fail():
        spawn(sleep, HANG_SECONDS)
        sleep(0.001)
        raise LookupError("expected")

    threading.Thread(target=fail).start()


@way(0)
def while_threads_begin():
    for _ in range(10):
        _thread.start_new_thread(lambda: spawn(sleep, 0.001).join(), ())


@way(STATUS)
def sys_exit_under_budgets():
    def count():
        for i in range(3000):
            divmod(i, 7)
        sys.exit(STATUS)

    spawn(count)
    while True:
        stopped = scheduler.run(slice_ticks=50, seconds=0.001)
        if stopped is not None:
            stopped.insert()


@way(0)
def with_a_thread_that_goes_on():
    """Leave a thread that the interpreter waits for."""

    def work():
        for _ in range(3):
            sleep(0.001)
            call_on_worker(int)

    threading.Thread(target=work).start()


class Storm:
    def __init__(self, seed, names):
        self.seed = seed
        self.names = names
        rng = random.Random(seed)
        ways = os.environ.get("EXIT_STORM_WAYS", "").split() or sorted(WAYS)
        self.name = rng.choice(ways)
        self.end, self.status = WAYS[self.name]

    def go(self):
        """End this process."""
        rng = random.Random(self.seed)
        # A shell has them ignored in what it runs in the background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        # Before 3.14 the interpreter forgets that Ctrl-C has ended the program, and
        # ends with 1, if a thread that it waits for calls eval(). Imports do: what a
        # thread imports when it looks up an address is imported above.
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        daemon = rng.choice([True, True, False, None])
        busy = Busy(rng, threads=rng.randrange(1, 6), names=self.names, daemon=daemon)
        if self.name not in INTERRUPTED:
            busy.spawn_some(rng)
        sleep(rng.random() * 0.01)
        # Threads that are waited for end by themselves. Some only once main has ended.
        if daemon is not True:
            threading.Timer(rng.random() * 0.01, busy.stop).start()
        self.end()


def wait_for(pid):
    """Return the status of a process that ends."""
    end = time.monotonic() + HANG_SECONDS
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.001)


def go_in_a_child(storm):
    """End a forked process in the storm's way. Returns whether it has ended well."""
    pid = os.fork()
    if pid == 0:
        # Of the errors on their way out only what is not expected matters.
        os.dup2(errors, 2)
        storm.go()
        return None
    status = wait_for(pid)
    if status == storm.status:
        return True
    say("seed", storm.seed, storm.name, "ends with", status, "not", storm.status)
    if status is None:
        os.kill(pid, signal.SIGUSR1)
        time.sleep(1)
        while "EXIT_STORM_KEEP" in os.environ:
            time.sleep(1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.lseek(errors, 0, 0)
    say(os.read(errors, 1 << 20).decode())
    return False


def main(seed, count, *names):
    """End as many processes as asked for. In a child of these it returns None."""
    global errors
    if count == "one":
        storm = Storm(int(seed), names)
        say("status", storm.status)
        storm.go()
        return
    errors = os.memfd_create("errors")
    failures = 0
    for number in range(int(count)):
        os.ftruncate(errors, 0)
        os.lseek(errors, 0, os.SEEK_SET)
        well = go_in_a_child(Storm(int(seed) + number, names))
        if well is None:
            return
        failures += not well
    say("ok" if failures == 0 else "failed", int(count) - failures)
    sys.exit(failures > 0)


errors = None

if __name__ == "__main__":
    main(*sys.argv[1:])
