"""Kills, throws, timeouts, groups and signals that meet in one tasklet."""

import contextlib
import signal
import threading
import time

import pytest
from children import run_program
from interrupted import Boom, pending, stop

from tasklets import (
    CancelledError,
    GroupExit,
    TaskGroup,
    TaskletExit,
    TimeoutExit,
    getcurrent,
    run,
    schedule,
    schedule_remove,
    scheduler,
    shield,
    sleep,
    spawn,
    tasklet,
    timeout,
)
from tasklets.locks import Condition, Lock, RLock
from tasklets.testing import settle

LATE = 1000


# ---- what an inner block does not take


def test_an_outer_timeout_is_not_eaten_by_an_inner_groups_errors(clock):
    def fetch():
        sleep(0.002)
        raise OSError

    def peer():
        try:
            sleep(LATE)
        finally:
            sleep(0.03)

    rounds = 0
    with pytest.raises(TimeoutError), timeout(0.05):
        while True:
            rounds += 1
            with contextlib.suppress(ExceptionGroup), TaskGroup() as group:
                group.spawn(peer)
                group.spawn(fetch)
            sleep(0.001)
    assert rounds == 2


def test_a_kill_is_not_replaced_by_a_timeout_in_the_clean_up(clock, log):
    def client():
        while True:
            try:
                with timeout(0.05):
                    try:
                        sleep(LATE)
                    finally:
                        sleep(0.03)
            except TimeoutError:
                log.append("timed out")

    with TaskGroup() as group:
        child = group.spawn(client)
        sleep(0.04)
        group.cancel()
    assert log == []
    assert child.cancelled()


@pytest.mark.parametrize("exc", [KeyboardInterrupt, SystemExit])
def test_an_end_of_the_program_is_not_replaced_by_a_timeout(clock, exc):
    with pytest.raises(exc) as caught, timeout(0.05):
        try:
            raise exc("first")
        finally:
            sleep(0.1)
    assert caught.value.args == ("first",)


def test_an_error_is_replaced_by_a_timeout_as_by_any_error(clock):
    with pytest.raises(TimeoutError), timeout(0.05):
        try:
            raise OSError
        finally:
            sleep(0.1)


def test_what_was_handled_before_the_block_does_not_leave_it(clock):
    with pytest.raises(KeyboardInterrupt):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            with pytest.raises(TimeoutError), timeout(0.05):
                sleep(LATE)
            raise


def test_a_swallowed_kill_is_over(clock, log):
    def work():
        with pytest.raises(TimeoutError), timeout(0.05):
            with contextlib.suppress(TaskletExit):
                sleep(LATE)
            sleep(LATE)
        log.append("went on")

    t = spawn(work)
    settle()
    t.kill()
    t.join()
    assert log == ["went on"]
    assert not t.cancelled()


def test_an_outer_timeout_is_not_taken_for_an_inner_one(clock, log):
    with pytest.raises(TimeoutError), timeout(0.05) as outer:
        try:
            with timeout(0.06):
                try:
                    sleep(LATE)
                finally:
                    sleep(0.1)
        except TimeoutError:
            log.append("the inner one's")
        log.append("not here")
    assert outer.expired
    assert log == []


def test_an_outer_timeout_that_is_due_is_raised_where_an_inner_block_ends(clock, log):
    with pytest.raises(TimeoutError), timeout(0.05) as outer:
        try:
            with timeout(0.01), shield(1):
                with contextlib.suppress(TimeoutError), timeout(0.2):
                    sleep(LATE)
        except TimeoutError:
            log.append("the inner one's")
        sleep(0)
        log.append("not here")
    assert outer.expired
    assert log == []


