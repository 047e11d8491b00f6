"""Forks and exits while several threads use every part of the runtime.

TASKLETS_STRESS is how many forks and how many ends each run makes: 2000 takes an hour.
"""

import os
from subprocess import PIPE

import pytest
from children import (
    SCRIPTS,
    finish,
    forks_beside_threads,
    run_program,
    run_script,
    start,
)

STRESS = int(os.environ.get("TASKLETS_STRESS", 0))
FORKS = STRESS or 30
ENDS = STRESS or 40
# A child that hangs is reported by the storm itself, after 60 seconds.
STORM_SECONDS = 300 + (FORKS + ENDS) * 5

# Two parents of forks: each child has to end within seconds.
PRELUDE = """
import os, signal, socket, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
import tasklets
from tasklets import net, scheduler, sleep, spawn

LATE = 60

def start(func, count=1):
    for _ in range(count):
        threading.Thread(target=func, daemon=True).start()

def fork(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    end = time.monotonic() + LATE
    found = 0
    while not found:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            print("a child hangs", flush=True)
            os._exit(1)
        time.sleep(0.001)
        found, status = os.waitpid(pid, os.WNOHANG)
    assert status == 0, status
"""


def run(program):
    """Run a program, which must print "ok" at its end."""
    status, output, errors = run_program(PRELUDE + program, seconds=120)
    assert (status, output, errors) == (0, "ok\n", [])


@forks_beside_threads
def test_a_fork_does_not_copy_the_locked_mutex_of_the_alarm():
    run("""
def busy():
    while True:
        for _ in range(3):
            spawn(sleep, LATE)
        scheduler.run(slice_seconds=0.0008, seconds=1, wait=True)

start(busy, 8)
time.sleep(0.2)
for _ in range(100):
    fork(int)
print("ok", flush=True)
os._exit(0)
""")


@forks_beside_threads
def test_budgets_work_in_the_child_of_a_fork_while_another_thread_counts_ticks():
    run("""
def count():
    spawn(time.sleep, LATE)
    scheduler.run(ticks=1000)

def use_budgets():
    for _ in range(2):
        spawn(int)
        scheduler.run(seconds=0.05)
        time.sleep(0.05)

start(count)
time.sleep(0.2)
fork(use_budgets)
print("ok", flush=True)
os._exit(0)
""")


@forks_beside_threads
def test_addresses_are_found_in_the_child_of_a_fork_with_lookups_in_flight():
    run("""
def look_up():
    while True:
        net.getaddrinfo("localhost", 80)

def lose():
    try:
        look_up()
    except RuntimeError:
        pass  # it is in the child

for _ in range(200):
    spawn(lose)
start(lambda: (spawn(look_up), look_up()), 3)
sleep(0.01)
for _ in range(30):
    fork(lambda: net.getaddrinfo("localhost", 80, timeout=LATE / 2))
    sleep(0.001)
print("ok", flush=True)
os._exit(0)
""")


@forks_beside_threads
def test_finalizers_of_lost_threads_may_use_everything_in_the_child():
    """They run inside os.fork(), before the hooks that it has for the child."""
    run("""
class Value:
    def __del__(self):
        if os.getpid() != parent:
            lock = tasklets.locks.Lock()
            with lock, tasklets.atomic():
                spawn(int)
            scheduler.run(seconds=0.01)
            scheduler.run(ticks=100)
            assert net.getaddrinfo("127.0.0.1", 80)
            finalized.append(1)

parent = os.getpid()
finalized = []
local = threading.local()

def wait():
    local.value = Value()
    spawn(sleep, LATE)
    scheduler.run(seconds=LATE, wait=True)

def check():
    assert finalized == [1, 1]
    spawn(int).join()

start(wait, 2)
time.sleep(0.2)
fork(check)
print("ok", flush=True)
os._exit(0)
""")


@forks_beside_threads
def test_a_fork_by_c_code_leaves_the_parent_as_it_was():
    """Nothing but the handlers of the C library runs then."""
    run("""
import subprocess
subprocess._USE_VFORK = False

def busy():
    while True:
        spawn(net.getaddrinfo, "localhost", 80)
        scheduler.run(slice_seconds=0.0008, seconds=0.01, wait=True)

start(busy, 2)
for _ in range(20):
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    spawn(sleep, 0.001).join()
print("ok", flush=True)
os._exit(0)
""")


# Storms.


def check_storm(name, seed, count):
    """Run a script that prints how many processes did as they should."""
    status, output = run_script(name, seed, count, seconds=STORM_SECONDS)
    if (status, output.splitlines()[-1:]) != (0, [f"ok {count}"]):
        pytest.fail(f"status {status}\n{output}")


@forks_beside_threads
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_no_child_of_a_busy_process_crashes_or_hangs(seed):
    check_storm("fork_storm.py", seed, FORKS)


@forks_beside_threads
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 1001])
def test_no_end_of_a_busy_process_crashes_or_hangs(seed):
    check_storm("exit_storm.py", seed, ENDS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_end_of_a_busy_program_crashes_or_hangs(seed):
    program = SCRIPTS / "exit_storm.py", seed, "one"
    child = start(*program, stdout=PIPE, stderr=PIPE)
    status, output, errors = finish(child, 120)
    assert output == f"status {status}\n", errors


def test_every_piece_of_busy_work_does_something():
    """A lookup that always fails would keep no thread busy."""
    run("""
import random
import busy
from tasklets.queues import Empty, Full
some = busy.Busy(random.Random(1), threads=0)
done = set()

def work(name):
    rng = random.Random(name)
    while name not in done or len(done) < len(busy.WORK):
        try:
            busy.WORK[name](some, rng)
            done.add(name)
        except (TimeoutError, Empty, Full):
            pass
        tasklets.schedule()

for name in busy.WORK:
    spawn(work, name)
scheduler.run(wait=True)
some.stop()
print("ok")
""")
