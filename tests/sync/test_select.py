"""select(): the first of several channels, tasklets, futures and descriptors."""

import gc
import os
import pickle
import random
import threading
from collections import Counter
from concurrent.futures import Future

import pytest

from tasklets import (
    BlockTrapError,
    ChannelClosed,
    DeadlockError,
    QueueChannel,
    channel,
    getcurrent,
    readable,
    recv,
    run,
    schedule,
    scheduler,
    select,
    send,
    sleep,
    spawn,
    tasklet,
    timeout,
    writable,
)
from tasklets._core import fake_clock

LATE = 30


def nothing_is_left(*channels):
    return all(
        ch.balance == 0 and select(recv(ch), default="no") == (None, "no")
        for ch in channels
    )


def test_what_can_be_done_is_done():
    a, b = channel(), channel()
    tasklet(b.send)("value")
    run()
    cases = recv(a), recv(b)
    assert select(*cases) == (cases[1], "value")
    receiver = spawn(a.receive)
    run()
    case = send(a, "sent")
    assert select(case, recv(b)) == (case, None)
    assert receiver.result() == "sent"
    assert nothing_is_left(a, b)


def test_select_waits_for_the_first(log):
    a, b = channel(), channel()
    cases = recv(a), recv(b)

    def work():
        log.append(select(*cases))

    waiter = spawn(work)
    run()
    assert waiter.blocked
    assert "the first of several channels" in repr(waiter)
    assert (a.balance, b.balance) == (0, 0)
    b.send("value")
    run()
    assert log == [(cases[1], "value")]
    assert nothing_is_left(a, b)


def test_select_waits_to_send():
    a, b = channel(), channel()
    cases = send(a, "to a"), send(b, "to b")
    waiter = spawn(select, *cases)
    run()
    assert b.receive() == "to b"
    assert waiter.result() == (cases[1], None)
    assert nothing_is_left(a, b)


def test_two_that_meet_each_other():
    a, b, c = channel(), channel(), channel()
    give, take = send(b, "value"), recv(b)
    for first in (0, 1):
        both = [(recv(a), give), (take, recv(c))]
        some = [spawn(select, *both[first]), spawn(select, *both[1 - first])]
        run()
        results = [each.result() for each in some]
        assert results[first] == (give, None)
        assert results[1 - first] == (take, "value")
    assert nothing_is_left(a, b, c)


def test_select_does_not_meet_itself():
    ch = channel()
    cases = recv(ch), send(ch, "value")
    waiter = spawn(select, *cases)
    run()
    assert waiter.blocked
    assert ch.receive() == "value"
    assert waiter.result() == (cases[1], None)
    assert nothing_is_left(ch)


def test_a_channel_may_be_there_twice():
    ch = channel()
    cases = recv(ch), recv(ch)
    waiter = spawn(select, cases[0], cases[1], cases[0])
    run()
    ch.send("value")
    chosen, value = waiter.result()
    assert chosen in cases
    assert value == "value"
    assert nothing_is_left(ch)


def test_iteration_and_other_waits_meet_selects():
    ch, log = channel(), []

    def consume():
        for value in ch:
            log.append(value)

    consumer = spawn(consume)
    run()
    for number in range(3):
        select(send(ch, number))
    assert log == [0, 1, 2]
    consumer.kill()
    ch.close()
    assert ch.closed


def test_buffered_channels():
    full = QueueChannel(1)
    full.send("first")
    case = send(full, "second")
    waiter = spawn(select, case)
    run()
    assert waiter.blocked
    assert full.receive() == "first"
    assert waiter.result() == (case, None)
    assert len(full) == 1
    take = recv(full)
    assert select(take) == (take, "second")
    waiter = spawn(select, take)
    run()
    full.send("third")
    assert len(full) == 0
    assert waiter.result() == (take, "third")
    assert nothing_is_left(full)


def test_a_default_is_for_when_nothing_can_be_done():
    ch = channel()
    assert select(recv(ch), default=5) == (None, 5)
    assert select(recv(ch), send(ch, 1), default=None) == (None, None)
    assert select(default="none") == (None, "none")
    assert nothing_is_left(ch)


