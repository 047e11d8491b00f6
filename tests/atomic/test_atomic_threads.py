"""What atomic sections keep out between OS threads: without them, it comes in."""

import contextlib
import functools
import os
import queue
import random
import sys
import threading
import time
from contextlib import nullcontext

import pytest
from computing import (
    Counter,
    FlagSet,
    Hold,
    compute,
    compute_until,
    counting,
    violations,
)
from threads import SECONDS, running

import tasklets
from tasklets import atomic, channel, getcurrent, schedule, scheduler, spawn, tasklet

pytestmark = pytest.mark.usefixtures("hurry")

SOAK = float(os.environ.get("TASKLETS_SOAK_SECONDS", "2"))  # .ci/run: more


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
def test_no_other_thread_computes_during_a_long_section(section, stay):
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
        compute_until(lambda: total() != before)

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
                compute_until(lambda before=before: total() != before)


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
        compute_until(lambda: total() != before)


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
            compute_until(lambda before=before: total() != before)
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


WAYS = [pipe_read, lock_acquire, queue_get, channel_receive, channel_send, join_tasklet]


@pytest.mark.parametrize("wait", WAYS, ids=lambda wait: wait.__name__)
@violations
def test_a_waiter_inside_lets_others_run_and_is_alone_again(section, stay, wait):
    seen = 0
    with counting() as total:
        for _ in range(10):
            with section():
                before = total()
                wait(lambda before=before: compute_until(lambda: total() > before))
                before = total()
                assert before > 0
                stay(total)
                seen += total() != before
    return seen


@violations
def test_a_thread_that_sleeps_inside_is_alone_again_when_awake(section, stay):
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


@pytest.mark.timing
def test_while_one_sleeps_inside_all_others_take_turns():
    counters = [Counter() for _ in range(3)]
    with running(*counters):
        with atomic():
            end = time.monotonic() + SECONDS
            for _ in range(3):
                before = [counter.count for counter in counters]
                while any(c.count == b for c, b in zip(counters, before, strict=True)):
                    time.sleep(0.05)
                    assert time.monotonic() < end, "a thread starves"
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
