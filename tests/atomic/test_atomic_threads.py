"""What atomic sections keep out between OS threads: without them, it comes in."""

import contextlib
import functools
import inspect
import itertools
import os
import queue
import random
import sys
import threading
import time
from contextlib import nullcontext

import pytest
from children import run_program
from threads import SECONDS, running

import tasklets
from tasklets import atomic, channel, getcurrent, schedule, scheduler, spawn, tasklet

INTERVAL = 1e-5  # so short that without protection much goes wrong soon
SOAK = float(os.environ.get("TASKLETS_SOAK_SECONDS", "2"))  # .ci/run: more


@pytest.fixture(autouse=True)
def hurry():
    """Let threads take turns as fast as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(INTERVAL)
    yield
    sys.setswitchinterval(before)


def compute(loops=20_000):
    """Need the GIL for some hundred microseconds."""
    for _ in range(loops):
        pass


def until(condition):
    """Compute until something has happened."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"


class Counter:
    """What a thread does that computes all the time."""

    def __init__(self):
        self.count, self.ending = 0, False

    def __call__(self):
        while not self.ending:
            self.count += 1


@contextlib.contextmanager
def counting(number=2):
    """Have threads that compute all the time; give a function that sums their work."""
    counters = [Counter() for _ in range(number)]

    def total():
        return sum(counter.count for counter in counters)

    with running(*counters):
        try:
            for counter in counters:
                until(lambda counter=counter: counter.count > 0)
            yield total
        finally:
            for counter in counters:
                counter.ending = True


class FlagSet:
    """The same as atomic(), by means of set_atomic()."""

    def __enter__(self):
        self.before = getcurrent().set_atomic(True)

    def __exit__(self, *exc):
        getcurrent().set_atomic(self.before)


class Hold:
    """Holds the first thread that comes by until another one has made progress."""

    def __init__(self):
        self.first = threading.Lock()  # never released

    def __call__(self, progress, loops=20_000):
        if self.first.acquire(blocking=False):
            before = progress()
            until(lambda: progress() != before)
        else:
            compute(loops)


def violations(test):
    """Run a test, which returns how many violations it saw, with and without sections.

    It takes what makes a section, and a function that it calls where an interference
    would be a violation, with a function whose result an interference changes. With
    sections that call computes for a while. Without them the first call returns only
    after an interference, so the test must see a violation.
    """

    @pytest.mark.parametrize(
        ("section", "protects"),
        [
            pytest.param(atomic, True, id="atomic"),
            pytest.param(FlagSet, True, id="set_atomic"),
            pytest.param(nullcontext, False, id="without"),
        ],
    )
    def with_and_without(section, protects, **kwargs):
        if protects:
            assert test(section, lambda _, loops=20_000: compute(loops), **kwargs) == 0
        else:
            assert test(section, Hold(), **kwargs) > 0

    takes = inspect.signature(test)
    parameters = [p for p in takes.parameters.values() if p.name != "stay"]
    parameters.append(inspect.Parameter("protects", inspect.Parameter.KEYWORD_ONLY))
    with_and_without.__name__ = test.__name__
    with_and_without.__signature__ = takes.replace(parameters=parameters)
    return with_and_without


# Several writers and readers.


@violations
def test_no_update_is_lost(section, stay):
    total = 0

    def current_total():
        return total

    def write():
        nonlocal total
        for _ in range(300):
            with section():
                before = total
                stay(current_total, 50)
                total = before + 1

    with running(*[write] * 4):
        pass
    return 4 * 300 - total


@violations
def test_no_read_is_torn(section, stay):
    pair, torn, ending = [0, 0], 0, False

    def write(step):
        for _ in range(200):
            with section():
                pair[0] += step
                stay(lambda: torn, 50)
                pair[1] += step
            compute(20)

    def read():
        nonlocal torn
        while not ending:
            with section():
                first = pair[0]
                compute(50)
                torn += first != pair[1]
            compute(20)

    with running(read, read):
        with running(*[functools.partial(write, n) for n in (1, 10)]):
            pass
        ending = True
    return torn


@violations
def test_structures_of_plain_objects_stay_whole(section, stay):
    accounts = dict.fromkeys(range(10), 100)
    wrong = 0

    def found_wrong():
        return wrong

    def move(seed):
        nonlocal wrong
        dice = random.Random(seed)
        for _ in range(200):
            with section():
                giver, taker = dice.sample(sorted(accounts), 2)
                amount = min(accounts.pop(giver), dice.randrange(50))
                stay(found_wrong, 50)
                accounts[taker] += amount
                accounts[giver] = 0
                accounts[giver] = 1000 - sum(accounts.values())
            with section():
                wrong += sum(accounts.values()) != 1000 or len(accounts) != 10

    def guarded(seed):
        nonlocal wrong
        try:
            move(seed)
        except (KeyError, ValueError, RuntimeError):
            wrong += 1

    with running(*[functools.partial(guarded, n) for n in range(4)]):
        pass
    return wrong


