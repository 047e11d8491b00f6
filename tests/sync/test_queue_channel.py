"""QueueChannel: a channel that stores values."""

import gc
import weakref

import pytest

import tasklets
from tasklets import (
    BlockTrapError,
    ChannelClosed,
    DeadlockError,
    QueueChannel,
    channel,
    run,
    schedule,
    tasklet,
)


def filled(maxsize, *values):
    q = QueueChannel(maxsize)
    for value in values:
        q.send(value)
    return q


# Making one.


def test_a_queue_channel_is_a_channel():
    assert issubclass(QueueChannel, channel)


def test_a_new_queue_channel_is_empty_and_open():
    q = QueueChannel()
    assert (len(q), q.balance, q.queue, q.closed, q.maxsize) == (0, 0, None, False, 0)


@pytest.mark.parametrize("maxsize", [0, -1, 1, 10**6])
def test_the_size_can_be_given(maxsize):
    assert QueueChannel(maxsize).maxsize == maxsize
    assert QueueChannel(maxsize=maxsize).maxsize == maxsize


@pytest.mark.parametrize("maxsize", [None, "1", 1.0])
def test_the_size_must_be_an_int(maxsize):
    with pytest.raises(TypeError):
        QueueChannel(maxsize)


def test_a_size_that_is_too_large_is_refused():
    with pytest.raises(OverflowError):
        QueueChannel(2**70)


def test_the_size_cannot_be_set_later():
    with pytest.raises(AttributeError):
        QueueChannel().maxsize = 1


def test_a_queue_channel_in_use_cannot_be_initialized_again():
    q = filled(0, 1)
    with pytest.raises(RuntimeError, match="in use"):
        q.__init__(5)
    assert q.receive() == 1


def test_a_queue_channel_can_be_subclassed():
    class Mine(QueueChannel):
        def __init__(self, size, note):
            super().__init__(size)
            self.note = note

    q = Mine(1, "note")
    q.send(1)
    assert (q.receive(), q.note, q.maxsize) == (1, "note", 1)


def test_an_object_by_new_alone_has_no_limit():
    q = QueueChannel.__new__(QueueChannel)
    q.send(1)
    assert (q.receive(), q.maxsize) == (1, 0)


def test_the_repr_tells_the_number_of_items():
    assert "items=2" in repr(filled(0, "a", "b"))


# Storing.


def test_send_stores_without_a_receiver():
    q = QueueChannel()
    assert q.send("value") is None
    assert (len(q), q.balance, q.queue) == (1, 1, None)


def test_values_come_out_in_order():
    q = filled(0, *range(100))
    assert [q.receive() for _ in range(100)] == list(range(100))


def test_values_come_out_in_order_when_the_buffer_goes_round():
    q = QueueChannel(5)
    received = []
    for i in range(100):
        q.send(i)
        if i % 3:
            received.append(q.receive())
        if len(q) == 5:
            received.append(q.receive())
    received.extend(q.receive() for _ in range(len(q)))
    assert received == list(range(100))


@pytest.mark.parametrize("maxsize", [0, -5])
def test_no_limit_is_no_limit(maxsize):
    q = QueueChannel(maxsize)
    for i in range(1000):
        q.send(i)
    assert len(q) == 1000


def test_storing_does_not_switch(log):
    q = QueueChannel()
    tasklet(log.append)(1)
    q.send(1)
    q.receive()
    assert log == []
    run()


def test_send_blocks_when_it_is_full(log):
    q = filled(1, "first")

    def work():
        q.send("second")
        log.append("sent")

    t = tasklet(work)()
    run()
    assert (t.blocked, len(q), q.balance, q.queue) == (True, 1, 2, t)
    assert q.receive() == "first"
    assert (len(q), q.balance) == (1, 1)
    run()
    assert log == ["sent"]
    assert q.receive() == "second"


def test_the_values_of_blocked_senders_come_in_order(log):
    q = QueueChannel(2)
    for i in range(6):
        tasklet(q.send)(i)
    run()
    assert q.balance == 6
    assert [q.receive() for _ in range(6)] == list(range(6))
    run()


def test_a_changed_tempval_of_a_blocked_sender_is_what_arrives():
    q = filled(1, "first")
    t = tasklet(q.send)("old")
    run()
    t.tempval = "new"
    assert [q.receive(), q.receive()] == ["first", "new"]
    run()


def test_a_killed_sender_did_not_deliver():
    q = filled(1, "first")
    t = tasklet(q.send)("second")
    run()
    t.kill()
    assert (q.balance, q.receive()) == (1, "first")
    assert len(q) == 0


def test_receive_waits_when_it_is_empty(log):
    q = QueueChannel()
    t = tasklet(lambda: log.append(q.receive()))()
    run()
    assert (t.blocked, q.balance) == (True, -1)
    q.send("value")
    run()
    assert log == ["value"]
    assert len(q) == 0


def test_a_value_goes_to_a_waiting_receiver_not_into_the_buffer(log):
    q = QueueChannel()
    tasklet(lambda: log.append(q.receive()))()
    run()
    q.preference = 0
    q.send("value")
    assert (len(q), q.balance) == (0, 0)
    run()
    assert log == ["value"]


def test_main_can_wait_for_a_value():
    q = QueueChannel()
    tasklet(q.send)("value")
    assert q.receive() == "value"
    run()


