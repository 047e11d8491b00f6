"""Kills, throws, timeouts, groups and signals that meet in one tasklet."""

import contextlib
import gc
import pickle
import signal
import threading
import time

import pytest
from children import run_program

from tasklets import (
    BlockTrapError,
    CancelledError,
    GroupExit,
    QueueChannel,
    TaskGroup,
    TaskletExit,
    TimeoutExit,
    _core,
    block_trap,
    channel,
    deadline,
    getcurrent,
    no_switch,
    recv,
    run,
    schedule,
    schedule_remove,
    scheduler,
    select,
    shield,
    sleep,
    spawn,
    switch_trap,
    tasklet,
    timeout,
)
from tasklets.locks import Condition, Lock, RLock
from tasklets.testing import settle

LATE = 1000


class Boom(Exception):
    """Thrown by tests."""


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
    t.kill()  # the group's end goes on waiting, and the time is up meanwhile
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


# Programs of interruption_programs.py that came out otherwise once.


def test_a_kill_is_not_taken_for_a_timeout_whose_exception_is_gone(clock):
    """The TaskletExit may have the address of the TimeoutExit."""

    def work():
        with timeout(0.01):
            with contextlib.suppress(TimeoutExit):
                sleep(LATE)
            sleep(LATE)

    t = spawn(work)
    sleep(0.1)
    t.kill()
    assert t.cancelled()


def fails_when_killed():
    try:
        sleep(LATE)
    finally:
        raise OSError


def test_a_kill_that_a_group_put_off_does_not_replace_keyboard_interrupt(clock, log):
    """The kill is raised while KeyboardInterrupt is on its way."""

    def work():
        try:
            with TaskGroup() as group:
                group.spawn(stubborn)
                sleep(LATE)
        finally:
            sleep(0.1)

    def stubborn():
        with contextlib.suppress(TaskletExit):
            sleep(LATE)
        sleep(0.1)

    t = spawn(work)
    settle()
    t.kill()
    t.throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        t.join()
    assert not t.cancelled()


def test_a_kill_that_is_requested_is_raised_where_a_block_ends(clock, log):
    def work():
        with contextlib.suppress(TimeoutError), timeout(0.01):
            try:
                sleep(LATE)
            finally:
                with shield(None):
                    sleep(0.1)
        log.append("not here")

    t = spawn(work)
    sleep(0.05)
    t.kill()
    t.join()
    assert log == []
    assert t.cancelled()


def test_a_kill_that_is_requested_is_raised_where_a_cancelled_group_ends(clock, log):
    def work():
        with TaskGroup() as group:
            try:
                group.cancel()
                sleep(LATE)
            finally:
                with shield(None):
                    sleep(0.1)
        log.append("not here")

    t = spawn(work)
    sleep(0.05)
    t.kill()
    t.join()
    assert log == []
    assert t.cancelled()


def test_a_kill_is_not_replaced_by_the_cancellation_of_a_group(clock):
    """The group has no errors, and swallows its own interruption."""

    def work():
        with TaskGroup() as group:
            group.spawn(cancels, group)
            try:
                sleep(LATE)
            finally:
                sleep(0.1)

    def cancels(group):
        sleep(0.05)
        group.cancel()

    t = spawn(work)
    sleep(0.01)
    t.kill()
    t.join()
    assert t.cancelled()


@pytest.mark.parametrize("first", ["kill", "timeout"])
def test_the_stronger_interruption_leaves_a_group(clock, log, first):
    def stubborn():
        with contextlib.suppress(TaskletExit):
            sleep(LATE)
        sleep(0.1)

    def work():
        with timeout(0.05):
            try:
                with TaskGroup() as group:
                    group.spawn(stubborn)
                    sleep(LATE)
            except TaskletExit as error:
                log.append(type(error))
                raise

    t = spawn(work)
    sleep(0.04 if first == "kill" else 0.06)
    t.kill()
    t.join()
    assert log == [TaskletExit]
    assert t.cancelled()


def test_a_second_keyboard_interrupt_kills_again(clock, log):
    def stubborn():
        with contextlib.suppress(TaskletExit):
            sleep(LATE)
        sleep(LATE)

    def work():
        with TaskGroup() as group:
            group.spawn(stubborn)

    t = spawn(work)
    settle()
    t.throw(KeyboardInterrupt)
    settle()
    assert t.alive
    t.throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        settle()
    assert not t.alive


