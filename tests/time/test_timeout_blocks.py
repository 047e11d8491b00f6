"""timeout(): blocks that end in time."""

import contextlib
import gc
import math
import pickle
import random
import time

import pytest
from clocks import LATE, on_the_fake_clock

from tasklets import (
    TaskletExit,
    TimeoutExit,
    channel,
    deadline,
    run,
    schedule,
    schedule_remove,
    scheduler,
    sleep,
    spawn,
    tasklet,
    timeout,
)
from tasklets._core import fake_clock, now


def test_a_block_is_left_when_its_time_is_up(each_clock, log):
    start = each_clock()
    with pytest.raises(TimeoutError) as caught, timeout(0.01) as limit:
        try:
            channel().receive()
        except BaseException as error:
            log.append(type(error))
            raise
    assert each_clock() - start > 0.01 - 1e-9
    assert log == [TimeoutExit]
    assert limit.expired
    assert isinstance(caught.value.__cause__, TimeoutExit)
    assert "expired" in repr(limit)


def test_every_wait_can_be_interrupted(each_clock):
    ch = channel()

    def joins():
        spawn(sleep, LATE).join()

    def runs():
        scheduler.run(wait=True)

    waits = (ch.receive, lambda: ch.send(1), lambda: sleep(LATE), joins, runs)
    keep = spawn(sleep, LATE)
    for wait in waits:
        with pytest.raises(TimeoutError), timeout(0.01):
            wait()
    assert ch.balance == 0
    keep.kill()
    for each in scheduler.getuncollectables():
        each.kill()
    assert scheduler.pending() == 0


def test_a_paused_tasklet_is_interrupted_too(each_clock, log):
    def work():
        try:
            with timeout(0.01):
                schedule_remove(None)
        except TimeoutError:
            log.append("timed out")

    paused = spawn(work)
    run()
    assert not paused.scheduled
    scheduler.run(wait=True)
    assert log == ["timed out"]


def test_a_block_in_time_is_not_left(each_clock):
    with timeout(LATE) as limit:
        sleep(0.001)
        assert scheduler.pending() == 1
        assert limit.when >= each_clock()
        assert "active" in repr(limit)
    assert not limit.expired
    assert scheduler.pending() == 0
    with timeout(None) as limit:
        sleep(0.001)
        assert limit.when is None


def test_a_tasklet_that_does_not_wait_is_not_interrupted():
    with timeout(0.001) as limit:
        end = time.monotonic() + 0.005
        while time.monotonic() < end:
            pass
    assert not limit.expired


def test_a_late_tasklet_is_interrupted_at_its_next_wait():
    ch = channel()
    with pytest.raises(TimeoutError), timeout(0.001):
        end = time.monotonic() + 0.005
        while time.monotonic() < end:
            pass
        ch.receive()
    with pytest.raises(TimeoutError), timeout(0):
        ch.receive()
    with pytest.raises(TimeoutError), timeout(-1):
        schedule()
    assert ch.balance == 0


def test_a_value_that_has_arrived_is_not_lost():
    """It arrives first, then the time is up before the tasklet runs."""
    ch, log = channel(), []

    def receiver():
        try:
            with timeout(5):
                log.append(ch.receive())
                log.append(ch.receive())
        except TimeoutError:
            log.append("timed out")

    fake_clock(0)
    try:
        ch.preference = 0
        tasklet(receiver)()
        run()
        ch.send("value")
        fake_clock(6)
        run()
    finally:
        fake_clock(None)
    assert log == ["value", "timed out"]


@on_the_fake_clock
def test_nested_blocks_end_by_their_own_time_only(each_clock, log):
    """A handler for the inner one does not take the outer one's."""
    ch, rounds = channel(), 0
    with pytest.raises(TimeoutError), timeout(0.05) as outer:
        while True:
            rounds += 1
            try:
                with timeout(0.02) as inner:
                    ch.receive()
            except TimeoutError:
                assert inner.expired
                log.append(rounds)
    assert outer.expired
    assert not inner.expired
    assert log == [1, 2]


def test_the_outer_block_ends_first_if_both_are_over():
    ch = channel()
    with pytest.raises(KeyError), timeout(0, KeyError), timeout(0) as inner:
        ch.receive()
    assert not inner.expired


def test_the_inner_block_may_end_late(each_clock):
    with timeout(LATE) as outer:
        with pytest.raises(TimeoutError), timeout(0.01):
            channel().receive()
        sleep(0.001)
    assert not outer.expired


