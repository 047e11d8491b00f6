"""Channels: exceptions sent through them, closing, traps and deadlocks."""

import gc
import sys
import traceback
import weakref

import pytest

import tasklets
from tasklets import (
    BlockTrapError,
    ChannelClosed,
    DeadlockError,
    SwitchTrapError,
    channel,
    getcurrent,
    run,
    schedule,
    schedule_remove,
    tasklet,
)

CLOSED = "^Send/receive operation on a closed channel"
BLOCKED = r"^this tasklet does not like to be blocked\."


# Errors through a channel.


def test_send_exception_raises_in_the_receiver(log):
    ch = channel()

    def work():
        try:
            ch.receive()
        except KeyError as error:
            log.append(error.args)

    tasklet(work)()
    run()
    assert ch.send_exception(KeyError, 1, "a") is None
    assert log == [(1, "a")]


def test_send_exception_waits_as_send_does():
    ch = channel()
    t = tasklet(ch.send_exception)(KeyError, 5)
    schedule()
    assert t.blocked
    with pytest.raises(KeyError, match="5"):
        ch.receive()
    run()


def send_class(ch):
    ch.send_exception(KeyError, 5)


def send_instance(ch):
    ch.send_throw(KeyError(5))


def send_bomb(ch):
    ch.send(tasklets.bomb(KeyError, KeyError(5)))


SENDS = [send_class, send_instance, send_bomb]


@pytest.mark.parametrize("send", SENDS)
def test_run_does_not_raise_what_a_waiting_sender_offers(send):
    ch = channel()
    t = tasklet(send)(ch)
    run()
    assert t.blocked
    with pytest.raises(KeyError, match="5"):
        ch.receive()
    run()
    assert not t.alive


@pytest.mark.parametrize("send", SENDS)
def test_a_nested_run_does_not_raise_what_a_waiting_sender_offers(send, log):
    def nested():
        tasklet(send)(ch)
        run()
        log.append("inner run() has returned")

    ch = channel()
    tasklet(nested)()
    run()
    assert log == ["inner run() has returned"]
    with pytest.raises(KeyError, match="5"):
        ch.receive()


@pytest.mark.parametrize("send", SENDS)
def test_a_paused_main_tasklet_does_not_get_what_a_waiting_sender_offers(send):
    ch = channel()
    tasklet(send)(ch)
    assert schedule_remove(None) is None
    with pytest.raises(KeyError, match="5"):
        ch.receive()


@pytest.mark.parametrize("send", SENDS)
def test_an_exception_offered_by_a_killed_sender_is_raised_nowhere(send):
    ch = channel()
    t = tasklet(send)(ch)
    run()
    t.kill()
    run()
    assert not t.alive
    assert ch.balance == 0


@pytest.mark.parametrize("send", SENDS)
def test_a_sender_that_is_killed_while_main_runs_others_raises_nothing_there(send):
    ch = channel()
    t = tasklet(send)(ch)
    tasklet(t.kill)(pending=True)
    run()
    assert not t.alive
    assert ch.balance == 0


def test_run_raises_the_bomb_that_its_last_tasklet_pauses_with():
    t = tasklet(schedule_remove)(tasklets.bomb(KeyError, KeyError(5)))
    with pytest.raises(KeyError, match="5"):
        run()
    assert t.paused
    with pytest.raises(KeyError, match="5"):
        t.run()


def test_send_exception_returns_none_whatever_the_receiver_had():
    ch = channel()
    t = tasklet(lambda: pytest.raises(KeyError, ch.receive))()
    run()
    t.tempval = "something"
    assert ch.send_exception(KeyError) is None


def test_send_exception_makes_the_instance_on_the_side_of_the_receiver(log):
    class Mine(Exception):
        def __init__(self):
            log.append(getcurrent() is t)

    ch = channel()
    t = tasklet(lambda: pytest.raises(Mine, ch.receive))()
    run()
    ch.send_exception(Mine)
    assert log == [True]


def test_send_exception_needs_an_argument():
    with pytest.raises(
        TypeError, match=r"^send_exception\(\) takes at least 1 argument$"
    ):
        channel().send_exception()


@pytest.mark.parametrize("cls", [1, int, None, "ValueError"])
def test_send_exception_needs_an_exception_class(cls):
    with pytest.raises(
        TypeError,
        match="^channel.send_exception needs Exception or string subclass "
        "as first parameter$",
    ):
        channel().send_exception(cls)


def test_send_exception_takes_a_class_not_an_instance():
    with pytest.raises(TypeError, match="as first parameter"):
        channel().send_exception(ValueError())


def test_send_throw_delivers_the_very_instance():
    ch = channel()
    error = ValueError("x")
    tasklet(ch.send_throw)(error)
    with pytest.raises(ValueError, match="x") as caught:
        ch.receive()
    assert caught.value is error
    run()