def test_keyboard_interrupt_goes_on_behind_a_groups_errors_and_a_kill(clock):
    """Each is raised in the clean-up after the one before."""

    def work():
        try:
            sleep(LATE)
        finally:
            try:
                with TaskGroup() as group:
                    group.spawn(fails_when_killed)
                    sleep(LATE)
            finally:
                sleep(0.1)

    t = spawn(work)
    settle()
    t.throw(KeyboardInterrupt, pending=True)
    settle()
    t.kill(pending=True)
    with pytest.raises(KeyboardInterrupt):
        t.join()


def test_a_kill_that_came_after_a_groups_errors_and_was_caught_is_over(clock):
    def work():
        with pytest.raises(TimeoutError), timeout(0.05):
            try:
                with TaskGroup() as group:
                    group.spawn(fails_when_killed)
                    sleep(LATE)
            finally:
                with contextlib.suppress(TaskletExit):
                    sleep(LATE)
                sleep(LATE)

    t = spawn(work)
    settle()
    t.kill(pending=True)
    t.join()
    assert not t.cancelled()


def test_of_two_blocks_whose_time_is_up_the_outer_one_is_interrupted_first(clock, log):
    with timeout(0.05):
        try:
            with timeout(0.04):
                with contextlib.suppress(TimeoutExit):
                    _core.fake_clock(1.0)
                    sleep(LATE)
                sleep(0)
                log.append("not here")
        except TimeoutError:
            log.append("the inner one's")
    assert log == ["the inner one's"]


def test_of_two_blocks_that_are_due_the_outer_one_is_interrupted_first(clock, log):
    """Both are before the tasklet waits."""
    with timeout(0):
        try:
            with timeout(0):
                with contextlib.suppress(TimeoutExit):
                    sleep(LATE)
                sleep(0)
                log.append("not here")
        except TimeoutError:
            log.append("the inner one's")
    assert log == ["the inner one's"]


def test_a_kill_goes_first_if_its_shield_ends_with_a_block_inside(clock, log):
    def work():
        with contextlib.suppress(TimeoutError), shield(0.05), timeout(0.04):
            for _ in range(2):
                try:
                    sleep(LATE)
                except TaskletExit as error:
                    log.append(type(error))

    t = spawn(work)
    settle()
    t.kill()
    _core.fake_clock(1.0)
    t.join()
    assert log == [TaskletExit, TimeoutExit]


# ---- several requests


def pending(*requests):
    """Return what a tasklet gets that is sent these while it cannot run."""
    got = []

    def work():
        for _ in range(len(requests) + 1):
            try:
                sleep(0)
                got.append(None)
            except BaseException as error:
                got.append(type(error))

    t = spawn(work)
    schedule()
    for request in requests:
        if request is TaskletExit:
            t.kill(pending=True)
        else:
            t.throw(request, pending=True)
    t.join()
    return [what for what in got if what is not None]


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


# ---- shield


def test_a_shield_holds_off_a_kill_until_it_is_left(clock, log):
    def work():
        with shield(1):
            sleep(0.1)
            log.append("clean")
        log.append("until it waits")
        sleep(0)
        log.append("not here")

    t = spawn(work)
    settle()
    t.kill()
    assert t.alive
    assert log == []
    t.join()
    assert log == ["clean", "until it waits"]
    assert t.cancelled()


def test_a_shield_ends_with_its_limit(clock, log):
    def work():
        with shield(0.05) as guard:
            try:
                sleep(LATE)
            finally:
                log.append(guard.expired)

    t = spawn(work)
    settle()
    t.kill()
    assert log == []
    sleep(0.1)
    assert log == [True]
    assert t.cancelled()


def test_a_shield_whose_limit_is_over_before_the_kill_protects_nothing(clock, log):
    def work():
        with shield(0.05):
            sleep(LATE)

    t = spawn(work)
    sleep(0.1)
    t.kill()
    assert t.cancelled()


@pytest.mark.parametrize("make", [timeout, deadline])
def test_a_shield_holds_off_outer_blocks_and_not_inner_ones(clock, log, make):
    from tasklets._core import now

    with pytest.raises(TimeoutError), make(0.05 + (now() if make is deadline else 0)):
        with shield(None):
            with pytest.raises(TimeoutError), timeout(0.1):
                sleep(LATE)
            sleep(0.1)
            log.append("clean")
        sleep(0)
        log.append("not here")
    assert log == ["clean"]


