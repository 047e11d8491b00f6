"""stacklesslib_compat.locks: where stacklesslib's rules are not those of threading."""

import threading

import pytest

import tasklets.locks
from stacklesslib_compat import locks
from tasklets import TaskletExit, channel, get_thread_info, schedule, spawn
from tasklets.testing import settle

pytestmark = pytest.mark.usefixtures("clock")  # nobody waits

ENTERED = [
    locks.Condition,
    locks.Lock,
    locks.RLock,
    locks.Semaphore,
    locks.BoundedSemaphore,
]


@pytest.mark.parametrize("make", ENTERED)
def test_a_context_manager_gives_no_value(make):
    lock = make()
    with lock as value:
        assert value is None
        task = spawn(lock.acquire, False)
        schedule()
        assert task.result() is False
    assert lock.acquire(False)


@pytest.mark.parametrize("make", ENTERED)
def test_it_is_one_of_tasklets(make):
    name = {"Lock": "Semaphore"}.get(make.__name__, make.__name__)
    assert issubclass(make, getattr(tasklets.locks, name))


@pytest.mark.parametrize("make", [locks.Lock, locks.RLock, locks.Semaphore])
def test_a_timeout_is_a_number_or_none(make, clock):
    lock = make()
    assert lock.acquire(timeout=None)
    task = spawn(lock.acquire, True, 2)
    assert task.result() is False
    assert clock.now() == 2
    waiting = spawn(lock.acquire, timeout=None)
    settle()
    assert waiting.blocked
    lock.release()
    assert waiting.result() is True


def test_a_lock_that_nobody_has_may_be_released():
    lock = locks.Lock()
    lock.release()
    assert lock.acquire(False)
    assert lock.acquire(False)
    assert not lock.acquire(False)


def test_a_semaphore_is_released_by_a_count():
    semaphore = locks.Semaphore(0)
    semaphore.release(count=2)
    assert semaphore.acquire(False)
    assert semaphore.acquire(False)
    assert not semaphore.acquire(False)


def test_a_bounded_semaphore_is_not_released_beyond_its_start():
    semaphore = locks.BoundedSemaphore(2)
    assert semaphore.acquire()
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release(count=2)
    semaphore.release()


def test_what_an_rlock_saves_is_a_count():
    lock = locks.RLock()
    for _ in range(3):
        lock.acquire()
    saved = lock._release_save()
    assert saved == 3
    assert not lock._is_owned()
    lock._acquire_restore(saved)
    assert lock._recursion_count() == 3


@pytest.mark.parametrize("make", [locks.RLock, locks.Lock, tasklets.locks.Lock])
def test_a_condition_waits_over_any_lock(make):
    condition, ready = locks.Condition(make()), []

    def work():
        with condition:
            return condition.wait_for(lambda: ready)

    task = spawn(work)
    settle()
    assert task.blocked
    with condition:
        ready.append(1)
        condition.notifyAll()
    assert task.result() == [1]


@pytest.mark.parametrize("count", [1, 2])
def test_a_condition_over_an_rlock_is_left_as_often_as_entered(count):
    condition = locks.Condition()
    for _ in range(count):
        condition.acquire()
    assert condition.wait(1) is False
    for _ in range(count):
        condition.release()
    with pytest.raises(RuntimeError):
        condition.release()


def test_a_condition_owns_its_lock_when_its_waiter_is_killed():
    condition, seen = locks.Condition(), []

    def work():
        with condition:
            try:
                condition.wait()
            except TaskletExit:
                seen.append(condition._is_owned())
                raise

    task = spawn(work)
    settle()
    with condition:
        task.kill(pending=True)
        schedule()
        assert not seen
    settle()
    assert seen == [True]


def test_wait_for_condition_returns_the_last_value():
    condition, values = locks.NLCondition(), [0, "", "last"]
    task = spawn(locks.wait_for_condition, condition, lambda: values[0])
    for _ in range(2):
        settle()
        assert task.blocked
        values.pop(0)
        condition.notify_all()
    assert task.result() == "last"


def test_wait_for_condition_has_one_timeout_for_all(clock):
    condition = locks.NLCondition()
    task = spawn(locks.wait_for_condition, condition, list, 3)
    clock.advance(2)
    condition.notify()
    assert task.result() == []
    assert clock.now() == 3


def test_released_gives_a_lock_away_for_a_block():
    lock = locks.Lock()
    with lock:
        with locks.released(lock):
            assert lock.acquire(False)
            lock.release()
        assert not lock.acquire(False)


