"""Semaphores, events and barriers, and the callbacks of events."""

import gc
import sys
import weakref

import pytest
from lock_kinds import Boom

import tasklets
from tasklets import TaskletExit, getcurrent, schedule, spawn
from tasklets.locks import Barrier, BrokenBarrierError, Event, NLCondition, Semaphore
from tasklets.testing import fake_clock, settle


def caught(func, *args):
    """Return a tasklet whose result is the error of a call, or its value."""

    def call():
        try:
            return func(*args)
        except Exception as exc:
            return exc.with_traceback(None)

    return spawn(call)


# ---- semaphores, events, barriers


def test_permits_that_come_back_together_go_to_the_first_waiters():
    semaphore, log = Semaphore(0), []
    for name in "abc":
        spawn(lambda name=name: log.append((name, semaphore.acquire())))
    settle()
    semaphore.release(2)
    assert semaphore._value == 0
    settle()
    assert log == [("a", True), ("b", True)]
    semaphore.release(3)
    settle()
    assert semaphore._value == 2


def test_a_semaphore_takes_the_timeouts_that_threadings_takes():
    semaphore = Semaphore(0)
    assert semaphore.acquire(timeout=0) is False
    assert semaphore.acquire(timeout=-1) is False
    assert semaphore.acquire(False) is False
    assert semaphore.acquire(False, None) is False
    with pytest.raises(ValueError, match="non-blocking"):
        semaphore.acquire(False, 1)


def test_an_event_wakes_all_and_those_woken_need_not_hurry():
    event, log = Event(), []
    for _ in range(3):
        spawn(lambda: log.append(event.wait()))
    settle()
    event.set()
    event.clear()
    settle()
    assert log == [True] * 3
    assert not event.is_set()
    event.set()
    assert event.wait() is True
    assert event.wait(0) is True


def test_an_event_has_a_condition_as_threadings():
    event = Event()
    cond = event._cond
    assert event._cond is cond
    with cond:
        assert not cond.acquire(False)
        event._at_fork_reinit()
        assert cond.acquire(False)


def test_a_barrier_can_be_used_again_at_once():
    barrier, log = Barrier(3), []

    def work(name):
        for turn in range(4):
            log.append(turn)
            assert 0 <= barrier.wait() < 3

    for name in "abc":
        spawn(work, name)
    settle()
    assert log == [turn for turn in range(4) for _ in range(3)]


def test_each_waiter_of_a_barrier_gets_another_number():
    barrier = Barrier(4)
    tasks = [spawn(barrier.wait) for _ in range(4)]
    settle()
    assert sorted(task.result() for task in tasks) == [0, 1, 2, 3]
    assert barrier.n_waiting == 0


def test_the_action_runs_before_anybody_goes():
    log = []

    def action():
        log.append("action")
        schedule()
        log.append("end")

    barrier = Barrier(2, action)
    for _ in range(2):
        spawn(lambda: (barrier.wait(), log.append("gone")))
    settle()
    assert log == ["action", "end", "gone", "gone"]


def test_a_waiter_that_comes_during_the_action_belongs_to_the_next_turn():
    log = []

    def action():
        log.append("action")
        schedule()
        schedule()

    barrier = Barrier(2, action)
    tasks = [spawn(barrier.wait) for _ in range(4)]
    settle()
    assert sorted(task.result() for task in tasks) == [0, 0, 1, 1]
    assert log == ["action", "action"]


def test_an_error_of_the_action_breaks_the_barrier():
    def action():
        raise Boom

    barrier = Barrier(2, action)
    tasks = [caught(barrier.wait) for _ in range(2)]
    settle()
    errors = [type(task.result()) for task in tasks]
    assert sorted(error.__name__ for error in errors) == ["Boom", "BrokenBarrierError"]
    assert barrier.broken
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken


def test_a_barrier_is_broken_by_a_waiter_that_times_out():
    barrier = Barrier(3, timeout=5)
    with fake_clock() as clock:
        tasks = [caught(barrier.wait, 10), caught(barrier.wait)]
        clock.advance(6)
    assert [type(task.result()) for task in tasks] == [BrokenBarrierError] * 2
    assert barrier.broken


def test_a_reset_turns_waiters_away():
    barrier = Barrier(2)
    task = caught(barrier.wait)
    settle()
    assert barrier.n_waiting == 1
    barrier.reset()
    assert barrier.n_waiting == 0
    tasks = [caught(barrier.wait) for _ in range(2)]
    settle()
    assert isinstance(task.result(), BrokenBarrierError)
    assert sorted(task.result() for task in tasks) == [0, 1]