def test_main_alone_cannot_wait():
    q = filled(1, "first")
    with pytest.raises(DeadlockError):
        q.send("second")
    assert q.receive() == "first"
    with pytest.raises(DeadlockError):
        q.receive()


def test_producer_and_consumer(log):
    q = QueueChannel(3)

    def producer():
        for i in range(10):
            q.send(i)
        q.close()

    def consumer():
        for value in q:
            log.append(value)
            schedule()

    tasklet(consumer)()
    tasklet(producer)()
    run()
    assert log == list(range(10))


def test_none_and_bombs_can_be_stored():
    q = filled(0, None)
    assert q.receive() is None
    q.send(tasklets.bomb(KeyError, "x"))
    with pytest.raises(KeyError, match="x"):
        q.receive()


def test_an_error_can_be_stored():
    q = QueueChannel()
    assert q.send_exception(KeyError, "x") is None
    q.send(1)
    with pytest.raises(KeyError, match="x"):
        q.receive()
    assert q.receive() == 1


def test_a_thrown_error_can_be_stored():
    q = QueueChannel()
    q.send_throw(KeyError("x"))
    with pytest.raises(KeyError, match="x"):
        q.receive()


def test_a_sequence_can_be_stored():
    q = QueueChannel()
    assert q.send_sequence("abc") == 3
    assert [q.receive() for _ in range(3)] == ["a", "b", "c"]


# Without blocking, and traps.


def test_try_send_stores_until_it_is_full():
    q = QueueChannel(2)
    assert [q.try_send(i) for i in range(3)] == [True, True, False]
    assert len(q) == 2


def test_try_receive_takes_what_is_stored():
    q = filled(0, "value")
    assert q.try_receive("nothing") == "value"
    assert q.try_receive("nothing") == "nothing"


def test_try_receive_lets_a_blocked_sender_go_on():
    q = filled(1, "first")
    t = tasklet(q.send)("second")
    run()
    assert q.try_receive() == "first"
    run()
    assert not t.alive
    assert q.try_receive() == "second"


def test_a_block_trap_allows_to_store():
    q = QueueChannel(1)
    with tasklets.block_trap():
        q.send(1)
        with pytest.raises(BlockTrapError):
            q.send(2)
        assert q.receive() == 1
        with pytest.raises(BlockTrapError):
            q.receive()


def test_a_switch_trap_allows_to_store():
    q = QueueChannel()
    with tasklets.no_switch():
        q.send(1)
        assert q.receive() == 1


# Closing.


def test_what_is_stored_at_close_is_still_received():
    q = filled(0, 1, 2)
    q.close()
    assert (q.closing, q.closed) == (True, False)
    assert [q.receive(), q.receive()] == [1, 2]
    assert q.closed
    with pytest.raises(ChannelClosed):
        q.receive()


def test_nothing_is_stored_after_close():
    q = QueueChannel()
    q.close()
    for send in (q.send, q.try_send):
        with pytest.raises(ChannelClosed):
            send(1)
    assert len(q) == 0


def test_iteration_over_a_closed_one_takes_what_is_stored():
    q = filled(0, 1, 2)
    q.close()
    assert list(q) == [1, 2]


def test_a_waking_close_ends_a_waiting_iteration(log):
    q = QueueChannel()
    tasklet(lambda: (log.extend(q), log.append("end")))()
    run()
    q.send(1)
    run()
    q.close(wake=True)
    run()
    assert log == [1, "end"]


def test_a_waking_close_raises_in_a_waiting_receiver(log):
    def work():
        with pytest.raises(ChannelClosed):
            q.receive()
        log.append("closed")

    q = QueueChannel()
    tasklet(work)()
    run()
    q.close(wake=True)
    run()
    assert log == ["closed"]


def test_senders_that_wait_at_close_are_still_received_from():
    q = filled(1, "first")
    t = tasklet(q.send)("second")
    run()
    q.close()
    assert list(q) == ["first", "second"]
    run()
    assert not t.alive


def test_open_allows_to_store_again():
    q = QueueChannel()
    q.close()
    q.open()
    q.send(1)
    assert q.receive() == 1


# Memory.


class Thing:
    pass


def test_a_received_value_is_released():
    q = filled(0, Thing())
    ref = weakref.ref(q.receive())
    assert ref() is None


def test_stored_values_die_with_the_channel():
    thing = Thing()
    ref = weakref.ref(thing)
    q = filled(0, thing)
    del thing
    assert ref() is not None
    del q
    assert ref() is None


def test_a_channel_that_stores_itself_is_collected():
    q = QueueChannel()
    q.send(q)
    ref = weakref.ref(q)
    del q
    gc.collect()
    assert ref() is None


# The channel callback.


def test_the_channel_callback_is_told_that_storing_does_not_block(log):
    q = QueueChannel(1)
    tasklets.set_channel_callback(lambda ch, t, *flags: log.append(flags))
    q.send(1)
    q.receive()
    with tasklets.block_trap():
        with pytest.raises(BlockTrapError):
            q.receive()
        q.send(2)
        with pytest.raises(BlockTrapError):
            q.send(3)
    assert log == [(1, 0), (0, 0), (0, 1), (1, 0), (1, 1)]
