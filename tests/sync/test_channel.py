"""Channels: handing over, who runs then, closing, iteration, callbacks."""

import gc
import pickle
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


class Pair:
    """A receiver, a sender and a third tasklet, which note their steps."""

    def __init__(self, log, preference=-1, schedule_all=0):
        self.log = log
        self.channel = channel()
        self.channel.preference = preference
        self.channel.schedule_all = schedule_all

    def receive(self):
        self.log.append("r1")
        self.channel.receive()
        self.log.append("r2")

    def send(self):
        self.log.append("s1")
        self.channel.send(None)
        self.log.append("s2")

    def third(self):
        self.log.append("z")

    def start(self, *names):
        for name in names:
            tasklet(getattr(self, name))()
        run()
        return " ".join(self.log)


# A new channel.


def test_a_new_channel_is_open_and_empty():
    ch = channel()
    assert (ch.balance, ch.queue, ch.closing, ch.closed) == (0, None, False, False)


def test_a_new_channel_prefers_the_receiver():
    ch = channel()
    assert (ch.preference, ch.schedule_all) == (-1, 0)


@pytest.mark.parametrize("arguments", [{"maxsize": 5}, {"b": 2, "name": "x"}])
def test_a_channel_takes_no_argument_but_a_name(arguments):
    with pytest.raises(
        TypeError, match=r"it stores nothing, a QueueChannel\(maxsize\)"
    ):
        channel(5)
    with pytest.raises(TypeError, match=r"^channel\(\) takes no argument but name="):
        channel(**arguments)


def test_the_base_type_has_no_dict():
    with pytest.raises(AttributeError):
        channel().note = 1


def test_a_subclass_may_have_attributes_and_an_init():
    class Mine(channel):
        def __init__(self, note):
            self.note = note

    assert Mine("note").note == "note"


def test_a_subclass_may_have_a_new_with_arguments():
    class Mine(channel):
        def __new__(cls, note):
            self = super().__new__(cls)
            self.note = note
            return self

    assert Mine("note").note == "note"


def test_a_subclass_without_an_init_takes_no_argument_but_a_name():
    class Mine(channel):
        pass

    assert Mine(name="jobs").name == "jobs"
    with pytest.raises(TypeError, match="takes no argument but name="):
        Mine(5)


def test_an_init_of_a_subclass_passes_on_the_name_only():
    class Mine(channel):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    assert Mine(name="jobs").name == "jobs"
    with pytest.raises(TypeError, match="takes no argument but name="):
        Mine(5)


@pytest.mark.parametrize("cls", [channel, tasklets.QueueChannel])
def test_a_channel_may_have_a_name(cls):
    ch = cls(name="jobs")
    assert ch.name == "jobs"
    assert repr(ch).startswith(f"<tasklets.{cls.__name__} 'jobs' ")
    ch.name = "it's"
    assert f'{cls.__name__} "it\'s" ' in repr(ch)
    ch.name = None
    assert ch.name is None
    assert cls().name is None
    assert cls(name=None).name is None


@pytest.mark.parametrize("cls", [channel, tasklets.QueueChannel])
@pytest.mark.parametrize("name", [5, b"x", ["x"]])
def test_a_name_of_a_channel_is_a_str(cls, name):
    kind = type(name).__name__
    with pytest.raises(TypeError, match=f"a str or None, not {kind}$"):
        cls(name=name)
    ch = cls(name="before")
    with pytest.raises(TypeError, match=f"a str or None, not {kind}$"):
        ch.name = name
    with pytest.raises(TypeError, match="a str or None, not deleted$"):
        del ch.name
    assert ch.name == "before"


def test_a_name_runs_no_code_of_its_class():
    class Loud(str):
        def __repr__(self):
            raise AssertionError("called")

    ch = channel(name=Loud("jobs"))
    assert type(ch.name) is str
    assert "'jobs'" in repr(ch)


def test_the_repr_of_a_subclass_has_its_module_and_name():
    class Mine(channel):
        pass

    whole = f"{__name__}.{Mine.__qualname__}"
    assert repr(Mine(name="x")).startswith(f"<{whole} 'x' balance=0 at 0x")


