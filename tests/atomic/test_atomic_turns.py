"""Atomic sections where the GIL cannot be governed: at least they take turns.

Each program makes the check at import fail, by a switch interval that is not the
active one.
"""

import pytest
from children import forks_beside_threads, run_program

PRELUDE = """
import sys
sys.getswitchinterval, real = lambda: 1.0, sys.getswitchinterval
import os, threading, time
from contextlib import nullcontext
from tasklets import atomic, channel, getcurrent, run, schedule, scheduler, tasklet
sys.getswitchinterval = real
sys.setswitchinterval(1e-5)
assert not atomic.supported

def start(*functions):
    threads = [threading.Thread(target=f, daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    return threads

def finish(threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
"""


def check(program, *args):
    """Run it; return what it has printed."""
    status, output, errors = run_program(PRELUDE + program, *args)
    assert (status, errors) == (0, [])
    return output


def test_atomic_says_that_it_is_not_supported_and_why():
    output = check("print(atomic.supported, atomic.why_not)")
    assert output == "False the GIL's switch interval is not where it was expected\n"


# Without sections, the first thread that comes waits until another one has come by.
LOST = """
section = {"atomic": atomic, "without": nullcontext}[sys.argv[1]]
total, held = 0, section is atomic

def successor(number):
    global held
    first, held = not held, True
    while first and total == number:
        pass
    for _ in range(20):
        pass
    return number + 1

def add():
    global total
    for _ in range(5_000):
        with section():
            total = successor(total)

finish(start(*[add] * 4))
print("right" if total == 20_000 else "lost")
"""


@pytest.mark.parametrize(("how", "seen"), [("atomic", "right"), ("without", "lost")])
def test_sections_exclude_one_another(how, seen):
    assert check(LOST, how) == f"{seen}\n"


def test_a_section_that_waits_in_a_call_of_tasklets_lets_others_in():
    output = check("""
ch, back = channel(), channel()

def ask():
    with atomic():
        ch.send("question")
        print(back.receive())
        assert getcurrent().atomic

def answer():
    with atomic():
        print(ch.receive())
        back.send("answer")

finish(start(ask, answer))
""")
    assert output == "question\nanswer\n"


def test_a_section_that_waits_elsewhere_keeps_its_turn():
    output = check("""
log, inside = [], threading.Event()

def sleep():
    with atomic():
        inside.set()
        time.sleep(0.2)
        log.append("slept")

def enter():
    inside.wait()
    with atomic():
        log.append("entered")

finish(start(sleep, enter))
print(log)
""")
    assert output == "['slept', 'entered']\n"


def test_the_turn_is_the_tasklets():
    output = check("""
log, done = [], threading.Event()

def section():
    with atomic():
        log.append("first")
        schedule()  # to a tasklet that is not atomic
        log.append("last")

def other():
    finish(start(enter))

def enter():
    with atomic():
        log.append("thread")

tasklet(section)()
tasklet(other)()
run()
print(log)
""")
    assert output == "['first', 'thread', 'last']\n"


def test_the_flag_of_a_suspended_tasklet_is_active_when_it_goes_on():
    output = check("""
log, inside = [], threading.Event()
ch = channel()

def section():
    ch.receive()
    inside.set()
    time.sleep(0.2)
    log.append("slept")

def enter():
    inside.wait()
    with atomic():
        log.append("entered")

t = tasklet(section)()
run()
t.set_atomic(True)
threads = start(enter)
ch.send(None)
run()
finish(threads)
print(log)
""")
    assert output == "['slept', 'entered']\n"


def test_a_budget_is_held_off_as_ever():
    output = check("""
def work():
    with atomic():
        for _ in range(100_000):
            pass
        print("done")
    while True:
        pass

victim = tasklet(work)()
assert scheduler.run(ticks=10) is victim
victim.kill()
""")
    assert output == "done\n"


def test_a_thread_that_ends_inside_gives_its_turn():
    output = check("""
def end():
    getcurrent().set_atomic(True)

finish(start(end))
with atomic():
    print("entered")
""")
    assert output == "entered\n"


def test_the_end_does_not_wait_for_daemons_inside_and_before_sections():
    output = check("""
inside = threading.Event()

def hold():
    with atomic():
        inside.set()
        time.sleep(100)

def enter():
    with atomic():
        print("entered")

start(hold)
inside.wait()
start(enter, enter)
time.sleep(0.1)
print("end")
""")
    assert output == "end\n"


@forks_beside_threads
def test_a_child_has_its_own_turn():
    output = check("""
import warnings
warnings.simplefilter("ignore")
inside = threading.Event()

def hold():
    with atomic():
        inside.set()
        time.sleep(0.5)

threads = start(hold)
inside.wait()
child = os.fork()
if not child:
    with atomic():
        os.write(1, b"child\\n")
    os._exit(0)
os.waitpid(child, 0)
with atomic():
    if not os.fork():
        assert getcurrent().atomic
        finish(start(lambda: None))
        os._exit(5)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
finish(threads)
""")
    assert output == "child\n5\n"