@pytest.mark.parametrize("first", ["kill", "timeout"])
def test_errors_of_a_group_leave_and_the_interruption_comes_next(clock, log, first):
    def work():
        limit = 0.05 if first == "timeout" else LATE
        with pytest.raises(TimeoutError), timeout(limit):
            with pytest.raises(ExceptionGroup), TaskGroup() as group:
                group.spawn(fails_late)
            log.append("errors")
            sleep(0)
            log.append("not here")

    def fails_late():
        try:
            sleep(LATE)
        finally:
            sleep(0.1)
            raise OSError

    t = spawn(work)
    sleep(0.05)
    if first == "kill":
        t.kill()
    t.join()
    assert log == ["errors"]
    assert t.cancelled() == (first == "kill")


def test_of_two_interruptions_of_a_group_the_stronger_leaves_and_the_other_stays(clock):
    log = []

    def stubborn():
        for _ in range(2):
            with contextlib.suppress(TaskletExit):
                sleep(0.1)
        sleep(0.1)

    def work():
        with pytest.raises(TimeoutError), timeout(0.02):
            with contextlib.suppress(TaskletExit), TaskGroup() as group:
                group.spawn(stubborn)
            log.append("lives on")
            sleep(0)
            log.append("not here")

    t = spawn(work)
    sleep(0.01)
    t.kill()  # the group's end goes on waiting until the time is up
    t.join()
    assert log == ["lives on"]


def test_keyboard_interrupt_leaves_a_group_and_its_kill_stays(clock, log):
    def work():
        try:
            with TaskGroup() as group:
                group.spawn(stubborn)
        except KeyboardInterrupt:
            log.append("interrupted")
        sleep(0)
        log.append("not here")

    def stubborn():
        with contextlib.suppress(TaskletExit):
            sleep(LATE)
        sleep(0.1)

    t = spawn(work)
    settle()
    t.kill()
    t.throw(KeyboardInterrupt)
    t.join()
    assert log == ["interrupted"]
    assert t.cancelled()


# ---- several requests


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([TaskletExit, Boom], [TaskletExit, Boom]),
        ([Boom, TaskletExit], [TaskletExit, Boom]),
        ([TaskletExit, TaskletExit], [TaskletExit]),
        ([OSError, Boom], [Boom]),
        ([TaskletExit, OSError, Boom], [TaskletExit, Boom]),
        ([TaskletExit, SystemExit, TaskletExit], [SystemExit, TaskletExit]),
        ([Boom, SystemExit, TaskletExit], [SystemExit, TaskletExit, Boom]),
        ([TimeoutExit, TaskletExit], [TimeoutExit, TaskletExit]),
    ],
)
def test_pending_requests_come_one_after_the_other(requests, expected):
    assert pending(*requests) == expected


def test_a_kill_before_a_throw_at_once_goes_first(log):
    def work():
        with contextlib.suppress(TaskletExit):
            sleep(LATE)
        log.append("killed")
        with contextlib.suppress(Boom):
            sleep(LATE)
        log.append("thrown")

    t = spawn(work)
    settle()
    t.kill(pending=True)
    t.throw(Boom)
    settle()
    assert log == ["killed", "thrown"]


def test_a_tempval_that_is_set_does_not_undo_a_kill():
    t = tasklet(schedule_remove)(None)
    schedule()
    t.kill(pending=True)
    t.tempval = 5
    schedule()
    assert not t.alive


def test_a_kill_of_another_thread_meets_a_timeout(log):
    """Both are due before the tasklet waits again."""
    computes = threading.Event()
    killed = threading.Event()

    def work():
        with contextlib.suppress(TimeoutError), timeout(0.001):
            computes.set()
            killed.wait()
            time.sleep(0.01)
            try:
                sleep(LATE)
            finally:
                log.append("left")
        log.append("not here")

    def other():
        made.append(spawn(work))
        run()

    made = []
    thread = threading.Thread(target=other)
    thread.start()
    computes.wait()
    made[0].kill()
    killed.set()
    thread.join()
    assert log == ["left"]
    assert made[0].cancelled()


# ---- conditions