def test_a_shield_holds_off_a_group(clock, log):
    with TaskGroup() as group:
        group.spawn(group.cancel)
        with shield(None):
            sleep(0.1)
            log.append("clean")
        sleep(0)
        log.append("not here")
    assert log == ["clean"]


def test_nested_shields(clock, log):
    def work():
        with shield(None):
            with shield(0.01):
                sleep(0.05)
            log.append("inner")
            sleep(0.05)
            log.append("outer")
        sleep(0)
        log.append("not here")

    t = spawn(work)
    settle()
    t.kill()
    t.join()
    assert log == ["inner", "outer"]


def test_a_shield_does_not_hold_off_what_the_tasklet_does_itself(log):
    def work():
        with shield(None):
            try:
                getcurrent().kill()
            finally:
                log.append("left")

    t = spawn(work)
    t.join()
    assert log == ["left"]
    assert t.cancelled()


def test_a_throw_is_held_off_too(clock, log):
    def work():
        with shield(None):
            sleep(0.1)
            log.append("clean")
        with contextlib.suppress(Boom):
            sleep(0)
            log.append("not here")

    t = spawn(work)
    settle()
    t.throw(Boom)
    t.join()
    assert log == ["clean"]
    assert not t.cancelled()


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("exc", [KeyboardInterrupt, SystemExit])
def test_an_end_of_the_program_is_not_held_off(clock, log, exc, pending):
    def work():
        with shield(None):
            with contextlib.suppress(exc):
                sleep(LATE)
            log.append("interrupted")
            sleep(0)
            log.append("clean")
        sleep(0)
        log.append("not here")

    t = spawn(work)
    settle()
    t.kill()
    t.throw(exc, pending=pending)
    t.join()
    assert log == ["interrupted", "clean"]
    assert t.cancelled()


def test_a_shield_of_no_time_protects_nothing(clock):
    for seconds in (0, -1):
        with pytest.raises(TimeoutError), timeout(0.05), shield(seconds):
            sleep(LATE)


def test_misuse_of_a_shield():
    guard = shield(1)
    assert repr(guard).startswith("<tasklets.shield not entered, 1.000 s, at 0x")
    assert not guard.expired
    with pytest.raises(RuntimeError, match="this shield was not entered"):
        guard.__exit__(None, None, None)
    with guard:
        assert "active" in repr(guard)
        with pytest.raises(RuntimeError, match="each block needs its own"):
            guard.__enter__()
        other = spawn(guard.__exit__, None, None, None)
        with pytest.raises(RuntimeError, match="by the tasklet that entered it"):
            other.result()
    with guard:  # again
        pass
    with pytest.raises(TypeError, match="cannot pickle a shield"):
        pickle.dumps(guard)
    with pytest.raises(ValueError, match="NaN"):
        shield(float("nan"))
    with pytest.raises(TypeError):
        shield("long")
    with pytest.raises(TypeError):
        shield()
    shield(float("inf"))
    shield(1e300)


def test_a_shield_ends_with_its_tasklet():
    guards = []

    def work():
        guards.append(shield(None))
        guards[0].__enter__()

    t = spawn(work)
    t.join()
    assert guards[0].__exit__(None, None, None) is False
    t = tasklet(schedule_remove)(None)
    schedule()
    t.kill()
    assert not t.alive


def test_the_end_of_a_thread_goes_through_shields(log):
    def other():
        def work():
            with shield(None):
                try:
                    schedule_remove(None)
                finally:
                    log.append("left")

        spawn(work)
        run()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert log == ["left"]


def test_what_nobody_can_reach_is_ended_in_spite_of_its_shield(log):
    def work():
        with shield(None):
            try:
                schedule_remove(None)
            finally:
                log.append("left")

    t = tasklet(work)()
    schedule()
    del t
    gc.collect()
    settle()
    assert log == ["left"]


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


# ---- values


@pytest.mark.parametrize("make", [channel, QueueChannel])
@pytest.mark.parametrize("how", ["kill", "kill_pending", "throw"])
def test_the_value_of_a_killed_receiver_goes_to_the_next(make, how):
    ch = make()
    ch.preference = 0
    first, second = spawn(ch.receive), spawn(ch.receive)
    schedule()
    ch.send("value")
    stop(first, how)
    assert second.result() == "value"
    assert ch.balance == 0


