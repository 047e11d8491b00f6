"""Atomic sections: who gets the GIL, and who sets the flag from elsewhere."""

import functools
import itertools
import sys
import threading
import time
from contextlib import nullcontext

import pytest
from children import run_program
from computing import compute, compute_until, counting, violations
from threads import SECONDS, running

import tasklets
from tasklets import atomic, channel, getcurrent, schedule, scheduler, tasklet

pytestmark = pytest.mark.usefixtures("hurry")


# Who sets the flag from elsewhere.


@violations
def test_a_flag_set_from_another_thread_counts_from_the_next_bytecode_on(section, stay):
    remote = section is not nullcontext
    seen, me, here = 0, None, threading.Event()

    def work():
        nonlocal seen, me
        me = getcurrent()
        here.set()
        for _ in range(10):
            # Nobody but who sets the flag could take the GIL back.
            compute_until(lambda: me.atomic or not remote)
            before = total()
            stay(total)
            seen += total() != before
            me.set_atomic(False)
        me = None

    with counting() as total:
        with running(work):
            here.wait()
            while (t := me) is not None:
                if remote and not t.atomic:
                    t.set_atomic(True)
                del t
                time.sleep(0.001)
    return seen


def test_a_flag_reset_from_another_thread_lets_the_others_in():
    me, asleep, awake = None, threading.Event(), threading.Event()

    def work():
        nonlocal me
        me = getcurrent()
        with atomic():
            asleep.set()
            awake.wait()
            assert not me.atomic
            before = total()
            compute_until(lambda: total() != before)
        me = None

    with counting() as total:
        with running(work):
            asleep.wait()
            me.set_atomic(False)
            awake.set()


def test_a_flag_set_by_another_thread_during_a_wait_is_active_after_it():
    found, ch = [], channel()

    def work():
        found.append(getcurrent())
        ch.receive()
        before = total()
        compute()
        assert total() == before
        getcurrent().set_atomic(False)

    with counting() as total:
        with running(work):
            compute_until(lambda: ch.balance == -1)
            found.pop().set_atomic(True)
            ch.send(None)


# Fairness. With the interval of every day: what is measured are turns, not time.


def finishes_beside(holder):
    """Whether a thread that needs the GIL a hundred times gets it beside holder."""
    sys.setswitchinterval(0.001)
    done = False

    def wait():
        nonlocal done
        for _ in range(50):
            time.sleep(0)
            compute(10)
            time.sleep(0.0001)
        done = True

    end = time.monotonic() + SECONDS
    with running(wait):
        while not done and time.monotonic() < end:
            holder()
        finished = done
    return finished


def short_sections():
    for _ in range(50):
        with atomic():
            compute(2000)


def tiny_sections():
    a = atomic()
    for _ in range(1000):
        with a:
            pass


def nested_sections():
    for _ in range(20):
        with atomic(), atomic():
            with atomic():
                compute(2000)


def sections_by_the_flag():
    me = getcurrent()
    for _ in range(50):
        me.set_atomic(True)
        compute(2000)
        me.set_atomic(False)


def sections_of_tasklets():
    def work():
        for _ in range(10):
            with atomic():
                compute(1000)
                schedule()

    for _ in range(5):
        tasklet(work)()
    tasklets.run()


@pytest.mark.timing
@pytest.mark.parametrize(
    "holder",
    [
        short_sections,
        tiny_sections,
        nested_sections,
        sections_by_the_flag,
        sections_of_tasklets,
    ],
    ids=lambda holder: holder.__name__,
)
def test_nobody_starves_beside(holder):
    assert finishes_beside(holder)


def test_nobody_gets_the_gil_beside_one_section_without_an_end():
    with counting() as total:
        with atomic():
            before = total()
            compute(1_000_000)
            assert total() == before


@pytest.mark.timing
def test_threads_that_are_always_inside_all_get_turns():
    ending, turns = False, [0] * 4

    def work(number):
        while not ending:
            with atomic():
                compute(500)
                turns[number] += 1

    with running(*[functools.partial(work, n) for n in range(4)]):
        end = time.monotonic() + SECONDS
        while min(turns) < 20 and time.monotonic() < end:
            time.sleep(0.01)
        ending = True
    assert min(turns) >= 20


# Whatever else wants the GIL quickly.


def run_slices(ending):
    """Stop a tasklet that computes, again and again, after a slice of a millisecond."""

    def run_away():
        while True:
            pass

    t = tasklet(run_away)()
    while not ending.is_set():
        victim = scheduler.run(slice_seconds=0.001)
        assert victim is t
        t.insert()
    t.kill()


@violations
def test_slices_of_another_thread_do_not_end_inside_a_section(section, stay):
    seen, ending = 0, threading.Event()
    try:
        with counting() as total:
            with running(lambda: run_slices(ending)):
                for _ in range(30):
                    with section():
                        before = total(), scheduler.last_run()
                        stay(total, 100_000)
                        seen += (total(), scheduler.last_run()) != before
                    time.sleep(0.0001)
                ending.set()
    finally:
        ending.set()
    return seen