def test_other_errors_pass(each_clock):
    with pytest.raises(KeyError), timeout(0.01):
        raise KeyError
    with pytest.raises(KeyError) as caught, timeout(0.01) as limit:
        try:
            channel().receive()
        except TimeoutExit:
            raise KeyError from None
    assert limit.expired
    assert caught.value.__cause__ is None


def test_an_interruption_may_be_swallowed(each_clock):
    with timeout(0.01) as limit:
        try:
            channel().receive()
        except TimeoutExit:
            pass
        sleep(0.02)
    assert limit.expired


def test_except_exception_does_not_take_it(each_clock):
    with pytest.raises(TimeoutError), timeout(0.01):
        try:
            channel().receive()
        except Exception:
            pytest.fail("taken")


def test_another_exception_may_be_asked_for(each_clock):
    mine = KeyError("mine")
    with pytest.raises(KeyError) as caught, timeout(0.01, mine):
        sleep(LATE)
    assert caught.value is mine
    with pytest.raises(ZeroDivisionError), timeout(0.01, exc=ZeroDivisionError):
        sleep(LATE)
    with pytest.raises(TypeError, match="exc"):
        timeout(1, "exc")


def test_a_block_may_be_rescheduled(each_clock):
    start = each_clock()
    with pytest.raises(TimeoutError), timeout(LATE) as limit:
        limit.reschedule(0.01)
        sleep(LATE)
    assert each_clock() - start < LATE
    with pytest.raises(RuntimeError, match="not entered"):
        limit.__exit__(None, None, None)
    with timeout(0.001) as limit:
        limit.reschedule(None)
        sleep(0.01)
    with pytest.raises(TimeoutError), timeout(None) as limit:
        limit.reschedule(0)
        sleep(1)
    with timeout(0.001) as limit:
        with pytest.raises(TimeoutExit):
            sleep(1)
        with pytest.raises(RuntimeError, match="expired"):
            limit.reschedule(1)


def test_a_deadline_is_a_time(each_clock):
    with pytest.raises(TimeoutError), deadline(each_clock() + 0.01):
        sleep(LATE)
    with pytest.raises(TimeoutError), deadline(1):
        sleep(LATE)
    with deadline(None):
        sleep(0.001)


def test_a_block_is_entered_once_at_a_time():
    limit = timeout(LATE)
    for _ in range(2):
        with limit, pytest.raises(RuntimeError, match="entered"), limit:
            pass
    errors = []

    def leave():
        try:
            limit.__exit__(None, None, None)
        except RuntimeError as error:
            errors.append(str(error))

    with limit:
        tasklet(leave)()
        run()
    assert "the tasklet that entered it" in errors[0]


def test_a_tasklet_stopped_by_a_budget_is_interrupted_where_it_waits(log):
    """Its time is up while it is stopped; nobody but its owner lets it go on."""

    def work():
        try:
            with timeout(1):
                for number in range(50):
                    log.append(number)
                sleep(LATE)
        except TimeoutError:
            log.append("timed out")

    fake_clock(0)
    try:
        spawn(work)
        stopped = scheduler.run(20)
        assert 0 < len(log) < 50
        fake_clock(2)
        assert scheduler.run() is None
        assert stopped.paused
        stopped.insert()
        run()
        assert log == [*range(50), "timed out"]
    finally:
        fake_clock(None)


def test_no_time_is_over_at_once_on_a_clock_that_shows_0():
    fake_clock(0)
    try:
        for limit in (timeout(0), timeout(-1), deadline(-1)):
            with pytest.raises(TimeoutError), limit:
                schedule()
            assert limit.when == 0
        with pytest.raises(ValueError, match="positive"):
            fake_clock(-1)
    finally:
        fake_clock(None)


def test_a_block_can_be_ended_by_another_tasklet(log):
    """Also while the one inside it waits."""

    def work(wait):
        limits.append(limit := timeout(None))
        try:
            with limit:
                wait()
        except TimeoutError:
            log.append(limit.expired)

    twice = lambda: (schedule(), schedule())  # noqa: E731
    for wait in (channel().receive, twice, lambda: schedule_remove(None)):
        limits = []
        worker = spawn(work, wait)
        spawn(lambda limits: limits[0].reschedule(0), limits)
        worker.join()
    assert log == [True] * 3


@on_the_fake_clock
def test_a_block_that_was_left_in_time_does_not_take_an_outer_interruption(each_clock):
    """Its own was swallowed: what passes is the outer block's."""
    with pytest.raises(TimeoutError) as caught, timeout(0.02) as outer:
        try:
            with timeout(0.01) as inner:
                with contextlib.suppress(TimeoutExit):
                    sleep(LATE)
                sleep(LATE)
        except TimeoutError:
            pytest.fail("taken")
    assert inner.expired
    assert outer.expired
    assert isinstance(caught.value.__cause__, TimeoutExit)


