"""Interruptions: what blocks return and raise, and programs that went wrong once."""

import contextlib
import threading

import pytest
from children import run_program
from interrupted import Boom, stop

from tasklets import (
    QueueChannel,
    TaskGroup,
    TaskletExit,
    TimeoutExit,
    _core,
    channel,
    recv,
    schedule,
    select,
    shield,
    sleep,
    spawn,
    timeout,
)
from tasklets.testing import settle

LATE = 1000


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