@violations
def test_slices_of_the_same_thread_do_not_end_inside_a_section(section, stay):
    stopped = 0

    def work():
        for _ in range(10):
            with section():
                inside.append(getcurrent())
                stay(lambda: stopped, 100_000)
                inside.pop()

    inside = []
    for _ in range(2):
        tasklet(work)()
    while tasklets.getruncount() > 1:
        victim = scheduler.run(slice_seconds=0.001)
        stopped += len(inside) > 0
        if victim is not None:
            victim.insert()
    return stopped


@violations
def test_an_interval_set_while_a_section_sleeps_does_not_break_it(section, stay):
    seen, ending = 0, False

    def write(func):
        for interval in itertools.cycle([1e-5, 0.001, 1e-4]):
            if ending:
                return
            func(interval)
            time.sleep(0.0003)

    with atomic():
        pass
    with counting() as total:
        with running(functools.partial(write, sys.setswitchinterval)):
            for _ in range(50):
                with section():
                    time.sleep(0.001)
                    before = total()
                    stay(total)
                    seen += total() != before
            ending = True
    return seen


# As above: without sections, the first call returns only after an interference.
STAY = """
import sys

held = sys.argv[1] == "atomic"

def stay(progress, loops):
    global held
    before = progress()
    if held:
        for _ in range(loops):
            pass
    while not held and progress() == before:
        pass
    held = True
"""

PAST_US = """
import sys
original = sys.setswitchinterval
import threading, time
from contextlib import nullcontext
from tasklets import atomic, channel

section = {"atomic": atomic, "without": nullcontext}[sys.argv[1]]
ch, ending, count, seen = channel(), False, 0, 0

def answer():
    # Sets the interval past us, while the other one waits inside.
    while not ending:
        ch.receive()
        original(1e-5)
        ch.send(None)

def compute():
    global count
    while not ending:
        count += 1

threads = [threading.Thread(target=f, daemon=True) for f in (answer, compute, compute)]
for thread in threads:
    thread.start()
original(1e-5)
for _ in range(200):
    with section():
        ch.send(None)
        ch.receive()
        before = count
        stay(lambda: count, 20_000)
        seen += count != before
ending = True
print("seen" if seen else "none")
"""


@pytest.mark.parametrize(("how", "seen"), [("atomic", "none"), ("without", "seen")])
def test_an_interval_set_by_the_original_does_not_break_a_section(how, seen):
    assert run_program(STAY + PAST_US, how) == (0, f"{seen}\n", [])


RIGHT_BEFORE = """
import sys
original = sys.setswitchinterval
import threading, time
from contextlib import nullcontext
from tasklets import atomic

section = {"atomic": atomic, "without": nullcontext}[sys.argv[1]]
ending, count, seen = False, 0, 0

def compute():
    global count
    while not ending:
        count += 1

original(0.001)
for _ in range(2):
    threading.Thread(target=compute, daemon=True).start()
while not count:
    time.sleep(0)
for _ in range(50):
    with section():
        time.sleep(0)
    original(1e-5)
    with section():
        before = count
        stay(lambda: count, 100_000)
        seen += count != before
    sys.setswitchinterval(0.001)
ending = True
print("seen" if seen else "none")
"""


@pytest.mark.parametrize(("how", "seen"), [("atomic", "none"), ("without", "seen")])
def test_an_interval_set_by_the_original_does_not_break_the_next(how, seen):
    assert run_program(STAY + RIGHT_BEFORE, how) == (0, f"{seen}\n", [])


# Threads of other interpreters that share the GIL.


OTHERS = """
import _testcapi, ctypes, sys, threading, time
from contextlib import nullcontext
from tasklets import atomic

section = {"atomic": atomic, "without": nullcontext}[sys.argv[1]]
cells = (ctypes.c_long * 2)()
code = f'''
import ctypes, time
cells = (ctypes.c_long * 2).from_address({ctypes.addressof(cells)})
while not cells[1]:
    cells[0] += 1
    if cells[0] % 1000 == 0:
        time.sleep(0)
'''
thread = threading.Thread(target=_testcapi.run_in_subinterp, args=(code,))
thread.start()
sys.setswitchinterval(1e-5)
while not cells[0]:
    time.sleep(0)
seen = 0
for _ in range(200):
    with section():
        before = cells[0]
        stay(lambda: cells[0], 20_000)
        seen += cells[0] != before
    now = cells[0]
    while cells[0] == now:
        time.sleep(0)
cells[1] = 1
thread.join()
print("seen" if seen else "none")
"""


@pytest.mark.parametrize(("how", "seen"), [("atomic", "none"), ("without", "seen")])
def test_threads_of_other_interpreters_are_held_off(how, seen):
    pytest.importorskip("_testcapi")
    if how == "without" and sys.version_info < (3, 13):
        pytest.skip("a thread that waits asks only threads of its own interpreter")
    assert run_program(STAY + OTHERS, how) == (0, f"{seen}\n", [])