def test_an_interruption_that_an_inner_one_replaced_goes_on_at_its_end(log):
    fake_clock(0)
    try:
        with pytest.raises(TimeoutError), timeout(1) as outer:
            try:
                with timeout(2):
                    try:
                        sleep(LATE)
                    finally:
                        sleep(LATE)  # until the inner block ends
            except TimeoutError:
                log.append("the inner one's")
            log.append("not here")
        assert outer.expired
        assert log == []
        assert now() == 2
    finally:
        fake_clock(None)


def test_an_interruption_that_a_throw_replaced_comes_later(log):
    def work():
        try:
            with timeout(None) as limit:
                limits.append(limit)
                try:
                    channel().receive()
                except KeyError:
                    log.append("thrown")
                sleep(LATE)
        except TimeoutError:
            log.append("timed out")

    for pending in (True, False):
        limits = []
        worker = spawn(work)
        run()
        limits[0].reschedule(0)
        worker.throw(KeyError, pending=pending)
        run()
        assert worker.done()
    assert log == ["thrown", "timed out"] * 2


def test_timeouts_say_what_is_wrong():
    for bad, error in ((math.nan, ValueError), ("1", TypeError)):
        with pytest.raises(error):
            timeout(bad)
        with pytest.raises(error):
            deadline(bad)
    with pytest.raises(TypeError):
        timeout()
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(timeout(1))
    assert "not entered" in repr(timeout(1))


def test_a_killed_tasklet_leaves_its_blocks():
    def work():
        with timeout(LATE), timeout(LATE):
            channel().receive()

    victim = spawn(work)
    run()
    assert scheduler.pending() == 2
    victim.kill()
    assert scheduler.pending() == 0


def test_a_kill_and_a_timeout_at_once():
    log = []

    def work():
        try:
            with timeout(5):
                channel().receive()
        except BaseException as error:
            log.append(type(error))
            raise

    fake_clock(0)
    try:
        for kill_first in (True, False):
            victim = spawn(work)
            run()
            if kill_first:
                victim.kill(pending=True)
            fake_clock(now() + 6)
            if not kill_first:
                victim.kill(pending=True)
            run()
            assert not victim.alive
    finally:
        fake_clock(None)
    assert log == [TaskletExit, TaskletExit]


def test_a_forgotten_block_is_no_trouble():
    limit = timeout(LATE).__enter__()
    assert scheduler.pending() == 1
    del limit
    gc.collect()
    assert scheduler.pending() == 0
    sleep(0)


class Meeting:
    """Some that send and some that receive, with timeouts, kills and a close."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.channel = channel()
        self.channel.preference = self.chance.choice((-1, 0, 1))
        self.got, self.sent, self.some = [], [], []

    def receive(self, seconds):
        with timeout(seconds + self.chance.choice((-1, 0, 1))):
            self.got.append(self.channel.receive(timeout=seconds))

    def send(self, number, seconds):
        self.channel.send(number, timeout=seconds)
        self.sent.append(number)

    def attempt(self, function, *args):
        try:
            function(*args, self.chance.randrange(1, 4))
        except (TimeoutError, ValueError, TaskletExit):
            pass

    def hold(self):
        chance = self.chance
        for number in range(4):
            self.some.append(spawn(self.attempt, self.receive).remove())
            self.some.append(spawn(self.attempt, self.send, number).remove())
        chance.shuffle(self.some)
        for each in self.some:
            if each.alive:
                each.insert()
            if chance.random() < 0.5:
                run()
            if chance.random() < 0.1:
                chance.choice(self.some).kill(pending=chance.random() < 0.5)
            if chance.random() < 0.3:
                sleep(1)
        if chance.random() < 0.3:
            self.channel.close(wake=True)
        scheduler.run(wait=True)


def test_values_against_timeouts_kills_and_closes():
    """Whatever comes first: one outcome for each, and nothing is left behind."""
    fake_clock(0)
    try:
        for seed in range(2000):
            meeting = Meeting(seed)
            meeting.hold()
            assert sorted(meeting.got) == sorted(meeting.sent), seed
            assert not any(each.alive for each in meeting.some), seed
            assert meeting.channel.balance == 0, seed
            assert scheduler.pending() == 0, seed
    finally:
        fake_clock(None)
