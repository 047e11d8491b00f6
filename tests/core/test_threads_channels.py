"""Channels between threads, and deadlocks across threads."""

import contextlib
import threading
import weakref

import pytest
from remote import worker
from threads import SECONDS

import tasklets
from tasklets import (
    ChannelClosed,
    DeadlockError,
    channel,
    getcurrent,
    run,
    schedule,
    spawn,
    tasklet,
)

# Channels between threads.


def test_a_value_goes_to_another_thread():
    ch = channel()
    results = []
    thread = threading.Thread(target=lambda: results.append(ch.receive()))
    thread.start()
    ch.send("value")
    thread.join()
    assert results == ["value"]


def test_a_value_comes_from_another_thread():
    ch = channel()
    thread = threading.Thread(target=ch.send, args=("value",))
    thread.start()
    assert ch.receive() == "value"
    thread.join()


def test_an_error_goes_to_another_thread(log):
    ch = channel()

    def work():
        try:
            ch.receive()
        except KeyError as error:
            log.append(error.args)

    thread = threading.Thread(target=work)
    thread.start()
    ch.send_exception(KeyError, "x")
    thread.join()
    assert log == [("x",)]


def test_tasklets_of_two_threads_meet(log):
    ch = channel()

    def work():
        both = [spawn(lambda: log.append(ch.receive())) for _ in range(2)]
        for t in both:
            t.join()

    thread = threading.Thread(target=work)
    thread.start()
    ch.send(1)
    ch.send(2)
    thread.join()
    assert log == [1, 2]


@pytest.mark.parametrize("preference", [-1, 0, 1])
@pytest.mark.parametrize("schedule_all", [0, 1])
def test_the_actor_goes_on_if_the_partner_is_another_threads(
    log, preference, schedule_all
):
    ch = channel()
    ch.preference, ch.schedule_all = preference, schedule_all
    with worker() as other:
        other.do(lambda: (tasklet(lambda: log.append(ch.receive()))(), run())[1])
        tasklet(log.append)("not yet")
        ch.send("value")
        assert "not yet" not in log
        run()
        other.do(run)
    assert log == ["not yet", "value"] or log == ["value", "not yet"]


def test_the_partner_is_appended_to_its_own_queue(log):
    ch = channel()

    def wait():
        tasklet(lambda: (ch.receive(), log.append("partner")))()
        run()
        tasklet(log.append)("other")

    with worker() as other:
        other.do(wait)
        ready, go = threading.Event(), threading.Event()
        other.begin(lambda: (ready.set(), go.wait(SECONDS), run())[2])
        ready.wait(SECONDS)
        ch.send(None)
        go.set()
        other.end()
    assert log == ["other", "partner"]


def test_the_callback_is_called_after_a_meeting_with_another_thread(log):
    ch = channel()
    with worker() as other:
        other.do(lambda: (tasklet(ch.receive)(), run())[1])
        tasklets.set_channel_callback(
            lambda ch, t, sending, blocks: log.append((ch.balance, sending, blocks))
        )
        ch.send(1)
        tasklets.set_channel_callback(None)
        other.do(run)
    assert log == [(0, 1, 0)]


def test_a_waking_close_wakes_other_threads(log):
    ch = channel()

    def work():
        with pytest.raises(ChannelClosed):
            ch.receive()
        log.append("closed")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    while ch.balance > -3:
        schedule()
    ch.close(wake=True)
    for thread in threads:
        thread.join(SECONDS)
    assert log == ["closed"] * 3


def test_main_waits_for_a_thread_that_has_not_used_tasklets_yet():
    ch, go = channel(), threading.Event()

    def work():
        go.wait(SECONDS)
        ch.send("late")

    thread = threading.Thread(target=work)
    thread.start()
    tasklet(go.set)()
    assert ch.receive() == "late"
    thread.join()


def test_what_nobody_needs_dies_before_main_waits_for_another_thread():
    class Thing:
        pass

    ch, thing = channel(), Thing()
    ref = weakref.ref(thing)

    def work():
        while not ch.balance:
            schedule()
        ch.send(ref() is None)

    getcurrent().tempval = thing
    del thing
    thread = threading.Thread(target=work)
    thread.start()
    assert ch.receive()
    thread.join()


def test_a_tasklet_runs_while_its_main_waits_for_another_thread(log):
    ch = channel()
    with worker() as other:
        tasklet(lambda: [log.append(n) or schedule() for n in range(3)])()
        other.begin(lambda: ch.receive())
        ch.send("value")
        assert other.end() == "value"
        run()
    assert log == [0, 1, 2]


# Deadlocks across threads.


def test_two_threads_that_wait_for_each_other_are_a_deadlock(log):
    a, b = channel(), channel()

    def wait(mine, other, name):
        try:
            mine.receive()
        except DeadlockError:
            log.append(name)
            other.send(None)

    thread = threading.Thread(target=wait, args=(a, b, "thread"))
    thread.start()
    wait(b, a, "main")
    thread.join(SECONDS)
    assert len(log) == 1


def test_a_thread_that_ends_leaves_a_deadlock_behind():
    ch, ready = channel(), threading.Event()

    def work():
        tasklet(int)()
        run()
        ready.wait(SECONDS)

    thread = threading.Thread(target=work)
    thread.start()
    tasklet(ready.set)()
    with pytest.raises(DeadlockError):
        ch.receive()
    thread.join()
    assert ch.balance == 0


def test_a_plain_thread_that_ends_leaves_a_deadlock_behind():
    ch, ready = channel(), threading.Event()
    thread = threading.Thread(target=ready.wait)
    thread.start()
    tasklet(ready.set)()
    with pytest.raises(DeadlockError):
        ch.receive()
    thread.join()


def test_a_deadlock_error_lists_the_waiters_of_all_threads(log):
    ch = channel()

    def wait(name):
        t = spawn(ch.receive, name=name)
        while not t.blocked:
            schedule()
        try:
            ch.receive()
        except DeadlockError as error:
            log.append(str(error))
        ch.close(wake=True)
        with contextlib.suppress(ChannelClosed):
            run()

    def work():
        with contextlib.suppress(ChannelClosed):
            wait("in the thread")

    thread = threading.Thread(target=work)
    thread.start()
    while ch.balance > -2:
        schedule()
    with contextlib.suppress(ChannelClosed):
        wait("in main")
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert len(log) == 1
    assert "in the thread" in log[0]
    assert "in main" in log[0]


def test_threads_in_a_deadlock_may_go_on(log):
    def work(name, mine, other):
        for _ in range(3):
            try:
                mine.receive()
            except DeadlockError:
                log.append(name)
                other.try_send(None)

    a, b = channel(), channel()
    thread = threading.Thread(target=work, args=("thread", a, b))
    thread.start()
    work("main", b, a)
    while thread.is_alive():
        a.try_send(None)
    thread.join(SECONDS)
    assert 1 <= len(log) <= 6
