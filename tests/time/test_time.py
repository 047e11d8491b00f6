"""Sleeping, and timeouts of operations, on the true clock and on a fake one."""

import math
import random
import sys
import threading
import time

import pytest
from children import run_program
from clocks import LATE, on_the_fake_clock

from tasklets import (
    BlockTrapError,
    DeadlockError,
    QueueChannel,
    TaskGroup,
    channel,
    getcurrent,
    run,
    schedule,
    scheduler,
    shield,
    sleep,
    spawn,
    tasklet,
    timeout,
)
from tasklets._core import fake_clock

# sleep()


def test_sleep_lets_the_others_run_and_is_never_early(each_clock):
    def nap(seconds):
        start = each_clock()
        sleep(seconds)
        assert each_clock() - start > seconds - 1e-9

    naps = [spawn(nap, seconds) for seconds in (0.03, 0.01, 0.02)]
    assert scheduler.run(wait=True) is None
    assert [each.result() for each in naps] == [None] * 3


@on_the_fake_clock
def test_sleepers_wake_in_the_order_of_their_times(each_clock, log):
    for seconds in (0.03, 0.01, 0.02):
        spawn(lambda s: (sleep(s), log.append(s)), seconds)
    scheduler.run(wait=True)
    assert log == [0.01, 0.02, 0.03]


def test_main_sleeps_while_others_run(each_clock, log):
    def work():
        for number in range(3):
            log.append(number)
            sleep(0.001)

    worker = spawn(work)
    sleep(0.05)
    assert log
    while not worker.done():
        sleep(0.05)
    assert log == [0, 1, 2]


def test_sleepers_of_one_time_wake_in_the_order_they_went_to_sleep(log):
    fake_clock(0)
    try:
        for number in range(20):
            tasklet(lambda n: (sleep(1), log.append(n)))(number)
        scheduler.run(wait=True)
    finally:
        fake_clock(None)
    assert log == list(range(20))


def test_sleep_of_no_time_is_schedule(log):
    tasklet(log.append)("other")
    assert sleep() is None
    assert log == ["other"]
    assert sleep(0) is None


def test_sleep_says_what_is_wrong():
    for bad, error in ((-1, ValueError), (math.nan, ValueError), ("1", TypeError)):
        with pytest.raises(error):
            sleep(bad)
    with pytest.raises(TypeError):
        sleep(1, 2)
    getcurrent().block_trap = True
    try:
        with pytest.raises(BlockTrapError):
            sleep(1)
    finally:
        getcurrent().block_trap = False


def test_a_sleeper_can_be_killed(each_clock, log):
    def work():
        try:
            sleep(LATE)
        finally:
            log.append("finally")

    victim = spawn(work)
    run()
    assert victim.blocked
    assert "sleeps" in repr(victim)
    assert scheduler.pending() == 1
    victim.kill()
    assert log == ["finally"]
    assert scheduler.pending() == 0


def test_a_sleeper_can_be_thrown_into_from_another_thread():
    victim = spawn(sleep, LATE)
    run()
    thread = threading.Thread(target=lambda: victim.throw(KeyError, pending=True))
    thread.start()
    with pytest.raises(KeyError):
        victim.result(timeout=LATE)
    thread.join()
    assert scheduler.pending() == 0


def test_a_plain_thread_can_sleep():
    def work():
        start = time.monotonic()
        sleep(0.02)
        took.append(time.monotonic() - start)

    took = []
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == 3
    assert min(took) >= 0.02


def test_a_tasklet_that_only_yields_does_not_keep_sleepers_from_waking(log):
    """Neither many that yield, nor a single tasklet."""

    def yielder():
        while not log:
            schedule()

    for count in (100, 1):
        log.clear()
        for _ in range(count):
            tasklet(yielder)()
        tasklet(lambda: (sleep(0.005), log.append("woken")))()
        run()
        assert log == ["woken"]


def test_sleepers_wake_among_slow_tasklets(log):
    """Each slice takes longer than the sleep: looks must not be counted in switches."""

    def slow():
        end = time.monotonic() + 0.004
        while time.monotonic() < end:
            pass

    def worker():
        for _ in range(25):
            slow()
            schedule()
        log.append("worker")

    def sleeper():
        for _ in range(3):
            sleep(0.001)
        log.append("sleeper")

    tasklet(worker)()
    tasklet(sleeper)()
    scheduler.run(wait=True)
    assert log == ["sleeper", "worker"]


def test_run_without_wait_takes_up_what_is_due_and_waits_for_nothing(log):
    fake_clock(10)
    try:
        tasklet(lambda: (sleep(5), log.append("woken")))()
        run()
        assert not log
        fake_clock(14.9)
        run()
        assert not log
        fake_clock(15)
        run()
        assert log == ["woken"]
    finally:
        fake_clock(None)


def test_a_thread_that_ends_forgets_its_sleepers():
    def work():
        spawn(sleep, LATE)
        with timeout(LATE):
            schedule()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LATE)
    assert not thread.is_alive()
    assert scheduler.pending() == 0