def test_select_times_out():
    ch = channel()
    fake_clock(0)
    try:
        for seconds in (1, 0, -1):
            with pytest.raises(TimeoutError):
                select(recv(ch), send(ch, 1), timeout=seconds)
        with pytest.raises(TimeoutError), timeout(1):
            select(recv(ch))
        with pytest.raises(TimeoutError):
            select(timeout=1)
    finally:
        fake_clock(None)
    assert nothing_is_left(ch)


def test_errors_come_through():
    ch = channel()
    tasklet(ch.send_exception)(KeyError, "sent")
    schedule()
    with pytest.raises(KeyError, match="sent"):
        select(recv(ch))
    waiter = spawn(select, recv(ch))
    run()
    ch.send_exception(KeyError, "again")
    with pytest.raises(KeyError, match="again"):
        waiter.result()
    assert nothing_is_left(ch)


def test_a_closed_channel():
    a, b = channel(), channel()
    waiter = spawn(select, recv(a), recv(b))
    run()
    a.close(wake=True)
    with pytest.raises(ChannelClosed):
        waiter.result()
    with pytest.raises(ChannelClosed):
        select(recv(a), recv(b))
    sender = spawn(select, send(b, 1))
    run()
    b.close(wake=True)
    assert sender.blocked
    assert b.receive() == 1
    sender.result()
    assert (a.balance, b.balance) == (0, 0)


def test_a_deadlock_is_told():
    ch = channel()
    with pytest.raises(DeadlockError):
        select(recv(ch))
    getcurrent().block_trap = True
    try:
        with pytest.raises(BlockTrapError):
            select(recv(ch))
    finally:
        getcurrent().block_trap = False
    with pytest.raises(ValueError, match="no cases"):
        select()
    assert nothing_is_left(ch)


def test_a_killed_one_leaves_nothing(log):
    a, b = channel(), channel()

    def work():
        try:
            select(recv(a), send(b, 1))
        finally:
            log.append("finally")

    victim = spawn(work)
    run()
    victim.kill()
    assert log == ["finally"]
    assert nothing_is_left(a, b)


def test_an_unreachable_select_is_no_trouble():
    for _ in range(3):
        a, b = channel(), channel()
        tasklet(select)(recv(a), recv(b), send(a, [a, b]))
        run()
        del a, b
        gc.collect()
        run()
    for each in scheduler.getuncollectables():
        each.kill()
    gc.collect()


def test_between_threads():
    a, b, rounds = channel(), channel(), 300

    def work(ch):
        for number in range(rounds):
            if number % 2:
                select(send(ch, number))
            else:
                ch.send(number)

    threads = [threading.Thread(target=work, args=(ch,)) for ch in (a, b)]
    for thread in threads:
        thread.start()
    got = {a: [], b: []}
    for _ in range(2 * rounds):
        chosen, value = select(recv(a), recv(b), timeout=LATE)
        got[chosen.channel].append(value)
    for thread in threads:
        thread.join()
    assert got == {a: list(range(rounds)), b: list(range(rounds))}
    assert nothing_is_left(a, b)


def test_all_that_can_be_done_have_the_same_chance():
    count, rounds = 5, 5000
    channels = [QueueChannel() for _ in range(count)]
    for ch in channels:
        for _ in range(rounds):
            ch.send(None)
    cases = [recv(ch) for ch in channels]
    chosen = Counter(cases.index(select(*cases)[0]) for _ in range(rounds))
    assert all(abs(chosen[i] - rounds / count) < 150 for i in range(count))


def test_tasklets_and_futures():
    ch, future = channel(), Future()
    quick, slow = spawn(sleep, 0.001), spawn(sleep, LATE)
    assert select(slow, quick, recv(ch), future) == (quick, None)
    assert select(slow, quick) == (quick, None)
    threading.Timer(0.01, future.set_result, ("result",)).start()
    assert select(future, slow) == (future, None)
    assert future.result() == "result"
    with pytest.raises(TimeoutError):
        select(slow, timeout=0.01)
    assert select(slow, default=1) == (None, 1)
    slow.kill()
    assert select(slow) == (slow, None)
    assert nothing_is_left(ch)


