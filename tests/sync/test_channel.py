"""Channels: handing over, who runs then, sequences and iteration."""

import pickle
import weakref

import pytest

import tasklets
from tasklets import (
    ChannelClosed,
    DeadlockError,
    channel,
    getcurrent,
    run,
    schedule,
    tasklet,
)

CLOSED = "^Send/receive operation on a closed channel"


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


def test_a_value_is_released_once_delivered():
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


def test_a_dropped_channel_kills_its_waiters(log):
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


def test_the_queue_is_the_tasklet_that_waits_longest():
    ch = channel()
    waiting = [tasklet(ch.receive)() for _ in range(3)]
    run()
    for t in waiting:
        assert ch.queue is t
        t.kill()
    assert ch.queue is None


def test_a_waiter_may_leave_in_the_middle_of_the_queue(log):
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


def test_a_killed_send_sequence_releases_its_iterator(log):
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