@pytest.mark.parametrize("schedule_all", [False, True])
@pytest.mark.parametrize("how", ["kill", "kill_pending", "throw"])
def test_the_value_of_a_receiver_that_lets_its_sender_run_comes_back(how, schedule_all):
    ch = channel()
    ch.preference = 1
    ch.schedule_all = schedule_all
    sender = spawn(ch.send, "value")
    schedule()
    receiver = spawn(ch.receive)
    schedule()
    stop(receiver, how)
    assert sender.join()
    assert ch.balance == 1
    assert ch.receive() == "value"


def test_a_value_that_comes_with_a_signal_is_not_lost():
    """Main waits for the other thread, which does not let it run in between."""
    status, output, errors = run_program(
        """
        import signal, sys, threading, time
        from tasklets import channel
        def other():
            while ch.balance == 0: time.sleep(.001)
            time.sleep(.01)
            ch.send("value")
            signal.raise_signal(signal.SIGINT)
        sys.setswitchinterval(10)
        for _ in range(5):
            ch = channel()
            thread = threading.Thread(target=other)
            thread.start()
            got = []
            try:
                got.append(ch.receive())
                # The signal is the other thread's: it ends no sleep of this one.
                for _ in range(2000): time.sleep(.01)
            except KeyboardInterrupt: pass
            thread.join()
            print(got or ch.try_receive("lost"))
        """
    )
    assert errors == []
    assert status == 0
    assert "lost" not in output
    assert output.count("value") == 5


def stop(t, how):
    with contextlib.suppress(Boom):
        if how == "kill":
            t.kill()
        elif how == "kill_pending":
            t.kill(pending=True)
        else:
            t.throw(Boom)
        t.join()


@pytest.mark.parametrize("make", [channel, QueueChannel])
@pytest.mark.parametrize("how", ["kill", "kill_pending", "throw"])
def test_the_value_of_a_killed_receiver_waits_for_the_next(make, how):
    ch = make()
    ch.preference = 0
    receivers = [spawn(ch.receive) for _ in range(2)]
    schedule()
    for value in (1, 2):
        ch.send(value)
    if how == "kill_pending":
        for t in receivers[::-1]:
            t.kill(pending=True)
    for t in receivers[::-1]:
        stop(t, how)
    assert ch.balance == 2
    senders = [spawn(ch.send, value) for value in (3, 4)]
    schedule()
    assert [ch.receive() for _ in range(4)] == [1, 2, 3, 4]
    assert ch.balance == 0
    assert all(t.join() for t in senders)


def test_a_value_that_came_back_can_be_tried_for_selected_and_iterated():
    def give_back(value):
        t = spawn(ch.receive)
        schedule()
        ch.send(value)
        t.kill(pending=True)
        t.join()

    ch = channel()
    ch.preference = 0
    give_back(None)
    assert ch.try_receive("nothing") is None
    assert ch.try_receive("nothing") == "nothing"
    give_back("selected")
    assert select(recv(ch))[1] == "selected"
    give_back("iterated")
    ch.close()
    assert not ch.closed
    assert list(ch) == ["iterated"]
    assert ch.closed


def test_a_plain_channel_with_a_value_that_came_back_stores_no_others():
    ch = channel()
    ch.preference = 0
    t = spawn(ch.receive)
    schedule()
    ch.send(1)
    t.kill(pending=True)
    t.join()
    assert ch.balance == 1
    assert not ch.try_send(2)
    with pytest.raises(TimeoutError):
        ch.send(2, timeout=0)
    assert ch.receive() == 1


def test_a_select_that_is_killed_gives_its_value_back():
    ch, other = channel(), channel()
    for made in (ch, other):
        made.preference = 0
    t = spawn(select, recv(ch), recv(other))
    schedule()
    ch.send("value")
    t.kill(pending=True)
    t.join()
    assert (ch.balance, other.balance) == (1, 0)
    assert ch.receive() == "value"


def test_a_select_that_waits_gets_a_value_that_comes_back():
    ch = channel()
    ch.preference = 0
    first = spawn(ch.receive)
    schedule()
    ch.send("value")
    second = spawn(select, recv(ch))
    schedule_once_without(first)
    first.kill(pending=True)
    assert second.result()[1] == "value"


def schedule_once_without(t):
    """Let all others have a turn."""
    t.remove()
    schedule()
    t.insert()


def test_an_exception_that_was_sent_to_a_killed_receiver_is_not_lost():
    ch = channel()
    ch.preference = 0
    t = spawn(ch.receive)
    schedule()
    ch.send_exception(Boom, "sent")
    t.kill(pending=True)
    t.join()
    with pytest.raises(Boom, match="sent"):
        ch.receive()