def test_a_tasklets_error_is_raised_by_select():
    victim = spawn(int, "x")
    assert select(victim) == (victim, None)
    with pytest.raises(ValueError, match="invalid literal"):
        victim.result()


def test_descriptors():
    read, write = os.pipe()
    ready, open_, ch = readable(read), writable(write), channel()
    assert select(ready, open_) == (open_, None)
    assert select(ready, default=0) == (None, 0)
    with pytest.raises(TimeoutError):
        select(ready, recv(ch), timeout=0.01)
    thread = threading.Timer(0.01, os.write, (write, b"x"))
    thread.start()
    assert select(ready, recv(ch)) == (ready, None)
    thread.join()
    assert select(ready, default=0) == (ready, None)
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file"):
        select(ready)
    assert scheduler.pending() == 0


def test_a_refusal_says_what_is_wrong():
    ch = channel()
    for call in (
        lambda: select(1),
        lambda: select(recv(ch), None),
        lambda: select(recv(ch), other=1),
        lambda: recv(1),
        lambda: send(ch),
        lambda: send(1, 2),
        lambda: select(recv(ch), timeout="1"),
        lambda: pickle.dumps(recv(ch)),
        lambda: type(recv(ch))(),
    ):
        with pytest.raises(TypeError):
            call()
    assert repr(send(ch, [1])) == f"send({ch!r}, [1])"
    assert nothing_is_left(ch)


class Meeting:
    """Some tasklets that send, receive and select at random on a few channels."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.channels = [
            self.chance.choice((channel, channel, lambda: QueueChannel(1)))()
            for _ in range(3)
        ]
        for ch in self.channels:
            ch.preference = self.chance.choice((-1, 0, 1))
        self.got, self.sent, self.number = [], [], 0

    def case(self):
        ch = self.chance.choice(self.channels)
        if self.chance.random() < 0.5:
            return recv(ch)
        self.number += 1
        return send(ch, self.number)

    def work(self):
        chance = self.chance
        for _ in range(chance.randrange(1, 4)):
            cases = [self.case() for _ in range(chance.randrange(1, 4))]
            values = {c: int(repr(c)[:-1].rsplit(" ", 1)[-1]) for c in cases
                      if repr(c).startswith("send")}  # fmt: skip
            try:
                if len(cases) == 1 and not values:
                    self.got.append(cases[0].channel.receive(timeout=3))
                    continue
                chosen, value = select(*cases, timeout=chance.randrange(1, 5))
            except TimeoutError:
                continue
            if chosen in values:
                self.sent.append(values[chosen])
            else:
                self.got.append(value)
            if chance.random() < 0.3:
                sleep(chance.randrange(3))

    def hold(self):
        some = [spawn(self.work) for _ in range(6)]
        run()
        if self.chance.random() < 0.3:
            self.chance.choice(some).kill()
        scheduler.run(wait=True)
        assert not any(each.alive for each in some)


def test_thousands_of_meetings():
    """What was sent is received once, or is still in a buffer."""
    fake_clock(0)
    try:
        for seed in range(3000):
            meeting = Meeting(seed)
            meeting.hold()
            left = []
            for ch in meeting.channels:
                while ch.balance > 0:
                    left.append(ch.receive())
            assert sorted(meeting.got + left) == sorted(meeting.sent), seed
            assert nothing_is_left(*meeting.channels), seed
            assert scheduler.pending() == 0, seed
    finally:
        fake_clock(None)


def test_a_waiting_select_does_not_hold_up_other_tasklets(log):
    """schedule_all and callbacks of channels are as ever beside a waiting select()."""
    ch = channel()
    ch.schedule_all = True
    waiter = spawn(select, recv(ch))
    run()
    tasklet(log.append)("other")
    ch.send("value")
    schedule()
    assert log == ["other"]
    assert waiter.result()[1] == "value"