def test_a_million_timers_are_fine():
    count = 20_000
    seconds = [random.Random(1).random() for _ in range(count)]
    fake_clock(0)
    try:
        order = []
        for each in seconds:
            tasklet(lambda s: (sleep(s), order.append(s)))(each)
        run()
        assert scheduler.pending() == count
        scheduler.run(wait=True)
    finally:
        fake_clock(None)
    assert order == sorted(seconds)


# run(wait=True), run_forever(), stop()


def test_run_with_wait_returns_when_nothing_is_to_come(each_clock):
    blocked = spawn(channel().receive)
    spawn(sleep, 0.01)
    assert scheduler.run(wait=True) is None
    assert scheduler.last_run().reason == "idle"
    assert blocked.blocked
    blocked.kill()


def test_tasklets_run_waits_if_it_is_told_to(each_clock):
    log = []
    blocked = spawn(channel().receive)
    spawn(lambda: (sleep(0.01), log.append("slept")))
    assert run() is None
    assert log == []
    assert run(wait=False) is None
    assert log == []
    assert run(wait=True) is None
    assert log == ["slept"]
    assert blocked.blocked
    assert run(wait=True) is None  # nothing is to come
    blocked.kill()


def test_tasklets_run_waits_with_a_timeout_too(each_clock):
    def runaway():
        sleep(0.01)
        while True:
            pass

    victim = spawn(runaway)
    assert run(1000) is None
    assert run(1000, wait=True) is victim
    victim.kill()


def test_wait_is_given_by_name(each_clock):
    with pytest.raises(TypeError, match="positional"):
        run(0, False, False, False, False, True)


@pytest.mark.parametrize("timeout", [0.5, 1.0, 0.0, float("nan"), "1", None])
def test_a_timeout_that_counts_no_ticks_is_refused(timeout):
    log = []
    worker = spawn(log.append, 1)
    match = "timeout must be an int, not .*ticks; use scheduler.run.seconds="
    with pytest.raises(TypeError, match=match):
        run(timeout)
    with pytest.raises(TypeError, match=match):
        run(timeout=timeout, wait=True)
    assert log == []
    worker.kill()


@pytest.mark.parametrize("timeout", [0, -1, -(2**100), False])
def test_a_timeout_of_nothing_is_none(timeout):
    log = []
    spawn(log.append, 1)
    assert run(timeout) is None
    assert log == [1]


@pytest.mark.parametrize("timeout", [2**63, 2**100])
def test_a_timeout_beyond_all_counting_is_endless(timeout):
    log = []
    spawn(log.append, 1)
    assert run(timeout) is None
    assert log == [1]


def test_run_with_wait_keeps_its_budgets():
    sleeper = spawn(sleep, LATE)
    start = time.monotonic()
    assert scheduler.run(wait=True, seconds=0.02) is None
    assert scheduler.last_run().reason == "seconds"
    assert 0.02 <= time.monotonic() - start < LATE
    sleeper.kill()


def test_run_with_wait_ends_when_what_it_waits_for_is_called_off():
    sleeper = spawn(sleep, LATE)
    thread = threading.Timer(0.02, sleeper.kill, kwargs={"pending": True})
    thread.start()
    assert scheduler.run(wait=True) is None
    assert not sleeper.alive
    thread.join()


def test_an_error_ends_run_with_wait(each_clock):
    def fail():
        sleep(0.01)
        raise KeyError("here")

    sleeper = spawn(sleep, 0.02)
    tasklet(fail)()
    with pytest.raises(KeyError, match="here"):
        scheduler.run(wait=True)
    assert sleeper.alive
    scheduler.run(wait=True)
    assert not sleeper.alive


def test_stop_ends_the_innermost_run(log):
    def inner():
        log.append(scheduler.run_forever())
        log.append("inner")

    def stopper():
        sleep(0.01)
        scheduler.stop()
        log.append("stopped")

    tasklet(inner)()
    tasklet(stopper)()
    scheduler.run(wait=True)
    assert log == ["stopped", None, "inner"]
    assert scheduler.last_run().reason == "idle"


def test_stop_before_a_run_ends_the_next():
    other = spawn(int)
    scheduler.stop()
    assert scheduler.run_forever() is None
    assert scheduler.last_run().reason == "stopped"
    run()
    assert not other.alive


def test_stop_from_another_thread():
    main = threading.get_ident()
    thread = threading.Timer(0.02, scheduler.stop, args=(main,))
    thread.start()
    scheduler.run_forever()
    assert scheduler.last_run().reason == "stopped"
    thread.join()


def test_stop_says_which_thread_it_does_not_know():
    with pytest.raises(TypeError):
        scheduler.stop("main")
    with pytest.raises(RuntimeError, match="no scheduler"):
        scheduler.stop(1)


def test_a_budget_that_is_never_used_up_does_not_keep_run_forever_from_working(log):
    def work():
        for number in range(3):
            sleep(0.001)
            log.append(number)
        scheduler.stop()

    spawn(work)
    scheduler.run_forever()
    assert log == [0, 1, 2]


# What a host asks.