# Sections beside threads that compute all the time.


@violations
def test_nobody_computes_meanwhile_beside_a_long_section(section, stay):
    seen = 0
    with counting() as total:
        for _ in range(5):
            with section():
                before = total()
                stay(total, 500_000)
                seen += total() != before
    return seen


@violations
def test_an_inner_section_does_not_end_the_outer_one(section, stay):
    seen = 0
    with counting() as total:
        for _ in range(50):
            with section():
                before = total()
                for _ in range(20):
                    with section():
                        compute(100)
                    stay(total, 100)
                seen += total() != before
    return seen


@violations
def test_an_exception_inside_an_outer_section_does_not_end_it(section, stay):
    seen = 0
    with counting() as total:
        for _ in range(50):
            with section():
                before = total()
                for _ in range(20):
                    with contextlib.suppress(KeyError), section():
                        raise KeyError
                    stay(total, 100)
                seen += total() != before
    return seen


@violations
def test_only_the_tasklet_that_is_inside_is_protected(section, stay):
    seen = 0

    def other():
        before = total()
        until(lambda: total() != before)

    with counting() as total:
        for _ in range(30):
            tasklet(other)()
            with section():
                schedule()
                before = total()
                stay(total)
                seen += total() != before
    return seen


@violations
def test_a_tasklet_that_begins_or_wakes_up_inside_is_protected(section, stay):
    seen = 0
    ch = channel()

    def work():
        nonlocal seen
        with section():
            for _ in range(10):
                ch.receive()
                before = total()
                stay(total)
                seen += total() != before

    with counting() as total:
        receivers = [tasklet(work)() for _ in range(3)]
        tasklets.run()
        for _ in range(30):
            ch.send(None)
            tasklets.run()
    assert not any(t.alive for t in receivers)
    return seen


def test_when_a_section_ends_others_compute_again():
    with counting() as total:
        for make in atomic, FlagSet:
            for _ in range(30):
                with make():
                    before = total()
                until(lambda before=before: total() != before)


@pytest.mark.parametrize("end", ["exception", "kill", "return", "inner exception"])
def test_when_a_section_ends_early_others_compute_again(end):
    never = channel()

    def work():
        if end == "return":
            getcurrent().set_atomic(True)
            return
        with contextlib.suppress(KeyError), atomic():
            if end == "inner exception":
                with atomic():
                    raise KeyError
            never.receive()

    with counting() as total:
        t = spawn(work)
        schedule()
        if end == "exception":
            t.throw(KeyError)
        elif end == "kill":
            t.kill()
        assert not t.alive
        before = total()
        until(lambda: total() != before)


@pytest.mark.parametrize("end", ["returns", "raises", "exits", "is never left"])
def test_a_thread_that_ends_inside_holds_off_nobody(end):
    never = channel()

    def work():
        getcurrent().set_atomic(True)
        if end == "raises":
            raise KeyError
        if end == "exits":
            sys.exit()
        if end == "is never left":
            tasklet(FlagSet().__enter__)()
            tasklet(never.receive)()
            schedule()

    with counting() as total:
        for _ in range(5):
            with contextlib.suppress(KeyError, SystemExit), running(work):
                pass
            before = total()
            until(lambda before=before: total() != before)
            with atomic():
                before = total()
                compute()
                assert total() == before


# Sections that wait in the middle.


def pipe_read(beside):
    reader, writer = os.pipe()
    try:
        with running(lambda: (beside(), os.write(writer, b"x"))):
            os.read(reader, 1)
            return
    finally:
        os.close(reader)
        os.close(writer)


def lock_acquire(beside):
    lock = threading.Lock()
    lock.acquire()
    with running(lambda: (beside(), lock.release())):
        lock.acquire()


def queue_get(beside):
    simple = queue.SimpleQueue()
    with running(lambda: (beside(), simple.put(1))):
        simple.get()


def channel_receive(beside):
    ch = channel()
    with running(lambda: (beside(), ch.send(1))):
        ch.receive()


def channel_send(beside):
    ch = channel()
    with running(lambda: (beside(), ch.receive())):
        ch.send(1)


def join_tasklet(beside):
    found = []
    begun = threading.Event()

    def work():
        found.append(spawn(beside))
        begun.set()
        tasklets.run()

    with running(work):
        begun.wait()
        found.pop().join()


def sleep(beside):
    time.sleep(0.01)
    beside()


WAYS = [pipe_read, lock_acquire, queue_get, channel_receive, channel_send, join_tasklet]


@pytest.mark.parametrize("wait", WAYS, ids=lambda wait: wait.__name__)
@violations
def test_who_waits_inside_lets_the_others_run_and_is_alone_again(section, stay, wait):
    seen = 0
    with counting() as total:
        for _ in range(10):
            with section():
                before = total()
                wait(lambda before=before: until(lambda: total() > before))
                before = total()
                assert before > 0
                stay(total)
                seen += total() != before
    return seen