@pytest.mark.exact_turns
def test_a_reset_during_the_action_turns_all_away():
    def action():
        schedule()

    barrier = Barrier(2, action)
    tasks = [caught(barrier.wait) for _ in range(2)]
    schedule()
    barrier.reset()
    settle()
    assert [type(task.result()) for task in tasks] == [BrokenBarrierError] * 2
    assert not barrier.broken
    assert barrier.n_waiting == 0


def test_a_waiter_killed_in_a_barrier_is_not_counted_any_more():
    barrier = Barrier(2)
    task = spawn(barrier.wait)
    settle()
    task.kill()
    assert barrier.n_waiting == 0
    tasks = [spawn(barrier.wait) for _ in range(2)]
    settle()
    assert sorted(task.result() for task in tasks) == [0, 1]


def test_a_barrier_needs_parties():
    for parties in (0, -1):
        with pytest.raises(ValueError, match="parties"):
            Barrier(parties)
    with pytest.raises(TypeError):
        Barrier("3")
    assert Barrier(3).parties == 3


def test_a_condition_without_a_lock():
    cond, log = NLCondition(), []
    for name in "abc":
        spawn(lambda name=name: log.append((name, cond.wait())))
    settle()
    with cond:
        cond.notify()
    settle()
    assert log == [("a", True)]
    cond.notify_all()
    settle()
    assert log[1:] == [("b", True), ("c", True)]
    assert cond.acquire()
    cond.release()
    assert cond.wait_for(lambda: 0, timeout=0) == 0


def test_a_notified_waiter_that_is_killed_passes_the_notification_on_without_a_lock():
    cond, log = NLCondition(), []
    tasks = [spawn(lambda name=name: log.append((name, cond.wait()))) for name in "ab"]
    settle()
    cond.notify()
    tasks[0].kill(pending=True)
    settle()
    assert log == [("b", True)]


# ---- callbacks of events


def test_a_callback_is_called_once_when_the_event_is_set():
    event, log = Event(), []
    event.add_done_callback(log.append)
    assert log == []
    event.set()
    assert log == [event]
    event.clear()
    event.set()
    assert log == [event]
    event.add_done_callback(log.append)  # at once
    assert log == [event, event]


def test_callbacks_are_called_in_order_when_the_waiters_have_been_woken():
    event, log = Event(), []
    waiter = spawn(event.wait)
    settle()
    event.add_done_callback(lambda _: log.append(("first", waiter.blocked)))
    event.add_done_callback(lambda _: (event.clear(), log.append("second")))
    event.add_done_callback(lambda _: event.add_done_callback(log.append))
    event.set()
    assert log == [("first", False), "second"]
    assert waiter.result() is True
    assert event.remove_done_callback(log.append) == 1


def test_a_callback_can_be_removed():
    event, log = Event(), []
    for func in (log.append, print, log.append):
        event.add_done_callback(func)
    assert event.remove_done_callback(log.append) == 2
    assert event.remove_done_callback(log.append) == 0
    assert event.remove_done_callback(print) == 1
    event.set()
    assert log == []
    with pytest.raises(TypeError, match="callable"):
        event.add_done_callback(None)


def test_a_comparison_may_change_the_callbacks():
    class Func:
        def __call__(self, event):
            log.append(event)

        def __eq__(self, other):
            event.set()
            return True

        __hash__ = None

    class Bad(Func):
        def __eq__(self, other):
            raise Boom

        __hash__ = None

    event, log = Event(), []
    event.add_done_callback(Func())
    event.remove_done_callback(Func())
    assert log == [event]
    event.clear()
    event.add_done_callback(Bad())
    with pytest.raises(Boom):
        event.remove_done_callback(Bad())
    event.set()
    assert log == [event, event]


def test_an_error_of_a_callback_is_reported(monkeypatch):
    def fail(event):
        raise Boom

    event, log = Event(), []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: log.append(args.exc_type))
    event.add_done_callback(fail)
    event.add_done_callback(lambda _: log.append("called"))
    event.set()
    event.add_done_callback(fail)
    assert log == [Boom, "called", Boom]


def test_a_kill_in_a_callback_gets_through():
    event, log = Event(), []
    event.add_done_callback(lambda _: tasklets.schedule_remove())
    event.add_done_callback(log.append)
    setter = spawn(event.set)
    settle()
    assert setter.blocked is False
    setter.kill()
    assert setter.cancelled()
    assert log == [event]
    with pytest.raises(TaskletExit):
        event.add_done_callback(lambda _: getcurrent().kill())


def test_an_event_that_its_callback_knows_is_collected():
    event = Event()
    event.add_done_callback(event.remove_done_callback)
    ref = weakref.ref(event)
    del event
    gc.collect()
    assert ref() is None


def test_callbacks_leak_nothing(no_leak):
    def use():
        event = Event()
        event.add_done_callback(repr)
        event.add_done_callback(ascii)
        event.remove_done_callback(repr)
        event.set()

    no_leak(use, calls=5000)