def test_released_takes_the_lock_back_when_the_block_fails():
    lock = locks.Lock()
    lock.acquire()
    with pytest.raises(KeyError), locks.released(lock):
        raise KeyError
    assert not lock.acquire(False)


def test_lock_channel_wait_tells_whether_something_came(clock):
    ch = channel()
    assert locks.lock_channel_wait(ch, 2) is False
    assert clock.now() == 2
    spawn(ch.send, None)
    assert locks.lock_channel_wait(ch, None) is True


def test_lock_mixin_makes_a_context_manager():
    calls = []

    class Own(locks.LockMixin):
        def acquire(self):
            calls.append("acquire")

        def release(self):
            calls.append("release")

    with Own() as value:
        assert value is None
        assert calls == ["acquire"]
    assert calls == ["acquire", "release"]


class TestEvent:
    def test_an_event_calls_back_once(self):
        event, seen = locks.Event(), []
        event.add_done_callback(seen.append)
        event.set()
        event.set()
        assert seen == [event]
        assert event.isSet()

    def test_an_event_that_is_set_calls_back_at_once(self):
        event, seen = locks.Event(), []
        event.set()
        event.add_done_callback(seen.append)
        assert seen == [event]

    def test_an_exception_of_a_callback_is_raised_and_the_others_are_kept(self):
        event, seen = locks.Event(), []
        event.add_done_callback(lambda event: 1 / 0)
        event.add_done_callback(seen.append)
        with pytest.raises(ZeroDivisionError):
            event.set()
        assert event.is_set()
        assert seen == []
        event.set()
        assert seen == [event]

    def test_callbacks_can_be_called_without_setting_the_event(self):
        event, seen = locks.Event(), []
        event.add_done_callback(seen.append)
        event.waitsite_signal()
        assert seen == [event]
        assert not event.waitsite_signalled()

    def test_a_callback_that_was_removed_is_not_called(self):
        event, seen = locks.Event(), []
        event.add_done_callback(seen.append)
        event.add_done_callback(seen.append)
        assert event.remove_done_callback(seen.append) == 2
        assert event.remove_done_callback(seen.append) == 0
        event.set()
        assert seen == []

    def test_a_wait_returns_the_flag(self):
        event = locks.Event()
        assert event.wait(1) is False
        task = spawn(event.wait)
        settle()
        event.set()
        assert task.result() is True


class TestValueEvent:
    def test_all_waiters_get_the_value(self):
        event = locks.ValueEvent()
        tasks = [spawn(event.wait) for _ in range(3)]
        settle()
        event.set("value")
        assert [task.result() for task in tasks] == ["value"] * 3

    def test_a_later_waiter_gets_an_error(self):
        event = locks.ValueEvent()
        event.set("value")
        with pytest.raises(RuntimeError, match="Already resumed"):
            event.wait()

    @pytest.mark.parametrize("again", ["set", "abort"])
    @pytest.mark.parametrize("first", ["set", "abort"])
    def test_it_ends_once(self, first, again):
        event = locks.ValueEvent()
        getattr(event, first)()
        with pytest.raises(RuntimeError, match="already"):
            getattr(event, again)()

    def test_an_error_reaches_present_and_later_waiters(self):
        event = locks.ValueEvent()
        task = spawn(event.wait)
        settle()
        event.abort(KeyError, "why")
        for wait in (task.result, event.wait):
            with pytest.raises(KeyError, match="why"):
                wait()

    def test_its_time_ends_it(self, clock):
        event, seen = locks.ValueEvent(2, KeyError, "late"), []

        def wait():
            with pytest.raises(KeyError, match="late"):
                event.wait()
            seen.append(clock.now())

        for _ in range(2):
            spawn(wait)
        clock.advance(1)
        assert not seen
        clock.advance(1)
        assert seen == [2, 2]
        with pytest.raises(RuntimeError):
            event.set()

    def test_its_time_ends_it_when_nobody_waits(self, clock):
        event = locks.ValueEvent(2)
        clock.advance(2)
        with pytest.raises(RuntimeError):
            event.set()
        with pytest.raises(TimeoutError):
            event.wait()

    def test_a_thread_that_waits_gets_no_scheduler(self):
        waited, seen = threading.Event(), threading.Event()

        def wait():
            with pytest.raises(TimeoutError):
                locks.ValueEvent(0.01).wait()
            waited.set()
            seen.wait()

        thread = threading.Thread(target=wait)
        thread.start()
        assert waited.wait(30)
        # Asked by another: it would get one by asking.
        assert get_thread_info(thread.ident) == (None, None, 0)
        seen.set()
        thread.join()