def test_send_throw_keeps_the_traceback():
    def origin():
        raise ValueError

    def work(ch):
        try:
            origin()
        except ValueError:
            ch.send_throw(*sys.exc_info())

    ch = channel()
    tasklet(work)(ch)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any
        ch.receive()
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert [f.name for f in frames][-2:] == ["work", "origin"]
    run()


@pytest.mark.parametrize(
    ("args", "seen"),
    [((ValueError,), ()), ((ValueError, 1), (1,)), ((ValueError, (1, 2)), (1, 2))],
)
def test_send_throw_takes_a_class_and_its_arguments(args, seen):
    ch = channel()
    tasklet(ch.send_throw)(*args)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any
        ch.receive()
    assert caught.value.args == seen
    run()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "exc"),
        ((1,), "^exceptions must be classes, or instances, not int$"),
        ((ValueError(), 1), "^instance exception may not have a separate value$"),
        ((ValueError, 1, 2), "^third argument must be a traceback object$"),
        ((ValueError, 1, None, 4), "send_throw"),
    ],
)
def test_send_throw_of_something_else_is_refused(args, message):
    ch = channel()
    with pytest.raises(TypeError, match=message):
        ch.send_throw(*args)
    assert ch.balance == 0


def test_a_sent_bomb_is_raised():
    ch = channel()
    tasklet(ch.send)(tasklets.bomb(KeyError, KeyError("x")))
    with pytest.raises(KeyError, match="x"):
        ch.receive()
    run()


def test_the_end_of_an_iteration_can_be_sent(log):
    ch = channel()
    tasklet(lambda: log.extend(ch))()
    run()
    ch.send(1)
    ch.send_exception(StopIteration)
    assert log == [1]


# Closing.


def test_a_closed_channel_forbids_to_block():
    ch = channel()
    ch.close()
    with pytest.raises(ChannelClosed, match=CLOSED):
        ch.receive()
    with pytest.raises(ChannelClosed, match=CLOSED):
        ch.send(1)


def test_channel_closed_is_a_value_error():
    assert issubclass(ChannelClosed, ValueError)


def test_close_wakes_nobody():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    ch.close()
    run()
    assert t.blocked
    t.kill()


def test_a_closing_channel_is_closed_once_empty():
    ch = channel()
    tasklet(ch.send)(1)
    run()
    ch.close()
    assert (ch.closing, ch.closed) == (True, False)
    assert ch.receive() == 1
    assert (ch.closing, ch.closed) == (True, True)
    run()


def test_a_closing_channel_still_serves_a_waiting_receiver(log):
    ch = channel()
    tasklet(lambda: log.append(ch.receive()))()
    run()
    ch.close()
    ch.send(1)
    assert log == [1]


def test_open_undoes_close():
    ch = channel()
    ch.close()
    ch.open()
    assert not ch.closing
    tasklet(ch.send)(1)
    assert ch.receive() == 1
    run()


def test_close_and_open_return_none_and_may_be_repeated():
    ch = channel()
    assert [ch.close(), ch.close(), ch.open(), ch.open()] == [None] * 4


def test_the_block_trap_is_looked_at_before_closing():
    ch = channel()
    ch.close()
    with tasklets.block_trap(), pytest.raises(BlockTrapError, match=BLOCKED):
        ch.receive()


def test_a_waking_close_raises_in_waiting_receivers(log):
    ch = channel()

    def work():
        with pytest.raises(ChannelClosed, match=CLOSED):
            ch.receive()
        log.append("woken")

    tasklet(work)()
    tasklet(work)()
    run()
    ch.close(wake=True)
    assert (log, ch.balance) == ([], 0)
    run()
    assert log == ["woken", "woken"]


def test_a_waking_close_ends_a_waiting_iteration(log):
    ch = channel()
    tasklet(lambda: (log.extend(ch), log.append("end")))()
    run()
    ch.close(wake=True)
    run()
    assert log == ["end"]


def test_a_waking_close_leaves_waiting_senders():
    ch = channel()
    tasklet(ch.send)(1)
    run()
    ch.close(wake=True)
    assert ch.receive() == 1
    run()


def test_the_errors_of_a_waking_close_are_not_shared(log):
    ch = channel()

    def work():
        with pytest.raises(ChannelClosed) as caught:
            ch.receive()
        log.append(caught.value)

    tasklet(work)()
    tasklet(work)()
    run()
    ch.close(wake=True)
    run()
    assert log.pop() is not log.pop()


def test_a_close_with_a_false_wake_wakes_nobody():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    ch.close(wake=0)
    run()
    assert t.blocked
    t.kill()


@pytest.mark.parametrize("args", [(True,), (False,)])
def test_wake_is_keyword_only(args):
    with pytest.raises(TypeError):
        channel().close(*args)