def test_a_channel_has_weak_references():
    ch = channel()
    ref = weakref.ref(ch)
    assert ref() is ch
    del ch
    assert ref() is None


def test_a_channel_cannot_be_pickled():
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(channel())


def test_the_repr_tells_the_balance_and_whether_it_is_closed():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    assert "balance=-1" in repr(ch)
    ch.close()
    assert "closing" in repr(ch)
    t.kill()
    assert "closed" in repr(ch)


# Handing over.


def test_a_sender_meets_a_waiting_receiver(log):
    ch = channel()
    tasklet(lambda: log.append(ch.receive()))()
    run()
    ch.send("value")
    assert log == ["value"]


def test_a_receiver_meets_a_waiting_sender():
    ch = channel()
    tasklet(ch.send)("value")
    run()
    assert ch.receive() == "value"
    run()


def test_send_waits_until_somebody_receives(log):
    ch = channel()

    def work():
        ch.send(1)
        log.append("sent")

    t = tasklet(work)()
    run()
    assert (log, t.blocked, ch.balance) == ([], True, 1)
    ch.receive()
    run()
    assert log == ["sent"]


def test_send_and_receive_return_what_the_other_side_had(log):
    ch = channel()
    tasklet(lambda: log.append(ch.send("value")))()
    run()
    assert ch.receive() == "value"
    run()
    assert log == [None]


def test_send_returns_the_tempval_of_the_receiver():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    t.tempval = "for the sender"
    assert ch.send(1) == "for the sender"


def test_a_sender_that_meets_the_tempval_of_a_receiver_may_get_an_error():
    ch = channel()
    t = tasklet(ch.receive)()
    run()
    t.tempval = tasklets.bomb(KeyError, KeyError(1))
    with pytest.raises(KeyError):
        ch.send(1)


def test_receivers_are_served_in_turn(log):
    ch = channel()
    for name in "abc":
        tasklet(lambda name=name: log.append((name, ch.receive())))()
    run()
    ch.send_sequence([1, 2, 3])
    assert log == [("a", 1), ("b", 2), ("c", 3)]


def test_senders_are_served_in_turn():
    ch = channel()
    for value in "abc":
        tasklet(ch.send)(value)
    run()
    assert [ch.receive() for _ in range(3)] == ["a", "b", "c"]
    run()


def test_any_object_is_the_object_that_arrives():
    thing = object()
    ch = channel()
    for value in (thing, None, ch, getcurrent(), ValueError, ValueError()):
        tasklet(ch.send)(value)
        run()
        assert ch.receive() is value
        run()


def test_a_value_is_let_go_once_delivered():
    class Thing:
        pass

    thing = Thing()
    ref = weakref.ref(thing)
    ch = channel()
    tasklet(ch.send)(thing)
    run()
    del thing
    ch.receive()
    run()
    assert ref() is None


def test_main_may_block_while_others_work(log):
    ch = channel()
    tasklet(lambda: (log.append("work"), ch.send("value")))()
    assert ch.receive() == "value"
    assert log == ["work"]
    run()


def test_a_tasklet_may_send_to_its_parent_and_end():
    ch = channel()
    tasklet(ch.send)(1)
    assert ch.receive() == 1
    run()


def test_a_channel_can_be_sent_through_itself():
    ch = channel()
    tasklet(ch.send)(ch)
    assert ch.receive() is ch
    run()


def test_a_dropped_channel_kills_who_waits_on_it(log):
    class Holder:
        ch = channel()

    def work():
        receive = Holder.ch.receive
        Holder.ch = None
        try:
            receive()
        finally:
            log.append("finally")

    t = tasklet(work)()
    schedule()
    assert t.blocked
    t.kill()
    assert log == ["finally"]


# Balance and queue.


def test_the_balance_counts_senders_up_and_receivers_down():
    ch = channel()
    waiting = [tasklet(ch.send)(i) for i in range(3)]
    run()
    assert ch.balance == 3
    for t in waiting:
        t.kill()
    assert ch.balance == 0
    waiting = [tasklet(ch.receive)() for _ in range(3)]
    run()
    assert ch.balance == -3
    ch.send_sequence(range(3))


