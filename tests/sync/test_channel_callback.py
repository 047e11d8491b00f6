"""The channel callback."""

import pytest

import tasklets
from tasklets import (
    BlockTrapError,
    ChannelClosed,
    DeadlockError,
    channel,
    getcurrent,
    run,
    schedule,
    tasklet,
)


@pytest.fixture
def callback(log):
    """Note every channel operation: who, sending, will block, tempval."""

    def note(ch, t, sending, willblock):
        log.append((t.is_main, sending, willblock, t.tempval))

    tasklets.set_channel_callback(note)
    return note


def test_the_channel_callback_is_told_of_each_operation(callback, log):
    ch = channel()
    tasklet(ch.receive)()
    run()
    ch.send("value")
    assert log == [(False, 0, 1, None), (True, 1, 0, "value")]


def test_the_channel_callback_gets_plain_ints(log):
    tasklets.set_channel_callback(lambda *args: log.extend(map(type, args[2:])))
    ch = channel()
    ch.try_receive()
    assert log == [int, int]


def test_the_channel_callback_is_called_before_anything_moves(log):
    ch = channel()

    def look(ch, t, sending, willblock):
        log.append((ch.balance, t.blocked, getcurrent() is t))

    t = tasklet(ch.receive)()
    tasklets.set_channel_callback(look)
    run()
    ch.send(1)
    assert log == [(0, False, True), (-1, False, True)]
    assert not t.alive


def test_the_channel_callback_is_called_before_the_block_trap(callback, log):
    with tasklets.block_trap(), pytest.raises(BlockTrapError):
        channel().receive()
    assert log == [(True, 0, 1, None)]


def test_the_channel_callback_is_called_before_the_closed_check(callback, log):
    ch = channel()
    ch.close()
    with pytest.raises(ChannelClosed):
        ch.send("value")
    assert log == [(True, 1, 1, "value")]


def test_the_channel_callback_may_not_use_channels():
    ch, other, errors = channel(), channel(), []

    def misuse(*args):
        for operation in (other.receive, lambda: other.send(1), other.try_receive):
            with pytest.raises(
                RuntimeError, match="^Recursive channel call due to callbacks!$"
            ):
                operation()
            errors.append(operation)

    tasklets.set_channel_callback(misuse)
    tasklet(ch.send)(1)
    assert ch.receive() == 1
    assert len(errors) == 6
    tasklets.set_channel_callback(None)
    run()


@pytest.mark.parametrize(
    "move", [schedule, tasklets.schedule_remove, run, lambda: getcurrent().next.run()]
)
def test_the_channel_callback_may_not_switch(move):
    ch, errors = channel(), []
    tasklet(ch.send)(1)

    def misuse(*args):
        if getcurrent().next is not getcurrent():
            with pytest.raises(RuntimeError, match="callback"):
                move()
            errors.append(1)

    tasklets.set_channel_callback(misuse)
    assert ch.receive() == 1
    assert errors
    tasklets.set_channel_callback(None)
    run()


def test_an_error_of_the_channel_callback_leaves_the_operation():
    ch = channel()
    tasklet(ch.send)(1)
    run()

    def fail(*args):
        raise KeyError("callback")

    tasklets.set_channel_callback(fail)
    with pytest.raises(KeyError, match="callback"):
        ch.receive()
    assert ch.balance == 1
    tasklets.set_channel_callback(None)
    assert ch.receive() == 1
    run()


def test_the_channel_callback_may_remove_itself(log):
    def once(*args):
        log.append(1)
        tasklets.set_channel_callback(None)

    ch = channel()
    tasklets.set_channel_callback(once)
    tasklet(ch.send)(1)
    ch.receive()
    assert log == [1]
    run()


def test_the_channel_callback_may_close_the_channel():
    ch = channel()
    tasklets.set_channel_callback(lambda ch, *args: ch.close())
    with pytest.raises(ChannelClosed):
        ch.receive()


def test_the_channel_callback_may_kill_the_waiting_partner():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    tasklets.set_channel_callback(lambda *args: t.kill(pending=True))
    with pytest.raises(DeadlockError):
        ch.send(1)
    tasklets.set_channel_callback(None)
    run()
    assert not t.alive


def test_set_channel_callback_returns_the_previous_one():
    assert tasklets.set_channel_callback(print) is None
    assert tasklets.get_channel_callback() is print
    assert tasklets.set_channel_callback(None) is print
    assert tasklets.get_channel_callback() is None


@pytest.mark.parametrize("value", [1, "print"])
def test_the_channel_callback_must_be_callable(value):
    with pytest.raises(TypeError, match="^channel callback must be callable$"):
        tasklets.set_channel_callback(value)


def test_the_value_of_an_operation_survives_the_channel_callback():
    ch = channel()
    tasklets.set_channel_callback(lambda *args: None)
    tasklet(ch.send)("value")
    assert ch.receive() == "value"
    run()