# Traps and deadlocks.


def test_a_block_trap_forbids_to_block():
    ch = channel()
    with tasklets.block_trap():
        with pytest.raises(BlockTrapError, match=BLOCKED):
            ch.receive()
        with pytest.raises(BlockTrapError, match=BLOCKED):
            ch.send(1)
    assert ch.balance == 0


def test_a_block_trap_allows_to_meet():
    ch = channel()
    tasklet(ch.send)(1)
    run()
    with tasklets.block_trap():
        assert ch.receive() == 1
    run()


def test_the_block_trap_of_another_does_not_matter():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    t.block_trap = True
    ch.send(1)
    assert not t.alive


def test_block_trap_error_is_a_runtime_error():
    assert issubclass(BlockTrapError, RuntimeError)


def test_block_trap_nests_and_puts_back_what_was():
    here = getcurrent()
    with tasklets.block_trap():
        with tasklets.block_trap(False):
            assert not here.block_trap
        assert here.block_trap
    assert not here.block_trap


def test_a_switch_trap_forbids_to_block_and_undoes_all():
    ch = channel()
    t = tasklet(int)()
    with tasklets.no_switch():
        with pytest.raises(SwitchTrapError):
            ch.receive()
        with pytest.raises(SwitchTrapError):
            ch.send(1)
    assert (ch.balance, getcurrent().tempval) == (0, None)
    t.kill()


def test_a_switch_trap_leaves_the_partner_in_the_queue(log):
    ch = channel()
    t = tasklet(lambda: log.append(ch.receive()))()
    run()
    with tasklets.no_switch(), pytest.raises(SwitchTrapError):
        ch.send(1)
    assert (ch.queue is t, ch.balance) == (True, -1)
    ch.send(2)
    assert log == [2]


def test_a_switch_trap_allows_a_meeting_without_a_switch():
    ch = channel()
    tasklet(ch.send)(1)
    run()
    with tasklets.no_switch():
        assert ch.receive() == 1
    run()


def test_main_alone_cannot_block():
    with pytest.raises(
        DeadlockError, match=r"^Deadlock: the last runnable tasklet cannot be blocked\."
    ):
        channel().receive()


def test_a_deadlock_leaves_the_channel_and_the_queue_as_they_were():
    ch = channel()
    with pytest.raises(DeadlockError):
        ch.send(1)
    assert (ch.balance, ch.queue, tasklets.getruncount()) == (0, None, 1)
    assert getcurrent().tempval is None


def test_the_last_tasklet_gets_the_deadlock_while_main_waits(log):
    ch, other = channel(), channel()

    def work():
        with pytest.raises(DeadlockError, match="^Deadlock"):
            other.receive()
        log.append("caught")
        ch.send("value")

    tasklet(work)()
    assert ch.receive() == "value"
    assert log == ["caught"]
    run()


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            lambda ch: ch.receive(),
            r"the main tasklet is receiving without a sender available\.",
        ),
        (
            lambda ch: ch.send(1),
            r"the main tasklet is sending without a receiver available\.",
        ),
    ],
)
def test_main_is_told_when_the_last_tasklet_ends(operation, message):
    ch = channel()
    tasklet(int)()
    with pytest.raises(DeadlockError, match="^" + message):
        operation(ch)
    assert ch.balance == 0


def test_a_deadlock_error_is_a_runtime_error():
    assert issubclass(DeadlockError, RuntimeError)


def test_a_deadlock_error_lists_each_tasklet_and_its_wait():
    ch = channel()
    t = tasklet(ch.receive)()
    t.name = "the waiter"
    run()
    with pytest.raises(DeadlockError, match="the waiter") as caught:
        ch.receive()
    assert "receive" in str(caught.value)
    t.kill()


def test_a_value_that_main_was_sending_survives_a_deadlock_of_other_tasklets():
    ch, other = channel(), channel()

    def work():
        with pytest.raises(DeadlockError):
            other.receive()
        received.append(ch.receive())

    received = []
    tasklet(work)()
    ch.send("kept")
    run()
    assert received == ["kept"]


# Channels that go away.


def test_a_dropped_channel_wakes_its_waiters_with_their_death(log):
    class Owner(channel):
        pass

    ch = Owner()

    def work(ref):
        try:
            channel.receive(ref())
        finally:
            log.append("finally")

    t = tasklet(work)(weakref.ref(ch))
    run()
    del ch
    # From 3.14 on the call borrows its argument; before, it holds the channel.
    t.kill()
    assert log == ["finally"]


def test_a_channel_with_waiters_that_nobody_knows_is_collected_or_listed():
    def work():
        channel().receive()

    tasklet(work)()
    run()
    gc.collect()
    run()
    left = tasklets.scheduler.getuncollectables()
    for t in left:
        t.kill()
    assert sys.version_info < (3, 14) or left == []