def test_the_queue_is_the_one_that_waits_longest():
    ch = channel()
    waiting = [tasklet(ch.receive)() for _ in range(3)]
    run()
    for t in waiting:
        assert ch.queue is t
        t.kill()
    assert ch.queue is None


def test_one_may_leave_in_the_middle_of_the_queue(log):
    ch = channel()
    a, b, c = (tasklet(lambda n=n: log.append((n, ch.receive())))() for n in "abc")
    run()
    b.kill()
    assert (a.next, c.prev, ch.balance) == (c, a, -2)
    ch.send_sequence([1, 2])
    assert log == [("a", 1), ("c", 2)]


@pytest.mark.parametrize("name", ["balance", "queue", "closing", "closed"])
def test_what_a_channel_tells_cannot_be_set(name):
    with pytest.raises(AttributeError):
        setattr(channel(), name, 0)


# Who runs after a meeting.


@pytest.mark.parametrize(
    ("preference", "order"),
    [(-1, "r1 s1 r2 z s2"), (0, "r1 s1 s2 z r2"), (1, "r1 s1 s2 z r2")],
)
def test_who_runs_when_the_receiver_was_first(log, preference, order):
    pair = Pair(log, preference)
    assert pair.start("receive", "send", "third") == order


@pytest.mark.parametrize(
    ("preference", "order"),
    [(-1, "s1 r1 r2 z s2"), (0, "s1 r1 r2 z s2"), (1, "s1 r1 s2 z r2")],
)
def test_who_runs_when_the_sender_was_first(log, preference, order):
    pair = Pair(log, preference)
    assert pair.start("send", "receive", "third") == order


@pytest.mark.parametrize("preference", [-1, 0, 1])
def test_schedule_all_lets_the_others_run_when_the_receiver_was_first(log, preference):
    pair = Pair(log, preference, schedule_all=1)
    assert pair.start("receive", "send", "third") == "r1 s1 z r2 s2"


@pytest.mark.parametrize("preference", [-1, 0, 1])
def test_schedule_all_lets_the_others_run_when_the_sender_was_first(log, preference):
    pair = Pair(log, preference, schedule_all=1)
    assert pair.start("send", "receive", "third") == "s1 r1 z s2 r2"


def test_schedule_all_enters_the_partner_if_nobody_else_can_run(log):
    ch = channel()
    ch.schedule_all = 1
    tasklet(lambda: log.append(ch.receive()))()
    run()
    ch.send(1)
    assert log == [1]


def test_a_preferred_sender_never_gives_way(log):
    ch = channel()
    ch.preference = 1
    for name in "abc":
        tasklet(lambda name=name: (log.append(name), ch.receive(), log.append(name)))()
    run()
    while ch.balance:
        ch.send(None)
    log.append("M")
    run()
    assert "".join(log) == "abcMabc"


@pytest.mark.parametrize(
    ("value", "sign"),
    [(5, 1), (-7, -1), (0, 0), (True, 1), (10**30, 1), (-(10**30), -1)],
)
def test_the_preference_is_a_sign(value, sign):
    ch = channel()
    ch.preference = value
    assert ch.preference == sign


@pytest.mark.parametrize("value", [None, 1.0, "1"])
def test_the_preference_must_be_an_int(value):
    with pytest.raises(TypeError, match="^preference must be set to an integer$"):
        channel().preference = value


@pytest.mark.parametrize(("value", "seen"), [(True, 1), (0, 0), (-3, 1), (10**30, 1)])
def test_schedule_all_is_0_or_1(value, seen):
    ch = channel()
    ch.schedule_all = value
    assert ch.schedule_all == seen


@pytest.mark.parametrize("value", [None, 1.0, "1"])
def test_schedule_all_must_be_an_int(value):
    with pytest.raises(
        TypeError, match="^preference must be set to a bool or integer$"
    ):
        channel().schedule_all = value


