"""A thread that slept and was woken gets the GIL beside threads that compute."""

import contextlib
import functools
import os
import sys
import textwrap
import threading
import time
from contextlib import nullcontext

import pytest
from children import forks_beside_threads, run_program
from threads import SECONDS, running

from tasklets import atomic, channel, locks

pytestmark = pytest.mark.timing

ATTEMPTS = 5
NEVER = 1000.0  # with that interval nobody gets the GIL who does not ask for it
PATIENCE = 2.0  # for a waiter that should get it at once
GET, SET = sys.getswitchinterval, sys.setswitchinterval  # before any others are there


@pytest.fixture(autouse=True)
def interval():
    """Leave the switch interval as it was, and return it."""
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def compute_until(condition, seconds=SECONDS):
    """Compute, without a pause, until something has happened. Return whether it has."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
    return True


class Listener:
    """A thread that sleeps until it is sent something, and keeps the last of it."""

    def __init__(self):
        self.channel, self.heard = channel(), None

    def __call__(self):
        for value in self.channel:
            self.heard = value

    def wake(self, value):
        """Send to the thread, which is asleep, and go on."""
        end = time.monotonic() + SECONDS
        while self.channel.balance >= 0:
            assert time.monotonic() < end
            time.sleep(0.001)
        time.sleep(0.005)  # it looks for some microseconds before it sleeps
        self.channel.send(value)

    def hears(self, value, seconds=PATIENCE):
        """Wake the thread, and compute till it has got the value."""
        self.wake(value)
        return compute_until(lambda: self.heard == value, seconds)


@contextlib.contextmanager
def listening():
    """Give a listener that has the priority: the first time there is none yet."""
    listener = Listener()
    with running(listener):
        try:
            assert any(listener.hears(("warm-up", i)) for i in range(ATTEMPTS))
            yield listener
        finally:
            listener.channel.close(wake=True)


@contextlib.contextmanager
def waking(listener, pause=0.0002):
    """Have a thread that wakes the listener again and again."""
    ending = threading.Event()

    def wake():
        for number in range(1_000_000):
            if ending.is_set():
                break
            time.sleep(pause)
            listener.channel.send(number)

    with running(wake):
        try:
            yield
        finally:
            ending.set()


class Hog:
    """What a thread does that computes all the time."""

    def __init__(self):
        self.count, self.ending, self.time = 0, False, 0.0

    def __call__(self):
        start = time.thread_time()
        while not self.ending:
            self.count += 1
        self.time = time.thread_time() - start


@contextlib.contextmanager
def computing(number):
    """Have threads that compute; give them."""
    hogs = [Hog() for _ in range(number)]
    with running(*hogs):
        try:
            yield hogs
        finally:
            for hog in hogs:
                hog.ending = True


class Talk:
    """Two threads, of which one asks and the other replies, until told to end."""

    def __init__(self):
        self.count, self.ending, self.times = 0, False, []
        self.question, self.answer = channel(), channel()

    def ask(self):
        start = time.thread_time()
        while not self.ending:
            self.question.send(self.count)
            assert self.answer.receive() == self.count
            self.count += 1
        self.question.close(wake=True)
        self.times.append(time.thread_time() - start)

    def reply(self):
        start = time.thread_time()
        for value in self.question:
            self.answer.send(value)
        self.times.append(time.thread_time() - start)


@contextlib.contextmanager
def talking():
    """Have two threads that talk; give what they do."""
    talk = Talk()
    with running(talk.ask, talk.reply):
        try:
            yield talk
        finally:
            talk.ending = True


def test_a_woken_thread_does_not_wait_for_the_interval():
    with listening() as listener:
        sys.setswitchinterval(NEVER)
        heard = [listener.hears(i) for i in range(ATTEMPTS)]
        sys.setswitchinterval(0.005)
        assert any(heard)


def test_a_woken_thread_gets_in_beside_several_that_compute():
    with listening() as listener, computing(3):
        sys.setswitchinterval(0.1)
        start, number = time.monotonic(), 0
        while number < 10:
            # This thread waits for the GIL like any other.
            listener.wake(number)
            number += compute_until(lambda n=number: listener.heard == n)
            assert time.monotonic() - start < SECONDS
        sys.setswitchinterval(0.005)


@pytest.mark.parametrize(
    ("section", "protects"), [(atomic, True), (nullcontext, False)], ids=str
)
def test_a_woken_thread_does_not_get_into_an_atomic_section(section, protects):
    with listening() as listener:
        heard = []
        limit = 0.01 if protects else SECONDS
        for number in range(20):
            with section():
                listener.wake(number)
                heard.append(compute_until(lambda n=number: listener.heard == n, limit))
            assert compute_until(lambda n=number: listener.heard == n)
        assert any(heard) == (not protects)


def test_a_woken_thread_gets_in_when_a_section_ends():
    with listening() as listener:
        sys.setswitchinterval(NEVER)
        heard = []
        for number in range(ATTEMPTS):
            with atomic():
                listener.wake(number)
                compute_until(lambda: False, 0.005)
            heard.append(compute_until(lambda n=number: listener.heard == n, PATIENCE))
        sys.setswitchinterval(0.005)
        assert any(heard)


def test_threads_that_compute_all_go_on_beside_threads_that_talk():
    with computing(3) as hogs, talking() as talk:
        for _ in range(5):
            before = [hog.count for hog in hogs]
            said = talk.count
            end = time.monotonic() + SECONDS
            while talk.count == said or any(
                hog.count == count for hog, count in zip(hogs, before, strict=True)
            ):
                assert time.monotonic() < end, "a thread starves"
                time.sleep(0.05)


def test_a_thread_that_computes_keeps_most_of_its_time_beside_threads_that_talk():
    with computing(1) as hogs, talking() as talk:
        time.sleep(1)
    # What they used, not what there was: the machine may be busy.
    assert hogs[0].time > sum(talk.times)


def test_two_threads_that_talk_do_not_wait_for_each_other_long():
    with listening(), talking() as talk:
        sys.setswitchinterval(NEVER)
        before = talk.count
        end = time.monotonic() + SECONDS
        while talk.count < before + 1000:
            assert time.monotonic() < end
            time.sleep(0.01)
        sys.setswitchinterval(0.005)


def test_threads_that_hand_on_before_they_sleep_do_not_wait_for_the_interval():
    # Each that is woken right before it would sleep finds the GIL taken, now and then.
    cond, items, passed, late = locks.Condition(), [], [], []
    interval, few = 0.5, 10

    def wait_for(predicate):
        start = time.monotonic()
        assert cond.wait_for(predicate, SECONDS)
        if time.monotonic() - start > 0.9 * interval:
            late.append(len(passed))
            assert len(late) <= few, f"late for items {late}"

    def produce():
        for number in range(1000):
            with cond:
                wait_for(lambda: not items)
                items.append(number)
                cond.notify()

    def consume():
        for _ in range(1000):
            with cond:
                wait_for(lambda: items)
                passed.append(items.pop())
                cond.notify()

    with listening(), computing(1):
        sys.setswitchinterval(interval)
        with running(produce, consume):
            pass
    assert passed == list(range(1000))


# ---- the program's own interval


def about(seconds):
    """Return what equals an interval, of which the interpreter keeps microseconds."""
    return pytest.approx(seconds, abs=1.5e-6)


# In a process of its own: sections, too, replace the functions.
SLEEPER = """
    import functools, operator, os, sys, threading, time, warnings

    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads

    kept = sys.getswitchinterval
    from tasklets import channel

    line = channel()

    def listen():
        for value in line:
            pass

    def sleeps():
        while line.balance >= 0:
            time.sleep(0.001)
        time.sleep(0.005)

    # Long enough for a woken thread to ask, in C code that is not interrupted.
    busy = functools.partial(sum, range(3_000_000))
    send = functools.partial(line.send, 1)

    thread = threading.Thread(target=listen)
    thread.start()
    sys.setswitchinterval(0.005)
    for _ in range(5):
        sleeps()
        list(map(operator.call, [send, busy]))
    sys.setswitchinterval(0.0125)