def test_next_deadline_tells_when_to_come_back():
    fake_clock(100)
    try:
        assert scheduler.next_deadline() is None
        sleeper = spawn(sleep, 5)
        assert scheduler.next_deadline() == 100  # it is runnable now
        run()
        assert scheduler.next_deadline() == 105
        scheduler.shift_clock(2.5)
        assert scheduler.next_deadline() == 107.5
        scheduler.shift_clock(-1)
        assert scheduler.next_deadline() == 106.5
        sleeper.kill()
        assert scheduler.next_deadline() is None
    finally:
        fake_clock(None)


def test_the_clock_is_not_changed_under_a_sleeper():
    sleeper = spawn(sleep, LATE)
    run()
    with pytest.raises(RuntimeError, match="timers are pending"):
        fake_clock(0)
    sleeper.kill()


# Timeouts of operations.


def test_operations_time_out(each_clock):
    ch, full = channel(), QueueChannel(1)
    full.send(1)
    sleeper = spawn(sleep, 1)
    for operation in (
        lambda t: ch.receive(timeout=t),
        lambda t: ch.send(1, timeout=t),
        lambda t: full.send(2, timeout=t),
        lambda t: QueueChannel().receive(timeout=t),
        lambda t: sleeper.result(timeout=t),
        lambda t: sleeper.exception(timeout=t),
    ):
        for seconds in (0.01, 0, -1):
            start = each_clock()
            with pytest.raises(TimeoutError):
                operation(seconds)
            assert each_clock() - start > seconds - 1e-9
    assert sleeper.join(timeout=0.01) is False
    assert sleeper.join(timeout=0) is False
    assert ch.balance == 0
    assert (full.try_receive(), len(full)) == (1, 0)
    sleeper.kill()
    assert sleeper.join(timeout=0) is True
    assert scheduler.pending() == 0


def test_an_operation_that_is_in_time_leaves_no_timer(each_clock):
    ch = channel()
    tasklet(ch.send)("value")
    assert ch.receive(timeout=LATE) == "value"
    tasklet(ch.receive)()
    ch.send("value", timeout=LATE)
    done = spawn(int)
    assert done.join(timeout=LATE)
    assert done.result(timeout=LATE) == 0
    assert scheduler.pending() == 0


def test_no_timeout_is_none():
    ch = channel()
    tasklet(ch.send)(1)
    assert ch.receive(timeout=None) == 1
    with pytest.raises(DeadlockError):
        ch.receive(timeout=None)
    with pytest.raises(ValueError, match="NaN"):
        ch.receive(timeout=math.nan)
    with pytest.raises(TypeError):
        ch.receive(timeout="1")
    with pytest.raises(TypeError):
        ch.receive(1)
    assert ch.balance == 0


def test_a_timeout_while_another_thread_delivers():
    """Either the value or the error, and no value lost."""
    ch, rounds = channel(), 300
    taken = []

    def send():
        for number in range(rounds):
            time.sleep(random.Random(number).random() * 2e-4)
            ch.send(number)

    thread = threading.Thread(target=send)
    thread.start()
    while len(taken) < rounds:
        try:
            taken.append(ch.receive(timeout=1e-4))
        except TimeoutError:
            pass
    thread.join()
    assert taken == list(range(rounds))


def test_a_timeout_may_be_longer_than_all_time(each_clock):
    ch = channel()
    for forever in (1e9, 1e300, math.inf):
        receiver = spawn(ch.receive, timeout=forever)
        run()
        ch.send(forever)
        assert receiver.result() == forever


# Whole programs.


@pytest.mark.parametrize(
    "wait", ["channel().receive()", "sleep(30)", "spawn(sleep, 30).join()",
             "spawn(sleep, 30), scheduler.run(wait=True)", "scheduler.run_forever()"],
)  # fmt: skip
def test_ctrl_c_reaches_main_while_it_waits(wait):
    status, output, _ = run_program(
        f"""
        import os, signal, threading, time
        from tasklets import channel, scheduler, sleep, spawn
        try:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            {wait}
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    assert (status, output) == (0, "interrupted\n")


def test_sleepers_live_on_in_the_child_of_a_fork():
    status, output, _ = run_program(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from tasklets import run, scheduler, sleep, spawn
        def work():
            sleep(0.5)
            os.write(1, b"woken\\n")
        spawn(work)
        run()
        child = os.fork()
        scheduler.run(wait=True)
        if child:
            os.waitpid(child, 0)
        """,
    )
    assert (status, output) == (0, "woken\nwoken\n")


def test_an_idle_process_uses_no_cpu():
    status, output, _ = run_program(
        """
        import time
        from tasklets import run, scheduler, sleep, spawn
        for _ in range(2_000):
            spawn(sleep, 100)
        run()
        before = time.process_time()
        sleep(1)
        print(time.process_time() - before < 0.1)
        """,
    )
    assert (status, output) == (0, "True\n")


BLOCKS = [lambda: timeout(1000), lambda: shield(1000), TaskGroup]


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_that_are_not_waited_in_need_no_memory(block):
    """What a block notes is dropped when it is left, not when the tasklet waits."""
    here = sys._getframe().f_code
    before = sys.getrefcount(here)
    for _ in range(100):
        with block():
            pass
    assert sys.getrefcount(here) == before