@pytest.mark.parametrize("name", ["preference", "schedule_all"])
def test_a_setting_cannot_be_deleted(name):
    ch = channel()
    with pytest.raises(TypeError):
        delattr(ch, name)


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
def test_what_a_killed_sender_offered_is_raised_nowhere(send):
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


# Sequences and iteration.


def test_send_sequence_returns_the_count(log):
    ch = channel()
    tasklet(lambda: [log.append(ch.receive()) for _ in range(3)])()
    assert ch.send_sequence("abc") == 3
    assert log == ["a", "b", "c"]


def test_send_sequence_of_nothing_does_not_block():
    assert channel().send_sequence(()) == 0


def test_send_sequence_needs_something_to_iterate_over():
    with pytest.raises(TypeError, match="not iterable"):
        channel().send_sequence(1)


def test_an_error_of_the_sequence_leaves_send_sequence(log):
    def items():
        yield 1
        raise KeyError

    ch = channel()
    t = tasklet(lambda: log.extend(ch))()
    with pytest.raises(KeyError):
        ch.send_sequence(items())
    assert log == [] or log == [1]
    t.kill()


def test_a_killed_send_sequence_lets_go_of_its_iterator(log):
    def items():
        try:
            yield 1
        finally:
            log.append("closed")

    ch = channel()
    t = tasklet(ch.send_sequence)(items())
    run()
    t.kill()
    assert log == ["closed"]


def test_a_channel_is_its_own_iterator():
    ch = channel()
    assert iter(ch) is ch


def test_iteration_receives_until_the_channel_is_closed():
    ch = channel()
    tasklet(lambda: (ch.send_sequence(range(3)), ch.close()))()
    values = []
    for value in ch:
        values.append(value)
        if value == 2:
            run()
    assert values == [0, 1, 2]


def test_iteration_over_a_closed_channel_takes_what_waits():
    ch = channel()
    for i in range(3):
        tasklet(ch.send)(i)
    run()
    ch.close()
    assert list(ch) == [0, 1, 2]
    run()


def test_next_on_a_closed_channel_is_the_end():
    ch = channel()
    ch.close()
    assert next(ch, "end") == "end"


def test_a_deadlock_in_an_iteration_is_not_its_end():
    with pytest.raises(DeadlockError):
        next(channel())


# Without blocking.


def test_try_receive_takes_the_value_of_a_waiting_sender():
    ch = channel()
    tasklet(ch.send)("value")
    run()
    assert ch.try_receive() == "value"
    run()


def test_try_receive_without_a_sender_returns_the_default():
    assert channel().try_receive() is None
    assert channel().try_receive("default") == "default"


def test_try_send_delivers_to_a_waiting_receiver(log):
    ch = channel()
    tasklet(lambda: log.append(ch.receive()))()
    run()
    assert ch.try_send("value") is True
    run()
    assert log == ["value"]


def test_try_send_without_a_receiver_delivers_nothing():
    ch = channel()
    assert ch.try_send(1) is False
    assert ch.balance == 0


def test_a_try_works_with_a_block_trap():
    ch = channel()
    with tasklets.block_trap():
        assert ch.try_receive("default") == "default"
        assert ch.try_send(1) is False


def test_try_receive_raises_what_was_sent():
    ch = channel()
    tasklet(ch.send_exception)(KeyError)
    schedule()
    with pytest.raises(KeyError):
        ch.try_receive()
    run()


def test_a_try_on_a_closed_channel_raises():
    ch = channel()
    ch.close()
    with pytest.raises(ChannelClosed, match=CLOSED):
        ch.try_receive()
    with pytest.raises(ChannelClosed, match=CLOSED):
        ch.try_send(1)


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


def test_a_deadlock_error_lists_who_waits_for_what():
    ch = channel()
    t = tasklet(ch.receive)()
    t.name = "the waiter"
    run()
    with pytest.raises(DeadlockError, match="the waiter") as caught:
        ch.receive()
    assert "receive" in str(caught.value)
    t.kill()


def test_a_value_that_main_was_sending_survives_a_deadlock_of_others():
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


# The channel callback.


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


def test_set_channel_callback_returns_the_one_before():
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