@pytest.mark.parametrize("make", [Lock, RLock])
def test_a_condition_that_is_killed_does_not_report_a_timeout(clock, log, make):
    cond = Condition(make())

    def work():
        try:
            with timeout(0.05), cond:
                cond.wait()
                log.append("not here")
        except TimeoutError:
            log.append("timed out")

    t = spawn(work)
    settle()
    cond.acquire()
    t.kill()  # it waits for the lock now
    sleep(0.1)
    assert t.alive
    cond.release()
    t.join()
    assert log == []
    assert t.cancelled()
    assert cond.acquire(blocking=False)
    cond.release()


@pytest.mark.parametrize("make", [Lock, RLock])
def test_a_condition_holds_its_lock_and_then_raises_what_came(clock, log, make):
    cond = Condition(make())

    def work():
        with cond:
            try:
                cond.wait()
            finally:
                log.append(cond._is_owned())

    t = spawn(work)
    settle()
    with cond:
        cond.notify()
        t.kill()
        t.throw(Boom)
    t.join()
    assert log == [True]
    assert t.cancelled()


@pytest.mark.parametrize("make", [Lock, RLock])
@pytest.mark.parametrize("how", ["kill", "kill_pending", "throw"])
def test_a_lock_that_was_given_to_a_killed_waiter_is_free(make, how):
    lock = make()
    lock.acquire()
    t = spawn(lock.acquire)
    settle()
    lock.release()
    stop(t, how)
    assert lock.acquire(blocking=False)
    lock.release()


def test_a_notification_goes_to_the_next_waiter_if_the_first_is_killed(log):
    cond = Condition()

    def work(name):
        with cond:
            cond.wait()
            log.append(name)

    first, second = spawn(work, "first"), spawn(work, "second")
    settle()
    with cond:
        cond.notify()
        first.kill()
    second.join()
    assert log == ["second"]
    assert first.cancelled()


# ---- blocks that are left in other ways


def limited():
    with timeout(0.03):
        yield 1
        yield 2


def test_a_generator_that_is_suspended_in_a_block_interrupts_nobody(clock):
    with pytest.raises(RuntimeError, match=r"test_interruptions.py:\d+ in limited"):
        for _ in limited():
            sleep(0.2)
    assert getcurrent().alive


def test_a_generator_that_goes_on_is_interrupted(clock):
    def made():
        with timeout(0.03):
            yield 1
            sleep(LATE)

    g = made()
    assert next(g) == 1
    with pytest.raises(TimeoutError):
        next(g)


def test_a_group_in_a_suspended_generator_interrupts_nobody(clock):
    def made():
        with TaskGroup() as group:
            group.spawn(group.cancel)
            yield 1

    g = made()
    next(g)
    with pytest.raises(RuntimeError, match=r"TaskGroup\(\) entered at .* in made"):
        sleep(1)
    g.close()


def test_a_coroutine_that_is_suspended_in_a_block_interrupts_nobody(clock):
    class Pause:
        def __await__(self):
            yield

    async def work():
        with timeout(0.03):
            await Pause()

    c = work()
    c.send(None)
    with pytest.raises(RuntimeError, match="in work"):
        sleep(1)
    with pytest.raises(StopIteration):
        c.send(None)


def test_a_context_manager_made_of_a_generator_interrupts_its_body(clock, log):
    @contextlib.contextmanager
    def guarded():
        with timeout(0.03):
            yield

    with pytest.raises(TimeoutError), guarded():
        sleep(LATE)
    with pytest.raises(TimeoutError), contextlib.ExitStack() as stack:
        stack.enter_context(guarded())
        sleep(LATE)
    with pytest.raises(TimeoutError), contextlib.ExitStack() as stack:
        stack.enter_context(timeout(0.03))
        sleep(LATE)


def test_a_program_that_ends_by_an_interruption_says_so():
    status, output, errors = run_program(
        """
        from tasklets import *
        block = timeout(.01)
        block.__enter__()
        sleep(1)
        print("never")
        """
    )
    assert status == 1
    assert output == ""
    assert errors == [
        "the block of timeout() entered at <string>:4 in <module> is interrupted"
    ]