"""


def sleeper_and(program):
    """Return what a program writes that has a thread asleep which has the priority."""
    program = textwrap.dedent(SLEEPER) + textwrap.dedent(program)
    status, output, errors = run_program(program)
    assert (status, errors) == (0, [])
    return output.split()


def test_the_interval_shown_is_the_programs_while_one_waits():
    # The active interval shows whether a thread waits.
    calls = "send, busy, kept, sys.getswitchinterval"
    shown = sleeper_and(f"""
        in_force = None
        while in_force != "0.000053":
            sleeps()
            in_force, shown = map("%f".__mod__, list(map(operator.call, [{calls}]))[2:])
            print(shown)
        line.close(wake=True)
        """)
    assert set(shown) == {"0.012500"}


def test_the_interval_shown_is_the_programs_while_threads_are_woken():
    with listening() as listener:
        sys.setswitchinterval(0.0123)
        with waking(listener):
            seen = set()
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                seen.update(sys.getswitchinterval() for _ in range(100))
        assert [about(0.0123)] == list(seen)


@forks_beside_threads
def test_a_child_that_is_made_while_one_waits_has_the_programs_interval():
    shown = sleeper_and("""
        for _ in range(5):
            sleeps()
            pid = list(map(operator.call, [send, busy, os.fork]))[2]
            if pid == 0:
                os._exit("%f" % kept() == "%f" % sys.getswitchinterval() == "0.012500")
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        line.close(wake=True)
        """)
    assert shown == ["1"] * 5


@pytest.mark.parametrize("write", [None, SET], ids=["sys", "kept from before"])
def test_an_interval_set_while_threads_are_woken_stays(write):
    with listening() as listener, waking(listener):
        end, number = time.monotonic() + 0.5, 0
        while time.monotonic() < end:
            number += 1
            value = 0.001 + number % 1000 * 1e-6
            (write or sys.setswitchinterval)(value)
            for _ in range(50):
                assert sys.getswitchinterval() == about(value)


def test_afterwards_the_programs_own_interval_is_active():
    for value in (0.0031, 0.0001, 0.00001, 0.000001):
        with listening() as listener:
            sys.setswitchinterval(value)
            with waking(listener):
                compute_until(lambda: False, 0.1)
        # Nobody is on its way any more; GET shows the active interval.
        end = time.monotonic() + SECONDS
        while GET() != about(value):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert sys.getswitchinterval() == about(value)


def test_an_interval_read_and_written_by_the_original_functions_does_not_stay():
    with listening() as listener, computing(1):
        sys.setswitchinterval(0.004)
        with waking(listener):
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                SET(GET())
        assert sys.getswitchinterval() == about(0.004)


@forks_beside_threads
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_has_the_programs_interval_even_if_threads_waited_at_the_fork():
    with listening() as listener, computing(1):
        sys.setswitchinterval(0.0042)
        with waking(listener):
            for _ in range(10):
                compute_until(lambda: False, 0.005)
                pid = os.fork()
                if pid == 0:
                    right = GET() == sys.getswitchinterval() == about(0.0042)
                    os._exit(0 if right else 1)
                assert os.waitpid(pid, 0)[1] == 0


@forks_beside_threads
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_childs_own_threads_get_the_gil_soon():
    with listening() as listener, waking(listener):
        compute_until(lambda: False, 0.05)
        pid = os.fork()
        if pid == 0:
            status = 1
            with contextlib.suppress(BaseException), listening() as mine:
                sys.setswitchinterval(NEVER)
                status = 0 if any(map(mine.hears, range(ATTEMPTS))) else 2
                sys.setswitchinterval(0.005)
            os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0


# ---- ends and extremes


@pytest.mark.parametrize("seed", range(5))
def test_many_threads_are_woken_at_the_smallest_interval(seed):
    sys.setswitchinterval(1e-6)
    listeners = [Listener() for _ in range(4)]

    def wake(listener, number):
        for i in range(300):
            if (i * 7 + number + seed) % 5 == 0:
                time.sleep(0.0001)
            if (i + seed) % 11 == 0:
                with atomic():
                    listener.channel.send(i)
            else:
                listener.channel.send(i)
        listener.channel.close(wake=True)

    wakers = [functools.partial(wake, one, i) for i, one in enumerate(listeners)]
    with computing(1), running(*listeners, *wakers):
        pass
    assert [one.heard for one in listeners] == [299] * 4


@pytest.mark.parametrize("seed", range(5))
def test_a_program_ends_while_threads_are_woken(seed):
    program = """
        import sys, threading, time
        from tasklets import channel

        ask, answer = channel(), channel()

        def requests():
            while True:
                ask.send(1)
                answer.receive()

        def replies():
            while True:
                answer.send(ask.receive())

        def compute():
            while True:
                pass

        for work in requests, replies, compute, compute:
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05 + 0.01 * int(sys.argv[1]))
        print("done")
        """
    status, output, errors = run_program(program, str(seed))
    assert (status, output, errors) == (0, "done\n", [])