@violations
def test_who_sleeps_inside_is_alone_again_when_awake(section, stay):
    seen = 0
    with counting() as total:
        for pause in [0, 0.001, 0.01] * 10:
            with section():
                for _ in range(3):
                    time.sleep(pause)
                    before = total()
                    stay(total)
                    seen += total() != before
    return seen


def test_while_one_sleeps_inside_all_others_take_turns():
    counters = [Counter() for _ in range(3)]
    with running(*counters):
        with atomic():
            end = time.monotonic() + SECONDS
            for _ in range(3):
                before = [counter.count for counter in counters]
                while any(c.count == b for c, b in zip(counters, before, strict=True)):
                    time.sleep(0.05)
                    assert time.monotonic() < end, "somebody starves"
        for counter in counters:
            counter.ending = True


@violations
def test_several_that_sleep_inside_are_alone_in_turn(section, stay):
    entered, seen = 0, 0

    def all_entered():
        return entered

    def work():
        nonlocal entered, seen
        for _ in range(20):
            with section():
                time.sleep(0.0005)
                entered += 1
                before = entered
                stay(all_entered, 3000)
                seen += entered != before

    with running(*[work] * 4):
        pass
    return seen


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
            until(lambda: me.atomic or not remote)
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
            until(lambda: total() != before)
        me = None

    with counting() as total:
        with running(work):
            asleep.wait()
            me.set_atomic(False)
            awake.set()


def test_a_flag_set_from_another_thread_while_it_waits_is_in_force_when_it_wakes_up():
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
            until(lambda: ch.balance == -1)
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


def test_all_who_are_always_inside_get_their_turns():
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
def test_an_interval_set_past_us_while_a_section_waits_does_not_break_it(how, seen):
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
def test_an_interval_set_past_us_right_before_a_section_does_not_break_it(how, seen):
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


# All at once.


class Soak:
    """Threads that do all kinds of things inside and outside of sections."""

    def __init__(self, section, seconds, stay):
        self.section = section
        self.stay = stay
        self.end = time.monotonic() + seconds
        self.first = self.second = self.writes = self.violations = self.turns = 0
        self.ch = channel()
        self.ch.preference = 0

    def going(self):
        return time.monotonic() < self.end or not self.enough()

    def enough(self):
        """Whether the threads have come far enough, however slow the machine is."""
        if self.section is nullcontext:
            return self.violations > 0
        return self.writes > 100 and self.turns > 0

    def write(self, loops):
        with self.section():
            before = self.first
            self.first += 1
            self.stay(lambda: self.violations, loops)
            self.second += 1
            self.writes += 1
            if not self.first == self.second == self.writes == before + 1:
                self.violations += 1
                self.first = self.second = self.writes

    def writer(self):
        while self.going():
            self.write(30)

    def sleeper(self):
        while self.going():
            with self.section():
                time.sleep(0.001)
                self.write(1000)

    def computer(self):
        while self.going():
            self.turns += 1

    def tasklets(self):
        def work():
            while self.going():
                with self.section():
                    self.write(10)
                    schedule()
                    self.write(10)
                schedule()

        for _ in range(5):
            tasklet(work)()
        tasklets.run()

    def slices(self):
        def work():
            while self.going():
                self.write(500)
                compute(500)

        for _ in range(3):
            tasklet(work)()
        while tasklets.getruncount() > 1:
            victim = scheduler.run(slice_seconds=0.001)
            if victim is not None:
                victim.insert()

    def partners(self):
        def give():
            while self.going():
                with self.section():
                    self.ch.send(None)
                    self.write(10)
            self.ch.close(wake=True)

        spawn(give)
        with contextlib.suppress(tasklets.ChannelClosed):
            while True:
                with self.section():
                    self.ch.receive()
                    self.write(10)
        tasklets.run()

    def intervals(self):
        while self.going():
            before = sys.getswitchinterval()
            sys.setswitchinterval(random.choice([1e-5, 1e-4, 1e-3]))
            time.sleep(0.005)
            sys.setswitchinterval(before)
            self.violations += not 0 < before < 0.1

    def short_lived(self):
        while self.going():
            with running(lambda: (FlagSet().__enter__(), self.write(10))):
                pass

    def killer(self):
        def work():
            while True:
                with self.section():
                    self.write(10)
                    schedule()

        while self.going():
            t = spawn(work)
            for _ in range(3):
                schedule()
            t.kill()

    def run(self):
        works = [self.writer, self.writer, self.sleeper, self.computer, self.tasklets]
        works += [self.slices, self.partners, self.intervals, self.killer]
        if self.section is not nullcontext:
            works.append(self.short_lived)
        with running(*works):
            pass
        return self.violations


@pytest.mark.slow
def test_nothing_is_violated_for_a_long_time():
    assert Soak(atomic, SOAK, lambda _, loops: compute(loops)).run() == 0


@pytest.mark.slow
def test_without_sections_something_is_violated():
    assert Soak(nullcontext, 0, Hold()).run() > 0