def test_a_generator_that_interrupts_the_program_is_an_error():
    status, output, errors = run_program(
        """
        from tasklets import *
        def gen():
            with timeout(.03): yield 1
        for x in gen(): sleep(.2)
        print("never")
        """
    )
    assert status == 1
    assert output == ""
    assert errors[-1].startswith("RuntimeError: the block of timeout() entered at")
    assert "<string>:4 in gen" in errors[-1]


@pytest.mark.parametrize("exit", [TimeoutExit, GroupExit])
def test_an_interruption_that_leaves_a_tasklet_is_an_error(exit):
    def work():
        raise exit("of a block")

    t = spawn(work)
    with pytest.raises(RuntimeError, match="of a block"):
        t.result()
    assert not t.cancelled()
    assert isinstance(t.exception().__cause__, exit)
    t = spawn(work)
    with pytest.raises(RuntimeError):
        run()


def test_keyboard_interrupt_of_a_tasklet_is_not_replaced_by_a_kill(clock):
    def work():
        try:
            raise KeyboardInterrupt
        finally:
            sleep(0.1)

    t = spawn(work)
    settle()
    t.kill(pending=True)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not t.cancelled()


# ---- finalizers


class Finalized:
    def __init__(self, work):
        self.work = work

    def __del__(self):
        self.work()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_kill_that_a_finalizer_swallows_comes_again(log):
    def work():
        Finalized(lambda: schedule_remove(None))
        log.append("after")
        sleep(0)
        log.append("not here")

    t = spawn(work)
    schedule()
    t.kill()
    t.join()
    assert log == ["after"]
    assert t.cancelled()


class Ender(tasklet):
    """A tasklet that has work to do when the next one to resume drops it."""

    def __del__(self):
        self.at_end()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("first", ["inner", "outer"])
def test_two_timeouts_meet_in_a_finalizer_that_runs_on_arrival(log, first):
    def work():
        try:
            with blocks["outer"]:
                try:
                    with blocks["inner"]:
                        schedule_remove(None)
                except TimeoutError:
                    log.append("inner")
                schedule_remove(None)
        except TimeoutError:
            log.append("outer")

    def wait_at_end():
        log.append("finalizer")
        spawn(blocks[second].reschedule, 0)
        schedule_remove(None)

    blocks = {"inner": timeout(LATE), "outer": timeout(LATE)}
    second = "outer" if first == "inner" else "inner"
    t = spawn(work)
    schedule()
    ender = Ender(blocks[first].reschedule)
    ender.at_end = wait_at_end
    ender.setup(0)
    del ender
    t.join()
    assert log == ["finalizer", "outer"]  # the outer one is the stronger one
    assert blocks["inner"].expired
    assert blocks["outer"].expired


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_timeout_that_a_finalizer_swallows_comes_again(clock, log):
    with pytest.raises(TimeoutError), timeout(0.05):
        Finalized(lambda: sleep(LATE))
        log.append("after")
        sleep(0)
        log.append("not here")
    assert log == ["after"]


def test_a_kill_of_a_tasklet_that_a_budget_stopped_in_a_finalizer(log):
    go_on = True

    def busy():
        while go_on:
            pass
        log.append("finalized")

    def work():
        Finalized(busy)
        while True:  # never waits
            pass

    t = spawn(work)
    assert scheduler.run(slice_ticks=1000) is t
    t.kill()  # returns at once
    assert t.alive
    go_on = False
    for _ in range(3):
        stopped = scheduler.run(slice_ticks=1000)
        if stopped is None:
            break
        stopped.insert()
    assert log == ["finalized"]
    assert t.cancelled()


# ---- signals


def test_a_signal_during_the_end_of_a_group_is_seen(clock):
    """Main waits at the end of the block; the handler raises there."""

    def interrupt():
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        with TaskGroup() as group:
            group.spawn(sleep, 0.1)
            group.spawn(interrupt)


def test_kill_and_result_of_a_group_child():
    with TaskGroup() as group:
        child = group.spawn(sleep, LATE)
        settle()
        child.kill()
    with pytest.raises(CancelledError):
        child.result()