def test_a_value_comes_back_from_another_thread():
    ch = channel()
    ready, go_on = threading.Event(), threading.Event()

    def other():
        t = spawn(ch.receive)
        schedule()
        ready.set()
        go_on.wait()
        t.kill(pending=True)
        t.join()

    thread = threading.Thread(target=other)
    thread.start()
    ready.wait()
    ch.send("value")
    go_on.set()
    thread.join()
    assert ch.receive() == "value"


def test_what_a_receiver_got_before_does_not_come_back():
    ch = channel()
    ch.preference = 0

    def work():
        assert ch.receive() == "value"
        schedule("mine")
        with contextlib.suppress(Boom):
            ch.receive()
        schedule("mine")

    for error in (None, Boom):
        t = spawn(work)
        schedule()
        ch.send("value")
        schedule()
        if error is not None:
            schedule()
            ch.send_exception(error)
            schedule()
        t.kill(pending=True)
        t.join()
        assert ch.balance == 0


def test_in_stackless_the_value_is_lost():
    from stacklesslib_compat import stackless

    ch = stackless.channel()
    ch.preference = 0
    t = stackless.tasklet(ch.receive)()
    stackless.schedule()
    ch.send("value")
    t.kill(pending=True)
    stackless.schedule()
    assert ch.balance == 0


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


# ---- traps


@block_trap()
def may_not_block():
    channel().receive()


def test_traps_are_decorators_and_each_block_has_its_own():
    for _ in range(2):
        with pytest.raises(BlockTrapError):
            may_not_block()
    assert not getcurrent().block_trap
    for trap in (block_trap(), no_switch()):
        with pytest.raises(RuntimeError, match="not entered"):
            trap.__exit__(None, None, None)
        with trap, pytest.raises(RuntimeError, match="entered already"):
            trap.__enter__()
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(trap)
    assert switch_trap() == 0
    with pytest.raises(TypeError):
        no_switch(1)


def test_no_switch_is_left_on_its_own_thread():
    caught = []

    def leave():
        try:
            trap.__exit__(None, None, None)
        except RuntimeError as error:
            caught.append(str(error))

    with no_switch() as _, no_switch():
        pass
    trap = no_switch()
    with trap:
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    assert caught == ["this block can only be left on the thread that entered it"]
    assert switch_trap() == 0


def test_of_two_blocks_that_are_over_before_the_tasklet_runs_the_outer_one_ends(log):
    _core.fake_clock(1)
    try:
        with pytest.raises(TimeoutError), timeout(2) as outer:
            try:
                with timeout(1) as inner:
                    spawn(_core.fake_clock, 4)  # both are over when it runs again
                    sleep(LATE)
            except TimeoutError:
                log.append("the inner one's")
    finally:
        _core.fake_clock(None)
    assert (outer.expired, inner.expired) == (True, False)
    assert log == []


def wait_in_a_handler(*unhandled):
    """Wait in an except* clause, beside errors that no clause handles."""
    try:
        raise ExceptionGroup("several", [OSError(), *unhandled])
    except* OSError:
        sleep(LATE)


def test_a_wait_in_a_handler_of_a_group_of_errors_is_interrupted_as_any():
    with pytest.raises(TimeoutError), timeout(0.01):
        wait_in_a_handler()
    task = spawn(wait_in_a_handler)
    schedule()
    task.kill()
    assert task.cancelled()
    with TaskGroup() as group:
        spawn(group.cancel)
        wait_in_a_handler()


def test_errors_that_no_handler_takes_leave_a_block_together_with_its_interruption():
    """The interpreter makes one group of them, which is no longer the block's own."""
    with pytest.raises(BaseExceptionGroup) as caught, timeout(0.01):
        wait_in_a_handler(KeyError())
    interruption, rest = caught.value.exceptions
    assert isinstance(interruption, TimeoutExit)
    assert isinstance(rest.exceptions[0], KeyError)
    task = spawn(wait_in_a_handler, KeyError())
    schedule()
    with pytest.raises(BaseExceptionGroup):
        task.kill()
    assert not task.alive


def test_a_new_tempval_does_not_undo_the_interruption_of_a_block(log):
    groups = []

    def work():
        with TaskGroup() as group:
            groups.append(group)
            log.append(channel().receive())
            schedule()
            log.append("not interrupted")

    worker = spawn(work)
    schedule()
    groups[0].cancel()
    worker.tempval = "other"
    run()
    assert worker.done()
    assert log == ["other"]
